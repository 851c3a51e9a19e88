"""shared library -> the sums of `control.arithmetic`, compiled: arrays in and out, nothing else crosses."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np

from control.arithmetic import WIDTH, padded
from control.window import NO_FACTOR, NOT_FINITE, STIFF, Linearised, Stepped
from soft_sensors.signals import FloatArray

NOWHERE, PLACE = ctypes.c_double(), ctypes.c_double.from_buffer


class CompiledSums:
    """`control.arithmetic.Arithmetic` in machine code.

    Keeps a work space between calls, never a result; the interpreter's lock is held meanwhile, so that threads may
    share it.
    """

    def __init__(self, library: Path) -> None:
        loaded = ctypes.PyDLL(str(library))
        size, array = ctypes.c_long, ctypes.POINTER(ctypes.c_double)
        self._carry, self._follow = loaded.carry, loaded.follow
        self._spread, self._window = loaded.spread, loaded.window
        self._carry.argtypes = [size] * 5 + [array] * 5
        self._follow.argtypes = [size] * 3 + [array] * 4
        self._spread.argtypes = [size] * 2 + [array] * 5
        self._window.argtypes = [size] * 5 + [ctypes.c_double] + [array] * 15
        self._carry.restype = self._follow.restype = self._spread.restype = None
        self._window.restype = size
        self._work = np.empty(0)

    def carry(self, G: FloatArray, D: FloatArray, block: np.ndarray, into: FloatArray, out: FloatArray) -> None:
        """See `control.arithmetic.Arithmetic`."""
        steps, n, rows = G.shape
        if steps and rows:
            self._carry(steps, rows, n, out.shape[2], D.shape[1], _at(block), _at(G), _at(D), _at(into), _at(out))

    def follow(self, G: FloatArray, c: FloatArray, into: FloatArray, out: FloatArray) -> None:
        """See `control.arithmetic.Arithmetic`."""
        steps, n, rows = G.shape
        if steps and rows:
            self._follow(steps, rows, n, _at(G), _at(c), _at(into), _at(out))

    def spread(self, A: FloatArray, cov: FloatArray, noise: FloatArray, C: FloatArray) -> FloatArray:
        """See `control.arithmetic.Arithmetic`."""
        n, n_y = C.shape
        out = np.empty(n_y)
        self._spread(n, n_y, _at(A), _at(cov), _at(noise), _at(C), _at(out))
        return out

    def window(self, window: Linearised) -> Stepped:
        """See `control.arithmetic.Arithmetic`."""
        nodes, n, n_y = window.C.shape
        kept, p = min(nodes, window.keep), padded(n + 1)
        if len(self._work) < kept * n * (2 * p + 4) + n * (n + 1):
            self._work = _aligned(kept * n * (2 * p + 4) + n * (n + 1))
        X, newest, mean, cov = np.empty((kept, n)), np.empty((n, n)), window.mean.copy(), window.cov.copy()
        failed = self._window(
            nodes, n, n_y, p, kept, STIFF, _at(window.X), _at(window.A), _at(window.C), _at(window.gaps),
            _at(window.misfits), _at(window.weights), _at(window.noise), _at(window.low), _at(window.high),
            _at(window.held), _at(self._work), _at(mean), _at(cov), _at(X), _at(newest),
        )  # fmt: skip
        if failed:
            raise np.linalg.LinAlgError(NO_FACTOR if failed == 1 else NOT_FINITE)
        return Stepped(X, newest, mean, cov)


def _aligned(size: int) -> FloatArray:
    """Room that starts where a register's worth of memory does: half the time of one that does not."""
    room = np.empty(size + WIDTH)
    return room[-(room.ctypes.data // room.itemsize) % WIDTH :][:size]


def _at(array: FloatArray) -> Any:
    """Where an array lies; raises what ctypes does (TypeError, ValueError) where it is not contiguous."""
    where: Any = array
    return PLACE(where) if array.size else NOWHERE
