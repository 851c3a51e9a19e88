"""files named on the command line -> joined tables, columns and masses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from soft_sensors.errors import TableError
from soft_sensors.read import read_reference
from soft_sensors.read.blocks import read_one_or_two
from soft_sensors.read.join import Joined, join
from soft_sensors.read.tables import ReferenceTable, SpectraTable
from soft_sensors.signals import FloatArray

NAMED = 20  # unmatched samples are named up to this many


def joined_tables(
    spectra: Path, reference: Path, target: str, mass: str | None, group: str | None, second: Path | None = None
) -> tuple[SpectraTable, ReferenceTable, Joined]:
    """Spectra (of two instruments, joined, where a second file is given), references and their common rows.

    Who met nobody is named on stderr.

    TableError when a column is unknown or no row is common.
    """
    references = read_reference(reference)
    for column in (target, mass, group):
        if column is not None:
            references.labels(column)
    table = spectra_of(spectra, second)
    rows = join(table, references)
    name_samples(f"in {spectra} but not in {reference}", rows.only_spectra)
    name_samples(f"in {reference} but not in {spectra}", rows.only_reference)
    if rows.spectrum_rows.size == 0:
        raise TableError(f"no sample_id is both in {spectra} and in {reference}; they are joined on sample_id")
    return table, references, rows


def spectra_of(first: Path, second: Path | None) -> SpectraTable:
    """The spectra of one file or, joined, of two; samples that are in one only are named on stderr."""
    table, alone = read_one_or_two(first, second)
    name_samples(f"in one of {first} and {second} only", alone)
    return table


def name_samples(what: str, sample_ids: Sequence[str]) -> None:
    """Name samples on stderr, up to twenty of them."""
    if sample_ids:
        more = f" and {len(sample_ids) - NAMED} more" if len(sample_ids) > NAMED else ""
        click.echo(f"{what}: {len(sample_ids)} sample(s): {', '.join(sample_ids[:NAMED])}{more}", err=True)


def numbers(references: ReferenceTable, rows: Joined, column: str) -> FloatArray:
    """A reference column as numbers, row by row of the joined tables."""
    return references.numbers(column)[rows.reference_rows]


def labels_of(references: ReferenceTable, rows: Joined, column: str, usable: NDArray[np.bool_]) -> list[str]:
    """A reference column as texts, for the usable rows of the joined tables."""
    labels = references.labels(column)
    return [labels[k] for k, u in zip(rows.reference_rows, usable, strict=True) if u]


def masses_of(table: SpectraTable, references: ReferenceTable, column: str) -> FloatArray:
    """The tablet mass of each spectrum, NaN where there is none."""
    rows = join(table, references)
    masses = np.full(len(table.sample_ids), np.nan)
    masses[rows.spectrum_rows] = numbers(references, rows, column)
    name_samples("no mass", rows.only_spectra)
    return masses
