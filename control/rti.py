"""compiled problem + state -> plan: Gauss-Newton real-time iteration, condensed on move blocks, one dense QP.

`prepare` does all that needs no measurement (linearise along the plan, condense, Hessian); `feedback` puts the
measured state in, solves the QP and steps. Multiple shooting: the plan's states are kept and their gaps closed by the
step, so that an unstable plant is no trouble. Only inputs are hard: soft limits enter as exact penalties, at the end of
every block, and only those that are near (the rest is looked at after the QP, at most ROUNDS times): bounded work.

Gauss-Newton real-time iteration: Diehl, Bock, Schloeder, SIAM J. Control Optim. 43 (2005) 1714; condensing: Bock and
Plitt, IFAC World Congress 1984; exact penalty: Fletcher, Practical Methods of Optimization, ch. 14.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from control.arithmetic import padded
from control.blocks import Blocks, Bounds
from control.compiled import Compiled
from control.constraints import Multiplier, hard, named, program, running_into, violations
from control.defend import Optimality, optimality
from control.qp import Program, Solution, solve
from soft_sensors.signals import FloatArray

ROUNDS = 4  # QPs a step at most: the first, and three with the limits and rates that the one before ran into
SHORTER = (0.5, 0.25, 0.1)  # of a step that does not pay
PROXIMAL = 1e-9  # of the Hessian's mean diagonal: makes an input that costs nothing stay where it is


@dataclass(frozen=True)
class Plan:
    """Inputs [n_u, N] and states [n_x, N + 1] over the horizon."""

    U: FloatArray
    X: FloatArray


@dataclass(frozen=True)
class Slopes:
    """The model along a plan, a row a step, matrices by column.

    States A, B and gaps; residuals R, Rx, at the last state F, Fx (not by column); limits at the blocks' ends E, Ex.
    """

    A: FloatArray
    B: FloatArray
    gaps: FloatArray
    R: FloatArray
    Rx: FloatArray
    F: FloatArray
    Fx: FloatArray
    E: FloatArray
    Ex: FloatArray


@dataclass(frozen=True)
class Prepared:
    """The condensed problem about a plan: all but the measured state and the bounds.

    J [rows, moves]: residuals; H: the Hessian of scaled moves; limits [blocks, limits, moves]: scaled, at the blocks'
    ends. What the measured state adds is followed along the slopes when it is known.
    """

    plan: Plan
    slopes: Slopes
    J: FloatArray
    H: FloatArray
    limits: FloatArray


@dataclass(frozen=True)
class Move:
    """The outcome of one step: the plan, its cost by the linearised model, multipliers, the QP's optimality.

    violated: soft limits that the plan violates, by name, with the largest violation; status "ok" or what failed.
    """

    plan: Plan
    cost: float
    multipliers: tuple[Multiplier, ...]
    violated: dict[str, float]
    quality: Optimality
    iterations: int
    status: str = "ok"


@dataclass(frozen=True)
class Rti:
    """The solver for one compiled problem; solve_qp can be replaced (tests do, to make it fail)."""

    compiled: Compiled
    solve_qp: Callable[[Program], Solution] = field(default=solve)

    def bounds(self) -> Bounds:
        """The card's own bounds."""
        return Bounds.of(self.compiled.card)

    def start(self, x0: FloatArray, before: FloatArray, P: FloatArray) -> Plan:
        """The plan that holds the inputs: where a first step starts from. before: inputs in force [n_u]."""
        U = np.repeat(np.asarray(before, float)[:, None], self.compiled.card.horizon_steps, axis=1)
        return Plan(U, self.rolled(x0, U, P))

    def rolled(self, x0: FloatArray, U: FloatArray, P: FloatArray) -> FloatArray:
        """States [n_x, N + 1] of inputs U from x0 by the model itself. P: parameters [n_p, N + 1]."""
        steps, n = U.shape[1], len(x0)
        X = np.empty((steps + 1, n))
        X[0] = x0
        X[1:] = self.compiled.by_column("rollout", x0, U, P[:, :-1])[0][:, 0]
        return X.T

    def cost(self, plan: Plan, before: FloatArray, P: FloatArray, bounds: Bounds | None = None) -> float:
        """The cost of a plan by the model itself, soft limits where the QP looks at them too: at the ends of blocks."""
        room, blocks = bounds or self.bounds(), self._blocks
        R, E = self.compiled.by_column("cost", plan.X[:, :-1], plan.U, P[:, :-1])
        final, _ = self.compiled.call("terminal", plan.X[:, -1], P[:, -1])
        jumps = plan.U.copy()
        jumps[:, 1:] -= plan.U[:, :-1]
        jumps[:, 0] -= before
        at = E[blocks.ends, 0]
        over = np.maximum(0.0, at - room.limit_high) + np.maximum(0.0, room.limit_low - at)
        limits = blocks.length @ over @ blocks.limit_weight
        travel = blocks.move_weight[: len(before)] @ np.einsum("ik,ik->i", jumps, jumps)
        return float(np.vdot(R, R) + np.vdot(final, final) + travel + limits)

    def shifted(self, plan: Plan, P: FloatArray) -> Plan:
        """The plan one step later: what was planned for then, the last move held."""
        U, X = np.empty_like(plan.U), np.empty(plan.X.shape[::-1])
        U[:, :-1], U[:, -1] = plan.U[:, 1:], plan.U[:, -1]
        X[:-1] = plan.X[:, 1:].T
        X[-1] = self.compiled.call("predict", plan.X[:, -1], plan.U[:, -1], P[:, -1])[0][:, 0]
        return Plan(U, X.T)

    def prepare(self, plan: Plan, P: FloatArray) -> Prepared:
        """Linearise along the plan (its inputs evened out on the blocks) and condense."""
        blocks, sums, ends = self._blocks, self.compiled.arithmetic, self._blocks.ends
        U = blocks.evened(plan.U)
        F, A, B = self.compiled.by_column("linearise", plan.X[:, :-1], U, P[:, :-1])
        R, Rx, Ru, E, Ex, Eu = self.compiled.by_column("stage", plan.X[:, :-1], U, P[:, :-1])
        final, final_x = self.compiled.call("terminal", plan.X[:, -1], P[:, -1])
        (steps, n, _), n_r, m = A.shape, R.shape[2], len(blocks.scale)
        T = np.zeros((steps + 1, n, padded(m)))
        sums.carry(A, B, blocks.of_step, T[:-1], T[1:])
        J = np.zeros((steps * n_r + len(final), T.shape[2]))
        sums.carry(Rx, Ru, blocks.of_step, T[:-1], J[: steps * n_r].reshape(steps, n_r, -1))
        np.matmul(final_x, T[-1], out=J[steps * n_r :])
        limits = np.zeros((len(ends), E.shape[2], T.shape[2]))
        Ex = Ex[ends]
        sums.carry(Ex, Eu[ends], np.arange(len(ends)), T[ends], limits)
        J = J[:, :m]
        H = np.dot(J.T, J)
        H += blocks.travel
        H *= 2.0 * blocks.scale_squared
        H[blocks.diagonal] += PROXIMAL * max(np.trace(H) / m, 1e-300)
        gaps = F[:, 0] - plan.X[:, 1:].T
        slopes = Slopes(A, B, gaps, R[:, 0], Rx, final[:, 0], final_x, E[ends, 0], Ex)
        return Prepared(Plan(U, plan.X), slopes, J, H, limits[:, :, :m] * blocks.scale)

    def feedback(self, prepared: Prepared, x0: FloatArray, before: FloatArray, bounds: Bounds) -> Move:
        """The step to the measured state: the best plan about the prepared one, with multipliers and their check."""
        plan, blocks, H, limits = prepared.plan, self._blocks, prepared.H, prepared.limits
        m = len(blocks.scale)
        starts = plan.U[:, blocks.starts].T
        jumps = starts.copy()
        jumps[0] -= before
        jumps[1:] -= starts[:-1]
        jumps = jumps.ravel()
        away = x0 - plan.X[:, 0]
        residual, at = self._unmoved(prepared, away)
        weighed = blocks.move_weight * jumps
        f = 2.0 * blocks.scale * (prepared.J.T @ residual + blocks.difference.T @ weighed)
        constant = float(residual @ residual + weighed @ jumps)
        kept = hard(blocks, bounds, starts, before, jumps)
        soft, iterations, used = sorted(running_into(at, bounds)), 0, kept.boxed()
        for turn in range(ROUNDS):
            used = kept if turn == ROUNDS - 1 else used  # whatever was left out: the last word knows every rate
            posed = program(blocks, H, f, used, limits, at, soft, bounds)
            solution = self.solve_qp(posed)
            iterations += solution.iterations
            if solution.status != "ok":
                return Move(plan, np.inf, (), {}, Optimality.none(), iterations, solution.status)
            z = solution.z[:m]
            reached = at + limits @ z
            more = running_into(reached, bounds) - set(soft)
            broken = used is not kept and kept.broken(z)
            if not (more or broken) or turn == ROUNDS - 1:
                break
            soft, used = sorted({*soft, *more}), kept if broken else used
        moved = (z * blocks.scale).reshape(len(starts), -1)[blocks.of_step]
        U = np.clip(plan.U + moved.T, bounds.low[:, None], bounds.high[:, None])
        return Move(
            Plan(U, self._moved(prepared, away, moved)), solution.cost + constant,
            named(blocks, posed, solution, used, soft), violations(blocks, reached, bounds),
            optimality(posed, solution.z, solution.multipliers), iterations,
        )  # fmt: skip

    def _unmoved(self, prepared: Prepared, away: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Residuals [rows] and limits [blocks, limits] where the start is that far off the plan and nothing moves."""
        slopes, sums = prepared.slopes, self.compiled.arithmetic
        off = np.empty((len(slopes.A) + 1, len(away)))
        off[0] = away
        sums.follow(slopes.A, slopes.gaps, off[:-1], off[1:])
        rows = slopes.R.size
        residual, at = np.empty(len(prepared.J)), np.empty_like(slopes.E)
        sums.follow(slopes.Rx, slopes.R, off[:-1], residual[:rows].reshape(slopes.R.shape))
        residual[rows:] = slopes.F + slopes.Fx @ off[-1]
        sums.follow(slopes.Ex, slopes.E, off[self._blocks.ends], at)
        return residual, at

    def _moved(self, prepared: Prepared, away: FloatArray, moved: FloatArray) -> FloatArray:
        """States [n_x, N + 1] by the slopes, where the start is that far off the plan and inputs move so [N, n_u]."""
        slopes, sums = prepared.slopes, self.compiled.arithmetic
        pushed, off = np.empty_like(slopes.gaps), np.empty((len(slopes.A) + 1, len(away)))
        off[0] = away
        sums.follow(slopes.B, slopes.gaps, moved, pushed)
        sums.follow(slopes.A, pushed, off[:-1], off[1:])
        off += prepared.plan.X.T
        return off.T

    def step(self, plan: Plan, x0: FloatArray, before: FloatArray, P: FloatArray, bounds: Bounds | None = None) -> Move:
        """Prepare, feed back and settle in one go."""
        room, prepared = bounds or self.bounds(), self.prepare(plan, P)
        x0, before = np.asarray(x0, float), np.asarray(before, float)
        return self.settled(self.feedback(prepared, x0, before, room), prepared, x0, before, P, room)[0]

    def settled(
        self, move: Move, prepared: Prepared, x0: FloatArray, before: FloatArray, P: FloatArray, bounds: Bounds
    ) -> tuple[Move, Plan, float]:  # fmt: skip
        """The move, shortened if the model itself finds it worse than the plan it set out from; played, with its cost.

        A full Gauss-Newton step can overshoot where the model curves strongly; at most two plus SHORTER rollouts.
        """
        if move.status != "ok":
            return move, move.plan, np.inf
        played = Plan(move.plan.U, self.rolled(x0, move.plan.U, P))
        cost, start = self.cost(played, before, P, bounds), prepared.plan.U
        first = np.abs(start[:, 0] - before) <= bounds.rate * (1 + 1e-9)
        inside = np.all((start >= bounds.low[:, None]) & (start <= bounds.high[:, None]))
        if not (np.all(first) and inside):
            return move, played, cost
        known = self.cost(Plan(start, self.rolled(x0, start, P)), before, P, bounds)
        if cost <= known or not np.isfinite(known):
            return move, played, cost
        for share in SHORTER:
            U = start + share * (move.plan.U - start)
            shorter = Plan(U, self.rolled(x0, U, P))
            less = self.cost(shorter, before, P, bounds)
            if less <= known:
                return replace(move, plan=shorter), shorter, less
        return move, played, cost  # no share of it pays: small steps would only stick where the limits bend

    def converge(
        self, x0: FloatArray, before: FloatArray, P: FloatArray, iterations: int = 100, tolerance: float = 1e-9
    ) -> Move:
        """Steps until the cost stands still, each shortened until it pays (off-line use: work is not bounded)."""
        room, plan = self.bounds(), self.start(x0, before, P)
        best, move = self.cost(plan, before, P, room), None
        for _ in range(iterations):
            move = self.feedback(self.prepare(plan, P), x0, before, room)
            if move.status != "ok":
                return move
            share, gained = 1.0, 0.0
            while share > 1e-4:
                U = plan.U + share * (move.plan.U - plan.U)
                tried = Plan(U, self.rolled(x0, U, P))
                cost = self.cost(tried, before, P, room)
                if cost < best:
                    gained, best, plan = best - cost, cost, tried
                    break
                share /= 2
            if gained <= tolerance * (1e-12 + abs(best)):
                break
        assert move is not None, "at least one iteration"
        return Move(plan, best, move.multipliers, move.violated, move.quality, move.iterations)

    @cached_property
    def _blocks(self) -> Blocks:
        return Blocks(self.compiled.card)
