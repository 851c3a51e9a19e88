"""Region, pre-treatment, size and family of the model, by cross-validation with the one-standard-error rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from soft_sensors.calibrate import kernel, pls1
from soft_sensors.calibrate.folds import IntArray
from soft_sensors.calibrate.pretreatment import Fused, Recipe
from soft_sensors.calibrate.wear import Treated, penalty
from soft_sensors.calibrate.windows import Region
from soft_sensors.signals import BoolArray, FloatArray

MAX_LATENT = 20
MOST_MEMBERS = 5  # our choice: more averaged models cost time on the box and gain nothing on five real sets
FEWEST_TO_AVERAGE = 40  # samples, our choice: so few cannot tell good recipes from bad ones, and all would be averaged
Progress = Callable[[str], None]
Candidates = Mapping[Region, Mapping[Recipe | Fused, Treated]]  # simplest region (the whole quiet window) first


@dataclass(frozen=True)
class Member:
    """One PLS model: its pre-treatment and number of latent variables."""

    recipe: Recipe | Fused
    n_latent: int


@dataclass(frozen=True)
class Choice:
    """The chosen region and members, best first, whose predictions are averaged; linear or a kernel on their scores.

    predicted [n]: the average, cross-validated; curves: rmsecv by recipe name [n_latent]; tried: cross-validated error
    of each region and family that was compared.
    """

    region: Region
    members: tuple[Member, ...]
    on_kernel: bool
    predicted: FloatArray
    curves: Mapping[str, FloatArray]
    tried: Mapping[str, float]


@dataclass(frozen=True)
class _Searched:
    """What cross-validation found within one region: the average's predictions [n] and the first member's alone [n].

    lowest [folds]: losses of the best recipe at its best size.
    """

    members: tuple[Member, ...]
    predicted: FloatArray
    alone: FloatArray
    curves: Mapping[str, FloatArray]
    lowest: FloatArray


def choose(candidates: Candidates, y: FloatArray, fold: IntArray, keep: BoolArray) -> Choice:
    """The simplest region, sizes and family that cannot be told from the best (one standard error over the folds).

    Within a region: the recipe with the lowest error, and up to four more that cannot be told from it. As good: the
    mean squared error exceeds the lowest by no more than one standard error of their difference over the folds
    (Hastie, Tibshirani, Friedman 2009, section 7.10, on paired differences). A recipe that stands alone gets the
    fewest latent variables that are as good; of several, each gets those within half a standard error, because their
    average is steadier than any of them. The error includes how far small wear of the instrument moves the predictions
    (wear.py). A part of the window, or a kernel, is taken only when it is better by more than one standard error.
    keep [n]: samples that may be trained on and counted; the others are predicted all the same.
    """
    found = {region: _search(treated, y, fold, keep) for region, treated in candidates.items()}
    region, *others = found
    for other in others:
        gain = found[region].lowest - found[other].lowest
        if float(gain.mean()) > _standard_error(gain):
            region = other
    best, treated = found[region], candidates[region]
    tried = {f"region {r.name}": float(np.sqrt(s.lowest.mean())) for r, s in found.items()}
    linear = _squared(best.predicted, y, fold, keep)
    tried["PLS"] = float(np.sqrt(linear.mean()))
    predicted, on_kernel = best.predicted, False
    if kernel.FEWEST <= int(keep.sum()) <= kernel.MOST:
        first = best.members[0]
        curved = _squared(kernel.cross_validate(treated[first.recipe].X, first.n_latent, y, fold, keep), y, fold, keep)
        straight = _squared(best.alone, y, fold, keep)
        gain = straight - curved
        tried["PLS, best recipe alone"] = float(np.sqrt(straight.mean()))
        tried["kernel on its scores"] = float(np.sqrt(curved.mean()))
        if float(gain.mean()) > _standard_error(gain):
            parts = [kernel.cross_validate(treated[m.recipe].X, m.n_latent, y, fold, keep) for m in best.members]
            predicted, on_kernel = np.asarray(np.mean(parts, axis=0)), True
    return Choice(region, best.members, on_kernel, predicted, best.curves, tried)


def _search(treated: Mapping[Recipe | Fused, Treated], y: FloatArray, fold: IntArray, keep: BoolArray) -> _Searched:
    limit = latent_limit(fold, keep)
    paths, losses, curves = {}, {}, {}
    for recipe, part in treated.items():
        paths[recipe] = cross_validate(part.X, y, fold, keep, limit)
        worn = penalty(pls1.fit(part.X[keep], y[keep], limit), part.rows(keep), limit)
        losses[recipe] = _fold_losses(paths[recipe], y, fold, keep) + worn
        curves[recipe.name] = np.sqrt(np.mean((paths[recipe][keep] - y[keep, None]) ** 2, axis=0))
    chosen, lowest = _as_good_as_the_best(losses)
    chosen = chosen[: MOST_MEMBERS if int(keep.sum()) >= FEWEST_TO_AVERAGE else 1]
    strict = 1.0 if len(chosen) == 1 else 0.5
    members = tuple(Member(recipe, simplest(losses[recipe], strict)) for recipe in chosen)
    each = [paths[m.recipe][:, m.n_latent - 1] for m in members]
    return _Searched(members, np.asarray(np.mean(each, axis=0)), each[0], curves, lowest)


def _as_good_as_the_best(losses: Mapping[Recipe | Fused, FloatArray]) -> tuple[list[Recipe | Fused], FloatArray]:
    """The recipe with the lowest error first, then those within one standard error of it; the lowest losses [folds]."""
    lowest = {recipe: loss[:, int(loss.mean(axis=0).argmin())] for recipe, loss in losses.items()}
    order = sorted(lowest, key=lambda recipe: float(lowest[recipe].mean()))
    excess = {recipe: lowest[recipe] - lowest[order[0]] for recipe in order}
    return [r for r in order if float(excess[r].mean()) <= _standard_error(excess[r])], lowest[order[0]]


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


def _squared(predicted: FloatArray, y: FloatArray, fold: IntArray, keep: BoolArray) -> FloatArray:
    """Mean squared error [folds]."""
    return _fold_losses(predicted[:, None], y, fold, keep)[:, 0]


def _fold_losses(path: FloatArray, y: FloatArray, fold: IntArray, keep: BoolArray) -> FloatArray:
    squared = (path - y[:, None]) ** 2
    rows = [squared[keep & (fold == f)].mean(axis=0) for f in np.unique(fold) if (keep & (fold == f)).any()]
    return np.array(rows)
