"""sample and what is remembered -> situation: everything a controller may look at, with how far it may go."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from control.authority import Evidence, authority, caps
from control.decide.cross import CrossMemory, cross_limit
from control.decide.ratio import ratio_setpoints
from control.decide.refill import RefillMemory, follow_refills
from control.observe import Memory, Observation, observe, prepare
from control.settings import ControlSettings
from control.signals import LabResult, Situation, Target
from edge.line import Line
from edge.sensing import Sensed
from edge.signals import Sample, Scan
from edge.understand import envelopes, feeders, possible, reading, working
from soft_sensors.signals import Quality

CREEPS = 0.005  # of the throughput, in a cycle: far below any recipe's step
ENOUGH_RESULTS = 6  # laboratory results before their coverage says anything


@dataclass(frozen=True)
class Remembered:
    """What the situation of the next cycle needs of this one.

    begun_s: since when the service looks at the line; nir_s, lab_s: last usable spectrum and last laboratory sample;
    half_width: of that estimate's interval, % w/w: a bad one has none, and what is known fades by its age instead;
    aim, changed_s: the last target and since when it holds (the start counts as a change: the line may be filling).
    """

    refills: RefillMemory = field(default_factory=dict)
    cross: CrossMemory | None = None
    observer: Memory | None = None
    lab_counter: int = -1
    begun_s: float | None = None
    nir_s: float | None = None
    half_width: float = math.inf
    lab_s: float | None = None
    aim: Target | None = None
    changed_s: float = -math.inf


def situation(line: Line, before: Remembered, sensed: Sensed, sample: Sample, aim: Target, *, fresh: bool) -> tuple[
    Situation, Remembered
]:  # fmt: skip
    """The situation of this cycle; fresh: the estimate is of a new spectrum."""
    control, scan = line.control, sample.scan
    assert control is not None, "only a controlled line has a situation"
    settings = control.settings
    read, inforce = feeders(settings, scan), working(settings, scan)
    factors, flows, refills = follow_refills(settings, read, before.refills)
    lab = _new_results(scan, before.lab_counter)
    now = _remember(before, sensed, scan, aim, lab)
    # Under every controller, plain ratio control included: the others keep the ratio to what a starving one gives.
    slower, cross = cross_limit(settings, read, inforce, before.cross)
    ratio = {name: value * slower[name] for name, value in ratio_setpoints(settings, aim).items()}
    ours = settings.controller.name == "mpc"  # a baseline that overshot would not be one
    pass_s, since_s = _pass_s(settings, aim), scan.time_s - now.changed_s
    left_s = max(0.0, settings.authority.transition_passes * pass_s - since_s)
    hasty_s = min(left_s, max(0.0, settings.authority.overshoot_passes * pass_s - since_s)) if ours else 0.0
    asked = {n: _flow_asked(inforce[n], factors.get(n, 1.0), ratio[n]) for n in ratio}
    nir = sensed.estimate
    trusted = nir is not None and nir.quality is Quality.GOOD
    seen = Observation(scan.time_s, _values(settings, sensed, scan, flows, fresh=fresh), asked, aim, lab, trusted)
    belief, memory = observe(control.observer, before.observer, seen)
    # What the line was full of is no loss: unless it may be hurried, it is filled in ratio.
    starting = left_s > 0 and hasty_s == 0 and now.changed_s == now.begun_s
    filling_pct = 100 * abs(belief.api_pct / aim.api_pct - 1) if starting else 0.0
    given = authority(settings.authority, _evidence(line, now, sensed, sample, aim, filling_pct))
    room = caps(settings, given, 1.0 if hasty_s > 0 else 0.0)
    if cross.wild:
        room = {name: 0.0 if name != settings.named("force") else cap for name, cap in room.items()}
    made = Situation(
        scan.time_s, settings.cycle_s, aim, belief, nir, inforce, envelopes(settings, scan), factors, ratio,
        room, given, left_s, hasty_s, sample.acted.outcome == "late",
        "" if settings.press is None else settings.named("force"),
    )  # fmt: skip
    return made, replace(now, refills=refills, cross=cross, observer=memory)


def looked_ahead(line: Line, now: Remembered, writes: Mapping[str, float]) -> Remembered:
    """What is remembered, with the observer's next step made as if the line took these setpoints and saw no refill."""
    if line.control is None or now.observer is None:
        return now
    return replace(now, observer=prepare(line.control.observer, now.observer, writes))


def _values(
    settings: ControlSettings, sensed: Sensed, scan: Scan, flows: dict[str, tuple[float, float]], *, fresh: bool
) -> dict[str, tuple[float, float]]:
    values = {f"y_flow_{name}": seen for name, seen in flows.items()}
    force = next(mv for mv in settings.mv if mv.role == "force")
    press = possible(force, reading(scan, f"{force.name}.PV"))
    if press.quality is Quality.GOOD:
        values["y_force"] = (press.value, settings.observer.force_kn)
    nir = sensed.estimate
    if fresh and nir is not None and nir.quality is not Quality.BAD:
        doubt = 1.0 if nir.quality is Quality.GOOD else 3.0
        values["y_nir"] = (nir.value, doubt * max(nir.sigma, settings.observer.nir_floor_pct))
    return values


def _new_results(scan: Scan, counter: int) -> tuple[LabResult, ...]:
    by_line = (scan.lab,) if scan.lab is not None and scan.lab.counter > max(0, counter) else ()
    return (*by_line, *scan.lims)


def _remember(before: Remembered, sensed: Sensed, scan: Scan, aim: Target, lab: tuple[LabResult, ...]) -> Remembered:
    begun_s = scan.time_s if before.begun_s is None else before.begun_s
    nir = sensed.estimate
    nir_s, half_width = before.nir_s, before.half_width
    if nir is not None and nir.quality is not Quality.BAD:
        nir_s, half_width = nir.time_s, (nir.upper - nir.lower) / 2
    lab_s = max((r.sample_time_s for r in lab), default=before.lab_s)
    counter = before.lab_counter if scan.lab is None else scan.lab.counter
    changed_s = before.changed_s if _same_recipe(before.aim, aim) else scan.time_s
    return replace(
        before, begun_s=begun_s, nir_s=nir_s, half_width=half_width, lab_s=lab_s, lab_counter=counter, aim=aim,
        changed_s=changed_s,
    )  # fmt: skip


def _same_recipe(before: Target | None, aim: Target) -> bool:
    """A throughput that creeps (economic) is no change of the recipe; nothing else may change."""
    if before is None or (before.api_pct, before.tablet_weight_mg) != (aim.api_pct, aim.tablet_weight_mg):
        return False
    return abs(aim.throughput_kg_h - before.throughput_kg_h) <= CREEPS * before.throughput_kg_h


def _evidence(
    line: Line, now: Remembered, sensed: Sensed, sample: Sample, aim: Target, filling_pct: float
) -> Evidence:
    time_s, begun_s = sample.scan.time_s, now.begun_s or 0.0
    licence = sample.licence
    bundle = None if licence is None else line.sensors.get(licence.bundle_hash)
    inside, of = sensed.watch.covered
    return Evidence(
        interval_pct=100 * now.half_width / aim.api_pct,
        covered=inside / of if of >= ENOUGH_RESULTS else None,
        nir_age_s=math.inf if now.nir_s is None else time_s - now.nir_s,
        lab_age_s=time_s - (begun_s if now.lab_s is None else now.lab_s),
        lab_seen=now.lab_s is not None,
        skill=None if bundle is None else bundle.card.skill,
        filling_pct=filling_pct,
    )


def _pass_s(settings: ControlSettings, aim: Target) -> float:
    """How long what lies between feeders and press takes to pass."""
    plant = settings.plant
    held_kg = plant.blender_kg + plant.transport_kg + plant.feed_frame_kg
    return held_kg / aim.throughput_kg_h * 3600


def _flow_asked(working: float, factor: float, ratio: float) -> float:
    """The setpoint as a flow: refill factor taken out; the recipe's where the PLC's is not known."""
    return working / factor if working == working else ratio  # noqa: PLR0124 - NaN is the only number unequal to itself
