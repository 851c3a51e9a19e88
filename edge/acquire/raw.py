"""DataValue -> Raw: value, quality, source time and server time, together from the first line on; nothing bare."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

from asyncua import ua

from control.signals import Quality

EPOCH, EPOCH_UTC = datetime(1970, 1, 1), datetime(1970, 1, 1, tzinfo=UTC)


class Raw(NamedTuple):
    """A value as the wire gave it: any type, its quality class and why, and its times.

    time_s: source time, or the server's, or the receipt's, whichever is there first (s, epoch, UTC); source_s and
    server_s: as they came, None where the server gave none; changed_s: line time at which its source time last moved,
    None where nobody watched.
    """

    value: object
    quality: Quality
    reason: str
    time_s: float
    source_s: float | None = None
    server_s: float | None = None
    changed_s: float | None = None


def raw_of(value: Any, received_s: float) -> Raw:
    """Everything that a DataValue of the stack holds; received_s: when it came (s, epoch, UTC)."""
    source_s, server_s = seconds(value.SourceTimestamp), seconds(value.ServerTimestamp)
    stamped = source_s if source_s is not None else server_s if server_s is not None else received_s
    code = value.StatusCode
    found = value.Value.Value if value.Value is not None else None
    if type(found) is not float:  # nearly all are: a hundred tags a look
        if isinstance(found, datetime):
            found = seconds(found)
        if isinstance(found, ua.LocalizedText):
            found = found.Text
    if code is None or code.value == 0 or code.is_good():
        quality, reason = Quality.GOOD, ""
    elif code.is_uncertain():
        quality, reason = Quality.UNCERTAIN, code.name
    else:
        quality, reason = Quality.BAD, code.name
    if found is None and quality is not Quality.BAD:
        quality, reason = Quality.BAD, "no value"
    return Raw(found, quality, reason, stamped, source_s, server_s)


def seconds(stamp: datetime | None) -> float | None:
    """Seconds since the epoch of a stamp of the stack (UTC, with or without saying so); None for none."""
    if stamp is None:
        return None
    return (stamp - (EPOCH if stamp.tzinfo is None else EPOCH_UTC)).total_seconds()
