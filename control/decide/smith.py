"""DECIDE, with a Smith predictor: PI on what the model says the line will show once its dead time is over."""

from __future__ import annotations

import math
from dataclasses import dataclass

from control.decide.delay import OnTheWay, arrived, feed, steady, way
from control.decide.trim import Asked, Patience, asked, cap_of, patience, trimmed, worked_with
from control.settings import ControlSettings
from control.signals import Decision, Quality, Situation


@dataclass(frozen=True)
class SmithMemory:
    """What the next step needs, as shares of target where not said: error of then, filtered disturbance, the last move,
    what is on its way to the probe: targets (% w/w) and trims, and whether feedback waits."""

    error: float
    disturbance: float
    asked: Asked | None
    targets: OnTheWay
    trims: OnTheWay
    wait: Patience | None = None


@dataclass(frozen=True)
class Smith:
    """Filtered Smith predictor (Smith 1957; Normey-Rico and Camacho 2007, ch. 6) round a PI trim of the API ratio.

    The model (dead time and lag of the residence time, gain 1) is fed with the trim that the PLC works with. What the
    filtered estimate shows beyond the model's delayed output is the disturbance; the PI acts on the undelayed output
    plus that disturbance. No dead time is left in its loop, so SIMC (Skogestad 2003) gives Kc = tau / tau_c and
    Ti = min(tau, 4 tau_c). No move on a bad estimate, nor while
    the line still fills with what the recipe asks for.
    """

    settings: ControlSettings

    def decide(self, situation: Situation, memory: SmithMemory | None) -> tuple[Decision, SmithMemory]:
        """One step of predictor and PI."""
        tuning, cycle_s, target = self.settings.controller.smith, situation.cycle_s, situation.target
        passed = way(self.settings.plant, target.throughput_kg_h)
        before = memory or SmithMemory(0.0, 0.0, None, steady(target.api_pct), steady(0.0))
        trim = worked_with(self.settings, situation, before.asked)
        targets = feed(before.targets, target.api_pct, passed, cycle_s)
        trims = feed(before.trims, trim, passed, cycle_s)
        error, disturbance, wait, estimate = before.error, before.disturbance, before.wait, situation.estimate
        if estimate is None or estimate.quality is Quality.BAD:
            saw = "no usable NIR estimate: trim held"
        else:
            gap = estimate.value / arrived(targets, passed, cycle_s) - 1 - arrived(trims, passed, cycle_s)
            wait = patience(wait, estimate.value, target.api_pct, passed, cycle_s)
            saw = f"NIR {100 * gap:+.1f} % beyond prediction"
            if wait.left_s == 0:
                disturbance += (1 - math.exp(-cycle_s / tuning.filter_s)) * (gap - disturbance)
                error = -(trims.past[0] + disturbance)
                gain = passed.lag_s / tuning.closed_loop_s
                integral_s = min(passed.lag_s, 4 * tuning.closed_loop_s)
                trim += gain * (error - before.error + error * cycle_s / integral_s)
        cap = cap_of(self.settings, situation)
        trim = max(-cap, min(cap, trim))
        move = asked(self.settings, situation, trim)
        now = SmithMemory(error, disturbance, move, targets, trims, wait)
        return trimmed(self.settings, situation, "smith", trim, saw), now

    def prepare(self, memory: SmithMemory | None) -> SmithMemory | None:
        """Nothing to prepare."""
        return memory
