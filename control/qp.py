"""a convex quadratic program -> its solution: DAQP, cold, with a bounded number of iterations."""

from __future__ import annotations

from dataclasses import dataclass

import daqp
import numpy as np

from soft_sensors.signals import FloatArray

ITERATION_LIMIT = 600


@dataclass(frozen=True)
class Program:
    """minimise z'Hz/2 + f'z subject to lower <= (z, A z) <= upper: bounds on z first, then the rows of A."""

    H: FloatArray
    f: FloatArray
    A: FloatArray
    lower: FloatArray
    upper: FloatArray


@dataclass(frozen=True)
class Solution:
    """The minimiser, one multiplier a bound and row (positive at an upper bound), cost; status "ok" or what failed."""

    z: FloatArray
    multipliers: FloatArray
    cost: float
    iterations: int
    status: str = "ok"


def solve(program: Program) -> Solution:
    """Solve by DAQP (dual active set; Arnstroem et al., IEEE TAC 67 (2022) 4362); never raises on bad numbers."""
    finite = all(np.all(np.isfinite(part)) for part in (program.H, program.f, program.A))
    if not finite or np.any(np.isnan(program.lower)) or np.any(np.isnan(program.upper)):
        return _failed("the prediction is not finite", 0)
    rows = np.ascontiguousarray(program.A)
    z, cost, flag, told = daqp.solve(
        program.H, program.f, rows, np.minimum(program.upper, 1e30), np.maximum(program.lower, -1e30),
        iter_limit=ITERATION_LIMIT,
    )  # fmt: skip
    iterations = int(told["iterations"])
    if flag < 1 or not np.all(np.isfinite(z)):
        return _failed(f"QP not solved (flag {flag} after {iterations} iterations)", iterations)
    return Solution(np.asarray(z), np.asarray(told["lam"]), float(cost), iterations)


def _failed(why: str, iterations: int) -> Solution:
    return Solution(np.zeros(0), np.zeros(0), np.inf, iterations, why)
