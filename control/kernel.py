"""CasADi function -> kernel: the function behind fixed buffers, arrays in and arrays out."""

from __future__ import annotations

from typing import Any

import numpy as np

from soft_sensors.signals import FloatArray


class Kernel:
    """A CasADi function behind fixed buffers: several times faster than passing its own matrix type back and forth.

    The buffers are overwritten at every call and copied out; nothing is carried from one call to the next.
    """

    def __init__(self, function: Any) -> None:
        self.function = function
        self._buffer, self._evaluate = function.buffer()
        self._arguments = [np.zeros(function.nnz_in(i)) for i in range(function.n_in())]
        self._results = [np.zeros(function.nnz_out(i)) for i in range(function.n_out())]
        self._shapes = [function.size_out(i) for i in range(function.n_out())]
        for i, argument in enumerate(self._arguments):
            self._buffer.set_arg(i, memoryview(argument))  # type: ignore[arg-type]
        for i, result in enumerate(self._results):
            self._buffer.set_res(i, memoryview(result))  # type: ignore[arg-type]

    def evaluate(self, arguments: tuple[FloatArray, ...]) -> tuple[FloatArray, ...]:
        """Results as fresh arrays [rows, columns]; arguments in any shape with the right number of entries."""
        self._run(arguments)
        return tuple(r.reshape(s, order="F").copy() for r, s in zip(self._results, self._shapes, strict=True))

    def by_column(self, arguments: tuple[FloatArray, ...], wide: int) -> tuple[FloatArray, ...]:
        """As `evaluate`, results as fresh stacks [wide, columns, rows] of what stands side by side, by column."""
        self._run(arguments)
        return tuple(
            r.reshape(wide, s[1] // wide, s[0]).copy() for r, s in zip(self._results, self._shapes, strict=True)
        )

    def _run(self, arguments: tuple[FloatArray, ...]) -> None:
        for held, given in zip(self._arguments, arguments, strict=True):
            held[:] = given.ravel(order="F")
        self._evaluate()
