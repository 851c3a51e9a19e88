"""GRAMS SPC (new format, least significant byte first) -> spectra, read by the library spc_io."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import numpy as np
from spc_io.low_level.headers.spchdr import SpcHdr  # type: ignore[import-untyped]
from spc_io.low_level.spc_raw import SpcRaw  # type: ignore[import-untyped]

from soft_sensors.errors import TableError
from soft_sensors.read.foreign import axis_unit_of, bytes_of, check_quantity, parsed, table_of
from soft_sensors.read.tables import SpectraTable
from soft_sensors.signals import FloatArray

logging.getLogger("spc_io").setLevel(logging.ERROR)  # it warns of bytes left over: the log, which is not read

WHAT = "GRAMS SPC"
NEW_LSB = 0x4B  # fversn of the format read here; 0x4C is its big-endian twin, 0x4D the one of before 1996
FLOATS = -0x80  # the exponent that says: these are floating-point numbers
# Galactic's axis codes that are spectra; any other is named in the refusal.
AXES = {"XARB": "arbitrary", "XWAVEN": "cm-1", "XRAMANS": "raman shift cm-1", "XNMETR": "nm"}
QUANTITIES = {"YTRANS": "transmittance", "YREFLEC": "reflectance", "YIGRAM": "interferogram"}


def read_spectra(path: Path) -> SpectraTable:
    """Spectra [n, channels] of one file, one a subfile, with the axis unit its header names; TableError otherwise."""
    raw = bytes_of(path, WHAT)
    _check_header(raw, path)
    (axes, rows, unit), _ = parsed(lambda: _subfiles(raw, path), path, WHAT)
    return table_of(path, axes, rows, unit)


def _check_header(raw: bytes, path: Path) -> None:
    if len(raw) < 512:
        raise TableError(f"{path}: {len(raw)} bytes are too few for a GRAMS SPC file; it is cut short")
    if raw[1] != NEW_LSB:
        raise TableError(f"{path}: SPC version byte 0x{raw[1]:02X}; only 0x4B is read: save it again in the new format")


def _subfiles(raw: bytes, path: Path) -> tuple[list[FloatArray], list[FloatArray], str]:
    # The log is not read: the parser takes it to follow at once, and writers (its own, too) put wrong offsets there.
    place = SpcHdr.flogoff.offset
    made = SpcRaw.from_bytes_io(io.BytesIO(raw[:place] + bytes(4) + raw[place + 4 :]))
    header = made.main_header
    check_quantity(QUANTITIES.get(str(header.fytype), ""), path)
    if header.ftflgs.TALABS:
        label = bytes(header.fcatxt).split(b"\0")[0].decode("latin-1")
        unit = axis_unit_of(label, path)
    else:
        unit = axis_unit_of(AXES.get(str(header.fxtype), str(header.fxtype)), path)
    shared = made.xarray
    if shared is None and not header.ftflgs.TXYXYS:
        shared = np.linspace(header.ffirst, header.flast, header.fnpts)
    axes = [np.asarray(sub.xarray if shared is None else shared, dtype=np.float64) for sub in made.subs]
    rows = [np.asarray(sub.yarray, dtype=np.float64) * _mend(header, sub.header, path) for sub in made.subs]
    return axes, rows, unit


def _mend(header: SpcHdr, sub: object, path: Path) -> float:
    """The factor that a lone integer spectrum needs: its exponent is the file's; the parser takes the subfile's."""
    own = int(getattr(sub, "subexp", FLOATS))
    if header.ftflgs.TMULTI or header.fexp == own:
        return 1.0
    if header.fexp == FLOATS:
        return 1.0
    if own == FLOATS:
        raise TableError(f"{path}: header and subfile disagree about the kind of number; export it again")
    return float(2.0 ** (header.fexp - own))
