"""DECIDE when the controller has no move it can defend: shifted plan -> PID -> hold; each rung says so.

The last rung, giving the plant back to the PLC, is the service's: after a while of holding it releases the handshake.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from control.blocks import Bounds
from control.bundle import ControllerBundle
from control.decide.pid import Pid, PidMemory
from control.decide.room import factors
from control.rti import Plan, Prepared
from control.settings import ControlSettings
from control.signals import Decision, FloatArray, Quality, Situation

PLAN_AGE_CYCLES = 6  # our choice: half a minute at 5 s; by then the blender has seen a third of what the plan knew
REST_AFTER_LATE = 3  # cycles without solver after a move that came too late


@dataclass(frozen=True)
class MpcMemory:
    """What the controller carries on: the last accepted plan, its age in cycles, and what is prepared for the next.

    P: the parameters [n_p, N + 1] that `prepared` holds for; rest: cycles for which the solver is not asked; pid: the
    fallback's own memory while it acts.
    """

    plan: Plan | None = None
    age: int = 0
    prepared: Prepared | None = None
    P: FloatArray | None = None
    rest: int = 0
    pid: PidMemory | None = None


@dataclass(frozen=True)
class Ladder:
    """The rungs below the controller; pure."""

    settings: ControlSettings
    bundle: ControllerBundle

    def step_down(
        self, situation: Situation, memory: MpcMemory, bounds: Bounds | None, why: str
    ) -> tuple[Decision, MpcMemory]:
        """The best rung that holds now, with the reason why the controller itself has no move."""
        if memory.plan is not None and bounds is not None and memory.age < PLAN_AGE_CYCLES:
            return self._shifted(situation, memory, memory.plan, bounds, why)
        estimate = situation.estimate
        if estimate is not None and estimate.quality is Quality.GOOD:
            decision, pid = Pid(self.settings).decide(situation, memory.pid)
            reason = f"PID for the controller ({why}): {decision.reason}"
            decision = replace(decision, controller="mpc", reason=reason[:140], fallback=f"pid: {why}")
            return decision, replace(memory, plan=None, prepared=None, pid=pid)
        held = Decision("mpc", dict(situation.working), f"hold: {why}"[:140], why, situation.cycle_s, {}, {},
                        fallback=f"hold: {why}")  # fmt: skip
        return held, MpcMemory(rest=memory.rest)

    def _shifted(
        self, situation: Situation, memory: MpcMemory, plan: Plan, bounds: Bounds, why: str
    ) -> tuple[Decision, MpcMemory]:
        factor = factors(self.bundle, situation)
        age = memory.age + 1
        wanted = plan.U[:, min(age, plan.U.shape[1] - 1)].clip(bounds.low, bounds.high)
        setpoints = {n: float(wanted[i] * factor[i]) for i, n in enumerate(self.bundle.inputs)}
        reason = f"plan of {age * situation.cycle_s:.0f} s ago goes on: {why}"
        decision = Decision("mpc", setpoints, reason[:140], "ok", situation.cycle_s, {}, {}, fallback=f"plan: {why}")
        return decision, replace(memory, age=age, prepared=None, pid=None)
