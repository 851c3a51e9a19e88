"""moves that were made -> how far each was from the best: the full problem solved to the end, off the loop.

From the same state, inputs in force, targets and bounds, IPOPT solves the problem without move blocks twice: free, and
with the first move as it was made. What the second costs more is what that move cost: an honest measure, for whatever
comes after it is the best that was still possible. It works on the functions of the bundle that made the move.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import casadi as ca
import numpy as np

from control.blocks import Bounds
from control.compiled import Compiled
from soft_sensors.signals import FloatArray

SILENT: dict[str, Any] = {"ipopt.print_level": 0, "ipopt.sb": "yes", "print_time": 0}
OPTIONS = {**SILENT, "ipopt.tol": 1e-9, "ipopt.max_iter": 500}


@dataclass(frozen=True)
class Made:
    """A move [n_u] and what it was made from: state [n_x], inputs in force [n_u], parameters [n_p, N+1], bounds."""

    time_s: float
    x0: FloatArray
    before: FloatArray
    P: FloatArray
    bounds: Bounds
    move: FloatArray


@dataclass(frozen=True)
class Gap:
    """Cost of the best plan, and of the best plan that begins with the move as made; solved: IPOPT says so of both."""

    time_s: float
    best: float
    moved: float
    solved: bool

    @property
    def absolute(self) -> float:
        """Cost above the best; never below zero but for the solver's tolerance."""
        return self.moved - self.best

    @property
    def percent(self) -> float:
        """The same in per cent of the best cost plus one, one being a residual of one sigma for one step."""
        return 100 * self.absolute / (1 + self.best)


@dataclass(frozen=True)
class Certificate:
    """The gaps of a stretch of life, in per cent, and how many states could not be judged."""

    judged: int
    unsolved: int
    p50_pct: float
    p95_pct: float
    max_pct: float
    worst_at_s: float

    @staticmethod
    def of(gaps: Sequence[Gap]) -> Certificate:
        """Summarised; NaN where nothing was solved."""
        solved = [gap for gap in gaps if gap.solved]
        if not solved:
            return Certificate(0, len(gaps), *[float("nan")] * 4)
        percents = np.array([gap.percent for gap in solved])
        worst = solved[int(np.argmax(percents))]
        p50, p95 = np.percentile(percents, (50, 95))
        return Certificate(len(solved), len(gaps) - len(solved), float(p50), float(p95), worst.percent, worst.time_s)


class Judge:
    """The full problem of a bundle, posed once: multiple shooting with a slack for every soft limit and step."""

    def __init__(self, compiled: Compiled) -> None:
        card = compiled.card
        n_x, n_u, n_l, n = len(card.states), len(card.inputs), len(card.limits), card.horizon_steps
        functions = {name: kernel.function for name, kernel in compiled.kernels.items()}
        X, U, S = ca.MX.sym("X", n_x, n + 1), ca.MX.sym("U", n_u, n), ca.MX.sym("S", n_l, n)
        before, P = ca.MX.sym("before", n_u), ca.MX.sym("P", len(card.parameters), n + 1)
        ahead = functions["linearise"](X[:, :-1], U, P[:, :-1])[0]
        R, E = functions["cost"](X[:, :-1], U, P[:, :-1])
        final = functions["terminal"](X[:, -1], P[:, -1])[0]
        moves = U - ca.horzcat(before, U[:, :-1])
        cost = ca.sumsqr(R) + ca.sumsqr(final) + ca.dot(ca.DM(card.move_weight), ca.sum2(moves**2))
        cost += ca.dot(ca.DM(card.limit_weight), ca.sum2(S)) if n_l else 0
        rows = ca.vertcat(*(ca.vec(part) for part in (ahead - X[:, 1:], moves, E - S, E + S)))
        whole = ca.vertcat(*(ca.vec(part) for part in (X, U, S)))
        problem = {"x": whole, "p": ca.vertcat(before, ca.vec(P)), "f": cost, "g": rows}
        self._solver = ca.nlpsol("full", "ipopt", problem, OPTIONS)
        self._compiled, self._shape = compiled, (n_x, n_l, n)

    def gap(self, made: Made) -> Gap:
        """Solve free and with the move as it was made."""
        best, one = self._cost(made, None)
        moved, other = self._cost(made, made.move)
        return Gap(made.time_s, best, moved, solved=one and other)

    def _cost(self, made: Made, first: FloatArray | None) -> tuple[float, bool]:
        n_x, n_l, n = self._shape
        room, endless = made.bounds, np.full((n_l, n), np.inf)
        low, high = np.repeat(room.low[:, None], n, axis=1), np.repeat(room.high[:, None], n, axis=1)
        rate = np.repeat(room.rate[:, None], n, axis=1)
        if first is not None:
            low[:, 0] = high[:, 0] = first
            rate[:, 0] = np.inf  # it was made: whether it might have been is the guard's business
        start = made.x0[:, None]
        free = np.full((n_x, n), np.inf)
        held = np.clip(np.repeat((made.before if first is None else first)[:, None], n, axis=1), low, high)
        rolled = self._compiled.call("rollout", made.x0, held, made.P[:, :-1])[0]
        closed = np.zeros((n_x, n))
        limit_high = np.repeat(room.limit_high[:, None], n, axis=1)
        limit_low = np.repeat(room.limit_low[:, None], n, axis=1)
        found = self._solver(
            x0=_flat(np.hstack([start, rolled]), held, np.zeros((n_l, n))),
            p=np.concatenate([made.before, made.P.ravel(order="F")]),
            lbx=_flat(np.hstack([start, -free]), low, np.zeros((n_l, n))),
            ubx=_flat(np.hstack([start, free]), high, endless),
            lbg=_flat(closed, -rate, -endless, limit_low), ubg=_flat(closed, rate, limit_high, endless),
        )  # fmt: skip
        return float(found["f"]), bool(self._solver.stats()["success"])


def _flat(*parts: FloatArray) -> FloatArray:
    return np.concatenate([part.ravel(order="F") for part in parts])
