"""DECIDE, the classical way: PI on the NIR estimate, trimming the API ratio."""

from __future__ import annotations

from dataclasses import dataclass

from control.settings import ControlSettings
from control.signals import Decision, Quality, Situation


@dataclass(frozen=True)
class PidMemory:
    """The integral part of the trim, as a fraction of the ratio."""

    integral: float


@dataclass(frozen=True)
class Pid:
    """PI trim of the API ratio from the NIR estimate; fillers follow so that the throughput stays.

    Form: trim = Kp e + (1/Ti) integral(Kp e dt), e = (target - estimate) / target; clamped at the trim cap with the
    integral held there (anti-windup by back-calculation); no move on a bad estimate.
    """

    settings: ControlSettings

    def decide(self, situation: Situation, memory: PidMemory | None) -> tuple[Decision, PidMemory]:
        """One PI step; the integral starts from the trim that the PLC works with, so taking over is bumpless."""
        tuning, api = self.settings.controller.pid, self.settings.named("api")
        cap = next(mv.trim_cap_pct or 0.0 for mv in self.settings.mv if mv.name == api) / 100
        if memory is None:
            factor = situation.refill_factor.get(api, 1.0)
            memory = PidMemory(max(-cap, min(cap, situation.working[api] / (situation.ratio[api] * factor) - 1)))
        estimate = situation.estimate
        integral, proportional, saw = memory.integral, 0.0, "no usable NIR estimate: trim held"
        if estimate is not None and estimate.quality is not Quality.BAD:
            error = (situation.target.api_pct - estimate.value) / situation.target.api_pct
            proportional = tuning.gain * error
            integral += tuning.gain * error * situation.cycle_s / tuning.integral_s
            saw = f"NIR {100 * estimate.value / situation.target.api_pct:.1f} % of target"
        trim = max(-cap, min(cap, proportional + integral))
        integral = max(-cap, min(cap, integral))
        setpoints = dict(situation.ratio)
        setpoints[api] = situation.ratio[api] * (1 + trim)
        rest = sum(setpoints[n] for n in self.settings.recipe.filler_split)
        for name in self.settings.recipe.filler_split:
            setpoints[name] -= situation.ratio[api] * trim * setpoints[name] / rest
        wanted = {n: v * situation.refill_factor.get(n, 1.0) for n, v in setpoints.items()}
        reason = f"{saw}; API trim {100 * trim:+.2f} % of ratio (cap {100 * cap:.0f} %)"
        figures = {"trim_pct": 100 * trim}
        return Decision("pid", wanted, reason[:140], "ok", situation.cycle_s, {}, figures), PidMemory(integral)
