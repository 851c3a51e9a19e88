"""what was measured, what the model says the moves did -> by how much the model's gain is off.

A plant whose gain is g times the model's answers to the moves actually made with g times the response that the model
gives. g is found by regression with autoregressive noise, as closed-loop identification by prediction errors is: moves
answer to old disturbances, never to the noise that is still to come (Ljung, System Identification, ch. 13).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from control.errors import ControlError
from soft_sensors.signals import BoolArray, FloatArray

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


def gain_mismatch(
    measured: FloatArray, response: FloatArray, order: int = 20, left_out: BoolArray | None = None
) -> Mismatch:
    """Gain of the plant over the model's from closed-loop records.

    measured [n]: the output; response [n]: the model's output for the moves made, noise-free, same unit and spacing,
    with the dead time in it; order: of the autoregressive noise (drift under white noise needs about 20: with too few
    lags a closed loop biases the gain); left_out [n]: samples that are no answer to moves, such as those while a
    disturbance arrives: the move that meets it would look like a gain of the wrong sign. What lies before and after
    has a level each. Raises ControlError for too few samples or no movement.
    """
    y, x = (np.asarray(values, dtype=np.float64) for values in (measured, response))
    if y.shape != x.shape or y.ndim != 1 or not (np.all(np.isfinite(y)) and np.all(np.isfinite(x))):
        raise ControlError("measured and response must be finite series of the same length")
    parts = _parts(y, x, np.zeros(y.size, dtype=bool) if left_out is None else left_out, 3 * order)
    n = sum(part.size for part, _ in parts)
    if n < 20 * (order + 2):
        raise ControlError(f"{n} samples are too few to tell a gain: give at least {20 * (order + 2)}")
    if max(float(part.std()) for _, part in parts) <= 1e-9 * max(1.0, float(np.abs(x).max())):
        raise ControlError("nothing was moved: the gain cannot be told")
    noise = np.zeros(order)
    for _ in range(ROUNDS):
        beta, sigma = _whitened_fit(parts, noise)
        noise = _autoregression([y - beta[0] * x - level for (y, x), level in zip(parts, beta[1:], strict=True)], order)
    return Mismatch(float(beta[0]), sigma)


def _parts(y: FloatArray, x: FloatArray, left_out: BoolArray, least: int) -> list[tuple[FloatArray, FloatArray]]:
    """The unbroken stretches that are not left out, but for those too short to tell anything."""
    edges = np.flatnonzero(np.diff(left_out.astype(np.int8), prepend=1, append=1))
    stretches = [slice(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return [(y[s], x[s]) for s in stretches if s.stop - s.start > least]


def _whitened_fit(parts: list[tuple[FloatArray, FloatArray]], noise: FloatArray) -> tuple[FloatArray, float]:
    """Least squares of y on x and a level for each part, after all went through the noise's inverse filter."""
    blocks = []
    for i, (y, x) in enumerate(parts):
        block = np.zeros((y.size - noise.size, 2 + len(parts)))
        block[:, 0], block[:, 1], block[:, 2 + i] = (_filtered(v, noise) for v in (y, x, np.ones_like(y)))
        blocks.append(block)
    table = np.vstack(blocks)
    seen, rows = table[:, 0], table[:, 1:]
    beta: FloatArray = np.asarray(np.linalg.lstsq(rows, seen, rcond=None)[0], dtype=np.float64)
    left = seen - rows @ beta
    variance = float(left @ left) / (seen.size - rows.shape[1])
    return beta, float(np.sqrt(variance * np.linalg.inv(rows.T @ rows)[0, 0]))


def _filtered(values: FloatArray, noise: FloatArray) -> FloatArray:
    order = noise.size
    found = values[order:].copy()
    for i, share in enumerate(noise, start=1):
        found -= share * values[order - i : values.size - i]
    return found


def _autoregression(left: list[FloatArray], order: int) -> FloatArray:
    rows = np.vstack([np.column_stack([v[order - i : v.size - i] for i in range(1, order + 1)]) for v in left])
    now = np.concatenate([v[order:] for v in left])
    return np.asarray(np.linalg.lstsq(rows, now, rcond=None)[0], dtype=np.float64)
