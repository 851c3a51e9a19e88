"""stacks of matrices -> the sums that condensing and estimation are made of, each in one fixed order of operations.

This is the meaning of `arithmetic.c`, in numpy and to the last bit: `control.native` puts the compiled form in its
place where there is a compiler, and a decision does not depend on which of the two computed it. No product goes to a
linear algebra library here, for those sum in an order of their own, another on each processor.

Matrices "by column" are stacks [steps, columns, rows], the way CasADi lays them side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from soft_sensors.signals import FloatArray

WIDTH = 8  # of what is summed side by side: rows are padded to a multiple of it


@dataclass(frozen=True)
class WindowSums:
    """A linearised window of K + 1 nodes with n states and n_y measurements, a row a node.

    A [K, n, n] and C [K+1, n, n_y] by column; gaps f(x_k) - x_{k+1} [K, n]; misfits and their weights [K+1, n_y];
    inverse_q [K+1, n]: of the process noise variance of the step that led to a node; prior [n, n]: information about
    the first node, and pull [n]: prior (x_0 - m); stiff [K+1, n]: how many times its own information holds a state to
    the step `aim` [K+1, n].
    """

    A: FloatArray
    C: FloatArray
    gaps: FloatArray
    misfits: FloatArray
    weights: FloatArray
    inverse_q: FloatArray
    prior: FloatArray
    pull: FloatArray
    stiff: FloatArray
    aim: FloatArray


class Arithmetic(Protocol):
    """The three sums; both forms of them are interchangeable."""

    def carry(self, G: FloatArray, D: FloatArray, block: np.ndarray, into: FloatArray, out: FloatArray) -> None:
        """out_k += G_k into_k, plus D_k in the columns of the block [steps] that step k is in.

        G [steps, n, rows], D [steps, n_u, rows] by column; into [steps, n, wide], out [steps, rows, wide] of zeros,
        wide a multiple of WIDTH; out may be `into` one step on. Where G is exactly 0 nothing is carried.
        """
        ...

    def follow(self, G: FloatArray, c: FloatArray, into: FloatArray, out: FloatArray) -> None:
        """out_k = G_k into_k + c_k. G [steps, n, rows] by column; c, out [steps, rows]; into [steps, n]."""
        ...

    def window(self, sums: WindowSums) -> tuple[FloatArray, FloatArray]:
        """The Gauss-Newton step [K+1, n] and the last block of the Cholesky factor [n, n] (lower).

        Raises numpy.linalg.LinAlgError where the normal equations have no factor.
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
            out[k, :, :until] = _summed(products)
            out[k, :, at * n_u : (at + 1) * n_u] += D[k].T

    @np.errstate(all="ignore")
    def follow(self, G: FloatArray, c: FloatArray, into: FloatArray, out: FloatArray) -> None:
        """See `Arithmetic`."""
        for k in range(len(G)):
            out[k] = _summed(G[k] * into[k][:, None]) + c[k]

    @np.errstate(all="ignore")
    def window(self, sums: WindowSums) -> tuple[FloatArray, FloatArray]:
        """See `Arithmetic`."""
        nodes, n = sums.aim.shape
        left, below = _information(sums), _below(sums)
        panels = []
        for k in range(nodes):
            panel = np.hstack([left[k], below[k], np.zeros((n, 1))])  # a row a state: own, gradient, below, again
            for j in range(n):
                c = panel[j]
                if not (c[j] > 0.0) or np.isinf(c[j]):
                    raise np.linalg.LinAlgError(f"the window has no information about state {j} of node {k}")
                pivot = np.sqrt(c[j])
                c *= 1.0 / pivot
                c[j], c[-1] = pivot, c[n]
                panel[j + 1 :] -= c[j + 1 : n, None] * c
                if k + 1 < nodes:
                    left[k + 1] -= c[n + 1 : -1, None] * c[n + 1 :]
            panels.append(panel)
        step = np.empty((nodes, n))
        for k in range(nodes - 1, -1, -1):
            panel = panels[k]
            x = panel[:, n]
            if k + 1 < nodes:
                x = np.add.accumulate(np.vstack([x, (panel[:, n + 1 : -1] * step[k + 1]).T]), axis=0)[-1]
            for i in range(n - 1, -1, -1):
                step[k, i] = -x[i] * (1.0 / panel[i, i])
                x[:i] += panel[:i, i] * step[k, i]
        return step, np.tril(panels[-1][:, :n].T)


def _information(sums: WindowSums) -> FloatArray:
    """What each node's own rows say, and their gradient as last column: [K+1, n, n + 1]."""
    n = len(sums.pull)
    seen = np.concatenate([sums.C, -sums.misfits[:, None, :]], axis=1).transpose(2, 0, 1)
    seen = np.where(sums.weights.T[:, :, None] == 0.0, 0.0, seen)
    left: FloatArray = _outer(sums.weights.T, seen)
    led = np.concatenate([sums.A, sums.gaps[:, None, :]], axis=1).transpose(2, 0, 1)
    for row in _each(sums.inverse_q[1:].T, led):
        left[:-1] += row
    left[0, :, :n] += sums.prior
    left[0, :, n] += sums.pull
    diagonal = np.einsum("kii->ki", left[:, :, :n])
    diagonal[1:] += sums.inverse_q[1:]
    left[1:, :, n] -= sums.inverse_q[1:] * sums.gaps
    heavy = diagonal * sums.stiff
    diagonal += heavy
    left[:, :, n] -= heavy * sums.aim
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


def _below(sums: WindowSums) -> FloatArray:
    """The blocks below the diagonal by column [K+1, n, n], the last of zeros."""
    below = np.zeros((len(sums.aim), *sums.prior.shape))
    below[:-1] = -(sums.inverse_q[1:, None, :] * sums.A) + 0.0
    return below


def _summed(products: FloatArray) -> FloatArray:
    """Over the first axis, from 0 on, one after the other (numpy's own sum may pair them)."""
    total: FloatArray = np.add.accumulate(products, axis=0)[-1] + 0.0
    return total


INTERPRETED = Interpreted()
