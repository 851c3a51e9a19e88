"""A folder of files, one spectrum each, as instruments write them, is one table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from soft_sensors.errors import TableError
from soft_sensors.read import read_spectra

from .conftest import make_blends, write_table


def one_each(folder: Path, n: int = 4) -> Path:
    blends = make_blends(n, seed=1)
    folder.mkdir()
    for k, row in enumerate(blends.spectra):
        write_table(folder / f"tablet {k}.csv", blends.axis, ["scan"], [row])
    return folder


def test_each_file_gives_its_name(tmp_path: Path) -> None:
    folder = one_each(tmp_path / "day")
    (folder / ".DS_Store").write_bytes(b"\x00")
    table = read_spectra(folder)
    assert table.sample_ids == ("tablet 0", "tablet 1", "tablet 2", "tablet 3")
    np.testing.assert_allclose(table.values, make_blends(4, seed=1).spectra)


def test_files_with_several_spectra_keep_their_names(tmp_path: Path) -> None:
    folder = one_each(tmp_path / "day", 1)
    blends = make_blends(2, seed=2)
    write_table(folder / "later.csv", blends.axis, ["a", "b"], blends.spectra)
    assert read_spectra(folder).sample_ids == ("a", "b", "tablet 0")
    write_table(folder / "again.csv", blends.axis, ["a", "c"], blends.spectra)
    with pytest.raises(TableError, match="'a' comes from more than one file"):
        read_spectra(folder)


def test_what_cannot_be_one_table_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TableError, match="no files in this folder"):
        read_spectra(tmp_path / "empty")
    folder = one_each(tmp_path / "day")
    blends = make_blends(1, seed=3)
    write_table(folder / "z other.csv", blends.axis + 1.0, ["scan"], blends.spectra)
    with pytest.raises(TableError, match=r"z other\.csv: its axis is not that of tablet 0\.csv"):
        read_spectra(folder)
    (folder / "z other.csv").unlink()
    (folder / "notes.txt").write_text("lamp changed")
    with pytest.raises(TableError, match=r"notes\.txt: ending '\.txt' is not known"):
        read_spectra(folder)
