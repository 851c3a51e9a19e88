"""An instrument's file, read by somebody else's parser -> a table, or one line that says why not."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from soft_sensors.errors import TableError
from soft_sensors.read.tables import SpectraTable
from soft_sensors.signals import FloatArray

T = TypeVar("T")

MAX_BYTES = 256 * 2**20  # our choice: no file of spectra is larger, and a parser is never fed what memory cannot hold
UNITS = {
    "nm": "nm", "nanometer": "nm", "nanometers": "nm", "nanometre": "nm", "nanometres": "nm",
    "wavelength nm": "nm", "wavelength in nm": "nm",
    "1/cm": "cm-1", "cm-1": "cm-1", "cm^-1": "cm-1", "reciprocal centimeters": "cm-1", "wavenumber": "cm-1",
    "wavenumbers": "cm-1", "wavenumber cm-1": "cm-1", "wavenumbers cm-1": "cm-1", "raman shift": "cm-1",
    "raman shift cm-1": "cm-1", "raman shift 1/cm": "cm-1",
    "": "", "arbitrary": "", "arbitrary units": "",
}  # fmt: skip
NOT_ABSORBANCE = ("transmi", "reflectance", "interferogram", "%t", "%r")


def bytes_of(path: Path, what: str) -> bytes:
    """The bytes of a file; TableError when it is missing, empty, unreadable or larger than 256 MB."""
    try:
        size = path.stat().st_size
        if 0 < size <= MAX_BYTES:
            return path.read_bytes()
    except FileNotFoundError:
        raise TableError(f"{path}: no such file") from None
    except OSError as error:
        raise TableError(f"{path}: cannot be read ({error.strerror})") from error
    said = "it is empty" if size == 0 else f"it has {size} bytes, the limit is {MAX_BYTES}"
    raise TableError(f"{path}: not readable as {what}: {said}; export it again")


def parsed(parse: Callable[[], T], path: Path, what: str) -> tuple[T, str]:
    """What a parser makes of a file, and what it printed meanwhile; TableError for whatever it raises.

    The parsers raise any kind of error on a broken file, a plain Exception included; a TableError passes through.
    """
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            made = parse()
    except TableError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:120] or type(error).__name__
        raise TableError(f"{path}: not readable as {what} ({said}); export it again") from error
    return made, " ".join(printed.getvalue().split())


def axis_unit_of(text: str, path: Path) -> str:
    """'nm', 'cm-1' or '' (the file does not say) from a file's words; TableError when it is another unit."""
    words = " ".join(text.lower().replace("(", " ").replace(")", " ").replace(",", " ").split())
    if words not in UNITS:
        raise TableError(f"{path}: the axis is in {text.strip()!r}; export the spectrum in nm or 1/cm")
    return UNITS[words]


def check_quantity(text: str, path: Path) -> None:
    """Refuse what cannot be mistaken for absorbance or Raman intensity without harm: TableError with the mend."""
    if any(word in text.lower() for word in NOT_ABSORBANCE):
        raise TableError(f"{path}: holds {text.strip().lower()}; export absorbance, log(1/R) or Raman intensity")


def table_of(path: Path, axes: Sequence[FloatArray], rows: Sequence[FloatArray], unit: str) -> SpectraTable:
    """A table of the spectra of one file, in its order; a lone one is named as the file, more with #1, #2 behind.

    TableError unless all share one finite, strictly monotonic axis.
    """
    if not rows:
        raise TableError(f"{path}: no spectrum in it; export it again")
    axis = np.asarray(axes[0], dtype=np.float64)
    steps = np.diff(axis)
    if axis.ndim != 1 or axis.size < 2 or not np.isfinite(axis).all() or not (np.all(steps > 0) or np.all(steps < 0)):
        raise TableError(f"{path}: its axis of {axis.size} channels is not finite and strictly monotonic")
    for k, (other, row) in enumerate(zip(axes, rows, strict=True), start=1):
        if len(row) != axis.size:
            raise TableError(f"{path}: spectrum {k} has {len(row)} values on an axis of {axis.size} channels")
        if not np.array_equal(other, axis):
            raise TableError(f"{path}: spectrum {k} has another axis than the first; export each to its own file")
    values = np.array([np.asarray(row, dtype=np.float64) for row in rows])
    names = (path.stem,) if len(rows) == 1 else tuple(f"{path.stem}#{k}" for k in range(1, len(rows) + 1))
    return SpectraTable(names, axis, values, unit)
