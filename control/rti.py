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
class Prepared:
    """The condensed problem about a plan: all but the measured state and the bounds.

    T [N + 1, n_x, columns] and rows of residuals J [rows, columns], limits E by checkpoint; columns: moves by block,
    then the start state's deviation, then one for what is constant.
    """

    plan: Plan
    T: FloatArray
    J: FloatArray
    H: FloatArray
    E: FloatArray


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
        return np.hstack([np.asarray(x0, float)[:, None], self.compiled.call("rollout", x0, U, P[:, :-1])[0]])

    def cost(self, plan: Plan, before: FloatArray, P: FloatArray, bounds: Bounds | None = None) -> float:
        """The cost of a plan by the model itself, soft limits where the QP looks at them too: at the ends of blocks."""
        card, room = self.compiled.card, bounds or self.bounds()
        R, E = self.compiled.call("cost", plan.X[:, :-1], plan.U, P[:, :-1])
        final, _ = self.compiled.call("terminal", plan.X[:, -1], P[:, -1])
        moves = np.diff(np.hstack([before[:, None], plan.U]), axis=1)
        at = E[:, self._blocks.ends]
        over = np.maximum(0.0, at - room.limit_high[:, None]) + np.maximum(0.0, room.limit_low[:, None] - at)
        limits = np.array(card.limit_weight) @ over @ self._blocks.length
        travel = np.array(card.move_weight) @ np.sum(moves**2, axis=1)
        return float(np.sum(R**2) + np.sum(final**2) + travel + limits)

    def shifted(self, plan: Plan, P: FloatArray) -> Plan:
        """The plan one step later: what was planned for then, the last move held."""
        U = np.hstack([plan.U[:, 1:], plan.U[:, -1:]])
        last, _ = self.compiled.call("predict", plan.X[:, -1], plan.U[:, -1], P[:, -1])
        return Plan(U, np.hstack([plan.X[:, 1:], last]))

    def prepare(self, plan: Plan, P: FloatArray) -> Prepared:
        """Linearise along the plan (its inputs evened out on the blocks) and condense."""
        compiled, n_u = self.compiled, plan.U.shape[0]
        n_x, steps = plan.X.shape[0], compiled.card.horizon_steps
        blocks = self._blocks
        U = blocks.evened(plan.U)
        F, A, B = compiled.columns("linearise", plan.X[:, :-1], U, P[:, :-1])
        gaps = F[:, :, 0] - plan.X[:, 1:].T
        m = n_u * len(compiled.card.blocks)
        T = np.zeros((steps + 1, n_x, m + n_x + 1))
        T[0, :, m : m + n_x] = np.eye(n_x)
        T[1:, :, -1] = gaps
        blocks.add_direct(T[1:], B, np.arange(steps))
        carried = np.empty_like(T[0])
        for k in range(steps):
            np.dot(A[k], T[k], out=carried)
            T[k + 1] += carried
        R, Rx, Ru, E, Ex, Eu = compiled.columns("stage", plan.X[:, :-1], U, P[:, :-1])
        final, final_x = compiled.call("terminal", plan.X[:, -1], P[:, -1])
        rows = np.matmul(Rx, T[:-1])
        blocks.add_direct(rows, Ru, np.arange(steps))
        rows[:, :, -1] += R[:, :, 0]
        last_rows = final_x @ T[-1]
        last_rows[:, -1] += final[:, 0]
        ends = blocks.ends
        limits = np.matmul(Ex[ends], T[ends])
        blocks.add_direct(limits, Eu[ends], ends)
        limits[:, :, -1] += E[ends, :, 0]
        J = np.vstack([rows.reshape(-1, rows.shape[2]), last_rows])
        # One symmetric product gives the Hessian and both parts of the gradient.
        H = np.dot(J.T, J)[:m]
        H *= 2.0
        H[:, :m] += 2.0 * blocks.travel
        return Prepared(Plan(U, plan.X), T, J, H, limits)

    def feedback(self, prepared: Prepared, x0: FloatArray, before: FloatArray, bounds: Bounds) -> Move:
        """The step to the measured state: the best plan about the prepared one, with multipliers and their check."""
        plan, blocks, n_u = prepared.plan, self._blocks, len(before)
        m = len(blocks.scale)
        rest = np.concatenate([x0 - plan.X[:, 0], [1.0]])
        starts = plan.U[:, blocks.starts].T
        jumps = np.diff(np.vstack([before, starts]), axis=0).ravel()
        H = prepared.H[:, :m] * blocks.scale_squared
        H[np.diag_indices(m)] += PROXIMAL * max(np.trace(H) / m, 1e-300)
        f = blocks.scale * (prepared.H[:, m:] @ rest + 2.0 * blocks.difference.T @ (blocks.move_weight * jumps))
        kept = hard(blocks, bounds, starts, before, jumps)
        residual = prepared.J[:, m:] @ rest
        constant = float(residual @ residual + blocks.move_weight @ jumps**2)
        limits, at = prepared.E[:, :, :m] * blocks.scale, prepared.E[:, :, m:] @ rest
        soft, iterations, used = sorted(running_into(at, bounds)), 0, kept.boxed()
        for turn in range(ROUNDS):
            used = kept if turn == ROUNDS - 1 else used  # whatever was left out: the last word knows every rate
            posed = program(blocks, H, f, used, limits, at, soft, bounds)
            solution = self.solve_qp(posed)
            iterations += solution.iterations
            if solution.status != "ok":
                return Move(plan, np.inf, (), {}, Optimality.none(), iterations, solution.status)
            z = solution.z[:m]
            more = running_into(at + limits @ z, bounds) - set(soft)
            broken = used is not kept and kept.broken(z)
            if not (more or broken) or turn == ROUNDS - 1:
                break
            soft, used = sorted({*soft, *more}), kept if broken else used
        moves = z * blocks.scale
        U = plan.U + moves.reshape(-1, n_u)[blocks.of_step].T
        U = np.clip(U, bounds.low[:, None], bounds.high[:, None])
        X = plan.X + (prepared.T @ np.concatenate([moves, rest])).T
        return Move(
            Plan(U, X), solution.cost + constant, named(blocks, posed, solution, used, soft),
            violations(blocks, at + limits @ z, bounds), optimality(posed, solution.z, solution.multipliers),
            iterations,
        )  # fmt: skip

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
