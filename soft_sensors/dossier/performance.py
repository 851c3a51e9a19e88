"""predictions + references -> figures of merit with their uncertainty; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from soft_sensors.dossier.material import TestSet
from soft_sensors.predictions import Prediction
from soft_sensors.score import Score, score
from soft_sensors.signals import FloatArray

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Line:
    """Predicted on reference by least squares: slope with its 95 % interval, intercept, and p of a quadratic term."""

    slope: float
    slope_low: float
    slope_high: float
    intercept: float
    p_quadratic: float


@dataclass(frozen=True)
class Performance:
    """Score on the test set, with 95 % intervals of RMSEP (chi-square), bias (t) and coverage (Clopper-Pearson).

    p_bias: two-sided t-test of a bias of zero; half_width: median half width of the 90 % intervals.
    """

    score: Score
    rmsep_low: float
    rmsep_high: float
    bias_half: float
    p_bias: float
    coverage_low: float
    coverage_high: float
    half_width: float
    line: Line


@dataclass(frozen=True)
class Level:
    """Accuracy in one part of the range."""

    low: float
    high: float
    n: int
    mean: float
    bias: float
    sd: float


def performance(predictions: Sequence[Prediction], y: FloatArray) -> Performance:
    """Judge predictions against references [n], n >= 3; a NaN on either side is not counted."""
    result = score(predictions, y)
    value = np.array([p.value for p in predictions])
    usable = np.isfinite(value) & np.isfinite(y)
    n = result.n
    error_of_bias = result.sep / math.sqrt(n)
    t = result.bias / error_of_bias if error_of_bias > 0 else math.inf
    tail = (1 - CONFIDENCE) / 2
    inside = round(result.coverage_90 * n)
    share = stats.binomtest(inside, n).proportion_ci(CONFIDENCE, method="exact")
    halves = np.array([(p.upper - p.lower) / 2 for p in predictions])[usable]
    return Performance(
        score=result, rmsep_low=result.rmsep * math.sqrt(n / float(stats.chi2.ppf(1 - tail, n))),
        rmsep_high=result.rmsep * math.sqrt(n / float(stats.chi2.ppf(tail, n))),
        bias_half=float(stats.t.ppf(1 - tail, n - 1)) * error_of_bias, p_bias=2 * float(stats.t.sf(abs(t), n - 1)),
        coverage_low=float(share.low), coverage_high=float(share.high), half_width=float(np.median(halves)),
        line=line_of(y[usable], value[usable]),
    )  # fmt: skip


def line_of(x: FloatArray, y: FloatArray) -> Line:
    """The least-squares line of y on x, at least three points; NaN where x does not vary."""
    if not float(np.ptp(x)) > 0:
        return Line(math.nan, math.nan, math.nan, math.nan, math.nan)
    fitted = stats.linregress(x, y)
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, x.size - 2)) * float(fitted.stderr)
    slope = float(fitted.slope)
    return Line(slope, slope - half, slope + half, float(fitted.intercept), _p_quadratic(x, y))


def judged(test: TestSet) -> Performance:
    """The test set without the samples that the plan sets aside."""
    kept = np.flatnonzero(~test.aside).tolist()
    return performance([test.predictions[k] for k in kept], test.y[kept])


def whole(test: TestSet) -> Performance:
    """The test set with every sample."""
    return performance(test.predictions, test.y)


def levels(test: TestSet) -> list[Level]:
    """Parts of the range with equally many samples each: one for every eight, five at most; none set aside."""
    value = np.array([p.value for p in test.predictions])
    usable = np.isfinite(value) & np.isfinite(test.y) & ~test.aside
    y, difference = test.y[usable], (value - test.y)[usable]
    found = []
    for rows in np.array_split(np.argsort(y, kind="stable"), int(np.clip(y.size // 8, 1, 5))):
        sd = float(difference[rows].std(ddof=1)) if rows.size > 1 else math.nan
        found.append(Level(float(y[rows].min()), float(y[rows].max()), rows.size, float(y[rows].mean()),
                           float(difference[rows].mean()), sd))
    return found


def _p_quadratic(x: FloatArray, y: FloatArray) -> float:
    """p of the t-test of a quadratic term on top of the line; NaN with fewer than four different values."""
    if x.size < 4 or np.unique(x).size < 4:
        return math.nan
    z = (x - x.mean()) / x.std()
    A = np.column_stack([np.ones_like(z), z, z**2])
    solution, *_ = np.linalg.lstsq(A, y, rcond=None)
    residual = y - A @ solution
    variance = float(residual @ residual) / (x.size - 3) * float(np.linalg.inv(A.T @ A)[2, 2])
    return 2 * float(stats.t.sf(abs(solution[2]) / math.sqrt(variance), x.size - 3)) if variance > 0 else math.nan
