"""linearised window -> its Gauss-Newton step: the oldest node into the prior, normal equations, bounds, covariance.

This is the meaning of `window.c`, in numpy and to the last bit; see `control.arithmetic` for why there are both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from soft_sensors.signals import FloatArray

STIFF = 1e8  # how much more than all else a bound, or a held state, weighs
NO_FACTOR = "the normal equations have no factor: the model, or what it was given, is not finite or is singular"
NOT_FINITE = "the model, or what it was given, is not finite"


@dataclass(frozen=True)
class Linearised:
    """A linearised window of K + 1 nodes with n states and n_y measurements, a row a node.

    X [K+1, n]; A [K, n, n] and C [K+1, n, n_y] by column; gaps f(x_k) - x_{k+1} [K, n]; misfits and their weights
    [K+1, n_y], a weight of exactly 0 for no value; noise [K+1, n]: variance of the step that led to a node; mean [n]
    and cov [n, n] of the first node before its own values; keep: nodes that stay, the others leave, oldest first;
    low, high [n]: bounds of the states; held [n]: other than 0 where a state is not to be moved.
    """

    X: FloatArray
    A: FloatArray
    C: FloatArray
    gaps: FloatArray
    misfits: FloatArray
    weights: FloatArray
    noise: FloatArray
    mean: FloatArray
    cov: FloatArray
    keep: int
    low: FloatArray
    high: FloatArray
    held: FloatArray


@dataclass(frozen=True)
class Stepped:
    """The states after the step [nodes kept, n], covariance of the newest, mean and cov of the prior that is left."""

    X: FloatArray
    newest_cov: FloatArray
    mean: FloatArray
    cov: FloatArray


@dataclass(frozen=True)
class _Parts:
    """What the normal equations are made of beside the window itself: prior [n, n] and pull [n] of the first node;

    inverse_q [K+1, n]; stiff [K+1, n]: how many times its own information holds a state to the step `aim` [K+1, n].
    """

    prior: FloatArray
    pull: FloatArray
    inverse_q: FloatArray
    stiff: FloatArray
    aim: FloatArray


@np.errstate(all="ignore")
def stepped(window: Linearised) -> Stepped:
    """One Gauss-Newton step within bounds; raises numpy.linalg.LinAlgError, saying why, where there is none."""
    while len(window.X) > window.keep:
        window = _left(window)
    prior, pull = _informed(window)
    inverse_q, still = np.zeros(window.X.shape), np.zeros(window.X.shape)
    np.divide(1.0, window.noise[1:], out=inverse_q[1:])
    parts = _Parts(prior, pull, inverse_q, still, still)
    step, last = _solved(window, parts)
    cov = _squared(_inverted(last))
    moved, held = window.X + step, window.held != 0.0
    inside = _within(window, moved)
    stiff, aim = STIFF * (held | (inside != moved)), np.where(held, 0.0, inside - window.X)
    if stiff.any():
        step, _ = _solved(window, _Parts(prior, pull, inverse_q, stiff, aim))
    if not (np.isfinite(step).all() and np.isfinite(cov).all()):
        raise np.linalg.LinAlgError(NOT_FINITE)
    return Stepped(_within(window, window.X + step), cov, window.mean, window.cov)


@np.errstate(all="ignore")
def spread(A: FloatArray, cov: FloatArray, noise: FloatArray, C: FloatArray) -> FloatArray:
    """Variances [n_y] of what measurements are predicted to be, one step on from a state known to cov [n, n].

    A [n, n] and C [n, n_y] by column; noise [n]: variance of that step.
    """
    ahead = _led(A, cov, noise)
    return np.array([summed(c * summed(c[:, None] * ahead)) for c in C.T])


def summed(products: FloatArray) -> FloatArray:
    """Over the first axis, from 0 on, one after the other (numpy's own sum may pair them)."""
    total: FloatArray = np.add.accumulate(products, axis=0)[-1] + 0.0
    return total


def _within(window: Linearised, X: FloatArray) -> FloatArray:
    return np.where(window.low > X, window.low, np.where(window.high < X, window.high, X))


def _left(window: Linearised) -> Linearised:
    """Without its first node: its prior and its values, by a Kalman step, become the prior of the next.

    Values are taken in one by one, as those whose errors are independent may be.
    """
    A, P, away = window.A[0], window.cov, window.mean - window.X[0]
    for y in np.flatnonzero(window.weights[0]):
        c = window.C[0][:, y]
        crossed = summed(c[:, None] * P)
        gain = crossed / (summed(c * crossed) + 1.0 / window.weights[0, y])
        away = away + gain * (window.misfits[0, y] - summed(c * away))
        P = P - gain[:, None] * crossed
    ahead = _led(A, P, window.noise[1])
    mean = window.X[1] + (summed(A * away[:, None]) + window.gaps[0])
    return Linearised(
        window.X[1:], window.A[1:], window.C[1:], window.gaps[1:], window.misfits[1:], window.weights[1:],
        window.noise[1:], mean, 0.5 * (ahead + ahead.T), window.keep, window.low, window.high, window.held,
    )  # fmt: skip


def _led(A: FloatArray, P: FloatArray, noise: FloatArray) -> FloatArray:
    """A P A', and the noise on its diagonal; A by column."""
    half = summed(A[:, :, None] * P[:, None, :])
    ahead = summed(half.T[:, :, None] * A[:, None, :])
    np.einsum("ii->i", ahead)[:] += noise
    return ahead


def _informed(window: Linearised) -> tuple[FloatArray, FloatArray]:
    """The prior as information about the first node, and its pull there."""
    columns = window.cov.copy()
    _factor(columns)
    rows = _inverted(columns)
    part = summed(rows.T * (window.X[0] - window.mean)[:, None])
    return _squared(rows), summed(rows * part[:, None])


def _factor(columns: FloatArray) -> None:
    """The columns [n, n and more] of a symmetric matrix become its Cholesky factor's; what is behind it goes along."""
    for j in range(len(columns)):
        c = columns[j]
        if not (c[j] > 0.0) or np.isinf(c[j]):
            raise np.linalg.LinAlgError(NO_FACTOR)
        pivot = np.sqrt(c[j])
        c *= 1.0 / pivot
        c[j] = pivot
        columns[j + 1 :] -= c[j + 1 : len(columns), None] * c


def _inverted(columns: FloatArray) -> FloatArray:
    """The inverse of a factor whose columns are given, by row."""
    rows = np.eye(len(columns))
    for r in range(len(rows)):
        row = rows[r]
        for m in range(r):
            row -= columns[m, r] * rows[m]
        row *= 1.0 / columns[r, r]
    return rows


def _squared(rows: FloatArray) -> FloatArray:
    return summed(rows[:, :, None] * rows[:, None, :])


def _solved(window: Linearised, parts: _Parts) -> tuple[FloatArray, FloatArray]:
    """The step of all nodes [K+1, n] and the columns of the last node's factor, which is what tells its covariance."""
    nodes, n = window.X.shape
    left, below = _information(window, parts), _below(window, parts)
    panels = []
    for k in range(nodes):
        panel = np.hstack([left[k], below[k]])  # a row a state: own block, gradient, block below
        _factor(panel)
        if k + 1 < nodes:
            behind = np.hstack([panel[:, n + 1 :], panel[:, n : n + 1]])
            for c in behind:
                left[k + 1] -= c[:n, None] * c
        panels.append(panel)
    step = np.empty((nodes, n))
    for k in range(nodes - 1, -1, -1):
        panel = panels[k]
        x = panel[:, n].copy()
        if k + 1 < nodes:
            x = np.add.accumulate(np.vstack([x, (panel[:, n + 1 :] * step[k + 1]).T]), axis=0)[-1]
        for i in range(n - 1, -1, -1):
            step[k, i] = -x[i] * (1.0 / panel[i, i])
            x[:i] += panel[:i, i] * step[k, i]
    return step, panels[-1][:, :n]


def _information(window: Linearised, parts: _Parts) -> FloatArray:
    """What each node's own rows say, and their gradient as last column: [K+1, n, n + 1]."""
    n = len(parts.pull)
    seen = np.concatenate([window.C, -window.misfits[:, None, :]], axis=1).transpose(2, 0, 1)
    seen = np.where(window.weights.T[:, :, None] == 0.0, 0.0, seen)
    left: FloatArray = _outer(window.weights.T, seen)
    led = np.concatenate([window.A, window.gaps[:, None, :]], axis=1).transpose(2, 0, 1)
    for row in _each(parts.inverse_q[1:].T, led):
        left[:-1] += row
    left[0, :, :n] += parts.prior
    left[0, :, n] += parts.pull
    diagonal = np.einsum("kii->ki", left[:, :, :n])
    diagonal[1:] += parts.inverse_q[1:]
    left[1:, :, n] -= parts.inverse_q[1:] * window.gaps
    heavy = diagonal * parts.stiff
    diagonal += heavy
    left[:, :, n] -= heavy * parts.aim
    return left


def _outer(weights: FloatArray, rows: FloatArray) -> FloatArray:
    total = np.zeros((rows.shape[1], rows.shape[2] - 1, rows.shape[2]))
    for row in _each(weights, rows):
        total += row
    return total


def _each(weights: FloatArray, rows: FloatArray) -> list[FloatArray]:
    """Weighed outer products of rows [r, nodes, n + 1] with themselves, but for their last entry; 0 is left out."""
    return [
        np.where(row[:, :-1, None] == 0.0, 0.0, (weight[:, None] * row[:, :-1])[:, :, None] * row[:, None, :])
        for weight, row in zip(weights, rows, strict=True)
    ]


def _below(window: Linearised, parts: _Parts) -> FloatArray:
    """The blocks below the diagonal by column [K+1, n, n], the last of zeros."""
    below = np.zeros((len(window.X), *parts.prior.shape))
    below[:-1] = -(parts.inverse_q[1:, None, :] * window.A) + 0.0
    return below
