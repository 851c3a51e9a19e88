"""DECIDE, the predictive way: one Gauss-Newton step on the bundle's model, condensed on move blocks, dense QP by DAQP.

Preparation (linearise along the shifted plan), condensing and one QP with a bounded number of iterations: fixed work
a cycle. Only input bounds and rates are hard, so the QP is always feasible; the quality band is soft. A result that is
not finite, not optimal or outside its bounds is not used: the decision says so and the loop holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import daqp
import numpy as np

from control.bundle import ControllerBundle
from control.settings import ControlSettings
from control.signals import Decision, FloatArray, Quality, Situation

ITERATION_LIMIT = 600
BAND_EVERY = 5  # the soft band is asked for at every fifth step: enough for tank dynamics, five times fewer rows


@dataclass(frozen=True)
class MpcMemory:
    """The last accepted plan, one column a step [n_inputs, horizon], in flow units (refill factor taken out)."""

    plan: FloatArray


@dataclass(frozen=True)
class Mpc:
    """Model-predictive controller on a controller bundle; pure given the situation and its memory."""

    settings: ControlSettings
    bundle: ControllerBundle

    def decide(self, situation: Situation, memory: MpcMemory | None) -> tuple[Decision, MpcMemory | None]:
        """The next setpoints with predicted trajectories; on any doubt a failed decision that holds."""
        belief = situation.belief
        if belief.quality is Quality.BAD:
            return self._hold(situation, f"belief is bad: {belief.reason}"), None
        factor = np.array([situation.refill_factor.get(n, 1.0) for n in self.bundle.inputs])
        before = np.array([situation.working[n] for n in self.bundle.inputs]) / factor
        if not np.all(np.isfinite(before)):
            return self._hold(situation, "a working setpoint is not finite"), None
        x0 = np.array(belief.state)
        guess = np.repeat(before[:, None], self.bundle.horizon_steps, axis=1)
        if memory is not None:
            shifted = np.hstack([memory.plan[:, 1:], memory.plan[:, -1:]])
            # The plan continues from what the PLC really works with, not from what was asked.
            guess = shifted + (before - memory.plan[:, 0])[:, None] * (self._decay)
        low, high, rate = self._limits(situation, factor)
        guess = np.clip(guess, low[:, None], high[:, None])
        P = np.repeat(self._targets(situation)[:, None], self.bundle.horizon_steps, axis=1)
        plan, status, figures = self._solve(x0, guess, before, P, low, high, rate, situation.cycle_s)
        if plan is None:
            return self._hold(situation, status), None
        return self._explain(situation, x0, before, plan, P, factor, figures), MpcMemory(plan)

    def _solve(
        self,
        x0: FloatArray,
        guess: FloatArray,
        before: FloatArray,
        P: FloatArray,
        low: FloatArray,
        high: FloatArray,
        rate: FloatArray,
        cycle_s: float,
    ) -> tuple[FloatArray | None, str, dict[str, float]]:
        n_in, n_blocks = len(before), len(self.settings.controller.mpc.blocks)
        X, A, B = self.bundle.call("linearise", x0, guess, P)
        R, Rx, Ru, S, Sx = self.bundle.call("stage", X, guess, P)
        rows_r, rows_s = self._condense(A, B, Rx, Ru, Sx)
        residual = R.T.ravel()
        n_moves = n_in * n_blocks
        # Moves penalised block to block, the first against what the PLC works with.
        D, d0 = self._moves(guess, before)
        stacked = np.vstack([rows_r, D])
        target = np.concatenate([residual, d0])
        slack = self.settings.controller.mpc.api_band_weight
        H = np.zeros((n_moves + 1, n_moves + 1))
        H[:n_moves, :n_moves] = stacked.T @ stacked
        H[n_moves, n_moves] = slack
        f = np.concatenate([stacked.T @ target, [slack]])
        band = S.T.ravel()[BAND_EVERY - 1 :: BAND_EVERY]
        rows_band = np.hstack([rows_s[BAND_EVERY - 1 :: BAND_EVERY], np.zeros((len(band), 1))])
        upper_band, lower_band = rows_band.copy(), rows_band.copy()
        upper_band[:, -1], lower_band[:, -1] = -1.0, 1.0
        G, g_low, g_high = self._rate_rows(guess, before, rate * cycle_s)
        start = guess[:, self._starts].T.ravel()
        lower = np.concatenate([np.tile(low, n_blocks) - start, [0.0], g_low, np.full(len(band), -1e30), -1 - band])
        upper = np.concatenate([np.tile(high, n_blocks) - start, [1e3], g_high, 1 - band, np.full(len(band), 1e30)])
        constraints = np.vstack([np.hstack([G, np.zeros((len(G), 1))]), upper_band, lower_band])
        H[np.diag_indices_from(H)] += 1e-9 * np.trace(H) / len(H)
        if not (np.all(np.isfinite(H)) and np.all(np.isfinite(f)) and np.all(np.isfinite(constraints))):
            return None, "the prediction is not finite", {}
        z, cost, flag, info = daqp.solve(
            H, f, np.ascontiguousarray(constraints), upper, lower, iter_limit=ITERATION_LIMIT
        )
        if flag < 1 or not np.all(np.isfinite(z)):
            return None, f"QP not solved (flag {flag})", {}
        moves = z[:n_moves].reshape(n_blocks, n_in)
        plan = guess + moves[self._block_of].T
        first = plan[:, 0]
        room = 1e-6 * (high - low)
        if (
            np.any(first < low - room)
            or np.any(first > high + room)
            or np.any(np.abs(first - before) > rate * cycle_s + room)
        ):
            return None, "the solution leaves its bounds", {}
        plan = np.clip(plan, low[:, None], high[:, None])
        return (
            plan,
            "ok",
            {"qp_iterations": float(info["iterations"]), "qp_cost": float(cost), "band_slack": float(z[-1])},
        )

    def _condense(
        self, A: FloatArray, B: FloatArray, Rx: FloatArray, Ru: FloatArray, Sx: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Sensitivity of every stage's residuals and bands to the block moves, stacked by stage."""
        n_x, n_u, steps = A.shape[0], B.shape[1] // self.bundle.horizon_steps, self.bundle.horizon_steps
        n_r, n_s = Rx.shape[0], Sx.shape[0]
        n_moves = n_u * len(self.settings.controller.mpc.blocks)
        T, rows_r, rows_s = (
            np.zeros((n_x, n_moves)),
            np.empty((steps * n_r, n_moves)),
            np.empty((steps * n_s, n_moves)),
        )
        for k in range(steps):
            block = slice(self._block_of[k] * n_u, (self._block_of[k] + 1) * n_u)
            T = A[:, k * n_x : (k + 1) * n_x] @ T
            T[:, block] += B[:, k * n_u : (k + 1) * n_u]
            rows_r[k * n_r : (k + 1) * n_r] = Rx[:, k * n_x : (k + 1) * n_x] @ T
            rows_r[k * n_r : (k + 1) * n_r, block] += Ru[:, k * n_u : (k + 1) * n_u]
            rows_s[k * n_s : (k + 1) * n_s] = Sx[:, k * n_x : (k + 1) * n_x] @ T
        return rows_r, rows_s

    def _moves(self, guess: FloatArray, before: FloatArray) -> tuple[FloatArray, FloatArray]:
        scale = 1.0 / (self.settings.controller.mpc.move_rel * self._span)
        at = guess[:, self._starts].T
        change = np.diff(np.vstack([before, at]), axis=0) * scale
        return self._difference * np.tile(scale, len(at))[:, None], change.ravel()

    def _rate_rows(
        self, guess: FloatArray, before: FloatArray, most: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        at = guess[:, self._starts].T
        change = np.diff(np.vstack([before, at]), axis=0).ravel()
        lengths = np.concatenate([[1], np.array(self.settings.controller.mpc.blocks[:-1])])
        room = (lengths[:, None] * most[None, :]).ravel()
        return self._difference, -room - change, room - change

    @cached_property
    def _difference(self) -> FloatArray:
        n, blocks = len(self.bundle.inputs), len(self.settings.controller.mpc.blocks)
        return np.eye(n * blocks) - np.eye(n * blocks, k=-n)

    @cached_property
    def _block_of(self) -> np.ndarray:
        blocks = self.settings.controller.mpc.blocks
        return np.repeat(np.arange(len(blocks)), blocks)

    @cached_property
    def _starts(self) -> np.ndarray:
        return np.concatenate([[0], np.cumsum(self.settings.controller.mpc.blocks)[:-1]])

    @cached_property
    def _decay(self) -> FloatArray:
        return np.linspace(1.0, 0.0, self.bundle.horizon_steps)[None, :]

    @cached_property
    def _span(self) -> FloatArray:
        by_name = {mv.name: (mv.low + mv.high) / 2 for mv in self.settings.mv}
        return np.array([by_name[n] for n in self.bundle.inputs])

    def _limits(self, situation: Situation, factor: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        low, high, rate = (np.empty(len(self.bundle.inputs)) for _ in range(3))
        caps = {mv.name: mv.trim_cap_pct for mv in self.settings.mv}
        for i, name in enumerate(self.bundle.inputs):
            room, cap = situation.envelopes[name], caps[name]
            low[i], high[i], rate[i] = (
                room.low / factor[i],
                room.high / factor[i],
                room.rate_per_s / factor[i],
            )
            if not room.available:
                low[i] = high[i] = situation.working[name] / factor[i]
            elif cap is not None:
                low[i] = max(low[i], situation.ratio[name] * (1 - cap / 100))
                high[i] = min(high[i], situation.ratio[name] * (1 + cap / 100))
            # A setpoint outside its room (a new target, a tightened limit) may come back no faster than its rate.
            now = situation.working[name] / factor[i]
            reach = rate[i] * situation.cycle_s
            if now > high[i]:
                high[i] = max(high[i], now - reach)
                low[i] = min(low[i], high[i])
            elif now < low[i]:
                low[i] = min(low[i], now + reach)
                high[i] = max(high[i], low[i])
        return low, high, rate

    def _targets(self, situation: Situation) -> FloatArray:
        known = {
            "target_api_pct": situation.target.api_pct,
            "target_throughput_kg_h": situation.target.throughput_kg_h,
            "target_weight_mg": situation.target.tablet_weight_mg,
        }
        return np.array([known[n] for n in self.bundle.parameters])

    def _explain(
        self,
        situation: Situation,
        x0: FloatArray,
        before: FloatArray,
        plan: FloatArray,
        P: FloatArray,
        factor: FloatArray,
        figures: dict[str, float],
    ) -> Decision:
        frame = self.bundle.state("feed_frame_api_pct")
        held = np.repeat(before[:, None], self.bundle.horizon_steps, axis=1)
        with_move = self.bundle.call("rollout", x0, plan, P)[0][frame]
        without = self.bundle.call("rollout", x0, held, P)[0][frame]
        api = self.settings.named("api")
        i, belief, target = self.bundle.inputs.index(api), situation.belief, situation.target.api_pct
        trim = 100 * (plan[i, 0] / situation.ratio[api] - 1)
        reason = (
            f"API {100 * belief.api_pct / target:.1f}±{164.5 * belief.api_sigma_pct / target:.1f} % LC, delivered gain "
            f"{belief.api_gain:.3f}±{1.645 * belief.api_gain_sigma:.3f}: {api} {before[i]:.3f}->{plan[i, 0]:.3f} kg/h"
        )
        setpoints = {n: float(plan[j, 0] * factor[j]) for j, n in enumerate(self.bundle.inputs)}
        every = slice(BAND_EVERY - 1, None, BAND_EVERY)
        predicted = {
            "api_lc_pct_with_move": tuple(float(v) for v in 100 * with_move[every] / target),
            "api_lc_pct_held": tuple(float(v) for v in 100 * without[every] / target),
        }
        spacing_s = BAND_EVERY * situation.cycle_s
        return Decision(
            "mpc", setpoints, reason[:140], "ok", spacing_s, predicted, {**figures, "trim_pct": float(trim)}
        )

    def _hold(self, situation: Situation, why: str) -> Decision:
        return Decision("mpc", dict(situation.working), f"hold: {why}"[:140], why, situation.cycle_s, {}, {})
