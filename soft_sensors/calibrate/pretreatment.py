"""The documented set of pre-treatments, as scikit-learn pipelines of chemotools steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from chemotools.derivative import SavitzkyGolay
from chemotools.feature_selection import RangeCut
from chemotools.scatter import StandardNormalVariate
from sklearn.pipeline import Pipeline

from soft_sensors.signals import FloatArray

POLYNOMIAL = 2


@dataclass(frozen=True)
class Recipe:
    """Standard normal variate or not, then a Savitzky-Golay derivative of order 0 (none), 1 or 2."""

    snv: bool
    derivative: int
    width: int

    @property
    def name(self) -> str:
        """As the card and the report call it."""
        steps = ["SNV"] if self.snv else []
        if self.derivative:
            steps.append(f"SG{self.derivative}({self.width})")
        return "+".join(steps) or "none"

    @property
    def margin(self) -> int:
        """Channels that the derivative costs at each end of the window (no invented edges)."""
        return self.width // 2 if self.derivative else 0


# From simple to less simple: of two that are equally good the first one wins.
RECIPES = (
    Recipe(False, 0, 0), Recipe(True, 0, 0),
    Recipe(False, 1, 11), Recipe(False, 1, 15), Recipe(False, 1, 21),
    Recipe(True, 1, 11), Recipe(True, 1, 15), Recipe(True, 1, 21),
    Recipe(False, 2, 21), Recipe(False, 2, 31), Recipe(True, 2, 21),
)


def usable(n_channels: int) -> tuple[Recipe, ...]:
    """The recipes whose filter is at most a third of the window of n_channels."""
    return tuple(recipe for recipe in RECIPES if 3 * recipe.width <= n_channels)


def steps(recipe: Recipe, window: slice) -> list[tuple[str, Any]]:
    """The recipe as pipeline steps on whole spectra."""
    made: list[tuple[str, Any]] = [("window", RangeCut(start=window.start, end=window.stop))]
    if recipe.snv:
        made.append(("snv", StandardNormalVariate()))
    if recipe.derivative:
        inner = window.stop - window.start
        made.append(("derivative", SavitzkyGolay(window_length=recipe.width, polyorder=POLYNOMIAL,
                                                 deriv=recipe.derivative, mode="interp")))
        made.append(("edges", RangeCut(start=recipe.margin, end=inner - recipe.margin)))
    return made


def treat(recipe: Recipe, window: slice, spectra: FloatArray) -> FloatArray:
    """Pre-treated spectra [n, window minus two margins] of whole spectra [n, m]."""
    return np.asarray(Pipeline(steps(recipe, window)).fit_transform(spectra), dtype=np.float64)
