"""plan -> defensible or not: checks of a solver's answer by code that does not know the solver."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from soft_sensors.signals import FloatArray

if TYPE_CHECKING:
    from control.blocks import Bounds
    from control.qp import Program


@dataclass(frozen=True)
class Optimality:
    """How well an answer meets the Karush-Kuhn-Tucker conditions, each relative to the size of its terms.

    stationarity: gradient of the Lagrangian; feasibility: largest violation of a bound or row; complementarity:
    multiplier on a bound that is not active, or of the wrong sign.
    """

    stationarity: float
    feasibility: float
    complementarity: float

    @property
    def residual(self) -> float:
        """The worst of the three."""
        return max(self.stationarity, self.feasibility, self.complementarity)

    @staticmethod
    def none() -> Optimality:
        """Of an answer that is not there."""
        return Optimality(math.inf, math.inf, math.inf)


def optimality(program: Program, z: FloatArray, multipliers: FloatArray) -> Optimality:
    """The KKT residual of (z, multipliers) from the program alone (Nocedal, Wright: Numerical Optimization, ch. 12)."""
    if not (np.isfinite(z).all() and np.isfinite(multipliers).all()):
        return Optimality.none()
    n = len(z)
    curved, pulled = program.H @ z, multipliers[:n] + program.A.T @ multipliers[n:]
    gradient = curved + program.f + pulled
    size = 1.0 + max(np.max(np.abs(curved)), np.max(np.abs(program.f)), np.max(np.abs(pulled)))
    value = np.concatenate([z, program.A @ z])
    reach = 1.0 + np.abs(value)
    below, above = (program.lower - value) / reach, (value - program.upper) / reach
    off_high = np.where(multipliers > 0, np.abs(multipliers) * np.minimum(1.0, np.abs(above)), 0.0)
    off_low = np.where(multipliers < 0, np.abs(multipliers) * np.minimum(1.0, np.abs(below)), 0.0)
    return Optimality(
        float(np.max(np.abs(gradient)) / size),
        float(max(0.0, np.max(below, initial=0.0), np.max(above, initial=0.0))),
        float(max(np.max(off_high, initial=0.0), np.max(off_low, initial=0.0)) / size),
    )


KKT_LIMIT = 1e-6
COST_SLACK = 1.02  # what linearisation may cost a plan against the model's own verdict


def indefensible(
    first: FloatArray, before: FloatArray, bounds: Bounds, quality: Optimality, cost: float, held_cost: float
) -> str:
    """Why a first move may not be made, empty when it may.

    first, before: inputs planned and in force; cost, held_cost: of the plan and of staying where the bounds allow, both
    by the model itself and not by the solver's account.
    """
    if not (np.all(np.isfinite(first)) and math.isfinite(cost)):
        return "the plan is not finite"
    room = 1e-6 * (1.0 + np.abs(bounds.high - bounds.low))
    if np.any(first < bounds.low - room) or np.any(first > bounds.high + room):
        return "the plan leaves its bounds"
    if np.any(np.abs(first - before) > bounds.rate + room):
        return "the plan moves faster than its rates"
    if quality.residual > KKT_LIMIT:
        return f"the plan is not optimal (KKT residual {quality.residual:.1e})"
    if cost > COST_SLACK * held_cost + 1e-6:
        return f"the plan is worse than holding (cost {cost:.4g} against {held_cost:.4g})"
    return ""
