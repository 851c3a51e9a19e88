"""The error tree of the box.

PatloopError
+-- ConfigError        the line file or an artefact is wrong: exit 2, one line: what, where, how to mend it
+-- DeviceError        a device or its link is sick: caught in the cycle, leads to hold
    +-- LinkLost       no connection, or none in time
    +-- SecurityError  certificates or accounts were refused: stop trying fast, alarm
    +-- WriteUnknown   a write whose fate is not known
    +-- WriteRefused   a write that was not sent: no node has a place for it
RecorderError          the journal cannot be written: hold, alarm
"""

from __future__ import annotations


class PatloopError(Exception):
    """Root of every error that patloop raises on purpose."""


class ConfigError(PatloopError):
    """The configuration or an artefact is wrong; the text names the thing and the mend."""


class DeviceError(PatloopError):
    """A device or its link is sick: the loop holds."""


class LinkLost(DeviceError):  # noqa: N818 - a state of the link, named as the field names it
    """The connection to the line is gone."""


class SecurityError(DeviceError):
    """Certificates, policies or accounts were refused."""


class WriteUnknown(DeviceError):  # noqa: N818
    """A write was sent and its fate is not known: neither done nor not done."""


class WriteRefused(DeviceError):  # noqa: N818
    """A write was not sent, because what is to be written has no place in the node: tag -> why."""

    def __init__(self, why: dict[str, str]) -> None:
        super().__init__("; ".join(f"{tag}: {text}" for tag, text in why.items()))
        self.why = why


class RecorderError(PatloopError):
    """The journal could not take a record."""
