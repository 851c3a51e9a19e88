"""plan of the press -> its explanation: tablets and how sure, the move, what limits it, what comes without it."""

from __future__ import annotations

import numpy as np

from control.compiled import Compiled
from control.rti import Move, Plan
from control.signals import Active, FloatArray, PressMove

EVERY = 5  # cycles between the points of a predicted trajectory
SHOWN = 8  # active constraints kept with a move, the costliest first
SENTENCE = 140  # characters, as the feeders' sentence
NINETY = 1.645  # standard deviations to either side of a 90 % interval
DIGITS = {"asked_depth_mm": 2, "asked_thickness_mm": 2, "asked_turret_rpm": 1}
SHORT = {"asked_depth_mm": "depth", "asked_thickness_mm": "thickness", "asked_turret_rpm": "turret"}


def explained(
    compiled: Compiled, mean: FloatArray, cov: FloatArray, before: FloatArray, p: FloatArray, move: Move,
    planned: Plan, held: Plan,
) -> PressMove:  # fmt: skip
    """The explanation of an accepted move; mean, cov: belief of the state, before: orders in force, p: targets."""
    card = compiled.card
    now, C = compiled.call("measure", mean, before, p)
    rows = [card.measurements.index(name) for name in ("y_weight", "y_hardness")]
    doubt = [NINETY * float(np.sqrt(max(0.0, C[row] @ cov @ C[row]))) for row in rows]
    weight, hardness = (float(now[row, 0]) for row in rows)
    with_it, without = (_ahead(compiled, plan, p, rows) for plan in (planned, held))
    found = sorted(move.multipliers, key=lambda m: -m.value)[:SHOWN]
    active = tuple(Active(m.name, m.side, m.step * card.step_s, m.value) for m in found)
    text = f"{weight:.1f}±{doubt[0]:.1f} mg, {hardness:.0f}±{doubt[1]:.0f} N: {_moved(card.inputs, before, planned)}"
    parts = [f"held: {without[-1][0]:.1f} mg, {without[-1][1]:.0f} N", *(f"limit {_short(a.name)}" for a in active[:1])]
    for part in parts:
        if len(text) + 2 + len(part) <= SENTENCE:
            text += f"; {part}"
    predicted = {
        f"{name}_{what}": tuple(point[i] for point in points)
        for what, points in (("with_move", with_it), ("held", without))
        for i, name in enumerate(("weight_mg", "hardness_n"))
    }
    return PressMove(text[:SENTENCE], EVERY * card.step_s, predicted, active)


def _short(name: str) -> str:
    """A bound or rate of a handle, or a soft limit, in a word or two."""
    for long, short in SHORT.items():
        name = name.replace(long, short)
    return name


def _moved(inputs: tuple[str, ...], before: FloatArray, planned: Plan) -> str:
    return ", ".join(
        f"{_short(name)} {before[i]:.{DIGITS[name]}f}->{planned.U[i, 0]:.{DIGITS[name]}f}"
        for i, name in enumerate(inputs)
    )


def _ahead(compiled: Compiled, plan: Plan, p: FloatArray, rows: list[int]) -> list[tuple[float, ...]]:
    """Weight and hardness along a plan, every few cycles, the first after so many."""
    found = []
    for step in range(EVERY, plan.U.shape[1] + 1, EVERY):
        y = compiled.call("measure", plan.X[:, step], plan.U[:, step - 1], p)[0]
        found.append(tuple(float(y[row, 0]) for row in rows))
    return found
