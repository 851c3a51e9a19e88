"""moved model + pairs -> calibration.npz of the moved bundle: what it rests on at the new instrument, sample by sample.

The pairs are the kept samples: their new spectra, references (or the old instrument's values) and held-out values. The
other calibration samples stand by, as the new instrument would have seen them, so that a test set is kept apart from
them as well; they count in no figure.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from soft_sensors.calibrate.evidence import Evidence
from soft_sensors.calibrate.transfer.likeness import Likeness
from soft_sensors.card import Card
from soft_sensors.signals import BoolArray, FloatArray

ASKED = ("value", "t2", "q")


def moved_evidence(
    parent: Evidence, card: Card, graph: bytes, found: Likeness, sample_ids: tuple[str, ...], yardstick: FloatArray,
    held_out: FloatArray, keep: BoolArray,
) -> dict[str, NDArray[Any]]:
    """The arrays of calibration.npz; yardstick, held_out (value, T2, Q, ...) and keep [n] are of the pairs."""
    rows, n = found.rows, len(sample_ids)
    spectra = np.vstack([found.looks, found.pairs])
    fitted = _run(graph, card, spectra)
    none = np.zeros(rows.size, dtype=np.bool_)
    place = {s: k for k, s in enumerate(parent.sample_ids)}
    of_pairs = [parent.group[place[s]] if s in place else "" for s in sample_ids]
    group = [*(parent.group[k] for k in rows.tolist()), *of_pairs]
    labels = [g or f"sample {k}" for k, g in enumerate(group)]
    return {
        "sample_ids": np.array([*(parent.sample_ids[k] for k in rows.tolist()), *sample_ids], dtype=np.str_),
        "axis": card.axis, "spectra": spectra, "reference": np.concatenate([parent.reference[rows], yardstick]),
        "group": np.array(group, dtype=np.str_),
        "unit": np.unique(np.array(labels), return_inverse=True)[1].astype(np.int64), "fold": found.fold,
        "predicted": np.concatenate([parent.predicted[rows], held_out[:, 0]]), "fitted": fitted[:, 0],
        "t2": np.concatenate([fitted[: rows.size, 1], held_out[:, 1]]),
        "q": np.concatenate([fitted[: rows.size, 2], held_out[:, 2]]), "keep": np.concatenate([none, keep]),
        "suspect": np.concatenate([none, ~keep]), "outlying": np.zeros(rows.size + n, dtype=np.bool_),
        "curve_names": np.array(list(parent.curves), dtype=np.str_),
        **{f"curve_{k}": curve for k, curve in enumerate(parent.curves.values())},
    }  # fmt: skip


def _run(graph: bytes, card: Card, spectra: FloatArray) -> FloatArray:
    """Value, T2 and Q [n, 3] that the moved graph gives."""
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    feeds = spectra.astype(card.input_type)
    return np.array([[float(o.item()) for o in session.run(ASKED, {"spectrum": row[None, :]})] for row in feeds])
