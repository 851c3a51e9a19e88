"""a stream of intervals + late references -> how wide the next interval must be to keep its coverage.

Adaptive conformal inference (Gibbs and Candes 2021, NeurIPS 34) in the form that moves the width itself (Angelopoulos,
Candes and Tibshirani 2023, conformal PID control): a miss widens, a hit narrows, in such a ratio that the long-run
share of misses is the one asked for. The width never leaves its stated bounds, so no run of bad luck takes it away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from soft_sensors.watch.series import Series

COVERAGE = 0.90
SCALE_LOW, SCALE_HIGH = 1.0, 3.0  # our choice: never narrower than at calibration; beyond 3 the model is not to be used
STEP = 0.15  # our choice: a miss widens by 14 %, a hit narrows by 1.5 %; six misses in a row double the width
KEEP_S = 48 * 3600.0  # our choice: results later than two days are history, not feedback
Z_95 = 1.959964


@dataclass(frozen=True, slots=True)
class Issued:
    """An interval as it went out: value +- half_width at sample_time_s (s since the epoch), and its reference."""

    sample_time_s: float
    value: float
    half_width: float
    reference: float | None = None

    @property
    def hit(self) -> bool:
        """Was the reference inside? Only asked of one that has a reference."""
        return self.reference is not None and abs(self.reference - self.value) <= self.half_width


@dataclass(frozen=True)
class Coverage:
    """What is remembered: the scale in force, the intervals that went out (in time order), unmatched results."""

    scale: float = SCALE_LOW
    issued: Series[Issued] = field(default_factory=Series)
    unmatched: int = 0


@dataclass(frozen=True)
class CoverageReport:
    """Share of n references inside their intervals, with its 95 % interval (Wilson 1927); NaN where n is 0."""

    n: int
    coverage: float
    low: float
    high: float
    scale: float


def issue(state: Coverage, sample_time_s: float, value: float, half_width: float) -> tuple[float, Coverage]:
    """The half width to send out instead of the card's half_width, and the state that remembers it.

    A value or half width that is not finite, or a time not after the last one, is passed on and not remembered.
    """
    widened = half_width * state.scale
    if not (math.isfinite(value) and math.isfinite(widened)):
        return widened, state
    newest = state.issued.newest
    if newest is not None and not sample_time_s > newest.sample_time_s:
        return widened, state
    kept = state.issued.without_first(lambda old: old.sample_time_s < sample_time_s - KEEP_S)
    return widened, replace(state, issued=kept.with_item(Issued(sample_time_s, value, widened)))


def learn(
    state: Coverage, sample_time_s: float, reference: float, tolerance_s: float, high: float = SCALE_HIGH
) -> Coverage:
    """Take in a reference, however late: it is joined to the interval nearest to its sample time.

    tolerance_s: how far that may be; high: the largest scale, from 1 to SCALE_HIGH. A result without an interval is
    counted as unmatched. A second result for the same sample is a correction: it replaces the first in the coverage,
    the scale is not moved twice.
    """
    near = nearest(state, sample_time_s, tolerance_s) if math.isfinite(reference) else None
    if near is None:
        return replace(state, unmatched=state.unmatched + 1)
    before = state.issued.at(near)
    after = replace(before, reference=reference)
    issued = state.issued.replaced(near, after)
    scale = state.scale if before.reference is not None else _moved(state.scale, after.hit, high)
    return replace(state, issued=issued, scale=scale)


def nearest(state: Coverage, sample_time_s: float, tolerance_s: float) -> int | None:
    """Which remembered interval a sample belongs to: the nearest one within tolerance_s, None where there is none."""
    away = [abs(issued.sample_time_s - sample_time_s) for issued in state.issued]
    near = min(range(len(away)), key=away.__getitem__, default=None)
    return None if near is None or away[near] > tolerance_s else near


def report(state: Coverage) -> CoverageReport:
    """The coverage over all remembered intervals that have a reference."""
    judged = [i.hit for i in state.issued if i.reference is not None]
    low, high = binomial_interval(sum(judged), len(judged))
    share = sum(judged) / len(judged) if judged else math.nan
    return CoverageReport(len(judged), share, low, high, state.scale)


def binomial_interval(hits: int, n: int) -> tuple[float, float]:
    """The 95 % score interval of a share of hits among n (Wilson 1927); 0 to 1 where n is 0."""
    if n == 0:
        return 0.0, 1.0
    share, z2 = hits / n, Z_95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def _moved(scale: float, hit: bool, high: float) -> float:
    miss = 0.0 if hit else 1.0
    moved = scale * math.exp(STEP * (miss - (1.0 - COVERAGE)))
    return min(high, SCALE_HIGH, max(SCALE_LOW, moved))
