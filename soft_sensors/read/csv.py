"""CSV -> spectra and references (header `sample_id,...`, one row a sample)."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from soft_sensors.errors import TableError
from soft_sensors.read.tables import ReferenceTable, SpectraTable, axis_of, check_ids, number


def read_spectra(path: Path) -> SpectraTable:
    """Spectra from `sample_id,<axis>,<axis>,...`; an empty cell is NaN; TableError says what is wrong and where."""
    header, rows = _rows(path)
    axis = axis_of(header[1:], str(path))
    ids = check_ids([row[0] for row in rows], str(path))
    return SpectraTable(ids, axis, np.array([_numbers(row, header, str(path)) for row in rows]))


def read_reference(path: Path) -> ReferenceTable:
    """References from `sample_id,<column>,...`; cells stay texts until a column is asked for."""
    header, rows = _rows(path)
    ids = check_ids([row[0] for row in rows], str(path))
    columns = {name: tuple(row[k] for row in rows) for k, name in enumerate(header) if k > 0}
    return ReferenceTable(ids, columns, str(path))


def _numbers(row: list[str], header: list[str], where: str) -> list[float]:
    try:
        return [float(cell) for cell in row[1:]]
    except ValueError:
        return [number(cell, where, row[0], name) for cell, name in zip(row[1:], header[1:], strict=True)]


def _rows(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            lines = [row for row in csv.reader(stream) if row]
    except FileNotFoundError:
        raise TableError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{path}: not readable as CSV ({error})") from error
    if not lines or lines[0][0].strip() != "sample_id":
        raise TableError(f"{path}: the first column of the header must be sample_id")
    header = [name.strip() for name in lines[0]]
    if len(set(header)) != len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise TableError(f"{path}: header: column {twice!r} occurs twice")
    for row in lines[1:]:
        if len(row) != len(header):
            raise TableError(f"{path}: sample {row[0]!r} has {len(row)} cells, the header {len(header)}")
    return header, [[row[0].strip(), *row[1:]] for row in lines[1:]]
