"""calibration -> calibration.npz -> Evidence: what a model was made from, sample by sample, kept beside its bundle.

The service never reads it. It is what the dossier, the quarantine of test sets and a later pooled recalibration need.
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soft_sensors.bundle import HASHES
from soft_sensors.calibrate.fit import Calibration
from soft_sensors.calibrate.folds import IntArray
from soft_sensors.card import Card
from soft_sensors.errors import AlteredError, BundleError
from soft_sensors.npz import NPZ_ERRORS
from soft_sensors.signals import BoolArray, FloatArray

CALIBRATION = "calibration.npz"
AGREES = 1e-9  # relative: the card's figures are recomputed from the same float64 numbers


@dataclass(frozen=True)
class Evidence:
    """The calibration set and what was found about each sample; n samples, m channels, values in the card's unit.

    unit [n]: the group of a sample (or itself), group [n]: its label ("" where no groups were given); fold [n];
    predicted [n]: nested cross-validation; fitted [n]: by the final model; t2, q [n]: held out; keep, suspect,
    outlying [n]: flags; curves: cross-validated error by number of latent variables, a pre-treatment a key;
    sha256: of the file.
    """

    sample_ids: tuple[str, ...]
    axis: FloatArray
    spectra: FloatArray
    reference: FloatArray
    group: tuple[str, ...]
    unit: IntArray
    fold: IntArray
    predicted: FloatArray
    fitted: FloatArray
    t2: FloatArray
    q: FloatArray
    keep: BoolArray
    suspect: BoolArray
    outlying: BoolArray
    curves: dict[str, FloatArray]
    sha256: str

    @property
    def rmsec(self) -> float:
        """Root mean square error of the fit on the samples it was fitted to."""
        return float(np.sqrt(np.mean((self.fitted - self.reference)[self.keep] ** 2)))


def evidence_arrays(made: Calibration) -> dict[str, NDArray[Any]]:
    """The arrays of calibration.npz."""
    samples, folding = made.samples, made.samples.folding
    names = folding.names
    group = [names[u] if names else "" for u in folding.unit.tolist()]
    curves = {f"curve_{k}": np.asarray(curve) for k, curve in enumerate(made.curves.values())}
    return {
        "sample_ids": np.array(samples.sample_ids, dtype=np.str_), "axis": samples.axis, "spectra": samples.spectra,
        "reference": samples.reference, "group": np.array(group, dtype=np.str_), "unit": folding.unit,
        "fold": folding.fold, "predicted": made.predicted, "fitted": made.predict(samples.spectra), "t2": made.t2,
        "q": made.q, "keep": made.keep, "suspect": made.suspect, "outlying": made.outlying,
        "curve_names": np.array(list(made.curves), dtype=np.str_), **curves,
    }  # fmt: skip


def read_evidence(folder: Path) -> Evidence:
    """The evidence of the bundle in folder; BundleError when there is none, AlteredError when it was changed."""
    path = folder / CALIBRATION
    if not path.is_file():
        raise BundleError(f"{path}: the bundle keeps no calibration set (an older or a transferred model); "
                          "calibrate again with 'patloop sensor calibrate'")
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    try:
        written = tomllib.loads((folder / HASHES).read_text()).get(CALIBRATION)
    except (OSError, ValueError, RecursionError) as error:
        raise AlteredError(f"{folder / HASHES}: not readable ({error}); restore the approved bundle") from error
    if written != digest:
        raise AlteredError(f"{path}: altered since it was written; restore the approved bundle")
    try:
        with np.load(BytesIO(content), allow_pickle=False) as stored:
            return _evidence(dict(stored), digest)
    except NPZ_ERRORS as error:
        raise BundleError(f"{path}: not readable ({error}); calibrate again") from error


def check_agreement(evidence: Evidence, card: Card) -> None:
    """AlteredError unless the card's own figures follow from the evidence: it is of this model, not of another.

    The bundle's hash covers the card but not the calibration set; this ties the one to the other. A model that was
    moved without references has an error on its card that no single residual shows: there the rest must do.
    """
    keep = evidence.keep
    residual = (evidence.predicted - evidence.reference)[keep]
    for name, said, found in (
        ("n_samples", card.n_samples, int(keep.sum())),
        ("reference_low", card.reference_low, float(evidence.reference[keep].min())),
        ("reference_high", card.reference_high, float(evidence.reference[keep].max())),
        ("rmsecv", card.rmsecv, float(np.sqrt(np.mean(residual**2)))),
    ):
        if name == "rmsecv" and card.transfer is not None and not card.transfer.referenced:
            continue
        if not abs(said - found) <= AGREES * max(abs(said), abs(found)):
            raise AlteredError(f"{CALIBRATION}: gives {name} {found:g}, the card says {said:g}: it belongs to another "
                               "model; restore the approved bundle")


def _evidence(arrays: dict[str, NDArray[Any]], digest: str) -> Evidence:
    curves = {str(name): arrays[f"curve_{k}"] for k, name in enumerate(arrays.pop("curve_names"))}
    texts = {name: tuple(map(str, arrays[name])) for name in ("sample_ids", "group")}
    plain = ("axis", "spectra", "reference", "unit", "fold", "predicted", "fitted", "t2", "q", "keep", "suspect",
             "outlying")  # fmt: skip
    return Evidence(sample_ids=texts["sample_ids"], group=texts["group"], curves=curves, sha256=digest,
                    **{name: arrays[name] for name in plain})
