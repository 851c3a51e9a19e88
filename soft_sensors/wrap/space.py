"""spectra -> the space that good spectra span: principal components, T2 and Q, and how far held-out spectra come.

A network says nothing of where it holds. This does: components of the spectra after SNV and a first derivative.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.pipeline import Pipeline

from soft_sensors.calibrate import pls1
from soft_sensors.calibrate.fit import Fitted
from soft_sensors.calibrate.folds import IntArray
from soft_sensors.calibrate.limits import Distances
from soft_sensors.calibrate.pretreatment import Recipe, steps, usable
from soft_sensors.calibrate.select import latent_limit
from soft_sensors.signals import BoolArray, FloatArray

EXPLAINED = 0.99  # our choice: of the variance between the kept, pre-treated spectra
RULE = f"the fewest components that explain {EXPLAINED:.0%} of the variance, no more than half a training set allows"


class Components(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Principal components in the form of a PLS model, so that graph and anatomy are made as for one; predicts zero."""

    def __init__(self, n_components: int = 1) -> None:
        self.n_components = n_components

    def fit(self, X: FloatArray, y: FloatArray | None = None) -> Components:  # noqa: ARG002
        """Components of the rows of X [n, m], centred inside."""
        found = _model(X, self.n_components)
        self.x_rotations_ = self.x_loadings_ = found.P
        self.y_loadings_, self.intercept_ = np.zeros((1, self.n_components)), np.zeros(1)
        return self

    def predict(self, X: FloatArray) -> FloatArray:
        """Zeros [n]: the value is the network's."""
        return np.zeros(len(X))


def recipe_for(n_channels: int) -> Recipe:
    """SNV and a first derivative over 11 channels; SNV alone where there are too few channels for a filter."""
    derived = Recipe("before", 1, 11)
    return derived if derived in usable(n_channels) else Recipe("before", 0, 0)


def size(X: FloatArray, fold: IntArray, keep: BoolArray) -> int:
    """How many components: RULE."""
    scores, _ = pls1.compress(X[keep])
    variance = (scores**2).sum(axis=0)
    enough = int(np.searchsorted(np.cumsum(variance) / variance.sum(), EXPLAINED)) + 1
    return min(enough, int(variance.size), latent_limit(fold, keep))


def held_out(X: FloatArray, fold: IntArray, keep: BoolArray, n_components: int) -> Distances:
    """How far each pre-treated spectrum [n, m] is from components that saw none of its fold."""
    t2, q, near = np.empty(len(X)), np.empty(len(X)), np.empty(len(X))
    for f in np.unique(fold):
        out = fold == f
        rest = X[keep & ~out]
        model = _model(rest, n_components)
        t2[out], q[out] = pls1.distances(model, X[out])
        near[out] = cdist(pls1.scores(model, X[out]), pls1.scores(model, rest)).min(axis=1)
    return Distances(t2, q, near)


def fitted(spectra: FloatArray, recipe: Recipe, window: slice, n_components: int) -> Fitted:
    """The final space, of whole spectra [n, n_channels]."""
    made: list[tuple[str, Any]] = [*steps(recipe, window), ("model", Components(n_components))]
    return Fitted(recipe, Pipeline(made).fit(spectra, np.zeros(len(spectra))))


def explained(space: Fitted, spectra: FloatArray) -> FloatArray:
    """Share of the variance that one, two, ... components explain, on whole spectra; as many as the space has."""
    treated = np.asarray(space.pipeline[:-1].transform(spectra), dtype=np.float64)
    centred = treated - treated.mean(axis=0)
    scores = centred @ cast(FloatArray, space.pls.x_rotations_)
    return np.asarray(np.cumsum((scores**2).sum(axis=0)) / (centred**2).sum(), dtype=np.float64)


def _model(X: FloatArray, n_components: int) -> pls1.Pls1:
    scores, axes = pls1.compress(X)
    k = min(n_components, axes.shape[1])
    P = axes[:, :k] * np.sign(axes[np.abs(axes[:, :k]).argmax(axis=0), np.arange(k)])  # one sign, whatever the library
    sd = scores[:, :k].std(axis=0, ddof=1)
    return pls1.Pls1(X.mean(axis=0), 0.0, P, P, np.zeros(k), sd)
