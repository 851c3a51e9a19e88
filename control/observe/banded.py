"""block-tridiagonal normal equations -> step and covariance: Cholesky on the bands, in time linear in the window."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.linalg.lapack import dpbtrf, dpbtrs, dtrtri

from soft_sensors.signals import FloatArray


def factor_of(diagonal: FloatArray, below: FloatArray) -> FloatArray:
    """Banded Cholesky factor (lower form) of diagonal blocks [K+1, n, n] and those below them [K, n, n].

    Raises numpy.linalg.LinAlgError where the matrix is not positive definite.
    """
    blocks, n, _ = diagonal.shape
    # Entry (i, j) of the matrix lies at i + j (2n - 1) of the flat storage: blocks go in through strided views. The
    # zeros above the diagonal of a block land where the bands end; what they do not reach is cleared here.
    flat = np.empty(blocks * n * 2 * n)
    flat.reshape(blocks, 2 * n * n)[:, 2 * n * n - n + 1 :] = 0.0
    flat[-2 * n * n :] = 0.0
    size = flat.itemsize
    strides = (2 * n * n * size, size, (2 * n - 1) * size)
    np.multiply(diagonal, _lower(n), out=np.ndarray((blocks, n, n), float, flat.data, 0, strides))
    if len(below):
        np.ndarray((blocks - 1, n, n), float, flat.data, n * size, strides)[:] = below
    # LAPACK itself: what scipy wraps round it takes as long as the factorisation.
    factor, failed = dpbtrf(flat.reshape((2 * n, blocks * n), order="F"), lower=1, overwrite_ab=1)
    if failed:
        raise np.linalg.LinAlgError(f"the leading minor {failed} is not positive definite")
    return np.asarray(factor)


def step_of(factor: FloatArray, gradient: FloatArray) -> FloatArray:
    """The Gauss-Newton step [n, K+1] for a gradient [n, K+1]."""
    step, _ = dpbtrs(factor, -gradient.ravel(order="F"), lower=1, overwrite_b=1)
    return np.asarray(step).reshape(gradient.shape[1], gradient.shape[0]).T


def newest_covariance(factor: FloatArray, n: int) -> FloatArray:
    """Inverse of the last Schur complement: the covariance of the newest state, all else marginalised."""
    flat = factor.ravel(order="F")[(factor.shape[1] - n) * 2 * n :]
    size = flat.itemsize
    L = np.ndarray((n, n), float, flat.data, 0, (size, (2 * n - 1) * size)) * _lower(n)
    inverse, _ = dtrtri(L, lower=1)
    return np.asarray(inverse.T @ inverse)


@cache
def _lower(n: int) -> FloatArray:
    return np.tri(n)
