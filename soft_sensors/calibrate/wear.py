"""spectra -> the same spectra as a slightly worn instrument would give them: what a choice must not hang on.

Cross-validation on one instrument in one month cannot see what lamps, fibres and windows do in a year. So every
candidate also pays for how far these small disturbances move its predictions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soft_sensors.calibrate import pls1
from soft_sensors.calibrate.pretreatment import Fused, Recipe, treat
from soft_sensors.signals import FloatArray

SIZE = 0.03  # our choice: 3 % of the mean level, for offset, tilt, curvature, a slow wave, and of the gain
SHIFT = 0.1  # channels, our choice


@dataclass(frozen=True)
class Treated:
    """Pre-treated spectra in their principal axes: X [n, r] as measured, worn [w, n, r] disturbed in w ways."""

    X: FloatArray
    worn: FloatArray

    def rows(self, which: NDArray[np.bool_]) -> Treated:
        """The chosen rows of both."""
        return Treated(self.X[which], self.worn[:, which])


def worn(spectra: FloatArray, window: slice) -> list[FloatArray]:
    """Whole spectra [n, m], disturbed within the window, once for each kind of wear."""
    inside = spectra[:, window]
    place = np.linspace(-1.0, 1.0, inside.shape[1])
    level = SIZE * float(np.abs(inside).mean())
    channel = np.arange(inside.shape[1], dtype=np.float64)
    shifted = np.array([np.interp(channel + SHIFT, channel, row) for row in inside])
    disturbed = [
        inside * (1.0 + SIZE), inside + level, inside + level * place, inside + level * (place**2 - 1.0 / 3.0),
        inside + level * np.sin(1.5 * np.pi * place), shifted,
    ]
    made = []
    for part in disturbed:
        whole = spectra.copy()
        whole[:, window] = part
        made.append(whole)
    return made


def treated(recipe: Recipe | Fused, window: slice, spectra: FloatArray, disturbed: list[FloatArray]) -> Treated:
    """Pre-treat measured and disturbed spectra, and turn both into the measured ones' principal axes."""
    X = treat(recipe, window, spectra)
    compressed, axes = pls1.compress(X)
    centre = X.mean(axis=0)
    moved = [(treat(recipe, window, rows) - centre) @ axes for rows in disturbed]
    return Treated(compressed, np.array(moved))


def penalty(model: pls1.Pls1, part: Treated, n_latent: int) -> FloatArray:
    """Mean squared movement [n_latent] of a model's predictions under the disturbances, by size."""
    straight = pls1.predict_path(model, part.X, n_latent)
    moved = [np.mean((pls1.predict_path(model, rows, n_latent) - straight) ** 2, axis=0) for rows in part.worn]
    return np.asarray(np.mean(moved, axis=0), dtype=np.float64)
