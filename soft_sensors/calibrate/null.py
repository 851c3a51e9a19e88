"""The null model: what one would say of a sample without its spectrum; who does not beat it has no evidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from soft_sensors.calibrate.folds import IntArray
from soft_sensors.signals import BoolArray, FloatArray

MEAN = "mean of the others"
DEGREE = 2  # our choice: a batch rises, levels off or falls; more would be a model


@dataclass(frozen=True)
class Null:
    """The better of the null models: its name and its held-out root mean square error."""

    name: str
    rmse: float


def best(y: FloatArray, outer: IntArray, keep: BoolArray, time: FloatArray | None = None, column: str = "") -> Null:
    """The mean of the samples outside one's own fold, or a quadratic trend in time [n] over them, if that is better.

    What follows a batch's age (a growing culture) is predicted well by the clock alone, and by any spectrum that ages.
    """
    found = [Null(MEAN, _error(y, outer, keep, np.zeros(len(y)), 0))]
    if time is not None:
        spread = float(np.ptp(time)) or 1.0
        found.append(Null(f"trend in {column}", _error(y, outer, keep, (time - time.mean()) / spread, DEGREE)))
    return min(found, key=lambda null: null.rmse)


def _error(y: FloatArray, outer: IntArray, keep: BoolArray, time: FloatArray, degree: int) -> float:
    said = np.empty(len(y))
    for f in np.unique(outer):
        others = keep & (outer != f)
        said[outer == f] = np.polynomial.Polynomial.fit(time[others], y[others], degree, domain=[-1.0, 1.0])(
            time[outer == f])
    return float(np.sqrt(np.mean((said - y)[keep] ** 2)))
