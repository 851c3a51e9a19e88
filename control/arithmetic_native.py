"""shared library -> the sums of `control.arithmetic`, compiled: arrays in and out, nothing else crosses."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from control.arithmetic import WIDTH, WindowSums, padded
from soft_sensors.signals import FloatArray

NOWHERE = ctypes.c_double()


class CompiledSums:
    """`control.arithmetic.Arithmetic` in machine code.

    Keeps a work space between calls, never a result; the interpreter's lock is held meanwhile, so that threads may
    share it.
    """

    def __init__(self, library: Path) -> None:
        loaded = ctypes.PyDLL(str(library))
        size, array = ctypes.c_long, ctypes.POINTER(ctypes.c_double)
        self._carry, self._follow, self._window = loaded.carry, loaded.follow, loaded.window
        self._carry.argtypes = [size] * 5 + [array] * 5
        self._follow.argtypes = [size] * 3 + [array] * 4
        self._window.argtypes = [size] * 4 + [array] * 13
        self._carry.restype = self._follow.restype = None
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

    def window(self, sums: WindowSums) -> tuple[FloatArray, FloatArray]:
        """See `control.arithmetic.Arithmetic`."""
        nodes, n = sums.aim.shape
        p = padded(n + 1)
        if len(self._work) < nodes * n * (2 * p + 1):
            self._work = _aligned(nodes * n * (2 * p + 1))
        step, pivots = np.empty((nodes, n)), self._work[nodes * n * 2 * p :]
        failed = self._window(
            nodes, n, sums.C.shape[2], p, _at(sums.A), _at(sums.C), _at(sums.gaps), _at(sums.misfits),
            _at(sums.weights), _at(sums.inverse_q), _at(sums.prior), _at(sums.pull), _at(sums.stiff), _at(sums.aim),
            _at(self._work), _at(pivots), _at(step),
        )  # fmt: skip
        if failed:
            raise np.linalg.LinAlgError("the window's normal equations have no factor")
        last = self._work[(nodes - 1) * n * 2 * p : nodes * n * 2 * p].reshape(n, 2 * p)[:, :n]
        return step, np.where(_lower(n), last.T, 0.0)


def _aligned(size: int) -> FloatArray:
    """Room that starts where a register's worth of memory does: half the time of one that does not."""
    room = np.empty(size + WIDTH)
    return room[-(room.ctypes.data // room.itemsize) % WIDTH :][:size]


@cache
def _lower(n: int) -> np.ndarray:
    return np.tri(n, dtype=bool)


def _at(array: FloatArray) -> Any:
    """Where an array lies; raises what ctypes does (TypeError, ValueError) where it is not contiguous."""
    where: Any = array
    return ctypes.c_double.from_buffer(where) if array.size else NOWHERE
