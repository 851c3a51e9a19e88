"""files -> spectra and references: one reader a format, chosen by the file's ending."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

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
    """Spectra in a file of any known format; TableError when it cannot be used."""
    table: SpectraTable = _reader(path).read_spectra(path)
    return table


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
