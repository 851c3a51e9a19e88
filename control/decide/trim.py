"""API trim <-> setpoints: the one handle of the classical controllers; fillers give way so that throughput stays."""

from __future__ import annotations

from dataclasses import dataclass

from control.decide.delay import Way
from control.settings import ControlSettings
from control.signals import Decision, Situation

ENGAGE_WITHIN = 0.03  # of target: feedback on a line that is still washing out would only overshoot
ENGAGE_AFTER = 2.0  # times the way from feeder to probe: then a larger gap is no washing out


@dataclass(frozen=True)
class Patience:
    """For which target (% w/w) feedback waits, and how much longer (s, 0: it acts)."""

    target_pct: float
    left_s: float


def patience(before: Patience | None, seen_pct: float, target_pct: float, passed: Way, cycle_s: float) -> Patience:
    """Whether feedback waits: after a start or a change of target, until the estimate is near it or time is up."""
    if before is None or before.target_pct != target_pct:
        before = Patience(target_pct, ENGAGE_AFTER * (passed.dead_s + passed.lag_s))
    near = abs(seen_pct / target_pct - 1) < ENGAGE_WITHIN
    return Patience(target_pct, 0.0 if near else max(0.0, before.left_s - cycle_s))


def cap_of(settings: ControlSettings, situation: Situation) -> float:
    """How far the API may be trimmed from its ratio now, as a share of it."""
    return situation.caps_pct.get(settings.named("api"), 0.0) / 100


def reference_kg_h(settings: ControlSettings, situation: Situation) -> float:
    """The untrimmed API setpoint as it goes over the wire."""
    api = settings.named("api")
    return situation.ratio[api] * situation.refill_factor.get(api, 1.0)


@dataclass(frozen=True)
class Asked:
    """The last move: trim (share), the untrimmed setpoint it was of, and where the PLC worked before it (kg/h)."""

    trim: float
    reference_kg_h: float
    worked_kg_h: float


def asked(settings: ControlSettings, situation: Situation, trim: float) -> Asked:
    """What is to be remembered of a move."""
    return Asked(trim, reference_kg_h(settings, situation), situation.working[settings.named("api")])


def worked_with(settings: ControlSettings, situation: Situation, before: Asked | None) -> float:
    """The trim to go on from, a share inside the cap: what the PLC works with, so that nothing winds up or bumps.

    While the PLC still ramps towards the last move, that move's trim: a recipe's change under way is no trim.
    """
    api, cap = settings.named("api"), cap_of(settings, situation)
    worked = situation.working[api]
    ramp = 0.5 * situation.envelopes[api].rate_per_s * situation.cycle_s
    if before is not None and abs(worked - before.worked_kg_h) > ramp:
        trim = before.trim
    else:
        trim = worked / (reference_kg_h(settings, situation) if before is None else before.reference_kg_h) - 1
    return max(-cap, min(cap, trim))


def trimmed(settings: ControlSettings, situation: Situation, name: str, trim: float, saw: str) -> Decision:
    """The decision of controller `name` to trim the API by a share of its ratio, the fillers giving way."""
    api, cap = settings.named("api"), cap_of(settings, situation)
    setpoints = dict(situation.ratio)
    setpoints[api] = situation.ratio[api] * (1 + trim)
    rest = sum(situation.ratio[n] for n in settings.recipe.filler_split)
    for filler in settings.recipe.filler_split:
        setpoints[filler] -= situation.ratio[api] * trim * situation.ratio[filler] / rest
    wanted = {n: v * situation.refill_factor.get(n, 1.0) for n, v in setpoints.items()}
    reason = f"{saw}; API trim {100 * trim:+.2f} % of ratio (cap {100 * cap:.0f} %)"
    return Decision(name, wanted, reason[:140], "ok", situation.cycle_s, {}, {"trim_pct": 100 * trim})
