"""DECIDE, to learn: plays a step test on one feeder at plain ratio, and stops it for good when its rule says so."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from control.errors import ControlError
from control.settings import ControlSettings, StepTestSettings
from control.signals import Decision, Quality, Situation, Target
from control.steptest import Design, design, level, look, verdict

FOLLOWED = 0.5  # of the amplitude: a setpoint in force that is farther from the order than this was not taken


@dataclass(frozen=True)
class StepTestMemory:
    """The test's design and target, how far it has been played (s), what was ordered of the variable (a flow, refill
    factor taken out), when something was last seen (s), why it was aborted (empty while it is not), and whether the
    feeder ran without its weight signal."""

    made: Design | None
    target: Target
    elapsed_s: float = 0.0
    ordered_kg_h: float = float("nan")
    seen_s: float = 0.0
    aborted: str = ""
    blind: bool = False


@dataclass(frozen=True)
class StepTest:
    """Ratio control plus the test; its clock stands still while the PLC does not follow (advice, a hold, a limit).

    A hold makes the service start controllers anew: the test then begins again from its lead.
    """

    settings: ControlSettings

    def decide(self, situation: Situation, memory: StepTestMemory | None) -> tuple[Decision, StepTestMemory]:
        """Recipe ratio, the tested feeder moved by the test; figures: elapsed_s, level, applied_kg_h, aborted."""
        asked = self._asked()
        now = self._begun(situation, asked) if memory is None else memory
        factor = situation.refill_factor.get(asked.variable, 1.0)
        applied = situation.working.get(asked.variable, float("nan")) / factor
        if math.isfinite(now.ordered_kg_h) and (factor != 1.0 or now.blind):
            # Through a refill and a cycle on, the setpoint follows the feed factor with a lag that the flow has not.
            applied = now.ordered_kg_h
        now = replace(self._advanced(situation, asked, now, applied), blind=factor != 1.0)
        step = 0 if now.made is None or now.aborted else level(now.made, now.elapsed_s)
        wanted = dict(situation.ratio)
        if now.made is not None:
            wanted[asked.variable] *= 1.0 + step * now.made.amplitude_pct / 100
            now = replace(now, ordered_kg_h=wanted[asked.variable])
        setpoints = {name: value * situation.refill_factor.get(name, 1.0) for name, value in wanted.items()}
        figures = {"elapsed_s": now.elapsed_s, "level": float(step), "applied_kg_h": applied,
                   "aborted": float(bool(now.aborted)),
                   "amplitude_pct": 0.0 if now.made is None else now.made.amplitude_pct}  # fmt: skip
        told = self._told(now, step)[:140]
        return Decision("steptest", setpoints, told, "ok", situation.cycle_s, {}, figures), now

    def prepare(self, memory: StepTestMemory | None) -> StepTestMemory | None:
        """Nothing to prepare."""
        return memory

    def _asked(self) -> StepTestSettings:
        asked = self.settings.controller.steptest
        if asked is None:
            raise ControlError("controller 'steptest' needs the table [controller.steptest]")
        return asked

    def _begun(self, situation: Situation, asked: StepTestSettings) -> StepTestMemory:
        try:
            made = design(self.settings, asked, situation.ratio)
        except ControlError as error:
            # The recipe of this moment leaves no room: said in the reason, and the line stays at its ratio.
            return StepTestMemory(None, situation.target, seen_s=situation.time_s, aborted=str(error))
        return StepTestMemory(made, situation.target, seen_s=situation.time_s)

    def _advanced(
        self, situation: Situation, asked: StepTestSettings, now: StepTestMemory, applied: float
    ) -> StepTestMemory:
        estimate = situation.estimate
        if estimate is not None and estimate.quality is not Quality.BAD:
            now = replace(now, seen_s=situation.time_s)
        if now.made is None or now.aborted:
            return now
        seen = look(situation, now.target, situation.time_s - now.seen_s)
        if now.elapsed_s == 0 and seen.api_sigma_lc_pct > asked.api_limit_lc_pct:
            return now  # nothing is known of the material yet: the test has not begun, so there is nothing to abort
        found = verdict(seen, asked)
        if not found.going:
            return replace(now, aborted=found.reason)
        reach = FOLLOWED * now.made.amplitude_pct / 100 * now.ordered_kg_h
        if abs(applied - now.ordered_kg_h) <= reach:  # not while the first order is still unknown (NaN), either
            return replace(now, elapsed_s=now.elapsed_s + situation.cycle_s)
        return now

    def _told(self, now: StepTestMemory, step: int) -> str:
        if now.made is None or now.aborted:
            return f"step test aborted, plain ratio: {now.aborted}"
        done_min, whole_min = now.elapsed_s / 60, now.made.length_s / 60
        if now.elapsed_s >= now.made.length_s:
            return f"step test of {now.made.variable} done after {whole_min:.0f} min; plain ratio"
        at = f"{step * now.made.amplitude_pct:+.2f} %" if step else "at ratio"
        return f"step test: {now.made.variable} {at}, {done_min:.1f} of {whole_min:.0f} min"
