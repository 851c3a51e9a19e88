"""what was measured, what the model says the moves did -> by how much the model's gain is off.

A plant whose gain is g times the model's answers to the moves actually made with g times the response that the model
gives. g is found by regression with autoregressive noise, as closed-loop identification by prediction errors is: moves
answer to old disturbances, never to the noise that is still to come (Ljung, System Identification, ch. 13).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from control.errors import ControlError
from soft_sensors.signals import FloatArray

ROUNDS = 8
WRONG = 0.1  # our choice: a gain within a tenth is left alone
SIGMAS = 2.3  # two-sided 2 % by chance, and less for having to be off by a tenth as well


@dataclass(frozen=True)
class Mismatch:
    """The plant's gain over the model's, with sigma; excited: whether the moves said anything (sigma below 0.2)."""

    gain: float
    sigma: float

    @property
    def excited(self) -> bool:
        """Whether there was enough movement to tell."""
        return self.sigma < 0.2

    @property
    def flagged(self) -> bool:
        """Whether the model's gain is wrong: by more than a tenth, and by more than chance."""
        off = abs(self.gain - 1.0)
        return off > WRONG and off > SIGMAS * self.sigma


def gain_mismatch(measured: FloatArray, response: FloatArray, order: int = 20) -> Mismatch:
    """Gain of the plant over the model's from closed-loop records.

    measured [n]: the output; response [n]: the model's output for the moves made, noise-free, same unit and spacing,
    with the dead time in it; order: of the autoregressive noise (drift under white noise needs about 20: with too few
    lags a closed loop biases the gain). Raises ControlError for too few samples or no movement.
    """
    y, x = (np.asarray(values, dtype=np.float64) for values in (measured, response))
    if y.shape != x.shape or y.ndim != 1 or not (np.all(np.isfinite(y)) and np.all(np.isfinite(x))):
        raise ControlError("measured and response must be finite series of the same length")
    if y.size < 20 * (order + 2):
        raise ControlError(f"{y.size} samples are too few to tell a gain: give at least {20 * (order + 2)}")
    if float(x.std()) <= 1e-9 * max(1.0, float(np.abs(x).max())):
        raise ControlError("nothing was moved: the gain cannot be told")
    noise = np.zeros(order)
    for _ in range(ROUNDS):
        beta, sigma = _whitened_fit(y, x, noise)
        noise = _autoregression(y - beta[0] * x - beta[1], order)
    return Mismatch(float(beta[0]), sigma)


def _whitened_fit(y: FloatArray, x: FloatArray, noise: FloatArray) -> tuple[FloatArray, float]:
    """Least squares of y on x and a constant after both went through the noise's inverse filter."""
    rows = np.column_stack([_filtered(x, noise), _filtered(np.ones_like(y), noise)])
    seen = _filtered(y, noise)
    beta: FloatArray = np.asarray(np.linalg.lstsq(rows, seen, rcond=None)[0], dtype=np.float64)
    left = seen - rows @ beta
    variance = float(left @ left) / (seen.size - 2)
    return beta, float(np.sqrt(variance * np.linalg.inv(rows.T @ rows)[0, 0]))


def _filtered(values: FloatArray, noise: FloatArray) -> FloatArray:
    order = noise.size
    found = values[order:].copy()
    for i, share in enumerate(noise, start=1):
        found -= share * values[order - i : values.size - i]
    return found


def _autoregression(left: FloatArray, order: int) -> FloatArray:
    rows = np.column_stack([left[order - i : left.size - i] for i in range(1, order + 1)])
    return np.asarray(np.linalg.lstsq(rows, left[order:], rcond=None)[0], dtype=np.float64)
