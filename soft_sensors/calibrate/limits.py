"""Prediction interval and limits of T2, Q and the raw signal, all from samples that the model had not seen."""

from __future__ import annotations

import numpy as np
from scipy.stats import f as f_distribution

from soft_sensors.calibrate import pls1
from soft_sensors.calibrate.folds import IntArray
from soft_sensors.calibrate.select import BoolArray
from soft_sensors.signals import FloatArray
from soft_sensors.validate import longest_flat_run

COVERAGE = 0.90
Q_MARGIN = 1.5  # our choice, over the largest Q that a held-out sample showed
T2_MARGIN = 1.25
T2_PROBABILITY = 0.999
GROSS = 0.5  # our choice, of the signal's level: only gross faults are caught here, T2 and Q see the fine ones


def half_width(residual: FloatArray, unit: IntArray) -> float:
    """Half width of the 90 % interval: grouped cross-conformal quantile of absolute residuals [n].

    Each unit (group) weighs the same and the next, unseen one counts as infinitely wrong (Lee, Barber, Willett 2023,
    hierarchical conformal prediction; with one sample a unit: Vovk 2015). With fewer than 9 units that has no finite
    answer: the largest residual is given.
    """
    size = np.abs(residual)
    units, position, count = np.unique(unit, return_inverse=True, return_counts=True)
    weight = 1.0 / (count[position] * (units.size + 1.0))
    order = np.argsort(size)
    reached = np.flatnonzero(np.cumsum(weight[order]) >= COVERAGE - 1e-12)
    return float(size[order[reached[0]]]) if reached.size else float(size.max())


def held_out_distances(
    X: FloatArray, y: FloatArray, fold: IntArray, keep: BoolArray, n_latent: int
) -> tuple[FloatArray, FloatArray]:
    """T2 [n] and Q [n] of each sample under a model that saw none of its fold."""
    t2, q = np.empty(len(y)), np.empty(len(y))
    for f in np.unique(fold):
        out = fold == f
        t2[out], q[out] = pls1.distances(pls1.fit(X[keep & ~out], y[keep & ~out], n_latent), X[out])
    return t2, q


def t2_limit(t2: FloatArray, n_latent: int) -> float:
    """The 99.9 % limit of Hotelling's T2 for a new sample, or the largest held-out T2 with a margin, if larger.

    Theory (MacGregor and Kourti 1995, Control Eng. Pract. 3, 403): k (n^2 - 1) / (n (n - k)) F(k, n - k).
    """
    n, k = t2.size, n_latent
    theory = k * (n * n - 1) / (n * (n - k)) * float(f_distribution.ppf(T2_PROBABILITY, k, n - k))
    return max(theory, T2_MARGIN * float(t2.max()))


def q_limit(q: FloatArray) -> float:
    """The largest Q of a held-out sample with a margin: whole groups differ more than any one-population formula."""
    return Q_MARGIN * float(q.max())


def intensity_limits(spectra: FloatArray) -> tuple[float, float]:
    """Lowest and highest allowed mean of a spectrum, from calibration spectra [n, window]."""
    means = spectra.mean(axis=1)
    room = max(float(np.ptp(spectra)), GROSS * float(np.abs(means).max()))
    return float(means.min()) - room, float(means.max()) + room


def saturation(spectra: FloatArray) -> float:
    """The largest allowed channel, from calibration spectra [n, window]."""
    top = float(spectra.max())
    return top + max(float(np.ptp(spectra)), abs(top))


def flat_run(spectra: FloatArray) -> int:
    """The shortest run of equal channels that means clipping: more than any calibration spectrum has, 5 at least."""
    return max(5, 2 + max(longest_flat_run(row) for row in spectra))
