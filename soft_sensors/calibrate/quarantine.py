"""bundle + test set -> what the test set shares with the calibration set: a test on known samples proves nothing.

Three looks, each with its reason: the same numbers, nearly the same shape of spectrum, the same batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import savgol_filter

from soft_sensors.bundle import load_bundle
from soft_sensors.calibrate.evidence import Evidence, read_evidence
from soft_sensors.card import Card
from soft_sensors.errors import TableError
from soft_sensors.signals import FloatArray

DIGITS = 6  # significant, of the largest value: a file written with fewer digits is caught as nearly the same shape
FILTER = 11  # channels of the first derivative
NEAR = 0.5  # of the distance below which only NEAR_SHARE of the calibration's own nearest neighbours lie
NEAR_SHARE = 0.05


@dataclass(frozen=True)
class Nearness:
    """Distances below which two spectra are not two samples.

    duplicate: nearly the same whatever the name; same_name: for two of one sample_id, the calibration's median
    distance between nearest neighbours. Root mean square over channels of SNV + first derivative.
    """

    duplicate: float
    same_name: float


def overlap(
    bundle_folder: Path, sample_ids: Sequence[str], spectra: FloatArray, groups: Sequence[str] | None = None
) -> list[str]:
    """What a test set [n, n_channels] shares with the bundle's calibration set, one line each; none: independent.

    Samples that the fit left out count too: they were looked at. Two spectra are nearly the same when they are closer
    than half the 5 % quantile of the calibration's own distances between nearest neighbours. On 20 random halves (whole
    batches) each of five real sets, 7700 test spectra, that gave 11 false alarms, all in the one set of masked spectra.
    Replicate scans among the calibration spectra narrow the limit: name the batches, the third look needs no limit.
    BundleError without calibration.npz, TableError when the spectra do not fit.
    """
    card, evidence = load_bundle(bundle_folder).card, read_evidence(bundle_folder)
    if spectra.ndim != 2 or spectra.shape[1] != card.axis.size:
        raise TableError(f"the test spectra have shape {spectra.shape}, the model needs [n, {card.axis.size}]")
    return [*shared_spectra(card, evidence, sample_ids, spectra), *shared_groups(evidence, groups)]


def nearness(card: Card, evidence: Evidence) -> Nearness:
    """The two limits, from the calibration set's own distances."""
    shape = _shape(card, evidence.spectra)
    distance = _distances(shape, shape)
    np.fill_diagonal(distance, np.inf)
    nearest = distance.min(axis=1)
    nearest = nearest[nearest > 0]  # exact copies inside the calibration set say nothing of different samples
    if nearest.size == 0:
        return Nearness(0.0, 0.0)
    return Nearness(NEAR * float(np.quantile(nearest, NEAR_SHARE)), float(np.median(nearest)))


def shared_spectra(card: Card, evidence: Evidence, sample_ids: Sequence[str], spectra: FloatArray) -> list[str]:
    """One line for each spectrum [n, n_channels] that the calibration set holds already; not finite: never."""
    known = {fingerprint(row): name for name, row in zip(evidence.sample_ids, evidence.spectra, strict=True)}
    place = {name: k for k, name in enumerate(evidence.sample_ids)}
    limits = nearness(card, evidence)
    finite = np.isfinite(spectra).all(axis=1)
    distance = np.full((len(spectra), len(evidence.sample_ids)), np.inf)
    distance[finite] = _distances(_shape(card, spectra[finite]), _shape(card, evidence.spectra))
    found = []
    for k, name in enumerate(sample_ids):
        nearest = int(distance[k].argmin())
        if (twin := known.get(fingerprint(spectra[k]))) is not None:
            found.append(f"{name}: identical to the spectrum of calibration sample {twin}")
        elif distance[k, nearest] < limits.duplicate:
            found.append(f"{name}: nearly the spectrum of calibration sample {evidence.sample_ids[nearest]} (distance "
                         f"{distance[k, nearest]:.3g}, different samples are beyond {limits.duplicate:.3g})")
        elif name in place and distance[k, place[name]] < limits.same_name:
            found.append(f"{name}: the same sample_id and much the same spectrum as in calibration (distance "
                         f"{distance[k, place[name]]:.3g}, unrelated samples are mostly beyond {limits.same_name:.3g})")
    return found


def shared_groups(evidence: Evidence, groups: Sequence[str] | None) -> list[str]:
    """One line for each group label that the calibration set holds already."""
    if groups is None:
        return []
    shared = sorted(set(groups) & (set(evidence.group) - {""}))
    return [f"group {label}: in the calibration set with {evidence.group.count(label)} sample(s), in the test set with "
            f"{list(groups).count(label)}" for label in shared]


def fingerprint(values: FloatArray) -> str:
    """SHA-256 of a spectrum, its values rounded to six digits of the largest: the same after a trip through a file."""
    top = float(np.max(np.abs(values), initial=0.0, where=np.isfinite(values)))
    places = DIGITS - 1 - int(np.floor(np.log10(top))) if top > 0 else DIGITS
    return hashlib.sha256((np.round(values, places) + 0.0).tobytes()).hexdigest()


def _shape(card: Card, spectra: FloatArray) -> FloatArray:
    """What does not depend on offset, path length and slow baselines: SNV, then a first derivative, in the window."""
    inside = spectra[:, card.window]
    centred = inside - inside.mean(axis=1, keepdims=True)
    deviation = centred.std(axis=1, keepdims=True)
    normal = np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 0)
    width = min(FILTER, inside.shape[1] // 2 * 2 - 1)
    derived = savgol_filter(normal, width, polyorder=min(2, width - 1), deriv=1, axis=1, mode="interp")
    return np.asarray(derived, dtype=np.float64)


def _distances(a: FloatArray, b: FloatArray) -> FloatArray:
    """Root mean square difference over channels [len(a), len(b)]."""
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2.0 * a @ b.T
    return np.asarray(np.sqrt(np.maximum(squared, 0.0) / a.shape[1]), dtype=np.float64)
