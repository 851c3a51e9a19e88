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
from math import isfinite

import numpy as np

from control.arithmetic import INTERPRETED, Arithmetic
from control.observe.robust import Loss, huber
from control.window import Linearised
from soft_sensors.signals import FloatArray

Led = tuple[FloatArray, FloatArray, FloatArray]  # slope, covariance before and noise of the step to the newest node
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
    return _estimate(estimator, window, (np.eye(n), nothing.cov, np.zeros(n)), notes, (), fallback=nothing)


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
    F, A = estimator.predict(window.X, grown.U[:, 1:], grown.P[:, 1:])
    grown.X[:, -1] = np.minimum(np.maximum(F[:, -1], estimator.low), estimator.high)
    notes = _put(estimator, grown, seen)
    return _estimate(estimator, grown, (A[-1], window.cov, grown.Q[:, -1]), notes, held, fallback=window, linear=(F, A))


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
    predicted = estimator.predict(window.X[:, :-1], window.U[:, 1:], window.P[:, 1:])
    return _linear(estimator, window, None, predicted)[0]


def _estimate(
    estimator: Estimator, window: Window, led: Led, notes: tuple[str, ...], held: tuple[int, ...],
    *, fallback: Window, linear: tuple[FloatArray, FloatArray] | None = None,
) -> tuple[Smoothed, Window]:  # fmt: skip
    innovations, weights = dict[str, float](), dict[str, float]()
    for iteration in range(estimator.iterations):
        if linear is None:
            linear = estimator.predict(window.X[:, :-1], window.U[:, 1:], window.P[:, 1:])
        along, fit = _linear(estimator, window, led if iteration == 0 else None, linear)
        if iteration == 0:
            innovations, weights = (_told(estimator, window, newest) for newest in fit)
        try:
            window, linear = _step(estimator, window, along, held), None
        except np.linalg.LinAlgError as error:
            return Smoothed(fallback.X[:, -1], fallback.cov, fallback.X, {}, {}, notes, str(error)), fallback
    return Smoothed(window.X[:, -1], window.cov, window.X, innovations, weights, notes), window


def _linear(
    estimator: Estimator, window: Window, led: Led | None, predicted: tuple[FloatArray, FloatArray]
) -> tuple[Linear, tuple[FloatArray, FloatArray]]:
    """The window linearised, and how the newest node fits: standardised residuals [n_y], and the loss's weights."""
    F, A = predicted
    Y, C = estimator.measure(window.X, window.U, window.P)
    residuals = np.where(np.isfinite(window.V), window.Y - Y, 0.0)
    variances = window.V
    if led is not None:
        # A new value may be far from a prediction that is itself uncertain: that is no gross error.
        variances = window.V.copy(order="K")
        A_last, cov, noise = led
        variances[:, -1] += estimator.arithmetic.spread(
            _rowwise(A_last.T), _rowwise(cov), _rowwise(noise), _rowwise(C[-1].T)
        )
    standardised = residuals / np.sqrt(variances)
    weights = estimator.loss(standardised)
    along = Linear(A, F - window.X[:, 1:], C, residuals, weights / window.V)
    return along, (standardised[:, -1], weights[:, -1])


def _told(estimator: Estimator, window: Window, newest: FloatArray) -> dict[str, float]:
    """The newest node's numbers by name, of what was measured there."""
    named = zip(estimator.measurements, window.V[:, -1].tolist(), newest.tolist(), strict=True)
    return {name: value for name, variance, value in named if isfinite(variance)}


def _step(estimator: Estimator, window: Window, along: Linear, held: tuple[int, ...]) -> Window:
    """The window a Gauss-Newton step on, cut to its length; raises numpy.linalg.LinAlgError where there is none."""
    fixed = np.zeros(len(window.X))
    fixed[list(held)] = 1.0
    found = estimator.arithmetic.window(Linearised(
        _rowwise(window.X.T), _rowwise(along.A.transpose(0, 2, 1)), _rowwise(along.C.transpose(0, 2, 1)),
        _rowwise(along.gaps.T), _rowwise(along.residuals.T), _rowwise(along.precisions.T), _rowwise(window.Q.T),
        window.prior_mean, window.prior_cov, estimator.length + 1,
        _rowwise(estimator.low), _rowwise(estimator.high), fixed,
    ))  # fmt: skip
    gone = window.X.shape[1] - len(found.X)
    return Window(
        found.X.T, window.U[:, gone:], window.P[:, gone:], window.Q[:, gone:], window.Y[:, gone:], window.V[:, gone:],
        found.mean, found.cov, found.newest_cov,
    )  # fmt: skip


def _put(estimator: Estimator, window: Window, seen: Sequence[Seen]) -> tuple[str, ...]:
    """Put values at the nodes of their sample times, in place; two of the same are joined by their precision."""
    Y, V, notes = window.Y, window.V, []
    for value in seen:
        name, at = estimator.measurements[value.index], Y.shape[1] - 1 - value.age
        if not (isfinite(value.value) and isfinite(value.sigma) and value.sigma > 0):
            notes.append(f"{name}: dropped, value {value.value} with sigma {value.sigma} is no measurement")
        elif not 0 <= at < Y.shape[1]:
            notes.append(f"{name}: dropped, its sample lies {value.age} steps back, outside the window")
        else:
            before, new = 1.0 / float(V[value.index, at]), 1.0 / float(value.sigma) ** 2
            Y[value.index, at] = (float(Y[value.index, at]) * before + value.value * new) / (before + new)
            V[value.index, at] = 1.0 / (before + new)
    return tuple(notes)


def _rowwise(values: FloatArray) -> FloatArray:
    return np.ascontiguousarray(values, float)


def _column(values: FloatArray) -> FloatArray:
    return np.asarray(values, float).reshape(-1, 1)


def _longer(values: FloatArray, column: FloatArray) -> FloatArray:
    """With one more column; a node's numbers lie together, as everything that reads them wants them."""
    longer = np.empty((values.shape[1] + 1, values.shape[0]))
    longer[:-1], longer[-1] = values.T, column
    return longer.T
