"""predictions + references -> how good a soft sensor is on samples it has not seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from soft_sensors.predictions import Prediction
from soft_sensors.signals import FloatArray, Quality


@dataclass(frozen=True)
class Score:
    """Figures of merit over all samples that have a number and a reference, refused ones included.

    n: those samples; rmsep, bias (predicted minus reference), sep (standard deviation of the differences), mae in the
    target's unit; r2 against the mean of these references; coverage_90: share inside the 90 % interval; n_bad: samples
    of quality bad, with or without a number. NaN where n is too small.
    """

    n: int
    rmsep: float
    bias: float
    sep: float
    r2: float
    mae: float
    coverage_90: float
    n_bad: int


def score(rows: Sequence[Prediction], reference: FloatArray) -> Score:
    """Compare predictions with references [n], row by row; a NaN on either side is not counted."""
    value = np.array([row.value for row in rows])
    usable = np.isfinite(value) & np.isfinite(reference)
    n, n_bad = int(usable.sum()), sum(row.quality == Quality.BAD.value for row in rows)
    if n == 0:
        nan = math.nan
        return Score(0, nan, nan, nan, nan, nan, nan, n_bad)
    y, difference = reference[usable], (value - reference)[usable]
    lower = np.array([row.lower for row in rows])[usable]
    upper = np.array([row.upper for row in rows])[usable]
    spread = float(((y - y.mean()) ** 2).sum())
    return Score(
        n=n, rmsep=float(np.sqrt(np.mean(difference**2))), bias=float(difference.mean()),
        sep=float(difference.std(ddof=1)) if n > 1 else math.nan,
        r2=1.0 - float((difference**2).sum()) / spread if spread > 0 else math.nan,
        mae=float(np.abs(difference).mean()), coverage_90=float(np.mean((lower <= y) & (y <= upper))), n_bad=n_bad,
    )
