"""Parquet -> spectra and references (the same columns as the CSV form)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from soft_sensors.errors import TableError
from soft_sensors.read.tables import ReferenceTable, SpectraTable, axis_of, check_ids


def read_spectra(path: Path) -> SpectraTable:
    """Spectra from columns sample_id, <axis>, <axis>, ...; a null is NaN; TableError says what is wrong."""
    table = _table(path)
    names = table.column_names[1:]
    axis = axis_of(names, str(path))
    ids = check_ids([str(v) for v in table.column(0).to_pylist()], str(path))
    try:
        columns = [table.column(name).cast(pyarrow.float64()).to_numpy() for name in names]
    except pyarrow.ArrowException as error:
        raise TableError(f"{path}: a channel is not numeric ({error})") from error
    return SpectraTable(ids, axis, np.ascontiguousarray(np.column_stack(columns)))


def read_reference(path: Path) -> ReferenceTable:
    """References from columns sample_id, <column>, ...; a null is an empty text."""
    table = _table(path)
    ids = check_ids([str(v) for v in table.column(0).to_pylist()], str(path))
    columns = {name: tuple("" if v is None else str(v) for v in table.column(name).to_pylist())
               for name in table.column_names[1:]}
    return ReferenceTable(ids, columns, str(path))


def _table(path: Path) -> Any:
    if not path.is_file():
        raise TableError(f"{path}: no such file")
    try:
        table = pyarrow.parquet.read_table(path)
        table.validate(full=True)  # texts that are no UTF-8 would be found only when they are used
        names = table.column_names
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise TableError(f"{path}: not readable as Parquet ({error})") from error
    if not names or names[0] != "sample_id":
        raise TableError(f"{path}: the first column must be sample_id")
    return table
