"""The [mqtt] table of a line file: which broker, how it is trusted, what the line is called there."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from control.settings import Table

Word = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^+#/\s]+$")]


class MqttTable(Table):
    """Sparkplug B: topic spBv1.0/<group>/.../<node>/<device>; the password lies in a file of its own (mode 0600).

    ca: certificate (PEM) that the broker's is signed with; certificate, key: ours, where the broker asks for one;
    plain: without TLS, for a broker on this machine only. window: messages on their way at once.
    """

    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(ge=1, le=65535)] = 8883
    group: Word = "patloop"
    node: Word = "edge"
    device: Word | None = None
    user: Annotated[str, Field(min_length=1)]
    password_file: Path
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    plain: bool = False
    window: Annotated[int, Field(ge=1, le=1000)] = 100

    @model_validator(mode="after")
    def _trusted(self) -> MqttTable:
        if self.plain and not loopback(self.host):
            raise ValueError("plain = true is for a broker on this machine only; give ca instead")
        if not self.plain and self.ca is None:
            raise ValueError("name ca, the certificate that the broker's is signed with")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together")
        return self


def loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
