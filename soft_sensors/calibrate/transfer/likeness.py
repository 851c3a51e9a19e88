"""calibration spectra of the old instrument -> how the new one would have seen them -> the new one's fingerprint."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from soft_sensors.calibrate.evidence import Evidence
from soft_sensors.calibrate.folds import IntArray
from soft_sensors.calibrate.transfer.maps import Map
from soft_sensors.fingerprint import Fingerprint, signature_limits
from soft_sensors.signals import FloatArray

FEWEST_PAIRS = 15  # our choice: fewer do not show what the new instrument's noise and baseline do
OF_PAIRS = 10  # folds for pairs that are not in the calibration


@dataclass(frozen=True)
class Likeness:
    """What good spectra are like on the new instrument: looks [m, channels] of the calibration samples that are no
    pairs, whole spectra; their rows [m] in the evidence; the pairs' own spectra [n, channels]; fold [m + n]."""

    looks: FloatArray
    rows: IntArray
    pairs: FloatArray
    fold: IntArray


def likeness(evidence: Evidence, used: slice, chosen: Map, old: FloatArray, new: FloatArray,
             sample_ids: tuple[str, ...]) -> Likeness:
    """First order: a calibration spectrum minus the map's correction of it; by a map that leaves spectra alone, plus
    the mean difference of the pairs old, new [n, channels]. Calibration samples that were left out stay out."""
    place = {sample_id: k for k, sample_id in enumerate(evidence.sample_ids)}
    paired = {place[s] for s in sample_ids if s in place}
    rows = np.array([k for k in np.flatnonzero(evidence.keep).tolist() if k not in paired], dtype=np.int64)
    spectra = np.asarray(evidence.spectra[rows], dtype=np.float64)
    if chosen.on_spectra:
        looks = spectra.copy()
        looks[:, used] = 2.0 * spectra[:, used] - chosen.spectra(spectra[:, used])
    else:
        looks = spectra + (new - old).mean(axis=0)
    first = int(evidence.fold.max()) + 1
    own = [int(evidence.fold[place[s]]) if s in place else first + k % OF_PAIRS for k, s in enumerate(sample_ids)]
    return Likeness(looks, rows, new, np.concatenate([evidence.fold[rows], np.array(own)]).astype(np.int64))


def fingerprint_on(found: Likeness, used: slice) -> Fingerprint:
    """The fingerprint of the new instrument's raw spectra, a sample's kin held out with it."""
    return signature_limits(np.vstack([found.looks, found.pairs])[:, used], found.fold)
