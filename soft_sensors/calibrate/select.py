"""Pre-treatment and number of latent variables, by cross-validation with the one-standard-error rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soft_sensors.calibrate import pls1
from soft_sensors.calibrate.folds import IntArray
from soft_sensors.calibrate.pretreatment import Recipe
from soft_sensors.signals import FloatArray

BoolArray = NDArray[np.bool_]
MAX_LATENT = 20
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Choice:
    """The chosen recipe and n_latent, its cross-validated predictions [n], and rmsecv by recipe name [n_latent]."""

    recipe: Recipe
    n_latent: int
    predicted: FloatArray
    curves: Mapping[str, FloatArray]


def choose(
    treated: Mapping[Recipe, FloatArray], y: FloatArray, fold: IntArray, keep: BoolArray,
) -> Choice:
    """The recipe with the lowest cross-validated error, then the fewest latent variables that are as good.

    As good: its mean squared error exceeds the lowest by no more than one standard error of their difference over the
    folds (Hastie, Tibshirani, Friedman 2009, section 7.10, on paired differences). keep [n]: samples that may be
    trained on and counted; the others are predicted all the same.
    """
    limit = latent_limit(fold, keep)
    best: tuple[float, Recipe, FloatArray, FloatArray] | None = None
    curves = {}
    for recipe, X in treated.items():
        path = cross_validate(X, y, fold, keep, limit)
        losses = _fold_losses(path, y, fold, keep)
        curves[recipe.name] = np.sqrt(np.mean((path[keep] - y[keep, None]) ** 2, axis=0))
        lowest = float(losses.mean(axis=0).min())
        if best is None or lowest < best[0]:
            best = (lowest, recipe, path, losses)
    if best is None:
        raise ValueError("no recipe to choose from")
    _, recipe, path, losses = best
    n_latent = simplest(losses)
    return Choice(recipe, n_latent, path[:, n_latent - 1], curves)


def latent_limit(fold: IntArray, keep: BoolArray) -> int:
    """Most latent variables that the smallest training set can carry: half its samples, 20 at most."""
    smallest = min(int((keep & (fold != f)).sum()) for f in np.unique(fold))
    return max(1, min(MAX_LATENT, smallest // 2))


def cross_validate(X: FloatArray, y: FloatArray, fold: IntArray, keep: BoolArray, n_latent: int) -> FloatArray:
    """Predictions [n, n_latent] of each sample by a model that saw none of its fold."""
    path = np.empty((len(y), n_latent))
    for f in np.unique(fold):
        out = fold == f
        model = pls1.fit(X[keep & ~out], y[keep & ~out], n_latent)
        path[out] = pls1.predict_path(model, X[out], n_latent)
    return path


def simplest(losses: FloatArray) -> int:
    """Fewest latent variables within one standard error of the best; losses: mean squared error [folds, n_latent]."""
    best = int(losses.mean(axis=0).argmin())
    excess = losses - losses[:, [best]]
    error = excess.std(axis=0, ddof=1) / np.sqrt(len(losses))
    return int(np.flatnonzero(excess.mean(axis=0) <= error + 1e-300)[0]) + 1


def _fold_losses(path: FloatArray, y: FloatArray, fold: IntArray, keep: BoolArray) -> FloatArray:
    squared = (path - y[:, None]) ** 2
    rows = [squared[keep & (fold == f)].mean(axis=0) for f in np.unique(fold) if (keep & (fold == f)).any()]
    return np.array(rows)


def nested(
    treated: Mapping[Recipe, FloatArray], y: FloatArray, fold: IntArray, outer: IntArray, keep: BoolArray,
    progress: Progress,
) -> FloatArray:
    """Predictions [n] by models whose recipe and size, too, were chosen without the sample's outer fold.

    Choosing on the samples that one is judged on flatters; these errors are what a stranger's sample will show.
    """
    predicted = np.empty(len(y))
    for f in np.unique(outer):
        out = outer == f
        progress(f"nested cross-validation, fold {f + 1} of {outer.max() + 1}")
        rest = {recipe: X[~out] for recipe, X in treated.items()}
        chosen = choose(rest, y[~out], fold[~out], keep[~out])
        X = treated[chosen.recipe]
        model = pls1.fit(X[keep & ~out], y[keep & ~out], chosen.n_latent)
        predicted[out] = pls1.predict_path(model, X[out], chosen.n_latent)[:, -1]
    return predicted
