"""PLS with one response, small and fast, for cross-validation (the final fit is scikit-learn's)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from soft_sensors.signals import FloatArray

RANK_LIMIT = 300  # our choice: directions beyond the 300 largest carry no variance that PLS could use


@dataclass(frozen=True)
class Pls1:
    """A fitted model: x_mean [m], y_mean, rotations R [m, k], loadings P [m, k], q [k], score_sd [k]."""

    x_mean: FloatArray
    y_mean: float
    R: FloatArray
    P: FloatArray
    q: FloatArray
    score_sd: FloatArray


def fit(X: FloatArray, y: FloatArray, n_latent: int) -> Pls1:
    """PLS1 of y [n] on X [n, m], both centred inside, by the improved kernel algorithm.

    Equation: Dayal and MacGregor 1997, J. Chemometrics 11, 73 (algorithm 1), which never deflates X. Stops early, with
    fewer latent variables, when y is explained to rounding.
    """
    x_mean, y_mean = X.mean(axis=0), float(y.mean())
    centred = X - x_mean
    cross, product = centred.T @ (y - y_mean), centred.T @ centred
    floor = 1e-12 * float(np.linalg.norm(cross))
    size = X.shape[1]
    R, P = np.zeros((size, n_latent)), np.zeros((size, n_latent))
    q, sd = np.zeros(n_latent), np.zeros(n_latent)
    made = 0
    for k in range(n_latent):
        length = float(np.linalg.norm(cross))
        if length <= floor:
            break
        w = cross / length
        r = w - R[:, :k] @ (P[:, :k].T @ w)
        image = product @ r
        tt = float(r @ image)
        if tt <= 0:
            break
        R[:, k], P[:, k], q[k] = r, image / tt, float(cross @ r) / tt
        sd[k] = np.sqrt(tt / (len(y) - 1))
        cross = cross - P[:, k] * (q[k] * tt)
        made = k + 1
    return Pls1(x_mean, y_mean, R[:, :made], P[:, :made], q[:made], sd[:made])


def predict_path(model: Pls1, X: FloatArray, n_latent: int) -> FloatArray:
    """Predictions [n, n_latent] with 1, 2, ... latent variables (the last one repeats where the fit had stopped)."""
    scores = (X - model.x_mean) @ model.R
    path = model.y_mean + np.cumsum(scores * model.q, axis=1)
    if path.shape[1] == 0:
        return np.full((len(X), n_latent), model.y_mean)
    return path[:, np.minimum(np.arange(n_latent), path.shape[1] - 1)]


def scores(model: Pls1, X: FloatArray) -> FloatArray:
    """Scores [n, k] in units of their standard deviation over the calibration."""
    return ((X - model.x_mean) @ model.R) / model.score_sd


def distances(model: Pls1, X: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Hotelling T2 [n] and squared spectral residual Q [n]."""
    centred = X - model.x_mean
    scores = centred @ model.R
    t2 = ((scores / model.score_sd) ** 2).sum(axis=1)
    return t2, ((centred - scores @ model.P.T) ** 2).sum(axis=1)


def compress(X: FloatArray) -> tuple[FloatArray, FloatArray]:
    """X [n, m] turned into its principal axes [n, r], r <= min(n - 1, m), and these axes [m, r].

    PLS, T2 and Q are the same there: the rotation is orthonormal and holds all samples; only the cost falls.
    """
    U, S, axes = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)
    floor = S[0] * 1e-13
    rank = min(max(1, int(np.count_nonzero(floor < S))), RANK_LIMIT)
    return np.asarray(U[:, :rank] * S[:rank], dtype=np.float64), np.asarray(axes[:rank].T, dtype=np.float64)
