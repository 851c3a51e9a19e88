"""A value of the wire -> Raw: value, quality, source time and server time, together from the first line on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from asyncua import ua
from asyncua.ua import uatypes

from control.signals import Quality

EPOCH, EPOCH_UTC = datetime(1970, 1, 1), datetime(1970, 1, 1, tzinfo=UTC)
TICKS_US = 10  # of a DateTime (OPC 10000-6, 5.2.2.5) in a microsecond
TO_1970_US = 11_644_473_600_000_000
LAST_TICKS: int = uatypes.MAX_OPC_FILETIME  # year 9999: this and all that is later means 'the end of time'


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


def made(
    value: object, code: ua.StatusCode, source_s: float | None, server_s: float | None, received_s: float
) -> Raw:  # fmt: skip
    """The value with its class and times; received_s: when it came (s, epoch, UTC)."""
    stamped = source_s if source_s is not None else server_s if server_s is not None else received_s
    if code.is_good():
        quality, reason = Quality.GOOD, ""
    elif code.is_uncertain():
        quality, reason = Quality.UNCERTAIN, code.name
    else:
        quality, reason = Quality.BAD, code.name
    if value is None and quality is not Quality.BAD:
        quality, reason = Quality.BAD, "no value"
    return Raw(value, quality, reason, stamped, source_s, server_s)


def plain(value: object) -> object:
    """A stack's value as the product knows it: times in seconds since the epoch, texts without their language."""
    if isinstance(value, datetime):
        return (value - (EPOCH if value.tzinfo is None else EPOCH_UTC)).total_seconds()
    return value.Text if isinstance(value, ua.LocalizedText) else value


def stamp_s(ticks: int) -> float:
    """Seconds since the epoch, UTC, of a DateTime of the wire, to the microsecond."""
    return (min(max(ticks, 0), LAST_TICKS) // TICKS_US - TO_1970_US) / 1_000_000
