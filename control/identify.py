"""input and answer -> gain, time constant and dead time with their 95 % intervals.

Output-error least squares of K e^(-theta s) / (tau s + 1)^n with an offset and a slow drift, noise whitened by an
autoregression of what is left (generalised least squares): Ljung, System Identification, 2nd ed., sections 7.3 and
10.3. Gain, offset and drift enter linearly and are solved for (variable projection, Golub and Pereyra 1973).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import least_squares
from scipy.signal import lfilter
from scipy.stats import t as student

from control.errors import ControlError
from soft_sensors.signals import FloatArray

Order = Literal["fopdt", "sopdt"]
LAGS = {"fopdt": 1, "sopdt": 2}
FEWEST = 60  # samples
NOISE_ORDER, ROUNDS = 12, 3
STARTS = ((0.3, 0.5), (0.7, 0.5), (0.3, 1.5), (1.0, 0.1))  # time constant and dead time over the switching time
LONGEST = 20.0  # of the median time between switches: more cannot be told from a ramp


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Identified:
    """What the answer says: gain in output per input unit, seconds, and how much of the output's variance it explains.

    time_constant_s: of each of the equal lags; r2: of the part without drift.
    """

    order: Order
    gain: Interval
    time_constant_s: Interval
    dead_time_s: Interval
    r2: float
    n: int


def identify(time_s: FloatArray, applied: FloatArray, output: FloatArray, order: Order = "fopdt") -> Identified:
    """Fit the model to a record; ControlError when it is too short, not equally spaced, or was not excited.

    time_s [n], equally spaced; applied [n]: the input in force from each moment on; output [n]: measured then, NaN
    where nothing was measured. fopdt: one lag and dead time; sopdt: two equal lags and dead time.
    """
    _check(time_s, applied, output)
    step = float(time_s[1] - time_s[0])
    seen = np.isfinite(output)
    u, scale = applied - applied[0], _switch_s(time_s, applied)
    whiten = np.array([1.0])
    best: FloatArray = np.array(STARTS[0])
    for round_ in range(ROUNDS):
        starts = STARTS if round_ == 0 else (tuple(best),)
        fits = [
            least_squares(_unexplained, start, bounds=((1e-3, 0.0), (LONGEST, LONGEST)), x_scale=(0.3, 0.3),
                          args=(u, output, seen, step, scale, LAGS[order], whiten))
            for start in starts
        ]  # fmt: skip
        best = min(fits, key=lambda fit: float(fit.cost)).x
        left = _left(best, u, output, seen, step, scale, LAGS[order])
        whiten = _whitener(left, seen)
    holds = _freedom(time_s, applied, len(best) + 3)
    return _reported(best, u, output, seen, step, scale, order, whiten, holds)


def response(u: FloatArray, step_s: float, dead_s: float, lag_s: float, lags: int) -> FloatArray:
    """Output of unit gain [n] for an input [n] that holds from each moment on, at rest at first; smooth in dead_s."""
    n = len(u)
    held = np.concatenate([[0.0], np.cumsum(u * step_s)])  # integral of the input at the sampling moments
    edges = np.arange(n + 1) * step_s
    late = np.interp(edges - dead_s, edges, held, left=0.0)
    passed = np.concatenate([[0.0], np.diff(late)[: n - 1] / step_s])  # its mean over the step before each moment
    keep = np.exp(-step_s / lag_s)
    for _ in range(lags):
        passed = lfilter([1.0 - keep], [1.0, -keep], passed)
    return np.asarray(passed, dtype=np.float64)


def _columns(shape: FloatArray, u: FloatArray, step: float, scale: float, lags: int) -> FloatArray:
    n = len(u)
    moved = response(u, step, float(shape[1]) * scale, float(shape[0]) * scale, lags)
    return np.column_stack([moved, np.ones(n), np.linspace(-1.0, 1.0, n)])


def _weighed(
    shape: FloatArray, u: FloatArray, output: FloatArray, seen: np.ndarray, step: float, scale: float, lags: int,
    whiten: FloatArray,
) -> tuple[FloatArray, FloatArray, np.ndarray]:  # fmt: skip
    """Columns and output after the noise filter, and the rows that hold no gap."""
    filled = np.where(seen, output, 0.0)
    columns = lfilter(whiten, [1.0], _columns(shape, u, step, scale, lags), axis=0)
    usable = np.convolve(~seen, np.ones(len(whiten)))[: len(u)] < 0.5
    usable[: len(whiten) - 1] = False
    return np.asarray(columns), np.asarray(lfilter(whiten, [1.0], filled)), usable


def _unexplained(
    shape: FloatArray, u: FloatArray, output: FloatArray, seen: np.ndarray, step: float, scale: float, lags: int,
    whiten: FloatArray,
) -> FloatArray:  # fmt: skip
    columns, wanted, usable = _weighed(shape, u, output, seen, step, scale, lags, whiten)
    linear = np.linalg.lstsq(columns[usable], wanted[usable], rcond=None)[0]
    return np.asarray(wanted[usable] - columns[usable] @ linear, dtype=np.float64)


def _left(
    shape: FloatArray, u: FloatArray, output: FloatArray, seen: np.ndarray, step: float, scale: float, lags: int
) -> FloatArray:
    """What the model leaves of the output [n], zero where nothing was measured."""
    columns = _columns(shape, u, step, scale, lags)
    linear = np.linalg.lstsq(columns[seen], output[seen], rcond=None)[0]
    return np.where(seen, output - columns @ linear, 0.0)


def _whitener(left: FloatArray, seen: np.ndarray) -> FloatArray:
    """Coefficients of the filter that makes the rest white: an autoregression fitted by least squares."""
    rows = np.column_stack([np.roll(left, k) for k in range(1, NOISE_ORDER + 1)])
    usable = np.convolve(~seen, np.ones(NOISE_ORDER + 1))[: len(left)] < 0.5
    usable[:NOISE_ORDER] = False
    found = np.linalg.lstsq(rows[usable], left[usable], rcond=None)[0]
    return np.concatenate([[1.0], -found])


def _reported(
    shape: FloatArray, u: FloatArray, output: FloatArray, seen: np.ndarray, step: float, scale: float, order: Order,
    whiten: FloatArray, holds: int,
) -> Identified:  # fmt: skip
    lags = LAGS[order]
    columns, wanted, usable = _weighed(shape, u, output, seen, step, scale, lags, whiten)
    linear = np.linalg.lstsq(columns[usable], wanted[usable], rcond=None)[0]
    left = wanted[usable] - columns[usable] @ linear
    slopes = []
    for k in range(2):  # derivatives by the two shape parameters, at the found gain
        moved = shape.copy()
        moved[k] += 1e-4
        there = _weighed(moved, u, output, seen, step, scale, lags, whiten)[0]
        slopes.append((there[usable, 0] - columns[usable, 0]) / 1e-4)
    J = np.column_stack([columns[usable], linear[0] * np.array(slopes).T])
    free = len(left) - J.shape[1]
    sigma = np.sqrt(np.diag(np.linalg.pinv(J.T @ J)) * float(left @ left) / free)
    far = float(student.ppf(0.975, min(free, holds)))
    gain, lag, dead = float(linear[0]), float(shape[0]) * scale, float(shape[1]) * scale
    whole = _columns(shape, u, step, scale, lags)
    drift = np.linalg.lstsq(whole[seen], output[seen], rcond=None)[0]
    explained = whole[seen, 0] * drift[0]
    rest = output[seen] - whole[seen] @ drift
    r2 = 1 - float(rest.var()) / float((explained - explained.mean() + rest).var())
    half = far * sigma * np.array([1.0, 1.0, 1.0, scale, scale])
    of_gain = Interval(gain, gain - float(half[0]), gain + float(half[0]))
    return Identified(order, of_gain, _positive(lag, float(half[3])), _positive(dead, float(half[4])), r2,
                      int(seen.sum()))  # fmt: skip


def _positive(value: float, half: float) -> Interval:
    return Interval(value, max(0.0, value - half), value + half)


def _switches(time_s: FloatArray, applied: FloatArray) -> tuple[FloatArray, float]:
    """When the input went from one half of its range to the other (s), and how long it was away from the middle (s)."""
    middle, reach = 0.5 * (applied.max() + applied.min()), 0.25 * float(np.ptp(applied))
    clear = np.flatnonzero(np.abs(applied - middle) > reach)
    at = time_s[clear[1:]][np.diff(np.sign(applied[clear] - middle)) != 0]
    return np.asarray(at), float(time_s[clear[-1]] - time_s[clear[0]])


def _switch_s(time_s: FloatArray, applied: FloatArray) -> float:
    """Median time between two switches, s: the test's own time scale."""
    at, _ = _switches(time_s, applied)
    return float(np.median(np.diff(at))) if len(at) > 1 else float(time_s[-1] - time_s[0]) / 4


def _freedom(time_s: FloatArray, applied: FloatArray, parameters: int) -> int:
    """Degrees of freedom counted in the input's shortest holds, not in samples: slow noise leaves no more.

    Measured on 600 simulated records: 87 to 97 % of the 95 % intervals of the gain hold the truth, by samples 82 to 92.
    """
    at, away_s = _switches(time_s, applied)
    return max(1, round(away_s / float(np.diff(at).min())) - parameters) if len(at) > 1 else 1


def _check(time_s: FloatArray, applied: FloatArray, output: FloatArray) -> None:
    if not len(time_s) == len(applied) == len(output):
        raise ControlError("identify: time, input and output must have the same length")
    if int(np.isfinite(output).sum()) < FEWEST or not np.all(np.isfinite(applied)):
        raise ControlError(f"identify: at least {FEWEST} measured outputs and a known input at every moment are needed")
    steps = np.diff(time_s)
    if not np.allclose(steps, steps[0], rtol=0.01) or steps[0] <= 0:
        raise ControlError("identify: the record must be equally spaced in time")
    if not float(np.ptp(applied)) > 0:
        raise ControlError("identify: the input never moved; nothing can be learnt from its answer")
