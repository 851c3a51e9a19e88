"""bundle + test set -> the figures that a verifier signs, with the hashes of what they were made from."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from soft_sensors.bundle import load_bundle
from soft_sensors.errors import RegistryError
from soft_sensors.inputs import joined_tables, labels_of, numbers
from soft_sensors.predictions import predict
from soft_sensors.read.tables import SpectraTable
from soft_sensors.score import Score, score


@dataclass(frozen=True)
class TestSet:
    """Files and columns of a test set, as they are named on the command line."""

    spectra: Path
    reference: Path
    target: str
    group: str | None = None
    mass: str | None = None


@dataclass(frozen=True)
class Examined:
    """What a test gave: the score, and the body of the event that records it, but for the bundle."""

    score: Score
    body: dict[str, Any]


def examine(bundle: Path, test: TestSet, say: Callable[[str], None]) -> Examined:
    """Judge a bundle on a test set. RegistryError when the set shares samples with the calibration."""
    from soft_sensors.calibrate.quarantine import overlap

    model = load_bundle(bundle)
    table, references, rows = joined_tables(test.spectra, test.reference, test.target, test.mass, test.group)
    picked = SpectraTable(tuple(table.sample_ids[k] for k in rows.spectrum_rows), table.axis,
                          table.values[rows.spectrum_rows])  # fmt: skip
    y = numbers(references, rows, test.target)
    everyone = np.ones(len(y), dtype=np.bool_)
    groups = None if test.group is None else labels_of(references, rows, test.group, everyone)
    say("looking for samples that the calibration has seen")
    shared = overlap(bundle, picked.sample_ids, picked.values, groups)
    if shared:
        raise RegistryError(f"{test.spectra}: not independent of the calibration: {shared[0]} "
                            f"({len(shared)} in all); take other samples")  # fmt: skip
    say(f"predicting {len(y)} spectra")
    masses = None if test.mass is None else numbers(references, rows, test.mass)
    found = score(list(predict(model, picked, masses)), y)
    figures = {name: getattr(found, name) for name in ("n", "rmsep", "bias", "coverage_90", "n_bad")}
    plain = {name: value if math.isfinite(value) else None for name, value in figures.items()}
    return Examined(found, {"figures": plain, "spectra_sha256": file_hash(test.spectra),
                            "reference_sha256": file_hash(test.reference)})  # fmt: skip


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
