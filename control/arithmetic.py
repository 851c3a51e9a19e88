"""stacks of matrices -> the sums that condensing and estimation are made of, each in one fixed order of operations.

This is the meaning of `arithmetic.c`, in numpy and to the last bit: `control.native` puts the compiled form in its
place where there is a compiler, and a decision does not depend on which of the two computed it. No product goes to a
linear algebra library here, for those sum in an order of their own, another on each processor.

Matrices "by column" are stacks [steps, columns, rows], the way CasADi lays them side by side.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from control.window import Linearised, Stepped, spread, stepped, summed
from soft_sensors.signals import FloatArray

WIDTH = 8  # of what is summed side by side: rows are padded to a multiple of it


class Arithmetic(Protocol):
    """The four sums; both forms of them are interchangeable."""

    def carry(self, G: FloatArray, D: FloatArray, block: np.ndarray, into: FloatArray, out: FloatArray) -> None:
        """out_k += G_k into_k, plus D_k in the columns of the block [steps] that step k is in.

        G [steps, n, rows], D [steps, n_u, rows] by column; into [steps, n, wide], out [steps, rows, wide] of zeros,
        wide a multiple of WIDTH; out may be `into` one step on. Where G is exactly 0 nothing is carried.
        """
        ...

    def follow(self, G: FloatArray, c: FloatArray, into: FloatArray, out: FloatArray) -> None:
        """out_k = G_k into_k + c_k. G [steps, n, rows] by column; c, out [steps, rows]; into [steps, n]."""
        ...

    def spread(self, A: FloatArray, cov: FloatArray, noise: FloatArray, C: FloatArray) -> FloatArray:
        """Variances of predicted measurements, by `control.window.spread`, which says what goes in."""
        ...

    def window(self, window: Linearised) -> Stepped:
        """One Gauss-Newton step of a moving-horizon estimator, by `control.window.stepped`, which says what it is.

        Raises numpy.linalg.LinAlgError, saying why, where there is none.
        """
        ...


def padded(columns: int) -> int:
    """The next multiple of WIDTH."""
    return -(-columns // WIDTH) * WIDTH


class Interpreted:
    """The sums in numpy; what is not finite goes through them unremarked, as through the compiled ones."""

    @np.errstate(all="ignore")
    def carry(self, G: FloatArray, D: FloatArray, block: np.ndarray, into: FloatArray, out: FloatArray) -> None:
        """See `Arithmetic`."""
        n_u = D.shape[1]
        for k, at in enumerate(block):
            until = padded(n_u * (int(at) + 1))
            products = G[k][:, :, None] * into[k, :, None, :until]
            products[G[k] == 0.0] = 0.0
            out[k, :, :until] = summed(products)
            out[k, :, at * n_u : (at + 1) * n_u] += D[k].T

    @np.errstate(all="ignore")
    def follow(self, G: FloatArray, c: FloatArray, into: FloatArray, out: FloatArray) -> None:
        """See `Arithmetic`."""
        for k in range(len(G)):
            out[k] = summed(G[k] * into[k][:, None]) + c[k]

    def spread(self, A: FloatArray, cov: FloatArray, noise: FloatArray, C: FloatArray) -> FloatArray:
        """See `Arithmetic`."""
        return spread(A, cov, noise, C)

    def window(self, window: Linearised) -> Stepped:
        """See `Arithmetic`."""
        return stepped(window)


INTERPRETED = Interpreted()
