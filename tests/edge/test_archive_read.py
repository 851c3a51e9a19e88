"""What was moved to an archive is still shown, exported, anchored and inspected, by itself and without the journal."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from inspect_hand import START, T0, cycle

from edge.errors import RecorderError
from edge.record.archive import CutFrom, Piece, cut_from, name_of, write_archive
from edge.record.canonical import encode
from edge.record.chain import connect_reader
from edge.record.checkpoint import signer
from edge.record.commands import anchor, export
from edge.record.export import columns_of
from edge.record.facts import gather
from edge.record.inspect_commands import inspect
from edge.record.journal import Journal
from edge.record.recorder import JournalRecorder
from edge.signals import Alarm

LINE = "CDC-REF-1"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Forty cycles, signed every ten, of which the third ten lie in an archive: it holds no start of the service."""
    path = tmp_path / "journal.sqlite"
    alarm = Alarm("nir_drift", "NIR drifts", 2, T0, T0)
    with Journal.open(path, LINE, now=lambda: T0 - 10) as journal:
        recorder = JournalRecorder(journal, signer(tmp_path / "pki"), sign_cycles=10)
        recorder.start(T0 - 5, START, {})
        for i in range(40):
            sample, thought = cycle(i if i < 26 else i + 20, 2.0, write=2.0, alarms=(alarm,), holding=True)
            recorder.cycle(sample, thought)
            recorder.acted(sample, sample.acted)
            recorder.tidy(sample.scan.time_s)
        ends = [row.seq for row in journal.rows(kind="checkpoint")]
    piece = Piece(ends[2] + 1, ends[3], name_of(LINE, ends[2] + 1, ends[3], T0))
    with closing(connect_reader(path)) as reader:
        for _ in write_archive(reader, tmp_path / "archive", piece):
            pass
    path.unlink()
    return tmp_path / "archive" / piece.name


def run(command: object, *arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])  # type: ignore[arg-type]


def test_an_archive_says_where_it_was_cut_and_a_journal_that_it_was_not(archive: Path, tmp_path: Path) -> None:
    first, last = (int(part) for part in archive.stem.split("_")[-2:])
    assert cut_from(archive) == CutFrom(LINE, first, last)
    with Journal.open(tmp_path / "whole.sqlite", LINE):
        assert cut_from(tmp_path / "whole.sqlite") is None
    (tmp_path / "none.journal").write_bytes(b"no such file" * 100)
    with pytest.raises(RecorderError, match=r"none\.journal cannot be read"):
        cut_from(tmp_path / "none.journal")


def test_an_archive_is_exported_with_its_line_and_anchor(archive: Path, tmp_path: Path) -> None:
    assert run(export, archive, "--out", tmp_path / "a.csv").exit_code == 0
    told = json.loads((tmp_path / "a.csv-metadata.json").read_text())
    said = run(anchor, archive).output.split("\n")[0]
    assert (told["dc:subject"], told["dc:source"]) == (LINE, said)
    assert said.split()[0] == str(cut_from(archive).last), "the checkpoint at its end"  # type: ignore[union-attr]
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 1 + 10


def test_an_archive_is_inspected_without_its_journal(archive: Path, tmp_path: Path) -> None:
    done = run(inspect, archive, "--out", tmp_path / "bundle")
    assert done.exit_code == 0, done.output
    bundle, piece = tmp_path / "bundle", cut_from(archive)
    assert piece is not None
    page, readme = (bundle / "index.html").read_text(), (bundle / "README.txt").read_text()
    for text in (page, readme):
        assert f"Record of line {LINE}" in text
        assert f"records {piece.first} to {piece.last}, cut out of the journal of line {LINE}" in text
    assert "cycles of 5 s" in page, "as its records show: the start that says so is not in it"
    checked = subprocess.run(
        [sys.executable, "check/standalone_verifier.py", "record/journal.sqlite", "--anchor", "check/anchor.txt"],
        cwd=bundle, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (checked.returncode, checked.stdout.split(":")[0]) == (0, "sound"), checked.stdout
    assert "an archive, records" in checked.stdout


def test_gaps_and_alarms_of_an_archive_are_told_as_of_the_journal(archive: Path) -> None:
    with Journal.open_reader(archive) as journal:
        facts = gather(journal, None, None, lambda *_: None)
    assert [(gap.kind, gap.from_s, gap.to_s) for gap in facts.gaps] == [
        ("held", T0 + 100, T0 + 125), ("no cycles", T0 + 125, T0 + 230), ("held", T0 + 230, T0 + 245),
    ]  # fmt: skip
    assert [span.name for span in facts.alarms] == ["nir_drift"]


def test_an_archive_that_does_not_say_where_it_was_cut_is_refused(archive: Path, tmp_path: Path) -> None:
    spoilt = tmp_path / "spoilt.journal"
    shutil.copy(archive, spoilt)
    with closing(sqlite3.connect(spoilt)) as connection, connection:
        connection.execute("DELETE FROM cut")
    done = run(inspect, spoilt, "--out", tmp_path / "bundle")
    assert done.exit_code == 2
    assert "does not say where it was cut" in done.output
    assert not (tmp_path / "bundle").exists()


def test_a_column_that_holds_several_types_is_text_and_loses_nothing(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "j.sqlite", LINE, now=lambda: 0.0) as journal:
        for i, (mixed, later) in enumerate(((True, None), (3.25, 7), ("off", 8))):
            readings = {"Mixed": {"value": mixed, "quality": "good"}, "Later": {"value": later, "quality": ["odd"]}}
            sample = {"cycle": i, "link": "online", "readings": readings}
            journal.append("cycle", float(i), encode({"sample": sample, "thought": {"mode": 3}}))
        kinds = columns_of(list(journal.rows(kind="cycle")))
    assert kinds["reading.Mixed"] is kinds["reading.Later.quality"] is kinds["mode"] is str
    assert kinds["reading.Later"] is float
    assert run(export, tmp_path / "j.sqlite", "--out", tmp_path / "j.csv").exit_code == 0
    cells = [line.split(",") for line in (tmp_path / "j.csv").read_text().splitlines()]
    assert [row[cells[0].index("reading.Mixed")] for row in cells[1:]] == ["True", "3.25", "off"]
