"""errors -> how a loop does against the best possible, whether it swings, whether its model tells all."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from control.errors import ControlError
from soft_sensors.signals import FloatArray

CROSSINGS = 11  # of the autocorrelation's zero line: ten intervals (Thornhill, Huang, Zhang 2003)
REGULAR = 1.0  # mean over three standard deviations of the intervals: above it the loop oscillates (idem)


@dataclass(frozen=True)
class Oscillation:
    """Whether errors swing regularly: regularity above 1 is an oscillation; period in samples, NaN without one."""

    regularity: float
    period_samples: float

    @property
    def present(self) -> bool:
        """Whether there is one."""
        return self.regularity > REGULAR


@dataclass(frozen=True)
class Whiteness:
    """Ljung-Box statistic of innovations over so many lags, and its p-value: small means the model misses something."""

    statistic: float
    p_value: float
    lags: int


def harris_index(error: FloatArray, delay_samples: int, order: int = 20) -> float:
    """Variance of minimum-variance control over the loop's own, 0 to 1: 1 cannot be bettered by any controller.

    error [n], equally spaced, of a loop that needs delay_samples before a move shows; order: of the autoregression on
    what was known that long before (Harris 1989; regression form: Desborough and Harris 1992, with degrees of
    freedom). Raises ControlError when there is too little to tell.
    """
    y = _centred(error)
    n = y.size - delay_samples - order + 1
    if delay_samples < 1 or order < 1 or n < 3 * order:
        raise ControlError(
            f"{y.size} samples are too few for a Harris index with delay {delay_samples} and order {order}: "
            f"give at least {delay_samples + 4 * order}"
        )
    known = np.column_stack([y[order - 1 - i : order - 1 - i + n] for i in range(order)])
    later = y[order - 1 + delay_samples : order - 1 + delay_samples + n]
    left = later - known @ np.linalg.lstsq(known, later, rcond=None)[0]
    variance = float(y @ y) / (y.size - 1)
    if variance <= 0.0:
        raise ControlError("the error does not move: there is no variance to compare")
    return min(1.0, float(left @ left) / (n - order) / variance)


def oscillation(error: FloatArray) -> Oscillation:
    """Regularity of the zero crossings of the autocorrelation (Thornhill, Huang and Zhang, J. Process Control 2003).

    error [n], equally spaced. Noise alone crosses irregularly; fewer than four crossings are no evidence.
    """
    rho = autocorrelation(error, _centred(error).size // 2)
    signs = np.signbit(rho)
    at = np.flatnonzero(signs[1:] != signs[:-1])[:CROSSINGS]
    if at.size < 4:
        return Oscillation(0.0, math.nan)
    # Where the line between two lags meets zero.
    where = at + rho[at] / (rho[at] - rho[at + 1])
    intervals = np.diff(where)
    spread = float(intervals.std(ddof=1))
    mean = float(intervals.mean())
    regularity = mean / (3.0 * spread) if spread > 0.0 else math.inf
    return Oscillation(regularity, 2.0 * mean if regularity > REGULAR else math.nan)


def whiteness(innovations: FloatArray, lags: int = 20) -> Whiteness:
    """Ljung and Box (1978): n (n + 2) sum rho_k^2 / (n - k) against chi-square with so many degrees of freedom.

    innovations [n], equally spaced. Raises ControlError when there are fewer than three times as many as lags.
    """
    n = _centred(innovations).size
    if n < 3 * lags:
        raise ControlError(f"{n} innovations are too few for {lags} lags: give at least {3 * lags}")
    rho = autocorrelation(innovations, lags)[1:]
    statistic = n * (n + 2) * float(np.sum(rho**2 / (n - np.arange(1, lags + 1))))
    return Whiteness(statistic, chi_square_tail(statistic, lags), lags)


def autocorrelation(values: FloatArray, lags: int) -> FloatArray:
    """Autocorrelation at lags 0 to lags; all zero where nothing moves."""
    y = _centred(values)
    size = 1 << int(2 * y.size - 1).bit_length()
    power = np.abs(np.fft.rfft(y, size)) ** 2
    found: FloatArray = np.asarray(np.fft.irfft(power, size)[: lags + 1], dtype=np.float64)
    if found[0] > 0.0:
        found /= found[0]
    return found


def _centred(values: FloatArray) -> FloatArray:
    y = np.asarray(values, dtype=np.float64)
    if y.ndim != 1 or y.size < 3 or not np.all(np.isfinite(y)):
        raise ControlError("give at least three finite, equally spaced values")
    centred: FloatArray = y - float(y.mean())
    return centred


def chi_square_tail(statistic: float, freedom: int) -> float:
    """Probability of a chi-square with so many degrees of freedom (1 or more) above a statistic (0 or more).

    Abramowitz and Stegun 26.4.4 and 26.4.5, whose terms are all positive; importing scipy costs a tenth of a start.
    """
    half, k = 0.5 * statistic, freedom % 2 / 2.0
    found = math.erfc(math.sqrt(half)) if freedom % 2 else 0.0
    while k < 0.5 * freedom:
        found += math.exp(k * math.log(half) - half - math.lgamma(k + 1.0)) if half > 0.0 else float(k == 0.0)
        k += 1.0
    return min(1.0, found)
