"""files -> spectra and references: one reader a format, chosen by the file's ending."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

from soft_sensors.errors import TableError
from soft_sensors.read.tables import ReferenceTable, SpectraTable

FORMATS = ("csv", "parquet")


def read_spectra(path: Path) -> SpectraTable:
    """Spectra in a file of any known format; TableError when it cannot be used."""
    table: SpectraTable = _reader(path).read_spectra(path)
    return table


def read_reference(path: Path) -> ReferenceTable:
    """References in a file of any known format; TableError when it cannot be used."""
    table: ReferenceTable = _reader(path).read_reference(path)
    return table


def _reader(path: Path) -> ModuleType:
    ending = path.suffix.lower().lstrip(".")
    if ending not in FORMATS:
        raise TableError(f"{path}: ending {path.suffix!r} is not known; use .{' or .'.join(FORMATS)}")
    try:
        return import_module(f"soft_sensors.read.{ending}")
    except ModuleNotFoundError as error:
        raise TableError(f"{path}: reading .{ending} needs the package {error.name!r}, not installed here") from error
