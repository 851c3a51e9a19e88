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
MOST_MEMBERS = 5  # our choice: more averaged models cost time on the box and gain nothing on five real sets
FEWEST_TO_AVERAGE = 40  # samples, our choice: so few cannot tell good recipes from bad ones, and all would be averaged
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Member:
    """One PLS model: its pre-treatment and number of latent variables."""

    recipe: Recipe
    n_latent: int


@dataclass(frozen=True)
class Choice:
    """The chosen members, best first, whose predictions are averaged.

    predicted [n]: the average, cross-validated; curves: rmsecv by recipe name [n_latent].
    """

    members: tuple[Member, ...]
    predicted: FloatArray
    curves: Mapping[str, FloatArray]


def choose(
    treated: Mapping[Recipe, FloatArray], y: FloatArray, fold: IntArray, keep: BoolArray,
) -> Choice:
    """The recipe with the lowest cross-validated error, and up to four more that cannot be told from it.

    As good: the mean squared error exceeds the lowest by no more than one standard error of their difference over the
    folds (Hastie, Tibshirani, Friedman 2009, section 7.10, on paired differences). A recipe that stands alone gets the
    fewest latent variables that are as good; of several, each gets those within half a standard error, because their
    average is steadier than any of them. keep [n]: samples that may be trained on and counted; the others are
    predicted all the same.
    """
    limit = latent_limit(fold, keep)
    paths, losses, curves = {}, {}, {}
    for recipe, X in treated.items():
        paths[recipe] = cross_validate(X, y, fold, keep, limit)
        losses[recipe] = _fold_losses(paths[recipe], y, fold, keep)
        curves[recipe.name] = np.sqrt(np.mean((paths[recipe][keep] - y[keep, None]) ** 2, axis=0))
    chosen = _as_good_as_the_best(losses)[: MOST_MEMBERS if int(keep.sum()) >= FEWEST_TO_AVERAGE else 1]
    strict = 1.0 if len(chosen) == 1 else 0.5
    members = tuple(Member(recipe, simplest(losses[recipe], strict)) for recipe in chosen)
    predicted = np.mean([paths[m.recipe][:, m.n_latent - 1] for m in members], axis=0)
    return Choice(members, predicted, curves)


def _as_good_as_the_best(losses: Mapping[Recipe, FloatArray]) -> list[Recipe]:
    """The recipe with the lowest error first, then those within one standard error of it, best first."""
    lowest = {recipe: loss[:, int(loss.mean(axis=0).argmin())] for recipe, loss in losses.items()}
    order = sorted(lowest, key=lambda recipe: float(lowest[recipe].mean()))
    excess = {recipe: lowest[recipe] - lowest[order[0]] for recipe in order}
    return [r for r in order if float(excess[r].mean()) <= _standard_error(excess[r])]


def _standard_error(values: FloatArray) -> float:
    return float(values.std(ddof=1)) / float(np.sqrt(values.size)) + 1e-300


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


def simplest(losses: FloatArray, errors: float = 1.0) -> int:
    """Fewest latent variables within so many standard errors of the best; losses: squared error [folds, n_latent]."""
    best = int(losses.mean(axis=0).argmin())
    excess = losses - losses[:, [best]]
    error = excess.std(axis=0, ddof=1) / np.sqrt(len(losses))
    return int(np.flatnonzero(excess.mean(axis=0) <= errors * error + 1e-300)[0]) + 1


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
        paths = []
        for member in chosen.members:
            X = treated[member.recipe]
            model = pls1.fit(X[keep & ~out], y[keep & ~out], member.n_latent)
            paths.append(pls1.predict_path(model, X[out], member.n_latent)[:, -1])
        predicted[out] = np.mean(paths, axis=0)
    return predicted
