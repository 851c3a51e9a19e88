"""DECIDE, the classical way: PI on the NIR estimate, trimming the API ratio."""

from __future__ import annotations

import math
from dataclasses import dataclass

from control.decide.delay import OnTheWay, arrived, feed, steady, way
from control.decide.trim import Asked, Patience, asked, cap_of, patience, trimmed, worked_with
from control.settings import ControlSettings
from control.signals import Decision, Quality, Situation


@dataclass(frozen=True)
class PidMemory:
    """What the next step needs: the filtered error (share of target, None before the first that counts), the last move,
    the targets on their way to the probe, and whether feedback waits."""

    error: float | None
    asked: Asked | None
    targets: OnTheWay
    wait: Patience | None = None


@dataclass(frozen=True)
class Pid:
    """PI trim of the API ratio from the NIR estimate; fillers follow so that the throughput stays.

    Velocity form: trim += Kp (e - e_last + e dt / Ti) on the filtered error. It is taken against the target as it
    arrives at the probe, for the ratio has already been changed when the target was. The trim starts from the one that
    the PLC works with, so taking over is bumpless and nothing winds up; no move on a bad estimate, nor while the line
    still fills with what the recipe asks for.
    """

    settings: ControlSettings

    def decide(self, situation: Situation, memory: PidMemory | None) -> tuple[Decision, PidMemory]:
        """One PI step; the memory is the last error, move, targets and patience."""
        tuning, cycle_s, target = self.settings.controller.pid, situation.cycle_s, situation.target
        before = memory or PidMemory(None, None, steady(target.api_pct))
        passed = way(self.settings.plant, target.throughput_kg_h)
        targets = feed(before.targets, target.api_pct, passed, cycle_s)
        trim = worked_with(self.settings, situation, before.asked)
        error, wait, estimate = before.error, before.wait, situation.estimate
        if estimate is None or estimate.quality is Quality.BAD:
            saw = "no usable NIR estimate: trim held"
        else:
            seen = 1 - estimate.value / arrived(targets, passed, cycle_s)
            wait = patience(wait, estimate.value, target.api_pct, passed, cycle_s)
            saw = f"NIR {100 * (1 - seen):.1f} % of target"
            if wait.left_s == 0:
                last = seen if error is None else error
                error = last + (1 - math.exp(-cycle_s / tuning.filter_s)) * (seen - last)
                trim += tuning.gain * (error - last + error * cycle_s / tuning.integral_s)
        cap = cap_of(self.settings, situation)
        trim = max(-cap, min(cap, trim))
        now = PidMemory(error, asked(self.settings, situation, trim), targets, wait)
        return trimmed(self.settings, situation, "pid", trim, saw), now

    def prepare(self, memory: PidMemory | None) -> PidMemory | None:
        """Nothing to prepare."""
        return memory
