"""What every reader gives back: spectra and references, in the order of the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from soft_sensors.errors import TableError
from soft_sensors.signals import FloatArray


@dataclass(frozen=True)
class SpectraTable:
    """Spectra values [n, channels] on one axis [channels] (strictly monotonic, in the file's direction).

    One sample_id a row; axis_unit: "nm" or "cm-1" as the file says it, "" where it does not. blocks: channels of each
    instrument where spectra of several are joined (the axis then starts anew); empty: there is one.
    """

    sample_ids: tuple[str, ...]
    axis: FloatArray
    values: FloatArray
    axis_unit: str = ""
    blocks: tuple[int, ...] = ()


@dataclass(frozen=True)
class ReferenceTable:
    """Reference columns as they were written, one sample_id a row; where: the file, for messages."""

    sample_ids: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]]
    where: str

    def labels(self, name: str) -> tuple[str, ...]:
        """The texts of a column; TableError naming the columns there are."""
        if name not in self.columns:
            raise TableError(f"{self.where}: no column {name!r}; it has {', '.join(self.columns) or 'none'}")
        return self.columns[name]

    def numbers(self, name: str) -> FloatArray:
        """A column as numbers, NaN where the cell is empty; TableError naming the first cell that is no number."""
        return np.array([number(cell, self.where, sample_id, name)
                         for sample_id, cell in zip(self.sample_ids, self.labels(name), strict=True)])


def number(cell: str, where: str, sample_id: str, column: str) -> float:
    """A cell as a number (empty: NaN), or a TableError that says which cell."""
    try:
        return float(cell) if cell.strip() else float("nan")
    except ValueError:
        raise TableError(
            f"{where}: sample {sample_id!r}, column {column!r}: {cell!r} is not a number; mend the cell"
        ) from None


def axis_of(header: Sequence[str], where: str) -> FloatArray:
    """The axis in a header's channel names; TableError unless all are numbers in strictly monotonic order."""
    if len(header) < 2:
        raise TableError(f"{where}: {len(header)} channel column(s); the header must be sample_id,<axis>,<axis>,...")
    try:
        axis = np.array([float(name) for name in header])
    except ValueError as error:
        raise TableError(f"{where}: header: {error}; every column after sample_id must be an axis value") from None
    if not np.isfinite(axis).all():
        lost = header[int(np.flatnonzero(~np.isfinite(axis))[0])]
        raise TableError(f"{where}: header: {lost} is no axis value; every column after sample_id must be a number")
    steps = np.diff(axis)
    if not (np.all(steps > 0) or np.all(steps < 0)):
        k = int(np.flatnonzero(np.sign(steps) != np.sign(steps[0]))[0]) if steps[0] else 0
        raise TableError(f"{where}: header: the axis is not strictly monotonic at {header[k]}, {header[k + 1]}")
    return axis


def check_ids(sample_ids: Sequence[str], where: str) -> tuple[str, ...]:
    """The sample ids, when there are any and no two are equal."""
    if not sample_ids:
        raise TableError(f"{where}: no rows below the header")
    seen: set[str] = set()
    for sample_id in sample_ids:
        if sample_id in seen:
            raise TableError(f"{where}: sample_id {sample_id!r} occurs twice; a sample_id names one row")
        seen.add(sample_id)
    return tuple(sample_ids)
