"""compiled problem -> the two functions that the moving-horizon estimator asks for, a whole window in one call."""

from __future__ import annotations

import numpy as np

from control.compiled import Compiled
from control.kernel import Kernel
from control.observe.mhe import Evaluate
from soft_sensors.signals import FloatArray


def window_model(compiled: Compiled, length: int) -> tuple[Evaluate, Evaluate]:
    """predict and measure of `control.observe.mhe.Estimator` for windows of up to `length` steps."""
    return _stacked(compiled, "predict", length + 1), _stacked(compiled, "measure", length + 2)


def _stacked(compiled: Compiled, name: str, columns: int) -> Evaluate:
    kernel = Kernel(compiled.kernels[name].function.map(columns))

    def evaluate(X: FloatArray, U: FloatArray, P: FloatArray) -> tuple[FloatArray, FloatArray]:
        n, given = X.shape
        if not given:
            return np.zeros((n, 0)), np.zeros((0, n, n))
        # A window that is not yet full is filled up with its last column: the kernel has one size.
        values, slopes = kernel.by_column(tuple(_filled(part, columns) for part in (X, U, P)), columns)
        return values[:given, 0].T, slopes[:given].transpose(0, 2, 1)

    return evaluate


def _filled(part: FloatArray, columns: int) -> FloatArray:
    missing = columns - part.shape[1]
    return part if missing == 0 else np.hstack([part, np.repeat(part[:, -1:], missing, axis=1)])
