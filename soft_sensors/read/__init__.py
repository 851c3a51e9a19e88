"""files -> spectra and references: one reader a format, chosen by the file's ending."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np

from soft_sensors.errors import TableError
from soft_sensors.read.tables import ReferenceTable, SpectraTable

# ending -> the reader's file; OPUS numbers its files instead of giving them an ending: name.0, name.1, ...
ENDINGS = {
    "csv": "csv", "parquet": "parquet", "dx": "jcamp", "jdx": "jcamp", "jcm": "jcamp", "spc": "spc", "opus": "opus",
}  # fmt: skip
REFERENCES = ("csv", "parquet")


class MissingPackageError(TableError):
    """A format's parser is not installed: no fault of the file."""


def check_reader(path: Path) -> None:
    """Is there a reader for a file of this name? TableError names the endings, MissingPackageError the package."""
    _reader(path)


def read_spectra(path: Path) -> SpectraTable:
    """Spectra in a file of any known format, or in a folder of such files; TableError when it cannot be used."""
    if path.is_dir():
        return _read_folder(path)
    table: SpectraTable = _reader(path).read_spectra(path)
    return table


def _read_folder(path: Path) -> SpectraTable:
    """The spectra of all files in a folder, in the order of their names, all on one axis.

    A file with one spectrum gives it the file's own name, without its ending, as sample_id; a file with several keeps
    the names it has. Hidden files are left aside; a file that is no spectrum is an error, for it may be a sample.
    """
    files = sorted(f for f in path.iterdir() if f.is_file() and not f.name.startswith("."))
    if not files:
        raise TableError(f"{path}: no files in this folder; give a file of spectra or a folder of them")
    tables = [read_spectra(file) for file in files]
    first = tables[0]
    for file, table in zip(files, tables, strict=True):
        if table.axis_unit != first.axis_unit or not np.array_equal(table.axis, first.axis):
            raise TableError(f"{file}: its axis is not that of {files[0].name}; put other settings into a folder of "
                             "their own, or measure it again")
    ids = [file.stem if len(table.sample_ids) == 1 else sample_id
           for file, table in zip(files, tables, strict=True) for sample_id in table.sample_ids]
    twice = sorted({sample_id for sample_id in ids if ids.count(sample_id) > 1})
    if twice:
        raise TableError(f"{path}: sample_id {twice[0]!r} comes from more than one file; rename one of them")
    return SpectraTable(tuple(ids), first.axis, np.concatenate([t.values for t in tables]), first.axis_unit)


def read_reference(path: Path) -> ReferenceTable:
    """References in a CSV or Parquet file; TableError when it cannot be used."""
    if _format(path) not in REFERENCES:
        raise TableError(f"{path}: references are read from .{' or .'.join(REFERENCES)} only")
    table: ReferenceTable = _reader(path).read_reference(path)
    return table


def _format(path: Path) -> str:
    ending = path.suffix.lower().lstrip(".")
    if ending.isascii() and ending.isdigit():
        return "opus"
    if ending not in ENDINGS:
        raise TableError(f"{path}: ending {path.suffix!r} is not known; use .{', .'.join(ENDINGS)} or .0 (OPUS)")
    return ENDINGS[ending]


def _reader(path: Path) -> ModuleType:
    name = _format(path)
    try:
        return import_module(f"soft_sensors.read.{name}")
    except ModuleNotFoundError as error:
        said = f"{path}: reading it needs the package {error.name!r}, not installed here"
        raise MissingPackageError(said) from error
