"""spectra x references -> rows that are in both, joined on sample_id."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soft_sensors.read.tables import ReferenceTable, SpectraTable


@dataclass(frozen=True)
class Joined:
    """Rows of the two tables that belong together, in the order of the spectra, and the ids that met nobody."""

    spectrum_rows: NDArray[np.int64]
    reference_rows: NDArray[np.int64]
    only_spectra: tuple[str, ...]
    only_reference: tuple[str, ...]


def join(spectra: SpectraTable, reference: ReferenceTable) -> Joined:
    """Match rows of both tables by sample_id; nothing is dropped silently."""
    place = {sample_id: k for k, sample_id in enumerate(reference.sample_ids)}
    pairs = [(k, place[s]) for k, s in enumerate(spectra.sample_ids) if s in place]
    have = set(spectra.sample_ids)
    return Joined(
        np.array([a for a, _ in pairs], dtype=np.int64), np.array([b for _, b in pairs], dtype=np.int64),
        tuple(s for s in spectra.sample_ids if s not in place),
        tuple(s for s in reference.sample_ids if s not in have),
    )
