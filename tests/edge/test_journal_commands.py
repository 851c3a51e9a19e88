"""The journal's commands: what they print, the files they write, and their exit codes."""

from __future__ import annotations

import csv
import json
import math
import sqlite3
import sys
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from control.signals import Belief, Command, Decision, LabResult, Mode, Reading, Target
from edge.record.canonical import encode
from edge.record.chain import head_path
from edge.record.commands import journal as journal_command
from edge.record.journal import Journal
from edge.record.recorder import JournalRecorder
from edge.record.replay import ReplayReport
from edge.record.replay_commands import replay as replay_command
from edge.signals import Acted, Alarm, Context, Link, Sample, Scan, Thought
from soft_sensors.signals import Estimate, Quality, Spectrum

AXIS = np.linspace(908.0, 1676.0, 5)
T0 = 1_700_000_000.0
START = "2023-11-14T22:13:20"


def seen_and_thought(i: int) -> tuple[Sample, Thought]:
    time_s = T0 + 5 * i
    readings = {"FeederApi.PV": Reading(2.0 + i, time_s), "Old": Reading(math.nan, time_s, Quality.BAD, "stale")}
    lab = LabResult(1, T0, time_s, 99.5, math.nan, 80.0) if i == 2 else None
    spectrum = Spectrum(AXIS, "nm", AXIS / 1000, i, time_s)
    scan = Scan(time_s, Link.ONLINE, 1, 7, readings, spectrum, lab)
    decision = Decision("mpc", {"FeederApi": 2.5}, "API 99.0 % LC", "ok", 5.0, {"held": (1.0,)}, {"trim_pct": 1.0})
    thought = Thought(
        Mode.CLOSED, Target(10.0, 20.0, 250.0),
        Estimate(9.9, 0.1, 9.7, 10.1, 1.0, 9.0, 0.1, 1.0, Quality.GOOD, "", i, time_s),
        Belief(time_s, 9.95, 0.05, 1.0, 0.01, 0.0, 0.05, 250.0, 0.0, Quality.GOOD, ""), decision,
        Command(Mode.CLOSED, {"FeederApi": 2.5}, {"FeederApi": 2.5}, False, False, ("moved",)),
        (Alarm("nir_drift", "NIR drifts", 2, time_s, time_s),), "remote", "", (("FeederApi.SP", 2.5),),
    )  # fmt: skip
    return Sample(i, scan), thought


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "journal.sqlite"
    with Journal.open(path, "CDC-REF-1", now=lambda: T0) as journal:
        recorder = JournalRecorder(journal)
        for i in range(1, 5):
            sample, thought = seen_and_thought(i)
            recorder.cycle(sample, thought)
            recorder.acted(sample, Acted("good"))
    return path


def run(*args: object) -> Result:
    return CliRunner().invoke(journal_command, [str(arg) for arg in args])


def test_a_sound_journal_is_told_with_exit_code_0(path: Path) -> None:
    result = run("verify", path)
    assert result.exit_code == 0
    assert "sound: 9 records" in result.output
    head_path(path).unlink()
    assert "note: no head" in run("verify", path).output


def test_an_altered_record_is_named_with_exit_code_1(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TRIGGER records_no_update")
        connection.execute("UPDATE records SET time_s = 0 WHERE seq = 4")
    result = run("verify", path)
    assert result.exit_code == 1
    assert "NOT SOUND: record 4 was altered" in result.output


@pytest.mark.parametrize(
    "args", [("verify", "none"), ("show", "none"), ("export", "none", "--out", "x"), ("watch", "none")]
)
def test_a_missing_journal_has_exit_code_2(args: tuple[str, ...]) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert "'none' does not exist" in result.output


def test_what_is_no_journal_has_exit_code_2_in_one_line(tmp_path: Path) -> None:
    letter = tmp_path / "letter"
    letter.write_text("dear aunt " * 500)
    result = run("show", letter)
    assert result.exit_code == 2
    assert result.output.strip().count("\n") == 0
    assert "not a database" in result.output


def test_show_lists_the_newest_and_one_record_whole(path: Path) -> None:
    listed = run("show", path, "--last", 3).output.splitlines()
    assert [line.split()[0] for line in listed if line and line.split()[0].isdigit()] == ["7", "8", "9"]
    only = run("show", path, "--kind", "cycle", "--last", 2).output
    assert "act" not in only
    assert " 8 " in only
    whole = json.loads(run("show", path, "--seq", 2).output)
    assert whole["body"]["thought"]["belief"]["api_pct"] == 9.95
    assert whole["body"]["sample"]["readings"]["Old"]["value"] == {"~f": "nan"}
    assert whole["blob_bytes"] > 10
    assert run("show", path, "--seq", 99).exit_code == 2
    assert run("show", path, "--kind", "nothing").exit_code == 0


def test_export_writes_one_csv_row_a_cycle(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "shift.csv"
    result = run("export", path, "--out", out)
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["cycle"] for row in rows] == ["1", "2", "3", "4"]
    first = rows[0]
    assert list(first)[:6] == ["seq", "time_s", "time_utc", "cycle", "link", "mode"]
    assert float(first["time_s"]) == T0 + 5
    assert first["time_utc"] == f"{START[:-2]}25.000Z"
    expected = {
        "mode": "closed", "link": "online", "estimate.value": "9.9", "estimate.quality": "good",
        "belief.api_pct": "9.95", "target.api_pct": "10.0", "decision.reason": "API 99.0 % LC",
        "recommended.FeederApi": "2.5", "written.FeederApi": "2.5", "command.holding": "False", "reasons": "moved",
        "alarms": "nir_drift", "reading.FeederApi.PV": "3.0", "reading.Old": "nan", "reading.Old.quality": "bad",
        "lab.assay_pct": "",
    }  # fmt: skip
    assert {name: first[name] for name in expected} == expected
    assert rows[1]["lab.assay_pct"] == "99.5"
    assert sorted(item.name for item in out.parent.iterdir()) == ["shift.csv", "shift.csv-metadata.json"]
    assert "made from the record up to (anchor): 9 2023-" in result.output


def test_export_says_how_far_the_interval_was_trusted_and_what_was_made(tmp_path: Path) -> None:
    path, out = tmp_path / "journal.sqlite", tmp_path / "shift.csv"
    making = Context("B-7", "Tablet 10", {"FeederMcc": "M-1", "FeederApi": "A-2", "FeederLac": ""}, "tags")
    with Journal.open(path, "CDC-REF-1", now=lambda: T0) as journal:
        recorder = JournalRecorder(journal)
        sample, thought = seen_and_thought(1)
        recorder.cycle(sample, thought)
        sample = replace(sample, scan=replace(sample.scan, context=making))
        recorder.cycle(sample, replace(thought, interval_factor=1.5, covered=(7, 8)))
        lims = (LabResult(4, T0, T0, 10.25, math.nan, math.nan),)
        recorder.cycle(replace(sample, scan=replace(sample.scan, lims=lims)), thought)
    assert run("export", path, "--out", out).exit_code == 0
    before, after, told = csv.DictReader(out.read_text().splitlines())
    assert told["lab.assay_pct"] == "10.25", "a result of the LIMS counts like one of the line"
    names = ("interval_factor", "coverage", "coverage.results", "batch", "product", "lots")
    assert [before[name] for name in names] == ["1.0", "", "0.0", "", "", ""]
    assert [after[name] for name in names] == [
        "1.5", "0.875", "8.0", "B-7", "Tablet 10", "FeederApi=A-2; FeederMcc=M-1",
    ]  # fmt: skip


def begin(path: Path, unit: str) -> None:
    with Journal.open(path, "CDC-REF-1") as journal:
        journal.append("start", T0 + 99, encode({"config": {"mv": [{"name": "FeederApi", "unit": unit}]}}))


def test_exports_tell_units_and_where_they_come_from(path: Path, tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    begin(path, "kg/h")
    table, parquet = tmp_path / "shift.csv", tmp_path / "shift.parquet"
    assert run("export", path, "--out", table).exit_code == 0
    assert run("export", path, "--format", "parquet", "--out", parquet).exit_code == 0
    told = json.loads((tmp_path / "shift.csv-metadata.json").read_text())
    assert (told["url"], told["dc:subject"]) == ("shift.csv", "CDC-REF-1")
    assert told["dc:source"] == pq.read_schema(parquet).metadata[b"anchor"].decode()
    columns = {column["titles"]: column for column in told["tableSchema"]["columns"]}
    assert list(columns) == next(csv.reader(table.read_text().splitlines())), "each column, in order"
    units = {name: column.get("schema:unitText") for name, column in columns.items()}
    assert units["recommended.FeederApi"] == units["reading.FeederApi.PV"] == "kg/h"
    assert (units["time_s"], units["belief.api_pct"], units["link"]) == ("s", "%{w/w}", None)
    assert columns["cycle"]["datatype"] == "integer"
    fields = {field.name: (field.metadata or {}).get(b"unit", b"").decode() for field in pq.read_schema(parquet)}
    assert fields == {name: unit or "" for name, unit in units.items()}
    begin(path, "stones a fortnight")
    assert run("export", path, "--out", table).exit_code == 0, "an old record is exported whatever it says"
    told = json.loads((tmp_path / "shift.csv-metadata.json").read_text())
    assert {"titles": "recommended.FeederApi", "datatype": "double"} in told["tableSchema"]["columns"]


def test_export_to_parquet_holds_the_same(path: Path, tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "shift.parquet"
    assert run("export", path, "--format", "parquet", "--out", out).exit_code == 0
    metadata = pq.read_schema(out).metadata
    assert metadata[b"line"] == b"CDC-REF-1"
    assert metadata[b"anchor"].startswith(b"9 2023-")
    table = pq.read_table(out).to_pydict()
    assert table["cycle"] == [1, 2, 3, 4]
    assert table["lab.assay_pct"] == [None, 99.5, None, None]
    assert table["command.holding"] == [False] * 4
    assert math.isnan(table["reading.Old"][0])


@pytest.mark.parametrize(
    ("args", "cycles"),
    [
        (("--from", T0 + 10), ["2", "3", "4"]),
        (("--to", f"{START[:-2]}30+00:00"), ["1", "2"]),
        (("--from", "2023-11-14T23:13:30+01:00", "--to", f"{START[:-2]}35"), ["2", "3"]),
        (("--from", T0 + 100), []),
    ],
)
def test_export_takes_the_asked_time(path: Path, tmp_path: Path, args: tuple[object, ...], cycles: list[str]) -> None:
    out = tmp_path / "part.csv"
    assert run("export", path, *args, "--out", out).exit_code == 0
    assert [row["cycle"] for row in csv.DictReader(out.read_text().splitlines())] == cycles


def test_a_bad_time_or_place_has_exit_code_2(path: Path, tmp_path: Path) -> None:
    result = run("export", path, "--from", "yesterday", "--out", tmp_path / "x.csv")
    assert result.exit_code == 2
    assert "'yesterday' is no time: give ISO 8601" in result.output
    (tmp_path / "in_the_way").write_text("")
    result = run("export", path, "--out", tmp_path / "in_the_way" / "x.csv")
    assert result.exit_code == 2
    assert "--out" in result.output


def test_export_without_pyarrow_says_what_to_do(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = run("export", path, "--format", "parquet", "--out", tmp_path / "x.parquet")
    assert result.exit_code == 2
    assert "use --format csv" in result.output


def test_a_damaged_body_is_told_in_one_line(path: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TRIGGER records_no_update")
        connection.execute("UPDATE records SET body = x'ff' WHERE seq = 4")
    result = run("export", path, "--out", tmp_path / "x.csv")
    assert result.exit_code == 2
    assert "record 4 is damaged" in result.output
    assert not list(tmp_path.glob("x.csv*"))


def test_watch_prints_records_as_they_come(path: Path) -> None:
    results: list[Result] = []
    watcher = threading.Thread(target=lambda: results.append(run("watch", path, "--kind", "cycle", "--count", 2)))
    watcher.start()
    with Journal.open(path, "CDC-REF-1") as journal:
        recorder = JournalRecorder(journal)
        for i in range(200):
            recorder.cycle(*seen_and_thought(i))
            journal.append("act", T0 + i, encode({}))
            watcher.join(0.1)
            if not watcher.is_alive():
                break
    watcher.join(20)
    lines = [line for line in results[0].output.splitlines() if " cycle " in line]
    assert len(lines) == 2
    assert "closed online API 9.950+-0.082 %" in lines[0]


@pytest.mark.parametrize(
    ("difference", "code", "words"), [(None, 0, "identical: 4 cycles"), ("cycle 3", 1, "NOT IDENTICAL: cycle 3")]
)
def test_replay_tells_identical_or_the_first_difference(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, difference: str | None, code: int, words: str
) -> None:
    asked: list[object] = []

    def replay_journal(
        path: Path, from_s: float | None, to_s: float | None, progress: object, instead: Path | None
    ) -> ReplayReport:
        asked.extend((path, from_s, to_s, instead))
        return ReplayReport(difference is None, 4, difference)

    monkeypatch.setattr("edge.record.replay.replay_journal", replay_journal)
    result = CliRunner().invoke(replay_command, [str(path), "--from", "5", "--json", str(tmp_path / "r.json")])
    assert result.exit_code == code
    assert words in result.output
    assert asked == [path, 5.0, None, None]
    assert json.loads((tmp_path / "r.json").read_text())["identical"] is (difference is None)
