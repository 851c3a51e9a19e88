"""Instruments' files: what they say is read, with axis direction and unit; what is broken is refused in one line."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spc_io.high_level.even_axis import EvenAxis
from spc_io.high_level.spc import SPC

from soft_sensors.errors import TableError
from soft_sensors.read import read_reference, read_spectra
from soft_sensors.read.tables import SpectraTable

PERKIN_ELMER = Path(__file__).parent / "spectra" / "perkin_elmer_uv.jdx"
AXIS = np.linspace(9000.0, 4000.0, 26)
ROWS = np.array([0.3 + 0.2 * np.sin(AXIS / 700.0 + k) for k in range(3)], dtype=np.float32)
FUZZ = settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def dx(unit: str = "1/CM", quantity: str = "ABSORBANCE", title: str = "x", factor: float = 1e-6) -> str:
    """A JCAMP-DX block in plain numbers, five a line, as the protocol's own example has them."""
    counts = np.round(ROWS[0] / factor).astype(int)
    lines = [f"{AXIS[k]:.3f} " + " ".join(str(c) for c in counts[k : k + 5]) for k in range(0, AXIS.size, 5)]
    return "\n".join([
        f"##TITLE={title}", "##JCAMP-DX=4.24", "##DATA TYPE=NEAR INFRARED SPECTRUM", f"##XUNITS={unit}",
        f"##YUNITS={quantity}", "##XFACTOR=1.0", f"##YFACTOR={factor}", f"##FIRSTX={AXIS[0]}", f"##LASTX={AXIS[-1]}",
        f"##MAXY={counts.max() * factor}", f"##MINY={counts.min() * factor}", f"##NPOINTS={AXIS.size}",
        "##XYDATA=(X++(Y..Y))", *lines, "##END=",
    ]) + "\n"  # fmt: skip


def spc(rows: np.ndarray = ROWS[:1], xtype: str = "XNMETR", ytype: str = "YABSRB", *, even: bool = True) -> bytes:
    """An SPC file as spc_io writes it."""
    axis = EvenAxis(AXIS[0], AXIS[-1], AXIS.size) if even else AXIS.astype(np.float32)
    made = SPC(xarray=axis, xtype=xtype, ytype=ytype)
    for k, row in enumerate(rows):
        made.add_subfile(yarray=row, w=0.0, z=float(k))
    raw = made.to_spc_raw()
    raw.main_header.fxtype = type(raw.main_header.fxtype)(xtype)
    raw.main_header.fytype = type(raw.main_header.fytype)(ytype)
    return bytes(raw.to_bytes())


def opus(
    row: np.ndarray = ROWS[0], kind: int = 4, unit: bytes = b"WN\0\0", derivative: int = 0, dpf: int = 1
) -> bytes:
    """An OPUS file of one result: header, directory, data block and status block (layout: brukeropus.file.parse)."""
    def entry(name: bytes, code: int, value: bytes) -> bytes:
        return name + b"\0" + struct.pack("<2h", code, len(value) // 2) + value

    def number(name: bytes, value: float) -> bytes:
        return entry(name, 1, struct.pack("<d", value))

    status = (
        entry(b"DPF", 0, struct.pack("<i", dpf)) + entry(b"NPT", 0, struct.pack("<i", row.size))
        + number(b"FXV", AXIS[0]) + number(b"LXV", AXIS[-1]) + number(b"CSF", 1.0)
        + number(b"MXY", float(row.max())) + number(b"MNY", float(row.min()))
        + entry(b"DXU", 3, unit) + b"END\0" + bytes(4)
    )  # fmt: skip
    values = row.astype("<f4").tobytes()
    start = 24 + 3 * 12
    code = 3 | 3 << 2 | kind << 10 | derivative << 17
    directory = struct.pack("<3i", 13 << 10, 9, 24)
    directory += struct.pack("<3i", code, len(values) // 4, start)
    directory += struct.pack("<3i", code | 1 << 4, len(status) // 4, start + len(values))
    return b"\n\n\xfe\xfe" + struct.pack("<d3i", 920622.0, 24, 3, 3) + directory + values + status


FILES = {"p.jdx": PERKIN_ELMER.read_bytes(), "d.dx": dx().encode(), "s.spc": spc(ROWS), "o.0": opus()}


def read(tmp_path: Path, name: str, raw: bytes) -> SpectraTable:
    (tmp_path / name).write_bytes(raw)
    return read_spectra(tmp_path / name)


def refused(tmp_path: Path, name: str, raw: bytes) -> str:
    """What the refusal says: one line that names the file."""
    with pytest.raises(TableError) as error:
        read(tmp_path, name, raw)
    said = str(error.value)
    assert said.startswith(str(tmp_path / name))
    assert "\n" not in said
    return said


def test_a_perkin_elmer_spectrum_in_difference_form() -> None:
    got = read_spectra(PERKIN_ELMER)
    assert (got.sample_ids, got.axis_unit, got.values.shape) == (("perkin_elmer_uv",), "nm", (1, 440))
    np.testing.assert_allclose(got.axis, np.arange(250.0, 470.0, 0.5))
    # FIRSTY and MAXY of its header, the first values of its lines, and its true minimum (##MINY=0.0604 is not in it).
    assert got.values[0, 0] == pytest.approx(1.1663)
    assert got.values.max() == pytest.approx(3.3747)
    assert got.values[0, [24, 50, 72]] == pytest.approx([0.7045, 0.4331, 0.3865])
    assert got.values.min() == pytest.approx(0.0769)


def test_jcamp_keeps_direction_and_unit(tmp_path: Path) -> None:
    got = read(tmp_path, "d.dx", dx().encode() + b"\x1a")
    np.testing.assert_allclose(got.axis, AXIS)
    np.testing.assert_allclose(got.values[0], ROWS[0], atol=1e-6)
    assert got.axis_unit == "cm-1"
    assert read(tmp_path, "d.jdx", dx("NANOMETERS").encode()).axis_unit == "nm"
    assert read(tmp_path, "d.jcm", dx("ARBITRARY UNITS").encode()).axis_unit == ""


def test_jcamp_blocks_of_a_link_file(tmp_path: Path) -> None:
    link = "##TITLE=two\n##JCAMP-DX=4.24\n##DATA TYPE=LINK\n##BLOCKS=2\n"
    got = read(tmp_path, "two.dx", (link + dx(title="a") + dx(title="b") + "##END=\n").encode())
    assert got.sample_ids == ("two#1", "two#2")
    assert got.values.shape == (2, AXIS.size)
    assert "different units" in refused(tmp_path, "u.dx", (link + dx() + dx("NM") + "##END=\n").encode())


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("##XUNITS=1/CM", "##XUNITS=SECONDS", "the axis is in 'SECONDS'"),
        ("##YUNITS=ABSORBANCE", "##YUNITS=TRANSMITTANCE", "holds transmittance; export absorbance"),
        ("##NPOINTS=26", "##NPOINTS=27", "26 values"),
        ("##NPOINTS=26", "##NPOINTS=99999999999", "cannot be true"),
        ("##NPOINTS=26", "##NPOINTS=many", "cannot be true"),
        ("##NPOINTS=26\n", "", "export it again"),
        ("##XYDATA=", "##PEAK TABLE=", "has no ##XYDATA="),
        ("##MAXY=0.", "##MAXY=1.", "##MAXY="),
        ("##LASTX=4000.0", "##LASTX=9000.0", "damaged"),
        ("##END=", "0 " * 3000 + "\n##END=", "line 20 has 6000 characters"),
    ],
)
def test_what_is_wrong_with_a_jcamp_file(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in dx()
    assert words in refused(tmp_path, "d.dx", dx().replace(old, new).encode())


@pytest.mark.parametrize("even", [True, False])
def test_spc_as_another_program_wrote_it(tmp_path: Path, *, even: bool) -> None:
    got = read(tmp_path, "s.spc", spc(even=even))
    assert (got.sample_ids, got.axis_unit) == (("s",), "nm")
    np.testing.assert_allclose(got.axis, AXIS)
    np.testing.assert_array_equal(got.values, ROWS[:1])
    many = read(tmp_path, "m.spc", spc(ROWS, "XRAMANS", even=even))
    assert (many.sample_ids, many.axis_unit) == (("m#1", "m#2", "m#3"), "cm-1")
    np.testing.assert_array_equal(many.values, ROWS)


def test_spc_integers_take_the_exponent_of_the_file(tmp_path: Path) -> None:
    raw = bytearray(spc())
    counts = np.arange(AXIS.size, dtype="<i4") * 2**20
    raw[3], raw[512 + 1] = 4, 0  # exponent of the file, and the subfile's that a lone spectrum does not use
    raw[512 + 32 : 512 + 32 + counts.nbytes] = counts.tobytes()
    got = read(tmp_path, "i.spc", bytes(raw))
    np.testing.assert_allclose(got.values[0], counts * 2.0 ** (4 - 32))


def test_what_is_wrong_with_an_spc_file(tmp_path: Path) -> None:
    assert "the axis is in 'XSECS'" in refused(tmp_path, "s.spc", spc(xtype="XSECS"))
    assert "holds transmittance" in refused(tmp_path, "s.spc", spc(ytype="YTRANS"))
    old = bytearray(spc())
    old[1] = 0x4D
    assert "only 0x4B is read" in refused(tmp_path, "s.spc", bytes(old))
    assert "too few" in refused(tmp_path, "s.spc", spc()[:400])


def test_opus_result_spectrum(tmp_path: Path) -> None:
    got = read(tmp_path, "tablet.0", opus())
    assert (got.sample_ids, got.axis_unit) == (("tablet",), "cm-1")
    np.testing.assert_allclose(got.axis, AXIS)
    np.testing.assert_array_equal(got.values[0], ROWS[0])
    assert read(tmp_path, "tablet.opus", opus(kind=10)).values.shape == (1, AXIS.size)  # 10: Raman


def test_what_is_wrong_with_an_opus_file(tmp_path: Path) -> None:
    assert "no absorbance or Raman result in it (blocks: t)" in refused(tmp_path, "t.0", opus(kind=5))
    assert "(blocks: a (derivative))" in refused(tmp_path, "t.0", opus(derivative=1))
    assert "the axis is in 'micrometers'" in refused(tmp_path, "t.0", opus(unit=b"MI\0\0"))
    assert "damaged" in refused(tmp_path, "t.0", opus(dpf=2))
    assert "not a Bruker OPUS file" in refused(tmp_path, "t.0", b"PK\3\4" + opus()[4:])
    assert "cut short" in refused(tmp_path, "t.0", opus()[:-40])
    endless = bytearray(opus())
    place = endless.index(b"NPT") + 6
    endless[place : place + 2] = struct.pack("<h", -4)
    assert "negative length" in refused(tmp_path, "t.0", bytes(endless))


@pytest.mark.parametrize("name", FILES)
def test_empty_foreign_and_missing_files(tmp_path: Path, name: str) -> None:
    assert "it is empty" in refused(tmp_path, name, b"")
    refused(tmp_path, name, b"sample_id,1,2\na,1,2\n")
    refused(tmp_path, name, bytes(range(256)) * 20)
    with pytest.raises(TableError, match="no such file"):
        read_spectra(tmp_path / f"none{Path(name).suffix}")
    with pytest.raises(TableError, match=r"references are read from \.csv or \.parquet only"):
        read_reference(tmp_path / name)


@pytest.mark.parametrize("name", FILES)
def test_a_cut_file_gives_no_other_numbers(tmp_path: Path, name: str) -> None:
    whole = read(tmp_path, name, FILES[name])
    length = len(FILES[name])
    for cut in sorted({*range(0, length, max(1, length // 60)), *range(length - 12, length)}):
        try:
            got = read(tmp_path, name, FILES[name][:cut])
        except TableError:
            continue
        np.testing.assert_array_equal(got.values, whole.values)
        np.testing.assert_array_equal(got.axis, whole.axis)


@pytest.mark.parametrize("name", FILES)
@FUZZ
@given(flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6))
def test_flipped_bytes_end_in_a_table_or_one_line(tmp_path: Path, name: str, flips: list[tuple[int, int]]) -> None:
    raw = bytearray(FILES[name])
    for place, byte in flips:
        raw[place % len(raw)] = byte
    said = ""
    try:
        got = read(tmp_path, name, bytes(raw))
        assert got.values.shape == (len(got.sample_ids), got.axis.size)
    except TableError as error:
        said = str(error)
    assert "\n" not in said


def test_an_absent_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [m for m in sys.modules if m in ("soft_sensors.read.spc", "spc_io") or m.startswith("spc_io.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "spc_io", None)
    with pytest.raises(TableError, match=r"needs the package 'spc_io.*not installed here"):
        read_spectra(tmp_path / "s.spc")
