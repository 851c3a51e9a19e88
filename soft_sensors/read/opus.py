"""Bruker OPUS -> the result spectrum (absorbance before Raman), its blocks read by the library brukeropus.

Only the directory, the data blocks and their status blocks are handed to the library, and only after their bounds and
the lengths in them were checked: its parser would go in circles on a damaged one, and reports are not needed.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from brukeropus.file import (  # type: ignore[import-untyped]
    Data,
    FileBlock,
    pair_data_and_status_blocks,
    parse_directory,
    parse_header,
)

from soft_sensors.errors import TableError
from soft_sensors.read.foreign import axis_unit_of, bytes_of, parsed, table_of
from soft_sensors.read.tables import SpectraTable
from soft_sensors.signals import FloatArray

WHAT = "Bruker OPUS"
MAGIC = b"\n\n\xfe\xfe"
WANTED = ("a", "atr", "logr", "km", "aria", "ra")  # absorbance-like results, then Raman, in order of preference
UNITS = {"WN": "cm-1", "MI": "micrometers", "LGW": "log wavenumber"}
FLOAT32 = 1  # DPF of single-precision numbers; integers (2) were never seen and are refused


def read_spectra(path: Path) -> SpectraTable:
    """The one result spectrum [1, channels] of a file, with its axis unit; TableError says what is wrong."""
    raw = bytes_of(path, WHAT)
    if not raw.startswith(MAGIC):
        raise TableError(f"{path}: not a Bruker OPUS file: it does not begin as one does")
    (axis, values, told), _ = parsed(lambda: _result(raw, path), path, WHAT)
    return table_of(path, [axis], [values], axis_unit_of(UNITS.get(told, told), path))


def _result(raw: bytes, path: Path) -> tuple[FloatArray, FloatArray, str]:
    """Axis, values and the axis' code (DXU) of the preferred result."""
    found: dict[str, list[tuple[Any, Any]]] = {}
    for block, status in pair_data_and_status_blocks(_blocks(raw, path)):
        order = block.type[4]  # the key does not tell a derivative from the spectrum itself
        key = f"{block.get_data_key()} (derivative)" if order else block.get_data_key()
        found.setdefault(key, []).append((block, status))
    key = next((name for name in WANTED if name in found), None)
    if key is None:
        held = ", ".join(sorted(found)) or "none"
        raise TableError(f"{path}: no absorbance or Raman result in it (blocks: {held}); save the result in OPUS")
    if len(found[key]) > 1:
        raise TableError(f"{path}: {len(found[key])} result spectra of the kind {key!r}; save one a file")
    block, status = found[key][0]
    if status.data.get("dpf") != FLOAT32 or not 2 <= status.data["npt"] <= len(block.data):
        raise TableError(f"{path}: {status.data.get('npt')} points of format {status.data.get('dpf')} in a block of "
                         f"{len(block.data)}; it is damaged or not single-precision")
    made = Data(block, status, key=key, vel=0.0)
    return made.x, made.y, str(made.params.dxu)


def _blocks(raw: bytes, path: Path) -> list[Any]:
    _, start, most, _ = parse_header(raw)
    if not 24 <= start < len(raw) or not 0 < most <= 4096:
        raise TableError(f"{path}: its directory lies outside the file: it is damaged or cut short; export it again")
    blocks = []
    for kind, size, place in parse_directory(raw[start : start + 12 * most]):
        if size < 0 or place + size > len(raw):
            raise TableError(f"{path}: a block lies behind its end: the file is cut short; copy or export it again")
        block = FileBlock(raw, kind, size, place)
        if block.is_data_status():
            _check_steps(block.bytes, path)
        elif not block.is_data():
            continue
        block.parse()
        if block.parse_error:
            raise TableError(f"{path}: block at byte {place}: {block.parse_error}; export it again")
        blocks.append(block)
    return blocks


def _check_steps(block: bytes, path: Path) -> None:
    """Every entry (name, type, length in words of two bytes) leads forward; else the parser would never end."""
    place = 0
    while place + 8 <= len(block) and block[place : place + 3] != b"END":
        words = struct.unpack_from("<h", block, place + 6)[0]
        if words < 0:
            raise TableError(f"{path}: a parameter with a negative length: the file is damaged; export it again")
        place += 8 + 2 * words
