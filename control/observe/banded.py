"""block-tridiagonal normal equations -> step and covariance: Cholesky on the bands, in time linear in the window."""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_solve_banded, cholesky_banded

from soft_sensors.signals import FloatArray


def factor_of(diagonal: FloatArray, below: FloatArray) -> FloatArray:
    """Banded Cholesky factor (lower form) of diagonal blocks [K+1, n, n] and those below them [K, n, n].

    Raises numpy.linalg.LinAlgError where the matrix is not positive definite.
    """
    blocks, n, _ = diagonal.shape
    # Entry (i, j) of the matrix lies at i + j (2n - 1) of the flat storage: blocks go in through strided views.
    flat = np.zeros(blocks * n * 2 * n)
    size = flat.itemsize
    strides = (2 * n * n * size, size, (2 * n - 1) * size)
    np.lib.stride_tricks.as_strided(flat, (blocks, n, n), strides)[:] = np.tril(diagonal)
    if len(below):
        np.lib.stride_tricks.as_strided(flat[n:], (blocks - 1, n, n), strides)[:] = below
    factor: FloatArray = cholesky_banded(
        flat.reshape((2 * n, blocks * n), order="F"), lower=True, overwrite_ab=True, check_finite=False
    )
    return factor


def step_of(factor: FloatArray, gradient: FloatArray) -> FloatArray:
    """The Gauss-Newton step [n, K+1] for a gradient [n, K+1]."""
    step = cho_solve_banded((factor, True), -gradient.T.ravel(), check_finite=False)
    return np.asarray(step).reshape(gradient.shape[1], gradient.shape[0]).T


def newest_covariance(factor: FloatArray, n: int) -> FloatArray:
    """Inverse of the last Schur complement: the covariance of the newest state, all else marginalised."""
    L = np.zeros((n, n))
    for j in range(n):
        L[j:, j] = factor[: n - j, factor.shape[1] - n + j]
    inverse = np.linalg.inv(L)
    return inverse.T @ inverse
