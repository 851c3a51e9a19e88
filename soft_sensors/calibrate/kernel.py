"""A Gaussian process on standardised PLS scores: what is curved about the answer, learnt where PLS has looked already.

Kernel: a^2 exp(-|t - t'|^2 / (2 l^2)) + b^2 t.t', noise s^2; amplitudes and length by maximum marginal likelihood
(Rasmussen and Williams 2006, section 5.4), by scikit-learn.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.cross_decomposition import PLSRegression
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel

from soft_sensors.calibrate import pls1
from soft_sensors.calibrate.folds import IntArray
from soft_sensors.signals import FloatArray

FEWEST, MOST = 60, 600  # samples, our choice: fewer show no curvature; more make the graph's table of scores large


def fit(scores: FloatArray, y: FloatArray) -> Any:
    """A scikit-learn Gaussian process on standardised scores [n, k]."""
    start = (ConstantKernel(1.0, (1e-3, 1e2)) * RBF(2.0, (0.5, 50.0))
             + ConstantKernel(0.1, (1e-4, 1e2)) * DotProduct(0.0, "fixed") + WhiteKernel(0.1, (1e-4, 1e1)))
    return _fit(start, "fmin_l_bfgs_b", scores, y)


def again(process: Any, scores: FloatArray, y: FloatArray) -> Any:
    """The same process with its kernel as it is, on other samples."""
    return _fit(process.kernel_, None, scores, y)


def predict(process: Any, scores: FloatArray) -> FloatArray:
    """The process's mean [n] at standardised scores [n, k]."""
    return np.asarray(process.predict(scores), dtype=np.float64).reshape(-1)


def cross_validate(
    X: FloatArray, n_latent: int, y: FloatArray, fold: IntArray, keep: np.ndarray[Any, Any]
) -> FloatArray:
    """Predictions [n] of each sample by a kernel model on pre-treated spectra X that saw none of its fold.

    The kernel's numbers are learnt once, from all kept samples; the nested cross-validation outside learns them
    without its fold.
    """
    whole = pls1.fit(X[keep], y[keep], n_latent)
    process = fit(pls1.scores(whole, X[keep]), y[keep])
    predicted = np.empty(len(y))
    for f in np.unique(fold):
        out = fold == f
        model = pls1.fit(X[keep & ~out], y[keep & ~out], n_latent)
        part = again(process, pls1.scores(model, X[keep & ~out]), y[keep & ~out])
        predicted[out] = predict(part, pls1.scores(model, X[out]))
    return predicted


class KernelOnScores(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """The final step of a pipeline: PLS, then a Gaussian process on its standardised scores."""

    def __init__(self, n_latent: int = 2) -> None:
        self.n_latent = n_latent

    def fit(self, X: FloatArray, y: FloatArray) -> KernelOnScores:
        """Fit both on pre-treated spectra [n, m] and references [n]."""
        self.pls_ = PLSRegression(self.n_latent, scale=False).fit(X, y)
        raw = self._raw(X)
        self.score_sd_ = raw.std(axis=0, ddof=1)
        self.process_ = fit(raw / self.score_sd_, y)
        return self

    def predict(self, X: FloatArray) -> FloatArray:
        """Values [n] of pre-treated spectra [n, m]."""
        return predict(self.process_, self._raw(X) / self.score_sd_)

    def _raw(self, X: FloatArray) -> FloatArray:
        return np.asarray(self.pls_.transform(X), dtype=np.float64)


def _fit(kernel: Any, optimizer: str | None, scores: FloatArray, y: FloatArray) -> Any:
    process = GaussianProcessRegressor(kernel, optimizer=optimizer, normalize_y=True)
    with warnings.catch_warnings():
        # A length at its bound says that nothing is curved: then the linear model wins the comparison anyway.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return process.fit(scores, y)
