"""The types that travel through the box, frozen: what was seen (Sample), what was thought (Thought)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from control.signals import Belief, Command, Decision, LabResult, Mode, Reading, Target
from soft_sensors.signals import Estimate, Spectrum


class Link(StrEnum):
    """The state of the connection to the line, as this cycle found it."""

    ONLINE = "online"
    LOST = "lost"


@dataclass(frozen=True)
class Request:
    """Something a person asked for through the journal: action mode | accept | decline | ack, its value and reason."""

    seq: int
    action: str
    value: str
    user: str
    reason: str


@dataclass(frozen=True)
class Acted:
    """What became of the last cycle's writes: good, unknown (sent, fate not known), refused, late or none."""

    outcome: str
    codes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Scan:
    """One look at the line: every tag at once, the newest spectrum and laboratory result.

    session_id: random number of this connection (0: none); epoch: how often the link was made; time_s: line clock,
    seconds since the epoch, UTC.
    """

    time_s: float
    link: Link
    epoch: int
    session_id: int
    readings: Mapping[str, Reading]
    spectrum: Spectrum | None = None
    lab: LabResult | None = None
    reason: str = ""


@dataclass(frozen=True)
class Sample:
    """All that one cycle is decided from: the scan, people's requests, the fate of the last writes."""

    cycle: int
    scan: Scan
    requests: tuple[Request, ...] = ()
    acted: Acted = Acted("none")


@dataclass(frozen=True)
class Alarm:
    """A standing alarm: stable name, text, priority 1 to 3, since when and when last seen (line clock, s)."""

    name: str
    text: str
    priority: int
    since_s: float
    seen_s: float


@dataclass(frozen=True)
class Thought:
    """All that one cycle concluded; wire: what is to be written, in order (empty: nothing)."""

    mode: Mode
    target: Target | None
    estimate: Estimate | None
    belief: Belief | None
    decision: Decision | None
    command: Command
    alarms: tuple[Alarm, ...]
    handshake: str
    authority: str
    wire: tuple[tuple[str, float], ...]
    answered: tuple[int, ...] = ()
