"""The types that travel through control, frozen, with units in their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from soft_sensors.signals import Estimate, FloatArray, Quality

WHEN_SET = {"record": "when set"}
"""Of a field: on the record only where it is not its default: what does not use it records what it always did."""


class Mode(StrEnum):
    """What the service is able to do (R5: a mode removes ability)."""

    MONITOR = "monitor"
    ADVISE = "advise"
    CLOSED = "closed"

    @property
    def rank(self) -> int:
        """0 monitor, 1 advise, 2 closed."""
        return ("monitor", "advise", "closed").index(self.value)


@dataclass(frozen=True)
class Reading:
    """One value from the wire with its quality and times.

    value: in the unit that the line file declares for the tag; time_s: source time, seconds since the epoch, UTC
    (receive time where the source gives none); quality: good, uncertain or bad, staleness included.
    """

    value: float
    time_s: float
    quality: Quality = Quality.GOOD
    reason: str = ""


@dataclass(frozen=True)
class LabResult:
    """A laboratory result: taken at sample_time_s, known only at result_time_s; NaN where not measured.

    assay_pct: API in % w/w of the tablet; sample_id: the laboratory's own, "" where it is not told; corrects: another
    result of this sample was taken in before, and does not hold any more.
    """

    counter: int
    sample_time_s: float
    result_time_s: float
    assay_pct: float
    tablet_weight_mg: float
    hardness_n: float
    sample_id: str = ""
    corrects: bool = False

    @property
    def name(self) -> str:
        """The sample's id, or the result's number where it has none."""
        return self.sample_id or str(self.counter)


@dataclass(frozen=True)
class Target:
    """What the recipe asks for: API in % w/w of the blend, total throughput, mean tablet weight."""

    api_pct: float
    throughput_kg_h: float
    tablet_weight_mg: float


@dataclass(frozen=True)
class Envelope:
    """The room in which one setpoint may move now: own limits and the PLC's, whichever is tighter.

    low, high in the setpoint's unit; rate_per_s: largest change a second; available: the PLC lets it move; resolution:
    of the drive, in the setpoint's unit (0: as fine as a number).
    """

    low: float
    high: float
    rate_per_s: float
    available: bool = True
    resolution: float = 0.0


@dataclass(frozen=True)
class Belief:
    """What the observer holds to be true now.

    api_pct: API of the material in the feed frame, % w/w, with sigma; api_gain: delivered over weighed API (1 = no
    loss the feeders cannot see), with sigma; nir_bias_pct: NIR minus truth, % w/w, with sigma; weight_bias_mg: tablet
    weight minus the force model's; state: the model's full state in its own order; loss_probability,
    nir_jump_probability: that delivery or NIR has just jumped, as long as it is no more than suspected. quality bad:
    build nothing on it.
    """

    time_s: float
    api_pct: float
    api_sigma_pct: float
    api_gain: float
    api_gain_sigma: float
    nir_bias_pct: float
    nir_bias_sigma_pct: float
    tablet_weight_mg: float
    weight_bias_mg: float
    quality: Quality
    reason: str
    state: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    loss_probability: float = 0.0
    nir_jump_probability: float = 0.0


@dataclass(frozen=True)
class FeederReading:
    """What is known of one loss-in-weight feeder now: flow and hopper with quality, and whether it runs blind.

    volumetric: no gravimetric flow signal (refill and settling); the flow reading is then the held one.
    """

    flow_kg_h: Reading
    hopper_kg: Reading
    screw_rpm: Reading
    volumetric: bool


@dataclass(frozen=True)
class Authority:
    """How much room the evidence gives a correction that rests on it, from 1 (all of its cap) to 0 (plain ratio).

    pat: for the feeders, by the NIR's evidence; weight: for the press force, by the laboratory's tablet weights;
    reason: what takes most of the room away, empty when nothing does.
    """

    pat: float = 1.0
    weight: float = 1.0
    reason: str = ""


@dataclass(frozen=True)
class Situation:
    """All that a controller may look at when it decides.

    working: setpoints the PLC works with now (read back), in wire units; refill_factor: what a flow setpoint is to be
    multiplied with so that a feeder that runs blind still delivers it (1 when it weighs); ratio: recipe setpoints for
    the target (cross-limited when a feeder starves), before refill_factor; caps_pct: how far a setpoint may be trimmed
    from its ratio now, authority and transition included; transition_s: how long a commanded change of the recipe still
    is on its way; hasty_s: how long it may be hurried; late: the last move came too late to be sent; stands_by: the
    press force where handles of the press hold the weight.
    """

    time_s: float
    cycle_s: float
    target: Target
    belief: Belief
    estimate: Estimate | None
    working: Mapping[str, float]
    envelopes: Mapping[str, Envelope]
    refill_factor: Mapping[str, float]
    ratio: Mapping[str, float]
    caps_pct: Mapping[str, float] = field(default_factory=dict)
    authority: Authority = Authority()
    transition_s: float = 0.0
    hasty_s: float = 0.0
    late: bool = False
    stands_by: str = ""


@dataclass(frozen=True)
class Active:
    """A constraint that limits the move: what it is, which side, when (seconds ahead), and its multiplier.

    multiplier: how much the controller's cost would fall a unit of the bound, if the bound gave way.
    """

    name: str
    side: str
    ahead_s: float
    multiplier: float


@dataclass(frozen=True)
class PressMove:
    """Why the press's handles are moved so: one sentence of at most 140 characters.

    predicted: weight (mg) and hardness (N) with the move and held without it, equally spaced by predicted_step_s;
    active: what limits it.
    """

    reason: str
    predicted_step_s: float
    predicted: Mapping[str, tuple[float, ...]]
    active: tuple[Active, ...] = ()


@dataclass(frozen=True)
class Decision:
    """What the controller wants and why.

    setpoints: one value a manipulated variable, in its unit; reason: one sentence of at most 140 characters;
    predicted: named trajectories (with the move, and held without it), equally spaced by predicted_step_s;
    status: "ok" or what failed; a failed decision holds the setpoints that the PLC works with. fallback: the rung of
    the ladder that made it ("" the controller itself, "plan", "pid", "hold") and why; active: what limits the move,
    the costliest first; priority: the highest priority of the soft limits that even the plan violates, 0 for none;
    press: why the press's handles are moved so, on a line that has them.
    """

    controller: str
    setpoints: Mapping[str, float]
    reason: str
    status: str
    predicted_step_s: float
    predicted: Mapping[str, tuple[float, ...]]
    figures: Mapping[str, float]
    fallback: str = ""
    active: tuple[Active, ...] = ()
    priority: int = 0
    press: PressMove | None = field(default=None, metadata=WHEN_SET)


@dataclass(frozen=True)
class Refill:
    """The feeder that is to refill now, before its hopper is low, and why."""

    feeder: str
    reason: str


@dataclass(frozen=True)
class Command:
    """The guard's last word: what goes to the wire (writes) or to the operator (recommended), and what it refused.

    writes is empty unless mode, authority, freshness and limits all say so. refill: the feeder that is asked to refill
    now, "" for none: of the PLC where there are writes, else it is for the operator.
    """

    mode: Mode
    recommended: Mapping[str, float]
    writes: Mapping[str, float]
    holding: bool
    divert: bool
    reasons: tuple[str, ...]
    refill: str = field(default="", metadata=WHEN_SET)


__all__ = [
    "Active",
    "Authority",
    "Belief",
    "Command",
    "Decision",
    "Envelope",
    "Estimate",
    "FeederReading",
    "FloatArray",
    "LabResult",
    "Mode",
    "PressMove",
    "Quality",
    "Reading",
    "Refill",
    "Situation",
    "Target",
]
