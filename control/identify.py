"""input and answer -> gain, time constant and dead time with their 95 % intervals.

Output-error least squares of K e^(-theta s) / (tau s + 1)^n with an offset and a slow drift (Ljung, System
Identification, 2nd ed., section 7.3); gain, offset and drift enter linearly and are solved for (variable projection,
Golub and Pereyra 1973). Intervals allow for noise of any colour: Newey and West, Econometrica 55 (1987) 703.
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
STARTS = ((0.2, 0.3), (0.4, 0.3), (0.2, 0.8), (0.8, 0.1))  # time constant, dead time over the time between switches
LONGEST = 1.5  # times the time between switches: what is slower cannot be told from a ramp


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Identified:
    """What the answer says: gain in output per input unit, seconds, and how much of the output's variance it explains.

    time_constant_s: of each of the equal lags; offset, drift: of the output, the drift from start to end; known_gain:
    of what was known to disturb, 0 without; r2: share of the output's variance without drift.
    """

    order: Order
    gain: Interval
    time_constant_s: Interval
    dead_time_s: Interval
    offset: float
    drift: float
    known_gain: float
    r2: float
    n: int


@dataclass(frozen=True)
class _Record:
    """The record as the fit takes it: inputs from their first value on, where an output is seen, step and scale (s)."""

    u: FloatArray
    known: FloatArray | None
    output: FloatArray
    seen: np.ndarray
    step_s: float
    scale_s: float
    lags: int

    def columns(self, shape: FloatArray) -> FloatArray:
        """What enters linearly [seen, 3 or 4]: the answer of unit gain, offset, drift, the known disturbance's."""
        lag_s, dead_s = float(shape[0]) * self.scale_s, float(shape[1]) * self.scale_s
        n = len(self.u)
        found = [response(self.u, self.step_s, dead_s, lag_s, self.lags), np.ones(n), np.linspace(-0.5, 0.5, n)]
        if self.known is not None:
            found.append(response(self.known, self.step_s, dead_s, lag_s, self.lags))
        return np.asarray(np.column_stack(found)[self.seen], dtype=np.float64)

    def linear(self, shape: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Columns, their best coefficients, and what they leave of the output."""
        columns = self.columns(shape)
        weights = np.linalg.lstsq(columns, self.output[self.seen], rcond=None)[0]
        return columns, weights, self.output[self.seen] - columns @ weights


def identify(
    time_s: FloatArray, applied: FloatArray, output: FloatArray, order: Order = "fopdt", known: FloatArray | None = None
) -> Identified:
    """Fit the model to a record; ControlError when it is too short, not equally spaced, or was not excited.

    time_s [n], equally spaced; applied [n]: the input in force from each moment on; output [n]: measured then, NaN
    where nothing was measured; known [n]: a measured disturbance that takes the same way (its gain is fitted too).
    fopdt: one lag and dead time; sopdt: two equal lags and dead time.
    """
    _check(time_s, applied, output, known)
    at, away_s = _switches(time_s, applied)
    between_s = float(np.median(np.diff(at))) if len(at) > 1 else float(time_s[-1] - time_s[0]) / 4
    shortest_s = float(np.diff(at).min()) if len(at) > 1 else between_s
    record = _Record(applied - applied[0], None if known is None else known - known[0], output, np.isfinite(output),
                     float(time_s[1] - time_s[0]), between_s, LAGS[order])  # fmt: skip
    def unexplained(shape: FloatArray) -> FloatArray:
        return record.linear(shape)[2]

    starts = list(STARTS)
    if record.lags > 1:  # a single lag is found surely, and says where several equal ones may lie
        one = identify(time_s, applied, output, "fopdt", known)
        lag, dead = one.time_constant_s.value / between_s, one.dead_time_s.value / between_s
        starts = [(max(2e-3, lag / record.lags), max(0.0, dead - lag / record.lags))]
    fits = [least_squares(unexplained, start, bounds=((1e-3, 0.0), (LONGEST, LONGEST))) for start in starts]
    shape = np.asarray(min(fits, key=lambda fit: float(fit.cost)).x)
    # Slow noise leaves no more freedom than there are holds of the input.
    holds, hold = max(1, round(away_s / shortest_s) - 5), round(shortest_s / record.step_s)
    return _reported(record, shape, order, float(student.ppf(0.975, holds)) * _wider(hold / len(output)), hold)


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


def fitted(found: Identified, time_s: FloatArray, applied: FloatArray, known: FloatArray | None = None) -> FloatArray:
    """The model's output [n] for a record."""
    step_s = float(time_s[1] - time_s[0])
    way = (found.dead_time_s.value, found.time_constant_s.value, LAGS[found.order])
    answer = found.gain.value * response(applied - applied[0], step_s, *way)
    if known is not None:
        answer = answer + found.known_gain * response(known - known[0], step_s, *way)
    return np.asarray(found.offset + found.drift * np.linspace(-0.5, 0.5, len(time_s)) + answer)


def _reported(record: _Record, shape: FloatArray, order: Order, far: float, bandwidth: int) -> Identified:
    columns, weights, left = record.linear(shape)
    slopes = []
    for k in range(2):  # derivatives by time constant and dead time
        moved = shape.copy()
        moved[k] += 1e-4
        slopes.append((record.columns(moved) - columns) @ weights / (1e-4 * record.scale_s))
    sigma = np.sqrt(np.diag(_covariance(np.column_stack([columns, *slopes]), left, bandwidth)))
    lag_s, dead_s = (float(v) * record.scale_s for v in shape)
    output = record.output[record.seen] - columns[:, 2] * weights[2]
    return Identified(
        order=order, gain=_interval(float(weights[0]), far * float(sigma[0]), -np.inf),
        time_constant_s=_interval(lag_s, far * float(sigma[-2])), dead_time_s=_interval(dead_s, far * float(sigma[-1])),
        offset=float(weights[1]), drift=float(weights[2]), known_gain=float(weights[3]) if len(weights) > 3 else 0.0,
        r2=1.0 - float(left.var() / output.var()), n=len(left),
    )  # fmt: skip


def _wider(share: float) -> float:
    """How much wider a 95 % interval must be when correlations are summed over this share of the record.

    Kiefer and Vogelsang, Econometric Theory 21 (2005) 1130, Bartlett weights.
    """
    return (1.96 + 2.9694 * share + 0.416 * share**2 - 0.5324 * share**3) / 1.96


def _covariance(J: FloatArray, left: FloatArray, bandwidth: int) -> FloatArray:
    """Of least-squares estimates whose errors are correlated over at most `bandwidth` samples, Bartlett-weighted."""
    inverse, scores = np.linalg.pinv(J.T @ J), J * left[:, None]
    inner = scores.T @ scores
    for lag in range(1, min(bandwidth, len(left) - 1) + 1):
        across = scores[lag:].T @ scores[:-lag]
        inner += (1.0 - lag / (bandwidth + 1)) * (across + across.T)
    freedom = len(left) / max(1, len(left) - J.shape[1])
    return np.asarray(freedom * inverse @ inner @ inverse)


def _interval(value: float, half: float, least: float = 0.0) -> Interval:
    return Interval(value, max(least, value - half), value + half)


def _switches(time_s: FloatArray, applied: FloatArray) -> tuple[FloatArray, float]:
    """When the input went from one half of its range to the other (s), and how long it was away from the middle (s)."""
    middle, reach = 0.5 * (applied.max() + applied.min()), 0.25 * float(np.ptp(applied))
    clear = np.flatnonzero(np.abs(applied - middle) > reach)
    at = time_s[clear[1:]][np.diff(np.sign(applied[clear] - middle)) != 0]
    return np.asarray(at), float(time_s[clear[-1]] - time_s[clear[0]])


def _check(time_s: FloatArray, applied: FloatArray, output: FloatArray, known: FloatArray | None) -> None:
    if len({len(column) for column in (time_s, applied, output, *(() if known is None else (known,)))}) > 1:
        raise ControlError("identify: time, input, output and disturbance must have the same length")
    measured = np.all(np.isfinite(applied)) and (known is None or np.all(np.isfinite(known)))
    if int(np.isfinite(output).sum()) < FEWEST or not measured:
        raise ControlError(f"identify: at least {FEWEST} measured outputs and known inputs at every moment are needed")
    steps = np.diff(time_s)
    if not np.allclose(steps, steps[0], rtol=0.01) or steps[0] <= 0:
        raise ControlError("identify: the record must be equally spaced in time")
    if not float(np.ptp(applied)) > 0:
        raise ControlError("identify: the input never moved; nothing can be learnt from its answer")
