"""bounds, rates and soft limits -> a quadratic program, and its multipliers back under their own names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from control.blocks import Blocks, Bounds
from control.qp import Program, Solution
from soft_sensors.signals import FloatArray

SLACK_CURVATURE = 1e-7  # of a slack's weight: keeps the QP strictly convex, moves a limit by nothing to speak of
ACTIVE = 1e-9

Hit = tuple[int, int, int]  # block, limit, side (1 high, -1 low)


@dataclass(frozen=True)
class Multiplier:
    """What an active constraint costs: cost per unit of the bound, in the bound's own unit (never negative)."""

    name: str
    side: str
    step: int
    value: float


@dataclass(frozen=True)
class Hard:
    """Bounds on the scaled moves, and rows for the changes between blocks (row_of: which).

    by_rate: side -> whether the first move's bound on that side is its rate's, by input.
    """

    low: FloatArray
    high: FloatArray
    rows: FloatArray
    row_low: FloatArray
    row_high: FloatArray
    row_of: np.ndarray
    by_rate: dict[str, np.ndarray]

    def boxed(self) -> Hard:
        """The box alone: rows are slow to factorise and seldom needed."""
        none = np.zeros(0)
        return Hard(self.low, self.high, self.rows[:0], none, none, self.row_of[:0], self.by_rate)

    def broken(self, z: FloatArray) -> bool:
        """Whether moves z break a row."""
        value = self.rows @ z
        return bool(np.any(value > self.row_high + ACTIVE) or np.any(value < self.row_low - ACTIVE))


def hard(blocks: Blocks, bounds: Bounds, starts: FloatArray, before: FloatArray, jumps: FloatArray) -> Hard:
    """Bounds and first rate as a box, later rates as rows where the bounds do not already keep changes small enough.

    starts [blocks, n_u]: inputs planned so far; jumps: their changes. A block's change may take as long as the block
    before it lasts: it stands for a ramp.
    """
    low, high = (np.tile(b, (len(starts), 1)) for b in (bounds.low, bounds.high))
    by_rate = {"low": before - bounds.rate > low[0], "high": before + bounds.rate < high[0]}
    low[0], high[0] = np.maximum(low[0], before - bounds.rate), np.minimum(high[0], before + bounds.rate)
    at = starts.ravel()
    room = np.outer(blocks.length[:-1], bounds.rate).ravel()
    rows = np.flatnonzero(room < np.tile(bounds.high - bounds.low, len(starts) - 1))
    room, rows = room[rows], rows + len(before)
    return Hard(
        (low.ravel() - at) / blocks.scale, (high.ravel() - at) / blocks.scale,
        blocks.difference[rows] * blocks.scale, -room - jumps[rows], room - jumps[rows], rows, by_rate,
    )  # fmt: skip


def running_into(value: FloatArray, bounds: Bounds) -> set[Hit]:
    """The limits that values [blocks, n_l] at the blocks' ends run into."""
    sides = ((1, value > bounds.limit_high), (-1, value < bounds.limit_low))
    return {(int(k), int(i), side) for side, hit in sides for k, i in np.argwhere(hit)}


def violations(blocks: Blocks, value: FloatArray, bounds: Bounds) -> dict[str, float]:
    """The largest violation of each limit that is violated, by name."""
    over = np.maximum(value - bounds.limit_high, bounds.limit_low - value).max(axis=0, initial=0.0)
    return {n: float(v) for n, v in zip(blocks.card.limits, over, strict=True) if v > ACTIVE}


def program(
    blocks: Blocks, H: FloatArray, f: FloatArray, kept: Hard, limits: FloatArray, at: FloatArray, soft: list[Hit],
    bounds: Bounds,
) -> Program:  # fmt: skip
    """The QP in scaled moves and one slack for each soft limit that is looked at; limits [blocks, n_l, moves], at: at
    no move."""
    m, n = len(f), len(f) + len(soft)
    if not soft:
        lower, upper = np.concatenate([kept.low, kept.row_low]), np.concatenate([kept.high, kept.row_high])
        return Program(H, f, kept.rows, lower, upper)
    weight = np.array([blocks.card.limit_weight[i] * blocks.length[k] for k, i, _ in soft])
    whole = np.zeros((n, n))
    whole[:m, :m] = H
    whole[range(m, n), range(m, n)] = SLACK_CURVATURE * weight
    A = np.zeros((len(kept.rows) + len(soft), n))
    A[: len(kept.rows), :m] = kept.rows
    top = np.empty(len(soft))
    for j, (k, i, side) in enumerate(soft):
        A[len(kept.rows) + j, :m] = side * limits[k, i]
        A[len(kept.rows) + j, m + j] = -1.0
        top[j] = side * ((bounds.limit_high if side > 0 else bounds.limit_low)[i] - at[k, i])
    lower = np.concatenate([kept.low, np.zeros(len(soft)), kept.row_low, np.full(len(soft), -1e30)])
    upper = np.concatenate([kept.high, np.full(len(soft), 1e30), kept.row_high, top])
    return Program(whole, np.concatenate([f, weight]), A, lower, upper)


def named(
    blocks: Blocks, posed: Program, solution: Solution, kept: Hard, soft: list[Hit]
) -> tuple[Multiplier, ...]:  # fmt: skip
    """The multipliers of the constraints that are active, in the bounds' own units."""
    card, found = blocks.card, []
    n_u, n, m = len(card.inputs), len(posed.f), len(posed.f) - len(soft)
    for at in np.flatnonzero(np.abs(solution.multipliers) > ACTIVE):
        i, value = int(at), float(solution.multipliers[at])
        side = "high" if value > 0 else "low"
        if i < m:
            block, which = divmod(i, n_u)
            name = card.inputs[which] + (" rate" if block == 0 and kept.by_rate[side][which] else "")
            found.append(Multiplier(name, side, int(blocks.starts[block]), abs(value) / blocks.scale[i]))
        elif n <= i < n + len(kept.row_of):
            block, which = divmod(int(kept.row_of[i - n]), n_u)
            found.append(Multiplier(f"{card.inputs[which]} rate", side, int(blocks.starts[block]), abs(value)))
        elif i >= n:
            block, limit, way = soft[i - n - len(kept.row_of)]
            where = "high" if way > 0 else "low"
            found.append(Multiplier(card.limits[limit], where, int(blocks.ends[block]), abs(value)))
    return tuple(found)
