"""The types that travel through the box, frozen: what was seen (Sample), what was thought (Thought)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from control.assess import Finding
from control.decide.economic import Economy
from control.signals import Authority, Belief, Command, Decision, LabResult, Mode, Reading, Target
from control.track import Tracked
from soft_sensors.signals import Estimate, Spectrum


class Link(StrEnum):
    """The state of the connection to the line, as this cycle found it."""

    ONLINE = "online"
    STALE = "stale"  # the server answers, but nothing behind it moves
    LOST = "lost"


@dataclass(frozen=True)
class Request:
    """Something a person asked for through the journal: action, its value and reason.

    action: mode | accept | decline | ack | run_down (start or cancel).
    """

    seq: int
    action: str
    value: str
    user: str
    reason: str


@dataclass(frozen=True)
class Acted:
    """What became of the last cycle's writes: good, unknown (sent, fate not known), refused, late or none.

    codes: what was said of a tag, where it is not Good; step: of the verified write that refused (edge.actuate), empty
    when none did; read_back: what the next look at the line says of it, empty when all is as it was sent.
    """

    outcome: str
    codes: Mapping[str, str] = field(default_factory=dict)
    step: str = ""
    read_back: str = ""


@dataclass(frozen=True)
class Context:
    """What is being made: batch, product, and the lot in each feeder by setpoint name; "" where it is not known.

    source: who told what is told, "tags", "rest:NAME" or both.
    """

    batch: str = ""
    product: str = ""
    lots: Mapping[str, str] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True)
class Scan:
    """One look at the line: every tag at once, the newest spectrum and laboratory result.

    session_id: random number of this connection (0: none); epoch: how often the link was made; time_s: line clock,
    seconds since the epoch, UTC; told: what people must be told of link, clocks and analyser; texts: tags that hold
    text; lims: laboratory results that came by the record since the last look; context: what is being made now.
    """

    time_s: float
    link: Link
    epoch: int
    session_id: int
    readings: Mapping[str, Reading]
    spectrum: Spectrum | None = None
    lab: LabResult | None = None
    reason: str = ""
    told: tuple[Finding, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    lims: tuple[LabResult, ...] = ()
    context: Context | None = None


@dataclass(frozen=True)
class Licence:
    """Which model may run, as the registry said when the line was looked at.

    bundle_hash: the bundle that estimates; state: where it stands in the registry ("ungoverned" without one);
    valid_until_s: seconds since the epoch, UTC; bias: added to every estimate, in the model's unit; challenger_hash:
    a bundle that estimates in shadow; registry_id, head_seq, head_hash: the newest event that was seen of which
    registry ("" and -1: none); reason: why the registry does not allow closed loop, empty when it does; note: what
    else there is to say.
    """

    bundle_hash: str
    state: str
    valid_until_s: float
    bias: float = 0.0
    challenger_hash: str | None = None
    registry_id: str = ""
    head_seq: int = -1
    head_hash: str = ""
    reason: str = ""
    note: str = ""


@dataclass(frozen=True)
class Verification:
    """What the record of the instrument's last verification said when the line was looked at.

    time_s, valid_until_s: seconds since the epoch, UTC, the latter by the record or the line's schedule, whichever is
    sooner; sha256: of the record's file; failed: why it counts as failed, empty when it passed; missing: why there is
    no record now, empty when there is.
    """

    instrument: str = ""
    time_s: float = 0.0
    valid_until_s: float = 0.0
    sha256: str = ""
    failed: str = ""
    missing: str = ""


@dataclass(frozen=True)
class Sample:
    """All that one cycle is decided from: the scan, people's requests, the fate of the last writes, the licence.

    Without a licence the model that the line was composed with may advise, never more. verification: of the
    instrument, None where the line file asks for none.
    """

    cycle: int
    scan: Scan
    requests: tuple[Request, ...] = ()
    acted: Acted = Acted("none")
    licence: Licence | None = None
    verification: Verification | None = None


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
    """All that one cycle concluded; wire: what is to be written, in order (empty: nothing).

    shadow: the challenger's estimate, for the record alone; unlicensed: why the model may not run in closed loop;
    interval_factor: how many times the card's the estimate's interval is; unverified: why the instrument may not be
    relied on; covered: how many laboratory results lay inside the interval that went out, and of how many; room: how
    far the evidence lets PAT's corrections go; track: the material at the gate, and whether it may be released;
    economy: the throughput beyond the recipe's, where the line has a range for it.
    """

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
    shadow: Estimate | None = None
    unlicensed: str = ""
    interval_factor: float = 1.0
    unverified: str = ""
    covered: tuple[int, int] = (0, 0)
    room: Authority | None = None
    track: Tracked | None = None
    economy: Economy | None = None
