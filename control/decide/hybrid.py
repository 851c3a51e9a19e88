"""DECIDE, as published hybrid MPC-PID schemes do: one linear MPC hands setpoints to the feeders' own PID loops.

Structure of Singh, Ierapetritou and Ramachandran (EJPB 2013): the NIR estimate, a fixed linear model identified at one
throughput, DMC's constant output disturbance (Cutler and Ramaker 1980) for zero offset, a quadratic programme with box
bounds. No observer of gains or biases: what the NIR says is believed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import daqp
import numpy as np

from control.decide.delay import way
from control.decide.linear import BLOCKS, Prediction, condense, feeders
from control.decide.trim import Patience, patience
from control.settings import ControlSettings
from control.signals import Decision, FloatArray, Quality, Situation


@dataclass(frozen=True)
class HybridMemory:
    """What the next step needs: model state, targets on their way to the probe (% w/w), output disturbance (share), the
    untrimmed setpoints of then as they went over the wire (kg/h), and whether feedback waits."""

    state: FloatArray
    due_pct: FloatArray
    disturbance: float
    wire: FloatArray
    wait: Patience | None = None


@dataclass(frozen=True)
class Hybrid:
    """Linear MPC on the NIR estimate over the feeders' PID loops; pure given the situation and its memory."""

    settings: ControlSettings

    def decide(self, situation: Situation, memory: HybridMemory | None) -> tuple[Decision, HybridMemory | None]:
        """The next setpoints; a failed decision that holds when there is none."""
        ratio = np.array([situation.ratio[n] for n in self._feeders])
        factor = np.array([situation.refill_factor.get(n, 1.0) for n in self._feeders])
        working, wire = np.array([situation.working[n] for n in self._feeders]), ratio * factor
        if not np.all(np.isfinite(working)):
            return _hold(situation, "a working setpoint is not known"), None
        model, target = self._model, situation.target.api_pct
        old = memory or HybridMemory(np.zeros(len(model.A)), np.full(model.chain, target), 0.0, wire)
        before = working / old.wire - 1
        now, saw = self._foresee(situation, old, before, wire)
        deltas = self._solve(situation, now, before, working / wire - 1)
        if deltas is None:
            return _hold(situation, "QP not solved"), None
        setpoints = {n: v * situation.refill_factor.get(n, 1.0) for n, v in situation.ratio.items()}
        wanted = wire * (1 + deltas)
        setpoints.update({name: float(wanted[i]) for i, name in enumerate(self._feeders)})
        trim_pct = 100 * float(deltas[self._feeders.index(self.settings.named("api"))])
        reason = f"{saw}; API trim {trim_pct:+.2f} % of ratio by linear MPC"
        return Decision(
            "hybrid", setpoints, reason[:140], "ok", situation.cycle_s, {}, {"trim_pct": trim_pct}
        ), now

    def prepare(self, memory: HybridMemory | None) -> HybridMemory | None:
        """Nothing to prepare: all that can be is done offline."""
        return memory

    def _foresee(
        self, situation: Situation, old: HybridMemory, before: FloatArray, wire: FloatArray
    ) -> tuple[HybridMemory, str]:
        """Model and targets one cycle on, and what the NIR shows beyond them as the new output disturbance."""
        model = self._model
        state = model.A @ old.state + model.B @ before
        due_pct = model.A[: model.chain, : model.chain] @ old.due_pct + model.entry * situation.target.api_pct
        estimate = situation.estimate
        if estimate is None or estimate.quality is Quality.BAD:
            now = HybridMemory(state, due_pct, old.disturbance, wire, old.wait)
            return now, "no usable NIR estimate: disturbance held"
        gap = estimate.value / float(due_pct[-1]) - 1 - float(model.C[0] @ state)
        passed = way(self.settings.plant, situation.target.throughput_kg_h)
        wait = patience(old.wait, estimate.value, situation.target.api_pct, passed, situation.cycle_s)
        fresh = 1 - math.exp(-situation.cycle_s / self.settings.controller.hybrid.filter_s) if wait.left_s == 0 else 0.0
        disturbance = old.disturbance + fresh * (gap - old.disturbance)
        return HybridMemory(state, due_pct, disturbance, wire, wait), f"NIR {100 * gap:+.1f} % beyond model"

    def _solve(
        self, situation: Situation, now: HybridMemory, before: FloatArray, at: FloatArray
    ) -> FloatArray | None:
        """The first move as shares of the ratio; box bounds by caps and limits, for the first move by its rate too.

        before: what the last move was off the ratio of then, at: where the PLC is off the ratio of now.
        """
        model, tuning, n, wire = self._model, self.settings.controller.hybrid, len(before), now.wire
        residual = model.free @ now.state
        residual[::2] += now.disturbance / tuning.api_rel
        gradient = model.forced.T @ residual
        gradient[:n] -= before / tuning.move_rel**2
        rooms = [situation.envelopes[name] for name in self._feeders]
        caps = np.array([situation.caps_pct.get(name, 0.0) / 100 for name in self._feeders])
        step = np.array([r.rate_per_s if r.available else 0.0 for r in rooms]) * situation.cycle_s / wire
        low = np.maximum(np.array([r.low for r in rooms]) / wire - 1, -caps)
        high = np.maximum(np.minimum(np.array([r.high for r in rooms]) / wire - 1, caps), low)
        first_low, first_high = np.clip(low, at - step, at + step), np.clip(high, at - step, at + step)
        lower = np.concatenate([first_low, np.tile(low, len(BLOCKS) - 1)])
        upper = np.concatenate([first_high, np.tile(high, len(BLOCKS) - 1)])
        moves, _, flag, _ = daqp.solve(model.hessian, gradient, np.zeros((0, len(gradient))), upper, lower)
        if flag < 1 or not np.all(np.isfinite(moves)):
            return None
        first: FloatArray = np.clip(moves[:n], first_low, first_high)
        return first

    @cached_property
    def _feeders(self) -> tuple[str, ...]:
        return feeders(self.settings)

    @cached_property
    def _model(self) -> Prediction:
        return condense(self.settings)


def _hold(situation: Situation, why: str) -> Decision:
    return Decision("hybrid", dict(situation.working), f"hold: {why}", why, situation.cycle_s, {}, {})
