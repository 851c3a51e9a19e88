"""API trim <-> setpoints: the one handle of the classical controllers; fillers give way so that throughput stays."""

from __future__ import annotations

from control.decide.delay import Way
from control.settings import ControlSettings
from control.signals import Decision, Situation

ENGAGE_WITHIN = 0.03  # of target: feedback on a line that is still washing out would only overshoot
ENGAGE_AFTER = 2.0  # times the way from feeder to probe: then a larger gap is no washing out


def patience(left_s: float | None, gap: float, passed: Way, cycle_s: float) -> float:
    """How long feedback that was begun anew waits still, s; gap: estimate against prediction, share of target.

    None at first; 0 from the first usable estimate on that is near its target.
    """
    if abs(gap) < ENGAGE_WITHIN:
        return 0.0
    left_s = ENGAGE_AFTER * (passed.dead_s + passed.lag_s) if left_s is None else left_s
    return max(0.0, left_s - cycle_s)


def cap_of(settings: ControlSettings, situation: Situation) -> float:
    """How far the API may be trimmed from its ratio now, as a share of it."""
    return situation.caps_pct.get(settings.named("api"), 0.0) / 100


def reference_kg_h(settings: ControlSettings, situation: Situation) -> float:
    """The untrimmed API setpoint as it goes over the wire."""
    api = settings.named("api")
    return situation.ratio[api] * situation.refill_factor.get(api, 1.0)


def worked_with(settings: ControlSettings, situation: Situation, reference: float) -> float:
    """The trim that the PLC works with, a share inside the cap; reference: the untrimmed setpoint of then, kg/h."""
    cap = cap_of(settings, situation)
    return max(-cap, min(cap, situation.working[settings.named("api")] / reference - 1))


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
