"""Readers: what is wrong with a table is said, with the place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from soft_sensors.errors import TableError
from soft_sensors.read import read_reference, read_spectra
from soft_sensors.read.join import join


def table(tmp_path: Path, text: str, name: str = "t.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_spectra(tmp_path: Path) -> None:
    got = read_spectra(table(tmp_path, "\ufeffsample_id,1000,1002.5\na,1,2\nb,nan,\n\n"))
    assert got.sample_ids == ("a", "b")
    assert got.axis.tolist() == [1000.0, 1002.5]
    np.testing.assert_array_equal(got.values, [[1, 2], [np.nan, np.nan]])


def test_references(tmp_path: Path) -> None:
    got = read_reference(table(tmp_path, "sample_id,api,lot\na,1.5,x\nb,,y\n"))
    assert got.labels("lot") == ("x", "y")
    np.testing.assert_array_equal(got.numbers("api"), [1.5, np.nan])
    with pytest.raises(TableError, match=r"sample 'a', column 'lot': 'x' is not a number"):
        got.numbers("lot")
    with pytest.raises(TableError, match=r"no column 'assay'; it has api, lot"):
        got.labels("assay")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "header must be sample_id"),
        ("id,1,2\na,1,2\n", "header must be sample_id"),
        ("sample_id,1,2\n", "no rows"),
        ("sample_id,1,x\na,1,2\n", "every column after sample_id must be an axis value"),
        ("sample_id,1,3,2\na,1,2,3\n", "not strictly monotonic at 3, 2"),
        ("sample_id,1,1\na,1,2\n", "column '1' occurs twice"),
        ("sample_id,1\na,1\n", "1 channel"),
        ("sample_id,1,2\na,1,2\na,1,2\n", "'a' occurs twice"),
        ("sample_id,1,2\na,1\n", "'a' has 2 cells, the header 3"),
        ("sample_id,1,2\na,1,oops\n", r"sample 'a', column '2': 'oops' is not a number"),
    ],
)
def test_what_is_wrong_with_a_table(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(TableError, match=words):
        read_spectra(table(tmp_path, text))


def test_a_missing_or_strange_file(tmp_path: Path) -> None:
    for name in ("none.csv", "none.parquet"):
        with pytest.raises(TableError, match="no such file"):
            read_spectra(tmp_path / name)
    with pytest.raises(TableError, match=r"ending '.xls' is not known; use .csv, .parquet, .dx"):
        read_reference(tmp_path / "none.xls")
    with pytest.raises(TableError, match="not readable as Parquet"):
        read_spectra(table(tmp_path, "sample_id", "t.parquet"))
    (tmp_path / "t.csv").write_bytes(b"sample_id,1,2\n\xff\xfe,1,2\n")
    with pytest.raises(TableError, match="not readable as CSV"):
        read_spectra(tmp_path / "t.csv")


def test_parquet_is_read_as_csv_is(tmp_path: Path) -> None:
    columns = {"sample_id": ["a", "b"], "1000": [1.0, None], "1002.5": [2, 3]}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "s.parquet")
    got = read_spectra(tmp_path / "s.parquet")
    assert got.axis.tolist() == [1000.0, 1002.5]
    np.testing.assert_array_equal(got.values, [[1, 2], [np.nan, 3]])
    pyarrow.parquet.write_table(pyarrow.table({"sample_id": ["a"], "lot": [None]}), tmp_path / "r.parquet")
    assert read_reference(tmp_path / "r.parquet").labels("lot") == ("",)
    pyarrow.parquet.write_table(pyarrow.table({"sample_id": ["a"], "1": ["x"], "2": ["y"]}), tmp_path / "t.parquet")
    with pytest.raises(TableError, match="not numeric"):
        read_spectra(tmp_path / "t.parquet")
    pyarrow.parquet.write_table(pyarrow.table({"id": ["a"], "1": [1]}), tmp_path / "i.parquet")
    with pytest.raises(TableError, match="must be sample_id"):
        read_spectra(tmp_path / "i.parquet")


def test_join_names_who_met_nobody(tmp_path: Path) -> None:
    spectra = read_spectra(table(tmp_path, "sample_id,1,2\nc,1,2\na,1,2\nx,1,2\n"))
    got = join(spectra, read_reference(table(tmp_path, "sample_id,api\na,1\nb,2\nc,3\n")))
    assert got.spectrum_rows.tolist() == [0, 1]
    assert got.reference_rows.tolist() == [2, 0]
    assert (got.only_spectra, got.only_reference) == (("x",), ("b",))
