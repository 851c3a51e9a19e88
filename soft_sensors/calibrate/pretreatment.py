"""The documented set of pre-treatments, as scikit-learn pipelines of chemotools steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from chemotools.derivative import SavitzkyGolay
from chemotools.feature_selection import RangeCut
from chemotools.scatter import StandardNormalVariate
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import FeatureUnion, Pipeline

from soft_sensors.signals import FloatArray

POLYNOMIAL = 2


@dataclass(frozen=True)
class Recipe:
    """Standard normal variate (before the derivative, after it, or not), Savitzky-Golay derivative of order 0 to 2.

    Behind a derivative, SNV sees no baseline: a fluorescence background or a tilt then no longer sets the scale.
    """

    snv: Literal["no", "before", "after"]
    derivative: int
    width: int

    @property
    def name(self) -> str:
        """As the card and the report call it: steps in order."""
        steps = ["SNV"] if self.snv == "before" else []
        if self.derivative:
            steps.append(f"SG{self.derivative}({self.width})")
        if self.snv == "after":
            steps.append("SNV")
        return "+".join(steps) or "none"

    @property
    def margin(self) -> int:
        """Channels that the derivative costs at each end of the window (no invented edges)."""
        return self.width // 2 if self.derivative else 0


@dataclass(frozen=True)
class Part:
    """One instrument's share of a joined spectrum: its recipe, its channels from start to stop, its weight."""

    recipe: Recipe
    start: int
    stop: int
    weight: float


@dataclass(frozen=True)
class Fused:
    """Spectra of several instruments on the same samples: each block pre-treated by itself, weighed, then joined."""

    parts: tuple[Part, ...]

    @property
    def name(self) -> str:
        """As the card and the report call it: the blocks' recipes in order."""
        return " | ".join(part.recipe.name for part in self.parts)


class Weight(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Multiplies by a constant, so that blocks of different size and unit count alike."""

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight

    def fit(self, X: FloatArray, y: FloatArray | None = None) -> Weight:  # noqa: ARG002
        """Nothing to learn."""
        self.fitted_ = True
        return self

    def transform(self, X: FloatArray) -> FloatArray:
        """X times the weight."""
        return X * self.weight


# From simple to less simple: of two that are equally good the first one wins.
RECIPES = (
    Recipe("no", 0, 0), Recipe("before", 0, 0),
    Recipe("no", 1, 11), Recipe("no", 1, 15), Recipe("no", 1, 21),
    Recipe("before", 1, 11), Recipe("before", 1, 15), Recipe("before", 1, 21),
    Recipe("after", 1, 11), Recipe("after", 1, 15), Recipe("after", 1, 21),
    Recipe("no", 2, 21), Recipe("no", 2, 31), Recipe("before", 2, 21),
    Recipe("after", 2, 21), Recipe("after", 2, 31),
)


def usable(n_channels: int) -> tuple[Recipe, ...]:
    """The recipes whose filter is at most a third of the window of n_channels."""
    return tuple(recipe for recipe in RECIPES if 3 * recipe.width <= n_channels)


def steps(recipe: Recipe | Fused, window: slice) -> list[tuple[str, Any]]:
    """The recipe as pipeline steps on whole spectra (the window is not used where the blocks have their own)."""
    if isinstance(recipe, Fused):
        blocks = [(f"block{k + 1}", Pipeline([*steps(p.recipe, slice(p.start, p.stop)), ("weight", Weight(p.weight))]))
                  for k, p in enumerate(recipe.parts)]
        return [("blocks", FeatureUnion(blocks))]
    made: list[tuple[str, Any]] = [("window", RangeCut(start=window.start, end=window.stop))]
    if recipe.snv == "before":
        made.append(("snv", StandardNormalVariate()))
    if recipe.derivative:
        inner = window.stop - window.start
        made.append(("derivative", SavitzkyGolay(window_length=recipe.width, polyorder=POLYNOMIAL,
                                                 deriv=recipe.derivative, mode="interp")))
        made.append(("edges", RangeCut(start=recipe.margin, end=inner - recipe.margin)))
    if recipe.snv == "after":
        made.append(("snv", StandardNormalVariate()))
    return made


def treat(recipe: Recipe | Fused, window: slice, spectra: FloatArray) -> FloatArray:
    """Pre-treated spectra [n, window minus two margins] of whole spectra [n, m]."""
    return np.asarray(Pipeline(steps(recipe, window)).fit_transform(spectra), dtype=np.float64)
