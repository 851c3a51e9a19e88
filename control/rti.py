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

from control.compiled import Compiled
from control.defend import Optimality, optimality
from control.qp import Program, Solution, solve
from soft_sensors.signals import FloatArray

ROUNDS = 3  # QPs a step at most: the first, and two with limits that the one before ran into
SHORTER = (0.5, 0.25, 0.1)  # of a step that does not pay
PROXIMAL = 1e-9  # of the Hessian's mean diagonal: makes an input that costs nothing stay where it is


@dataclass(frozen=True)
class Bounds:
    """Hard and soft bounds of one step: inputs [n_u], largest change a step [n_u], soft limits [n_l]."""

    low: FloatArray
    high: FloatArray
    rate: FloatArray
    limit_low: FloatArray
    limit_high: FloatArray


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
class Multiplier:
    """What an active constraint costs: cost per unit of the bound, in the bound's own unit (never negative)."""

    name: str
    side: str
    step: int
    value: float


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
        card = self.compiled.card
        return Bounds(*(np.array(v) for v in (card.input_low, card.input_high, card.input_rate, card.limit_low,
                                              card.limit_high)))  # fmt: skip

    def start(self, x0: FloatArray, before: FloatArray, P: FloatArray) -> Plan:
        """The plan that holds the inputs: where a first step starts from. before: inputs in force [n_u]."""
        U = np.repeat(np.asarray(before, float)[:, None], self.compiled.card.horizon_steps, axis=1)
        return Plan(U, self.rolled(x0, U, P))

    def rolled(self, x0: FloatArray, U: FloatArray, P: FloatArray) -> FloatArray:
        """States [n_x, N + 1] of inputs U from x0 by the model itself. P: parameters [n_p, N + 1]."""
        return np.hstack([np.asarray(x0, float)[:, None], self.compiled.call("rollout", x0, U, P[:, :-1])[0]])

    def cost(self, plan: Plan, before: FloatArray, P: FloatArray, bounds: Bounds | None = None) -> float:
        """The cost of a plan by the model itself, soft limits at every step."""
        card, room = self.compiled.card, bounds or self.bounds()
        R, E = self.compiled.call("cost", plan.X[:, :-1], plan.U, P[:, :-1])
        final, _ = self.compiled.call("terminal", plan.X[:, -1], P[:, -1])
        moves = np.diff(np.hstack([before[:, None], plan.U]), axis=1)
        over = np.maximum(0.0, E - room.limit_high[:, None]) + np.maximum(0.0, room.limit_low[:, None] - E)
        travel = np.array(card.move_weight) @ np.sum(moves**2, axis=1)
        return float(np.sum(R**2) + np.sum(final**2) + travel + np.array(card.limit_weight) @ np.sum(over, axis=1))

    def shifted(self, plan: Plan, P: FloatArray) -> Plan:
        """The plan one step later: what was planned for then, the last move held."""
        U = np.hstack([plan.U[:, 1:], plan.U[:, -1:]])
        last, _ = self.compiled.call("predict", plan.X[:, -1], plan.U[:, -1], P[:, -1])
        return Plan(U, np.hstack([plan.X[:, 1:], last]))

    def prepare(self, plan: Plan, P: FloatArray) -> Prepared:
        """Linearise along the plan (its inputs evened out on the blocks) and condense."""
        compiled, n_u = self.compiled, plan.U.shape[0]
        n_x, steps = plan.X.shape[0], compiled.card.horizon_steps
        U = self._blocked(plan.U)
        F, A, B = compiled.columns("linearise", plan.X[:, :-1], U, P[:, :-1])
        gaps = F[:, :, 0] - plan.X[:, 1:].T
        m = n_u * len(compiled.card.blocks)
        T = np.zeros((steps + 1, n_x, m + n_x + 1))
        T[0, :, m : m + n_x] = np.eye(n_x)
        T[1:, :, -1] = gaps
        self._add_direct(T[1:], B, np.arange(steps))
        carried = np.empty_like(T[0])
        for k in range(steps):
            np.dot(A[k], T[k], out=carried)
            T[k + 1] += carried
        R, Rx, Ru, E, Ex, Eu = compiled.columns("stage", plan.X[:, :-1], U, P[:, :-1])
        final, final_x = compiled.call("terminal", plan.X[:, -1], P[:, -1])
        rows = np.matmul(Rx, T[:-1])
        self._add_direct(rows, Ru, np.arange(steps))
        rows[:, :, -1] += R[:, :, 0]
        last_rows = final_x @ T[-1]
        last_rows[:, -1] += final[:, 0]
        ends = self._ends
        limits = np.matmul(Ex[ends], T[ends])
        self._add_direct(limits, Eu[ends], ends)
        limits[:, :, -1] += E[ends, :, 0]
        J = np.vstack([rows.reshape(-1, rows.shape[2]), last_rows])
        # One symmetric product gives the Hessian and both parts of the gradient.
        H = np.dot(J.T, J)[:m]
        H *= 2.0
        H[:, :m] += 2.0 * self._travel
        return Prepared(Plan(U, plan.X), T, J, H, limits)

    def feedback(self, prepared: Prepared, x0: FloatArray, before: FloatArray, bounds: Bounds) -> Move:
        """The step to the measured state: the best plan about the prepared one, with multipliers and their check."""
        plan, m = prepared.plan, len(self._scale)
        away = x0 - plan.X[:, 0]
        rest = np.concatenate([away, [1.0]])
        starts = plan.U[:, self._starts].T
        jumps = np.diff(np.vstack([before, starts]), axis=0).ravel()
        H = prepared.H[:, :m] * self._scale_squared
        H[np.diag_indices(m)] += PROXIMAL * max(np.trace(H) / m, 1e-300)
        f = self._scale * (prepared.H[:, m:] @ rest + 2.0 * self._difference.T @ (self._move_weight * jumps))
        low, high = self._box(bounds, starts, before)
        rows, row_low, row_high, row_of = self._rates(bounds, jumps)
        residual = prepared.J[:, m:] @ rest
        constant = float(residual @ residual + self._move_weight @ jumps**2)
        limits = prepared.E[:, :, :m] * self._scale
        at = prepared.E[:, :, m:] @ rest
        chosen, iterations = self._running_into(at, np.zeros(m), limits, bounds), 0
        for _ in range(ROUNDS):
            program = self._program(H, f, low, high, rows, row_low, row_high, limits, at, chosen, bounds)
            solution = self.solve_qp(program)
            iterations += solution.iterations
            if solution.status != "ok":
                return Move(plan, np.inf, (), {}, Optimality.none(), iterations, solution.status)
            found = self._running_into(at, solution.z[:m], limits, bounds)
            if found <= chosen:
                break
            chosen |= found
        z = solution.z[:m]
        step = np.concatenate([z * self._scale, rest])
        U = plan.U + (z * self._scale).reshape(-1, len(before))[self._block_of].T
        U = np.clip(U, bounds.low[:, None], bounds.high[:, None])
        X = plan.X + (prepared.T @ step).T
        cost = solution.cost + constant
        named = self._named(program, solution, m, row_of, sorted(chosen), bounds)
        return Move(Plan(U, X), cost, named, self._violations(at + limits @ z, bounds),
                    optimality(program, solution.z, solution.multipliers), iterations)  # fmt: skip

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

    def _box(self, bounds: Bounds, starts: FloatArray, before: FloatArray) -> tuple[FloatArray, FloatArray]:
        low, high = (np.tile(b, (len(starts), 1)) for b in (bounds.low, bounds.high))
        low[0], high[0] = np.maximum(low[0], before - bounds.rate), np.minimum(high[0], before + bounds.rate)
        at = starts.ravel()
        return (low.ravel() - at) / self._scale, (high.ravel() - at) / self._scale

    def _rates(self, bounds: Bounds, jumps: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, np.ndarray]:
        """Rows for the changes between blocks that bounds do not already keep small enough; a block's ramp may
        take as long as the block before it lasts."""
        lengths = np.array(self.compiled.card.blocks[:-1], float)
        room = np.concatenate([np.zeros(len(bounds.rate)), np.outer(lengths, bounds.rate).ravel()])
        rows = np.flatnonzero(room < np.tile(bounds.high - bounds.low, len(lengths) + 1))
        rows = rows[rows >= len(bounds.rate)]
        return self._difference[rows] * self._scale, -room[rows] - jumps[rows], room[rows] - jumps[rows], rows

    def _running_into(
        self, at: FloatArray, z: FloatArray, limits: FloatArray, bounds: Bounds
    ) -> set[tuple[int, int, int]]:
        """Limits that are run into after a step z: (checkpoint, limit, side)."""
        value = at + limits @ z
        sides = ((1, value > bounds.limit_high), (-1, value < bounds.limit_low))
        return {(int(k), int(i), side) for side, hit in sides for k, i in np.argwhere(hit)}

    def _program(
        self, H: FloatArray, f: FloatArray, low: FloatArray, high: FloatArray, rows: FloatArray, row_low: FloatArray,
        row_high: FloatArray, limits: FloatArray, at: FloatArray, chosen: set[tuple[int, int, int]], bounds: Bounds,
    ) -> Program:  # fmt: skip
        soft = sorted(chosen)
        m, n = len(f), len(f) + len(soft)
        if not soft:
            return Program(H, f, rows, np.concatenate([low, row_low]), np.concatenate([high, row_high]))
        weight = np.array([self._limit_weight[i] * self._length[k] for k, i, _ in soft])
        whole = np.zeros((n, n))
        whole[:m, :m] = H
        whole[range(m, n), range(m, n)] = 1e-7 * weight
        A = np.zeros((len(rows) + len(soft), n))
        A[: len(rows), :m] = rows
        top = np.empty(len(soft))
        for j, (k, i, side) in enumerate(soft):
            A[len(rows) + j, :m] = side * limits[k, i]
            A[len(rows) + j, m + j] = -1.0
            top[j] = side * ((bounds.limit_high if side > 0 else bounds.limit_low)[i] - at[k, i])
        none = np.full(len(soft), -1e30)
        lower = np.concatenate([low, np.zeros(len(soft)), row_low, none])
        upper = np.concatenate([high, np.full(len(soft), 1e30), row_high, top])
        return Program(whole, np.concatenate([f, weight]), A, lower, upper)

    def _named(
        self, program: Program, solution: Solution, m: int, row_of: np.ndarray, soft: list[tuple[int, int, int]],
        bounds: Bounds,
    ) -> tuple[Multiplier, ...]:  # fmt: skip
        card, n_u, found = self.compiled.card, len(bounds.low), []
        n, slacks = len(program.f), len(program.f) - m
        for i in np.flatnonzero(np.abs(solution.multipliers) > 1e-9):
            value = float(solution.multipliers[i])
            side = "high" if value > 0 else "low"
            if i < m:
                block = i // n_u
                hit = f"{card.inputs[i % n_u]}{self._rate_or_bound(program, int(i), side, bounds, int(block))}"
                found.append(Multiplier(hit, side, int(self._starts[block]), abs(value) / self._scale[i]))
            elif i >= n and i - n < len(row_of):
                row = int(row_of[i - n])
                hit = f"{card.inputs[row % n_u]} rate"
                found.append(Multiplier(hit, side, int(self._starts[row // n_u]), abs(value)))
            elif i >= n:
                k, limit, which = soft[i - n - len(row_of)] if slacks else (0, 0, 1)
                where = "high" if which > 0 else "low"
                found.append(Multiplier(card.limits[limit], where, int(self._ends[k]), abs(value)))
        return tuple(found)

    def _rate_or_bound(self, program: Program, i: int, side: str, bounds: Bounds, block: int) -> str:
        if block > 0:
            return ""
        n_u = len(bounds.low)
        edge = program.upper[i] if side == "high" else program.lower[i]
        later = program.upper[i + n_u] if side == "high" else program.lower[i + n_u]
        return "" if len(self.compiled.card.blocks) > 1 and abs(edge - later) < 1e-9 * (1 + abs(edge)) else " rate"

    def _violations(self, value: FloatArray, bounds: Bounds) -> dict[str, float]:
        over = np.maximum(value - bounds.limit_high, bounds.limit_low - value).max(axis=0, initial=0.0)
        return {n: float(v) for n, v in zip(self.compiled.card.limits, over, strict=True) if v > 1e-9}

    def _blocked(self, U: FloatArray) -> FloatArray:
        sums = np.add.reduceat(U, self._starts, axis=1)
        even: FloatArray = (sums / self._length)[:, self._block_of]
        return even

    def _add_direct(self, rows: FloatArray, direct: FloatArray, steps: np.ndarray) -> None:
        """Add what an input does at its own step, without passing through the state, to the columns of its block."""
        if not direct.any():
            return
        n_u = direct.shape[2]
        columns = self._block_of[steps][:, None] * n_u + np.arange(n_u)
        rows[np.arange(len(steps))[:, None, None], np.arange(rows.shape[1])[:, None], columns[:, None, :]] += direct

    @cached_property
    def _block_of(self) -> np.ndarray:
        blocks = self.compiled.card.blocks
        return np.repeat(np.arange(len(blocks)), blocks)

    @cached_property
    def _starts(self) -> np.ndarray:
        return np.concatenate([[0], np.cumsum(self.compiled.card.blocks)[:-1]])

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum(self.compiled.card.blocks) - 1

    @cached_property
    def _length(self) -> FloatArray:
        return np.array(self.compiled.card.blocks, float)

    @cached_property
    def _limit_weight(self) -> FloatArray:
        return np.array(self.compiled.card.limit_weight)

    @cached_property
    def _scale(self) -> FloatArray:
        return np.tile(np.array(self.compiled.card.input_scale), len(self.compiled.card.blocks))

    @cached_property
    def _scale_squared(self) -> FloatArray:
        return np.outer(self._scale, self._scale)

    @cached_property
    def _move_weight(self) -> FloatArray:
        return np.tile(np.array(self.compiled.card.move_weight), len(self.compiled.card.blocks))

    @cached_property
    def _difference(self) -> FloatArray:
        n, blocks = len(self.compiled.card.inputs), len(self.compiled.card.blocks)
        return np.eye(n * blocks) - np.eye(n * blocks, k=-n)

    @cached_property
    def _travel(self) -> FloatArray:
        weighed: FloatArray = self._difference.T @ (self._move_weight[:, None] * self._difference)
        return weighed
