"""DECIDE, the classical way: PI on the NIR estimate, trimming the API ratio."""

from __future__ import annotations

from dataclasses import dataclass

from control.settings import ControlSettings
from control.signals import Decision, Quality, Situation


@dataclass(frozen=True)
class PidMemory:
    """What the next step needs: the last error (fraction of target) and the untrimmed API setpoint of then."""

    error: float
    reference_kg_h: float


@dataclass(frozen=True)
class Pid:
    """PI trim of the API ratio from the NIR estimate; fillers follow so that the throughput stays.

    Velocity form: trim += Kp (e - e_last + e dt / Ti), e = (target - estimate) / target. The trim starts from the one
    that the PLC works with, so taking over is bumpless and nothing winds up; no move on a bad estimate.
    """

    settings: ControlSettings

    def decide(self, situation: Situation, memory: PidMemory | None) -> tuple[Decision, PidMemory]:
        """One PI step; the memory is the last error and reference."""
        tuning, api = self.settings.controller.pid, self.settings.named("api")
        cap = situation.caps_pct.get(api, 0.0) / 100
        reference = situation.ratio[api] * situation.refill_factor.get(api, 1.0)
        before = reference if memory is None else memory.reference_kg_h
        trim = max(-cap, min(cap, situation.working[api] / before - 1))
        estimate = situation.estimate
        if estimate is None or estimate.quality is Quality.BAD:
            error, saw = (0.0 if memory is None else memory.error), "no usable NIR estimate: trim held"
        else:
            error = (situation.target.api_pct - estimate.value) / situation.target.api_pct
            last = error if memory is None else memory.error
            trim += tuning.gain * (error - last + error * situation.cycle_s / tuning.integral_s)
            saw = f"NIR {100 * estimate.value / situation.target.api_pct:.1f} % of target"
        trim = max(-cap, min(cap, trim))
        setpoints = dict(situation.ratio)
        setpoints[api] = situation.ratio[api] * (1 + trim)
        rest = sum(situation.ratio[n] for n in self.settings.recipe.filler_split)
        for name in self.settings.recipe.filler_split:
            setpoints[name] -= situation.ratio[api] * trim * situation.ratio[name] / rest
        wanted = {n: v * situation.refill_factor.get(n, 1.0) for n, v in setpoints.items()}
        reason = f"{saw}; API trim {100 * trim:+.2f} % of ratio (cap {100 * cap:.0f} %)"
        decision = Decision("pid", wanted, reason[:140], "ok", situation.cycle_s, {}, {"trim_pct": 100 * trim})
        return decision, PidMemory(error, reference)

    def prepare(self, memory: PidMemory | None) -> PidMemory | None:
        """Nothing to prepare."""
        return memory
