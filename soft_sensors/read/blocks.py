"""two tables of spectra of the same samples -> one table of joined spectra."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from soft_sensors.errors import TableError
from soft_sensors.read import read_spectra
from soft_sensors.read.tables import SpectraTable

SEPARATOR = "|"


def read_one_or_two(first: Path, second: Path | None) -> tuple[SpectraTable, tuple[str, ...]]:
    """The spectra of one file, or of two joined on sample_id (rows in the order of the first).

    Also the sample ids that are in one of the two only. TableError when no sample is in both.
    """
    a = read_spectra(first)
    if second is None:
        return a, ()
    b = read_spectra(second)
    place = {sample_id: k for k, sample_id in enumerate(b.sample_ids)}
    rows = [(k, place[s]) for k, s in enumerate(a.sample_ids) if s in place]
    if not rows:
        raise TableError(f"no sample_id is both in {first} and in {second}; blocks are joined on sample_id")
    values = np.hstack([a.values[[i for i, _ in rows]], b.values[[j for _, j in rows]]])
    ids = tuple(a.sample_ids[i] for i, _ in rows)
    alone = tuple(s for s in (*a.sample_ids, *b.sample_ids) if s not in set(ids))
    units = SEPARATOR.join((a.axis_unit, b.axis_unit)) if a.axis_unit and b.axis_unit else ""
    axis = np.concatenate([a.axis, b.axis])
    return SpectraTable(ids, axis, values, units, (a.axis.size, b.axis.size)), alone
