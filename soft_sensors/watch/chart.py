"""sensor minus laboratory -> control chart, and a bias update where one is called for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from soft_sensors.signals import FloatArray

EWMA_WEIGHT, EWMA_LIMIT = 0.2, 2.962  # in-control run length 500 (Lucas and Saccucci 1990, Technometrics 32, table 3)
BASELINE = 20  # our choice: the first differences, which set sigma where none is declared
FEWEST = 6  # our choice: fewer paired results never move a bias
STANDING = 3  # an alarm stands while one of the last three points raises it
MOVING_RANGE = 1.128  # d2 of a moving range of two
Z_95 = 1.959964


@dataclass(frozen=True)
class Sensed:
    """One prediction: of which sample, when it was taken (s since the epoch), value in the CQA's unit."""

    sample_id: str
    sample_time_s: float
    value: float


@dataclass(frozen=True)
class Result:
    """One laboratory result; sample_time_s: when the sample was taken, NaN where only the sample_id is known;
    received_s: when it was reported, which decides between a result and its correction."""

    sample_id: str
    sample_time_s: float
    value: float
    received_s: float


@dataclass(frozen=True)
class Point:
    """A prediction and its laboratory result."""

    sample_id: str
    sample_time_s: float
    sensor: float
    laboratory: float

    @property
    def difference(self) -> float:
        """Sensor minus laboratory."""
        return self.sensor - self.laboratory


@dataclass(frozen=True)
class Paired:
    """Points in time order; unmatched: results that met no prediction; missing: results without a number;
    corrected: samples whose result was replaced by a later one."""

    points: tuple[Point, ...]
    unmatched: tuple[str, ...]
    missing: tuple[str, ...]
    corrected: tuple[str, ...]


@dataclass(frozen=True)
class Flag:
    """A rule that a point breaks."""

    index: int
    rule: str


@dataclass(frozen=True)
class BiasUpdate:
    """What to add to the sensor, in the CQA's unit, with the 95 % interval of the mean difference it comes from.

    limited: the mean difference is beyond the declared bound, the update stops there and the model needs more than a
    bias; n: paired results since the last update.
    """

    add: float
    low: float
    high: float
    n: int
    limited: bool


@dataclass(frozen=True)
class Chart:
    """differences [n] around 0 with sigma, their EWMA [n] with its limits [n], the broken rules, and what follows."""

    differences: FloatArray
    sigma: float
    ewma: FloatArray
    ewma_limit: FloatArray
    flags: tuple[Flag, ...]
    update: BiasUpdate | None

    @property
    def standing(self) -> tuple[Flag, ...]:
        """The flags of the last points: the alarms that stand."""
        return tuple(f for f in self.flags if f.index >= len(self.differences) - STANDING)


def pair(sensed: Sequence[Sensed], results: Sequence[Result], tolerance_s: float) -> Paired:
    """Join results to predictions: by sample_id where both know it, else by the nearest sample time within tolerance_s.

    Results come in any order and as late as they like; of several for one sample the last received counts.
    """
    known = {s.sample_id: s for s in sensed if math.isfinite(s.value)}
    timed = sorted(known.values(), key=lambda s: s.sample_time_s)
    times = np.array([s.sample_time_s for s in timed])
    found: dict[str, Point] = {}
    unmatched, missing, corrected = [], [], []
    for result in sorted(results, key=lambda r: r.received_s):
        if not math.isfinite(result.value):
            missing.append(result.sample_id)
            continue
        partner = known.get(result.sample_id) or _nearest(timed, times, result.sample_time_s, tolerance_s)
        if partner is None:
            unmatched.append(result.sample_id)
            continue
        if partner.sample_id in found:
            corrected.append(partner.sample_id)
        found[partner.sample_id] = Point(partner.sample_id, partner.sample_time_s, partner.value, result.value)
    points = tuple(sorted(found.values(), key=lambda p: p.sample_time_s))
    return Paired(points, tuple(unmatched), tuple(missing), tuple(corrected))


def chart(points: Sequence[Point], bound: float, sigma: float | None = None, since_s: float = -math.inf) -> Chart:
    """Individuals chart, EWMA and run rules of sensor minus laboratory, in the order of the points.

    bound: the largest bias update that was declared beforehand; sigma: of one difference, in the CQA's unit (None: from
    the moving ranges of the first differences); since_s: sample time of the last bias update. While an alarm stands,
    the update is taken from the points since its shift began, else from all since the last update.
    """
    d = np.array([p.difference for p in points])
    size = _sigma(d) if sigma is None else sigma
    weights = 1.0 - (1.0 - EWMA_WEIGHT) ** (2 * np.arange(1, d.size + 1))
    limit = EWMA_LIMIT * size * np.sqrt(EWMA_WEIGHT / (2 - EWMA_WEIGHT) * weights)
    smooth = ewma(d, EWMA_WEIGHT)
    flags = [Flag(k, name) for name, rule in RULES.items() for k in rule(d, size)]
    flags += [Flag(int(k), "EWMA: a small lasting shift") for k in np.flatnonzero(np.abs(smooth) > limit)]
    ordered = tuple(sorted(flags, key=lambda f: (f.index, f.rule)))
    first = sum(p.sample_time_s <= since_s for p in points)
    if any(f.index >= d.size - STANDING for f in ordered):
        first = max(first, change_point(smooth))
    return Chart(d, size, smooth, limit, ordered, bias_update(d[first:], bound))


def change_point(smooth: FloatArray) -> int:
    """Where the present shift began: after the EWMA [n] last crossed zero (Nishina 1992, Qual. Reliab. Eng. Int. 8)."""
    crossed = np.flatnonzero(np.sign(smooth[1:]) != np.sign(smooth[:-1]))
    return int(crossed[-1]) + 1 if crossed.size else 0


def bias_update(differences: FloatArray, bound: float) -> BiasUpdate | None:
    """The update that the differences since the last one call for; None when their mean may well be zero (95 %)."""
    n = differences.size
    if n < FEWEST:
        return None
    mean, error = float(differences.mean()), float(differences.std(ddof=1)) / math.sqrt(n)
    half = student_95(n - 1) * error
    if abs(mean) <= half:
        return None
    return BiasUpdate(-math.copysign(min(abs(mean), bound), mean), mean - half, mean + half, n, abs(mean) > bound)


def student_95(freedom: int) -> float:
    """The two-sided 95 % quantile of Student's t (Abramowitz and Stegun 26.7.5; within 0.2 % from 5 degrees on)."""
    z, v = Z_95, float(freedom)
    return (z + (z**3 + z) / (4 * v) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
            + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3))


def ewma(values: FloatArray, weight: float) -> FloatArray:
    """Exponentially weighted moving average [n], started at 0."""
    out, now = np.empty(values.size), 0.0
    for k, value in enumerate(values):
        now = (1.0 - weight) * now + weight * float(value)
        out[k] = now
    return out


def _sigma(differences: FloatArray) -> float:
    first = differences[:BASELINE]
    return float(np.abs(np.diff(first)).mean()) / MOVING_RANGE if first.size > 1 else math.nan


def _nearest(timed: Sequence[Sensed], times: FloatArray, sample_time_s: float, tolerance_s: float) -> Sensed | None:
    if not (math.isfinite(sample_time_s) and times.size):
        return None
    k = int(np.argmin(np.abs(times - sample_time_s)))
    return timed[k] if abs(times[k] - sample_time_s) <= tolerance_s else None


def _beyond(d: FloatArray, sigma: float) -> list[int]:
    return [int(k) for k in np.flatnonzero(np.abs(d) > 3 * sigma)]


def _same_side(d: FloatArray, _sigma_unused: float) -> list[int]:
    return [k for k in range(8, d.size) if abs(int(np.sign(d[k - 8 : k + 1]).sum())) == 9]


def _monotone(d: FloatArray, _sigma_unused: float) -> list[int]:
    steps = np.sign(np.diff(d))
    return [k for k in range(5, d.size) if abs(int(steps[k - 5 : k].sum())) == 5]


def _two_of_three(d: FloatArray, sigma: float) -> list[int]:
    far = np.where(np.abs(d) > 2 * sigma, np.sign(d), 0.0)
    return [k for k in range(2, d.size) if abs(float(far[k - 2 : k + 1].sum())) >= 2 and far[k] != 0.0]


# Rules 1, 2, 3 and 5 of Nelson 1984, J. Quality Technology 16, 237.
RULES: dict[str, Callable[[FloatArray, float], list[int]]] = {
    "Nelson 1: beyond 3 sigma": _beyond,
    "Nelson 2: nine on one side": _same_side,
    "Nelson 3: six rising or falling": _monotone,
    "Nelson 5: two of three beyond 2 sigma": _two_of_three,
}
