"""window of samples + model -> states: moving-horizon estimation by one Gauss-Newton step a sample, whatever arrives.

Over the nodes k = 0..K of the window, with process noise on every state, one step on

    minimise   |x_0 - m|^2_{P^-1} + sum_k |x_{k+1} - f(x_k, u_k)|^2_{Q_k^-1} + sum_k sum_i rho((y_ik - h_i(x_k)) / s_ik)

whose normal equations are block-tridiagonal: one Cholesky factorisation, node by node, whose last block is the
covariance of the newest state. A value enters at the node of its own sample time, however late, as long as that is in
the window. The arrival cost (m, P) moves by the extended Kalman filter when a node leaves. Pure: the window is
handed in and back.

Source: Rao, Rawlings, Mayne, IEEE Trans. Autom. Control 48 (2003) 246; reweighting: see `control.observe.robust`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.linalg.lapack import dposv, dpotrf, dpotri, dpotrs, dtrtri

from control.arithmetic import INTERPRETED, Arithmetic, WindowSums
from control.observe.robust import Loss, huber
from soft_sensors.signals import FloatArray

STIFF = 1e8  # how much more than all else a bound, or a held state, weighs
Evaluate = Callable[[FloatArray, FloatArray, FloatArray], tuple[FloatArray, FloatArray]]


@dataclass(frozen=True)
class Estimator:
    """The fixed parts: predict(X, U, P) -> F [n, K], A [K, n, n]; measure(X, U, P) -> Y [n_y, K], C [K, n_y, n].

    X, U, P have a column a node and the two must take up to length + 2 of them; low, high: bounds of the states [n];
    loss: standardised residuals -> weights (robust against gross errors); length: steps that the window remembers.
    """

    predict: Evaluate
    measure: Evaluate
    states: tuple[str, ...]
    measurements: tuple[str, ...]
    length: int
    low: FloatArray
    high: FloatArray
    loss: Loss = field(default=huber)
    iterations: int = 1
    arithmetic: Arithmetic = field(default=INTERPRETED)


@dataclass(frozen=True)
class Seen:
    """A measured value, of a measurement by its number, with sigma; age: steps from its sample to the newest node."""

    index: int
    value: float
    sigma: float
    age: int = 0


@dataclass(frozen=True)
class Window:
    """What is remembered: a column a node. U, P, Q: input, parameters and noise variance of the step that led there.

    Y [n_y, K+1] and its variances V (infinite where nothing was seen); prior: mean [n] and covariance of the oldest
    node before its own measurements; cov: of the newest node.
    """

    X: FloatArray
    U: FloatArray
    P: FloatArray
    Q: FloatArray
    Y: FloatArray
    V: FloatArray
    prior_mean: FloatArray
    prior_cov: FloatArray
    cov: FloatArray


@dataclass(frozen=True)
class Smoothed:
    """The newest state [n] with covariance, all states of the window [n, K+1], and how the new values fitted in.

    innovations: newest values against their prediction, in standard deviations, by name; weights: what the loss gave
    them (1: believed in full); notes: values that were dropped, and why; status: "ok", or why nothing was estimated.
    """

    mean: FloatArray
    cov: FloatArray
    states: FloatArray
    innovations: dict[str, float]
    weights: dict[str, float]
    notes: tuple[str, ...]
    status: str = "ok"


@dataclass(frozen=True)
class Linear:
    """The window linearised: A [K, n, n], gaps f(x_k) - x_{k+1} [n, K], C [K+1, n_y, n], residuals and weights / V."""

    A: FloatArray
    gaps: FloatArray
    C: FloatArray
    residuals: FloatArray
    precisions: FloatArray


def begin(
    estimator: Estimator, mean: FloatArray, cov: FloatArray, u: FloatArray, p: FloatArray, seen: Sequence[Seen] = ()
) -> tuple[Smoothed, Window]:
    """A window of one node with a prior [n], [n, n]; u, p: input and parameters in force there."""
    n, n_y = len(mean), len(estimator.measurements)
    nothing = Window(
        _column(mean), _column(u), _column(p), np.zeros((n, 1)), np.zeros((n_y, 1)), np.full((n_y, 1), np.inf),
        np.asarray(mean, float), np.asarray(cov, float), np.asarray(cov, float),
    )  # fmt: skip
    window = replace(nothing, Y=nothing.Y.copy(), V=nothing.V.copy())
    notes = _put(estimator, window, seen)
    return _estimate(estimator, window, nothing.cov, notes, (), fallback=nothing)


def advance(
    estimator: Estimator, window: Window, u: FloatArray, p: FloatArray, sigma: FloatArray,
    seen: Sequence[Seen] = (), held: tuple[int, ...] = (),
) -> tuple[Smoothed, Window]:  # fmt: skip
    """One sample later: u, p led to the new node with process noise sigma [n] (above 0); held: states not to be moved.

    A failed sample (status) leaves the window as it was: go on from it, or begin anew. Never raises on bad numbers.
    """
    missing = np.zeros(len(estimator.measurements))
    grown = Window(
        _longer(window.X, window.X[:, -1]), _longer(window.U, u), _longer(window.P, p),
        _longer(window.Q, np.square(sigma)), _longer(window.Y, missing), _longer(window.V, missing + np.inf),
        window.prior_mean, window.prior_cov, window.cov,
    )  # fmt: skip
    F, A = estimator.predict(grown.X[:, :-1], grown.U[:, 1:], grown.P[:, 1:])
    grown.X[:, -1] = np.clip(F[:, -1], estimator.low, estimator.high)
    spread = A[-1] @ window.cov @ A[-1].T + np.diag(grown.Q[:, -1])
    notes = _put(estimator, grown, seen)
    return _estimate(estimator, grown, spread, notes, held, fallback=window, linear=(F, A))


def freed(window: Window, state: int, sigma: float, age: int) -> Window:
    """The window with noise added to one state's step that ended `age` steps before the newest node.

    For a change that is recognised after it happened; a step that has left the window is nothing to add to.
    """
    at = window.X.shape[1] - 1 - age
    if at < 1:
        return window
    Q = window.Q.copy()
    Q[state, at] += sigma**2
    return replace(window, Q=Q)


def linearised(estimator: Estimator, window: Window) -> Linear:
    """The window linearised along its states, measurements weighed as they are now."""
    return _linear(estimator, window, None, estimator.predict(window.X[:, :-1], window.U[:, 1:], window.P[:, 1:]))


def _estimate(
    estimator: Estimator, window: Window, spread: FloatArray, notes: tuple[str, ...], held: tuple[int, ...],
    *, fallback: Window, linear: tuple[FloatArray, FloatArray] | None = None,
) -> tuple[Smoothed, Window]:  # fmt: skip
    innovations, weights = dict[str, float](), dict[str, float]()
    for iteration in range(estimator.iterations):
        if linear is None:
            linear = estimator.predict(window.X[:, :-1], window.U[:, 1:], window.P[:, 1:])
        along = _linear(estimator, window, spread if iteration == 0 else None, linear)
        if iteration == 0:
            innovations, weights = _fit(estimator, window, along, spread)
            if window.X.shape[1] > estimator.length + 1:
                window, along = _slide(window, along)
        solved = _solve(estimator, window, along, held)
        if isinstance(solved, str):
            return Smoothed(fallback.X[:, -1], fallback.cov, fallback.X, {}, {}, notes, solved), fallback
        X, cov = solved
        window, linear = Window(X, window.U, window.P, window.Q, window.Y, window.V, window.prior_mean,
                                window.prior_cov, cov), None  # fmt: skip
    return Smoothed(window.X[:, -1], window.cov, window.X, innovations, weights, notes), window


def _linear(
    estimator: Estimator, window: Window, spread: FloatArray | None, predicted: tuple[FloatArray, FloatArray]
) -> Linear:
    F, A = predicted
    Y, C = estimator.measure(window.X, window.U, window.P)
    present = np.isfinite(window.V)
    residuals = np.where(present, window.Y - Y, 0.0)
    variances = window.V
    if spread is not None:
        # A new value may be far from a prediction that is itself uncertain: that is no gross error.
        variances = window.V.copy()
        variances[:, -1] += np.sum((C[-1] @ spread) * C[-1], axis=1)
    weights = estimator.loss(residuals / np.sqrt(variances))
    return Linear(A, F - window.X[:, 1:], C, residuals, weights / window.V)


def _fit(
    estimator: Estimator, window: Window, along: Linear, spread: FloatArray
) -> tuple[dict[str, float], dict[str, float]]:
    there = np.flatnonzero(np.isfinite(window.V[:, -1]))
    C, V = along.C[-1][there], window.V[there, -1]
    spreads = np.sqrt(V + np.sum((C @ spread) * C, axis=1))
    names = [estimator.measurements[i] for i in there]
    innovations = (along.residuals[there, -1] / spreads).tolist()
    weights = (along.precisions[there, -1] * V).tolist()
    return dict(zip(names, innovations, strict=True)), dict(zip(names, weights, strict=True))


def _slide(window: Window, along: Linear) -> tuple[Window, Linear]:
    """Forget the oldest node: its prior and its measurements, by a Kalman step, become the prior of the next."""
    A, away, P = along.A[0], window.prior_mean - window.X[:, 0], window.prior_cov
    there = np.flatnonzero(along.precisions[:, 0])
    C, innovation = along.C[0][there], along.residuals[there, 0]
    PC = P @ C.T
    spread = C @ PC + np.diag(1.0 / along.precisions[there, 0])
    _, turned, failed = dposv(spread, PC.T) if len(there) else (spread, PC.T, 0)
    gain = turned.T if not failed else np.full_like(PC, np.nan)
    mean, cov = away + gain @ (innovation - C @ away), P - gain @ PC.T
    ahead = A @ cov @ A.T + np.diag(window.Q[:, 1])
    forward = window.X[:, 1] + along.gaps[:, 0] + A @ mean
    later = Window(
        window.X[:, 1:], window.U[:, 1:], window.P[:, 1:], window.Q[:, 1:], window.Y[:, 1:], window.V[:, 1:],
        forward, 0.5 * (ahead + ahead.T), window.cov,
    )  # fmt: skip
    rest = Linear(along.A[1:], along.gaps[:, 1:], along.C[1:], along.residuals[:, 1:], along.precisions[:, 1:])
    return later, rest


def _solve(
    estimator: Estimator, window: Window, along: Linear, held: tuple[int, ...]
) -> tuple[FloatArray, FloatArray] | str:
    """One Gauss-Newton step: the states within bounds and the covariance of the newest; text where there is none."""
    try:
        sums = _sums(window, along)
        step, last = estimator.arithmetic.window(sums)
        X, (low, high) = window.X.T + step, (estimator.low, estimator.high)
        inside = np.minimum(np.maximum(X, low), high)
        if held or not np.array_equal(X, inside):
            stiff = (inside != X).astype(float)
            inside[:, list(held)], stiff[:, list(held)] = window.X.T[:, list(held)], 1.0
            aim = inside - window.X.T
            step, _ = estimator.arithmetic.window(replace(sums, stiff=STIFF * stiff, aim=aim))
            inside = np.minimum(np.maximum(window.X.T + step, low), high)
    except np.linalg.LinAlgError:
        return "the normal equations have no factor: the model, or what it was given, is not finite or is singular"
    inverse, _ = dtrtri(last, lower=1)  # of the last Schur complement's factor: all else is marginalised
    cov = inverse.T @ inverse
    if not (np.all(np.isfinite(step)) and np.all(np.isfinite(cov))):
        return "the model, or what it was given, is not finite"
    return inside.T, cov


def _sums(window: Window, along: Linear) -> WindowSums:
    """The window's normal equations in parts; the arrival cost comes in as information."""
    factor, failed = dpotrf(window.prior_cov, lower=1)
    if failed:
        raise np.linalg.LinAlgError("the arrival cost is not positive definite")
    pull, _ = dpotrs(factor, window.X[:, 0] - window.prior_mean, lower=1)
    prior, _ = dpotri(factor, lower=1)
    still, inverse_q = np.zeros(window.X.shape[::-1]), np.zeros(window.X.shape[::-1])
    np.divide(1.0, window.Q[:, 1:].T, out=inverse_q[1:])
    rowwise = np.ascontiguousarray
    return WindowSums(
        rowwise(along.A.transpose(0, 2, 1)), rowwise(along.C.transpose(0, 2, 1)), rowwise(along.gaps.T),
        rowwise(along.residuals.T), rowwise(along.precisions.T), inverse_q, rowwise(prior.T), pull, still, still,
    )  # fmt: skip


def _put(estimator: Estimator, window: Window, seen: Sequence[Seen]) -> tuple[str, ...]:
    """Put values at the nodes of their sample times, in place; two of the same are joined by their precision."""
    Y, V, notes = window.Y, window.V, []
    for value in seen:
        name, at = estimator.measurements[value.index], Y.shape[1] - 1 - value.age
        if not (np.isfinite(value.value) and np.isfinite(value.sigma) and value.sigma > 0):
            notes.append(f"{name}: dropped, value {value.value} with sigma {value.sigma} is no measurement")
        elif not 0 <= at < Y.shape[1]:
            notes.append(f"{name}: dropped, its sample lies {value.age} steps back, outside the window")
        else:
            before, new = 1.0 / float(V[value.index, at]), 1.0 / float(value.sigma) ** 2
            Y[value.index, at] = (float(Y[value.index, at]) * before + value.value * new) / (before + new)
            V[value.index, at] = 1.0 / (before + new)
    return tuple(notes)


def _column(values: FloatArray) -> FloatArray:
    return np.asarray(values, float).reshape(-1, 1)


def _longer(values: FloatArray, column: FloatArray) -> FloatArray:
    """With one more column; a node's numbers lie together, as everything that reads them wants them."""
    longer = np.empty((values.shape[1] + 1, values.shape[0]))
    longer[:-1], longer[-1] = values.T, column
    return longer.T
