"""JCAMP-DX -> spectra (one block, or the blocks of a LINK file), read by the library jcamp.

That library prints where the protocol's own checks fail and goes on; here whatever it prints refuses the file, and the
counts and extremes that the header declares are checked against what came out (JCAMP-DX 4.24, sections 5 and 6).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jcamp  # type: ignore[import-untyped]
import numpy as np

from soft_sensors.errors import TableError
from soft_sensors.read.foreign import axis_unit_of, bytes_of, check_quantity, parsed, table_of
from soft_sensors.read.tables import SpectraTable
from soft_sensors.signals import FloatArray

WHAT = "JCAMP-DX"
MAX_LINE = 4096  # characters of a table's line: the protocol asks for 80; unpacking is quadratic in it
POINTS_A_BYTE = 9  # the closest packing there is: one duplicate digit stands for up to nine points
EXTREMES = 0.01  # of the span: writers round MAXY and MINY


def read_spectra(path: Path) -> SpectraTable:
    """Spectra [n, channels] with the axis unit the file names; TableError says what is wrong and where."""
    raw = bytes_of(path, WHAT)
    _check_size(raw, path)
    lines = raw.rstrip(b"\x1a\r\n ").splitlines(keepends=True)  # DOS programs end a text with a control-Z
    read, printed = parsed(lambda: jcamp.read(lines), path, WHAT)
    blocks: list[Mapping[str, Any]] = read.get("children", [read])
    (axes, rows, units), _ = parsed(lambda: _blocks(blocks, path), path, WHAT)
    if printed:
        raise TableError(f"{path}: damaged: {printed[:120]}; export it again")
    if len(units) > 1:
        raise TableError(f"{path}: its blocks are in different units ({', '.join(sorted(units))}); export them apart")
    return table_of(path, axes, rows, units.pop() if units else "")


def _blocks(
    blocks: list[Mapping[str, Any]], path: Path
) -> tuple[list[FloatArray], list[FloatArray], set[str]]:
    axes, rows, units = [], [], set()
    for number, block in enumerate(blocks, start=1):
        if "xydata" not in block and "xypoints" not in block:
            raise TableError(f"{path}: block {number} has no ##XYDATA= or ##XYPOINTS= table; export it as a spectrum")
        check_quantity(str(block.get("yunits", "")), path)
        units.add(axis_unit_of(str(block.get("xunits", "")), path))
        axis, values = np.asarray(block["x"], dtype=np.float64), np.asarray(block["y"], dtype=np.float64)
        _check_declared(block, axis, values, f"{path}: block {number}")
        axes.append(axis)
        rows.append(values)
    return axes, rows, units


def _check_size(raw: bytes, path: Path) -> None:
    """What would make the parser run away is refused before it starts."""
    for told in re.findall(rb"##\s*NPOINTS\s*=\s*([^\r\n$]*)", raw, flags=re.IGNORECASE):
        number = told.strip()
        if not number.isdigit() or len(number) > 12 or not 2 <= int(number) <= POINTS_A_BYTE * len(raw):
            shown = number[:20].decode("ascii", "replace")
            raise TableError(f"{path}: ##NPOINTS={shown} cannot be true of a file of {len(raw)} bytes; export it again")
    for number, line in enumerate(raw.splitlines(), start=1):
        if len(line) > MAX_LINE and not line.startswith((b"##", b"$$")):
            raise TableError(f"{path}: line {number} has {len(line)} characters, the limit is {MAX_LINE}")


def _check_declared(block: Mapping[str, Any], axis: FloatArray, values: FloatArray, where: str) -> None:
    if "npoints" not in block:
        raise TableError(f"{where}: ##NPOINTS= is missing; export it again")
    if not values.size == axis.size == block["npoints"]:
        raise TableError(f"{where}: {values.size} values, but ##NPOINTS={block['npoints']}; it is cut short or damaged")
    found = {"maxy": float(values.max()), "miny": float(values.min()), "firstx": axis[0], "lastx": axis[-1]}
    span = {"y": np.ptp(values), "x": np.ptp(axis)}
    for name, value in found.items():
        told = block.get(name)
        slack = EXTREMES * max(float(span[name[-1]]), 1e-12)
        if isinstance(told, int | float) and not abs(value - told) <= slack:
            raise TableError(f"{where}: ##{name.upper()}={told:g}, but the table says {value:g}; it is damaged")
