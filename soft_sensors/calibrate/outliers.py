"""Suspect references and outlying spectra: found robustly, named with the reason, left out of the fit only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from soft_sensors.card import Excluded
from soft_sensors.signals import BoolArray, FloatArray

SUSPECT = 5.0  # robust standard deviations, our choice: a normal sample is beyond it once in two million
MOST = 0.10  # beyond a tenth of the samples it is no longer a few outliers but another distribution: leave out none
FEWEST = 12  # below a dozen samples a robust scale means nothing


def robust_z(values: FloatArray) -> FloatArray:
    """Distance from the median in units of 1.4826 times the median absolute deviation."""
    centred = values - np.median(values)
    scale = 1.4826 * float(np.median(np.abs(centred)))
    return centred / scale if scale > 0 else np.zeros_like(values)


def suspect_references(y: FloatArray, predicted: FloatArray) -> BoolArray:
    """Samples [n] whose cross-validated residual is beyond 5 robust standard deviations."""
    return _few(np.abs(robust_z(predicted - y)) > SUSPECT)


def outlying_spectra(t2: FloatArray, q: FloatArray) -> BoolArray:
    """Samples [n] whose cross-validated T2 or Q is far above the others', on a logarithmic scale."""
    tiny = np.finfo(np.float64).tiny
    return _few((robust_z(np.log(t2 + tiny)) > SUSPECT) | (robust_z(np.log(q + tiny)) > SUSPECT))


def name_them(
    sample_ids: Sequence[str], y: FloatArray, predicted: FloatArray, suspect: BoolArray, outlying: BoolArray
) -> tuple[Excluded, ...]:
    """One line a sample that is left out, with the figures that speak against it."""
    z = robust_z(predicted - y)
    found = []
    for k in np.flatnonzero(suspect | outlying).tolist():
        reasons = []
        if suspect[k]:
            reasons.append(f"suspect reference: {y[k]:.5g}, but {predicted[k]:.5g} predicted by a model that had not "
                           f"seen it ({abs(z[k]):.1f} robust standard deviations)")
        if outlying[k]:
            reasons.append("outlying spectrum: T2 or Q far above all others")
        found.append(Excluded(str(sample_ids[k]), "; ".join(reasons)))
    return tuple(found)


def _few(flags: BoolArray) -> BoolArray:
    if flags.size < FEWEST or flags.mean() > MOST:
        return np.zeros_like(flags)
    return flags
