"""DECIDE, the predictive way: real-time iteration on the bundle's problem; a move only when it can be defended.

The solver's answer is checked by `control.defend`, which does not know the solver; without a defensible answer the
ladder decides. `prepare` does the next cycle's work that needs no measurement, after this cycle's move is out; whether
it was called or not, the decision is the same to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from control.blocks import Bounds
from control.bundle import ControllerBundle
from control.decide.explain import explain
from control.decide.ladder import REST_AFTER_LATE, Ladder, MpcMemory
from control.decide.room import factors, room
from control.defend import indefensible
from control.rti import Plan, Prepared, Rti
from control.settings import ControlSettings
from control.signals import Decision, FloatArray, Quality, Situation

SAME = 1e-9  # relative: a setpoint read back is the one that was planned
# What a solver may raise on numbers it cannot take; anything else is a bug and stops the process.
SOLVER_ERRORS = (ArithmeticError, RuntimeError, ValueError, np.linalg.LinAlgError)


@dataclass(frozen=True)
class Mpc:
    """Model-predictive controller on a controller bundle; pure given the situation and its memory."""

    settings: ControlSettings
    bundle: ControllerBundle
    solver: Rti | None = None

    def decide(self, situation: Situation, memory: MpcMemory | None) -> tuple[Decision, MpcMemory]:
        """The next setpoints with predicted trajectories; on any doubt what the ladder still can defend."""
        memory = memory or MpcMemory()
        if situation.late:
            memory = replace(memory, rest=REST_AFTER_LATE)
        before = np.array([situation.working[n] for n in self.bundle.inputs]) / factors(self.bundle, situation)
        if not np.all(np.isfinite(before)):
            return self._ladder.step_down(situation, replace(memory, plan=None), None, "a setpoint in force is unknown")
        bounds = room(self.bundle, situation)
        if memory.rest > 0:
            rested = replace(memory, rest=memory.rest - 1)
            return self._ladder.step_down(situation, rested, bounds, "the last move came too late")
        if situation.belief.quality is Quality.BAD:
            return self._ladder.step_down(situation, memory, bounds, f"belief is bad: {situation.belief.reason}")
        x0, P = np.array(situation.belief.state), self._parameters(situation)
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # numbers too large are caught by what checks the move
                prepared = self._prepared(memory, x0, before, P)
                move = self._rti.feedback(prepared, x0, before, bounds)
                move, planned, cost = self._rti.settled(move, prepared, x0, before, P, bounds)
        except SOLVER_ERRORS as error:
            return self._ladder.step_down(situation, memory, bounds, f"solver: {type(error).__name__}: {error}")
        if move.status != "ok":
            return self._ladder.step_down(situation, memory, bounds, move.status)
        # The solver's own prediction is not believed: both ways are played through the model.
        held = self._held(x0, before, P, bounds)
        costs = cost, self._rti.cost(held, before, P, bounds)
        why = indefensible(planned.U[:, 0], before, bounds, move.quality, *costs)
        if why:
            return self._ladder.step_down(situation, memory, bounds, why)
        decision = explain(self.bundle, situation, before, move, planned, held, costs)
        return decision, MpcMemory(plan=move.plan, P=P)

    def prepare(self, memory: MpcMemory | None) -> MpcMemory | None:
        """The memory with the next cycle's linearisation done, for the setpoints and target that are expected then."""
        if memory is None or memory.plan is None or memory.P is None or memory.prepared is not None or memory.age:
            return memory
        later = np.hstack([memory.P[:, 1:], memory.P[:, -1:]])
        with np.errstate(over="ignore", invalid="ignore"):
            prepared = self._rti.prepare(self._rti.shifted(memory.plan, memory.P), later)
        return replace(memory, prepared=prepared, P=later)

    def _prepared(self, memory: MpcMemory, x0: FloatArray, before: FloatArray, P: FloatArray) -> Prepared:
        plan = memory.plan
        if plan is None or memory.age:  # after a failure it begins anew: what the last plan was built on may be wrong
            return self._rti.prepare(self._rti.start(x0, before, P), P)
        off = before - plan.U[:, 0]
        off[np.abs(off) <= SAME * (1 + np.abs(before))] = 0.0
        expected = memory.P is not None and np.array_equal(P, memory.P)
        if expected and memory.prepared is not None and not off.any():
            return memory.prepared
        plan = self._rti.shifted(plan, P)
        if off.any():  # it goes on from what the PLC really works with, not from what was asked
            plan = Plan(plan.U + off[:, None] * self._fading, plan.X)
        return self._rti.prepare(plan, P)

    def _held(self, x0: FloatArray, before: FloatArray, P: FloatArray, bounds: Bounds) -> Plan:
        stay = np.clip(before, bounds.low, bounds.high)
        U = np.repeat(stay[:, None], self.bundle.horizon_steps, axis=1)
        return Plan(U, self._rti.rolled(x0, U, P))

    def _parameters(self, situation: Situation) -> FloatArray:
        return self.bundle.targets(situation.target, self.bundle.horizon_steps + 1, situation.hasty_s)

    @cached_property
    def _rti(self) -> Rti:
        return self.solver or Rti(self.bundle)

    @cached_property
    def _ladder(self) -> Ladder:
        return Ladder(self.settings, self.bundle)

    @cached_property
    def _fading(self) -> FloatArray:
        return np.linspace(1.0, 0.0, self.bundle.horizon_steps)[None, :]
