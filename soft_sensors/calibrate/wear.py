"""spectra -> the same spectra as a slightly worn instrument would give them: what a choice must not hang on.

Cross-validation on one instrument in one month cannot see what lamps, fibres and windows do in a year. So every
candidate also pays for how far these small disturbances move its predictions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soft_sensors.calibrate import pls1
from soft_sensors.calibrate.folds import IntArray
from soft_sensors.calibrate.pretreatment import Fused, Recipe, treat
from soft_sensors.signals import FloatArray

SIZE = 0.03  # our choice: 3 % of the mean level, for offset, tilt, curvature, a slow wave, and of the gain
SHIFT = 0.1  # channels, our choice
WORN_SAMPLES = 40  # our choice: evenly spread ones are enough to see how far a model's predictions move


@dataclass(frozen=True)
class Treated:
    """Pre-treated spectra in their principal axes: X [n, r] as measured, worn [w, s, r]: some of them, disturbed.

    places [s]: the rows of X that the worn ones come from.
    """

    X: FloatArray
    worn: FloatArray
    places: IntArray

    def rows(self, which: NDArray[np.bool_]) -> Treated:
        """The chosen rows [n] of both."""
        stay, number = which[self.places], np.cumsum(which) - 1
        return Treated(self.X[which], self.worn[:, stay], number[self.places[stay]])


def some(n: int) -> IntArray:
    """The rows, evenly spread, that are disturbed."""
    return np.unique(np.linspace(0, n - 1, min(n, WORN_SAMPLES)).round().astype(np.int64))


def worn(spectra: FloatArray, window: slice) -> list[FloatArray]:
    """Some of the whole spectra [n, m], disturbed within the window, once for each kind of wear."""
    spectra = spectra[some(len(spectra))]
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
    return Treated(compressed, np.array(moved), some(len(spectra)))


def penalty(model: pls1.Pls1, part: Treated, n_latent: int) -> FloatArray:
    """Mean squared movement [n_latent] of a model's predictions under the disturbances, by size."""
    if not part.places.size:
        return np.zeros(n_latent)
    straight = pls1.predict_path(model, part.X[part.places], n_latent)
    moved = [np.mean((pls1.predict_path(model, rows, n_latent) - straight) ** 2, axis=0) for rows in part.worn]
    return np.asarray(np.mean(moved, axis=0), dtype=np.float64)
