"""Laboratory results: read or refused with a reason, entered once whatever happens, each with what it means."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import edge.lab.folder
from edge.acquire.told import WithRecord, result_of
from edge.config import read_config
from edge.lab.commands import lab
from edge.lab.files import read_results
from edge.lab.folder import LabFolder
from edge.lab.intake import Entered, Intake, Origin
from edge.lab.result import ResultError, Told, converted, parse_result
from edge.lab.settings import LabTable
from edge.record.canonical import encode
from edge.record.journal import Journal
from edge.signals import Link, Scan

LINE_FILE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml"
T0 = 1_780_000_000.0
NOW = T0 + 3600.0
GOOD = {"sample_id": "S1", "sample_time": "2026-05-28T20:30:00Z", "assay": 10.1, "assay_unit": "%{w/w}"}
HEADER = "sample_id,sample_time,assay,assay_unit,weight,weight_unit,reason\n"


def stamp(time_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_s))


def cycle(journal: Journal, time_s: float, lims: tuple[int, ...] = ()) -> None:
    sample = {"lims": [{"counter": n} for n in lims], "context": None}
    journal.append("cycle", time_s, encode({"sample": sample, "thought": {"target": {"api_pct": 10.0}}}))


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """An hour of a line's record, sparse."""
    with Journal.open(tmp_path / "journal.sqlite", "CDC-REF-1", now=lambda: T0) as record:
        for k in range(61):
            cycle(record, T0 + 60.0 * k)
        yield record


@pytest.fixture
def intake(journal: Journal) -> Intake:
    return Intake(journal, LabTable(), 60.0)


def told(sample_id: str = "S1", at_s: float = T0 + 600.0, reason: str = "", **values: float) -> Told:
    units = {"assay": "%{w/w}", "weight": "mg", "hardness": "N"}
    return Told(sample_id, at_s, None, {n: (v, units[n]) for n, v in values.items()}, reason=reason)


def enter(intake: Intake, result: Told | None, why: str = "") -> Entered:
    return intake.enter(result, why, Origin("test"), NOW)


# reading


def test_units_are_converted_and_the_claim_is_asked_for() -> None:
    found = parse_result({**GOOD, "assay": "101", "assay_unit": "%{label}", "weight": "0.25", "weight_unit": "g",
                          "hardness": 10.0, "hardness_unit": "kp"})  # fmt: skip
    values = converted(found, 10.0)
    assert values["assay_pct"] == pytest.approx(10.1)
    assert values["tablet_weight_mg"] == pytest.approx(250.0)
    assert values["hardness_n"] == pytest.approx(98.0665)
    with pytest.raises(ResultError, match="no label claim"):
        converted(found, None)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"asay": 3}, "not a field"),
        ({"sample_id": ""}, "'sample_id' is missing"),
        ({"sample_time": None}, "'sample_time' is missing"),
        ({"sample_time": "2026-05-28 20:30"}, "no time zone"),
        ({"sample_time": "yesterday"}, "is no time"),
        ({"assay_unit": ""}, "without its unit"),
        ({"assay": "10,1"}, "with a point"),
        ({"assay": "nan"}, "leave it out"),
        ({"assay": True}, "is no number"),
        ({"assay": None, "assay_unit": ""}, "nothing was measured"),
        ({"assay": None}, "'assay' is not"),
        ({"reason": "two\nlines"}, "one line"),
        ({"analyst": ["x"]}, "must be text"),
    ],
)
def test_what_is_no_result_is_named(change: dict[str, object], why: str) -> None:
    with pytest.raises(ResultError, match=why):
        parse_result({**GOOD, **change})


@pytest.mark.parametrize(
    ("value", "unit", "why"),
    [(101.0, "%{w/w}", "cannot be"), (-1.0, "%{w/w}", "cannot be"), (10.0, "%", "share of"), (1.0, "N", "does not")],
)
def test_values_that_cannot_be_are_refused(value: float, unit: str, why: str) -> None:
    with pytest.raises(ResultError, match=why):
        converted(Told("S1", T0, None, {"assay": (value, unit)}), 10.0)


def test_both_forms_of_file_give_the_same_results() -> None:
    rows = HEADER + "S1,2026-05-28T20:30:00Z,10.1,%{w/w},,,\nS2,2026-05-28T21:00:00Z,,,250,mg,\nS3,x,1,mg,,,\n"
    by_csv = read_results("a.csv", rows.encode())
    objects = [
        {"sample_id": "S1", "sample_time": "2026-05-28T20:30:00Z", "assay": 10.1, "assay_unit": "%{w/w}"},
        {"sample_id": "S2", "sample_time": "2026-05-28T21:00:00Z", "weight": "250", "weight_unit": "mg"},
        {"sample_id": "S3", "sample_time": "x"},
    ]
    by_json = read_results("a.JSON", json.dumps({"results": objects}).encode())
    assert by_csv == by_json
    assert [entry.told is None for entry in by_csv] == [False, False, True]
    assert read_results("a.csv", rows.replace(",", ";").encode("utf-8-sig")) == by_csv


@pytest.mark.parametrize(
    ("name", "raw", "why"),
    [
        ("a.csv", b"", "first line"),
        ("a.csv", b"sample_id,sample_id,sample_time\n", "each once"),
        ("a.csv", HEADER.encode(), "holds 0 results"),
        ("a.csv", b"\xff\xfe", "not UTF-8"),
        ("a.csv", b"x" * 1_000_001, "larger"),
        ("a.xls", b"x", "'.xls' is not read"),
        ("a.json", b"[" * 100_000, "not JSON"),
        ("a.json", b'{"assay": NaN}', "not JSON"),
        ("a.json", b'{"assay": 1, "assay": 2}', "given twice"),
        ("a.json", b"[]", "holds 0 results"),
    ],
)
def test_a_file_that_is_none_is_refused_whole(name: str, raw: bytes, why: str) -> None:
    with pytest.raises(ResultError, match=why):
        read_results(name, raw)


@settings(deadline=None)
@given(st.binary(max_size=400), st.sampled_from(["a.csv", "a.json"]), st.booleans())
def test_any_bytes_are_results_or_an_error(raw: bytes, name: str, headed: bool) -> None:
    try:
        found = read_results(name, HEADER.encode() + raw if headed else raw)
    except ResultError:
        return
    assert all((entry.told is None) == bool(entry.why) for entry in found)


# meaning


def test_each_result_is_kept_with_what_it_means(intake: Intake, journal: Journal) -> None:
    first = enter(intake, told(assay=10.1))
    assert first.status == "new"
    assert enter(intake, told(assay=10.1)).status == "duplicate"
    assert enter(intake, told(hardness=90.0)).status == "addition"
    refused = enter(intake, told(assay=9.1))
    assert (refused.status, "needs a 'reason'" in refused.why) == ("refused", True)
    corrected = enter(intake, told(assay=9.1, reason="wrong balance"))
    assert corrected.status == "correction"
    body = journal.get(corrected.seq).content()  # type: ignore[union-attr]
    assert body["before"]["assay_pct"] == 10.1
    assert (body["assay_pct"], body["hardness_n"], body["reason"]) == (9.1, 90.0, "wrong balance")
    moved = enter(intake, told(at_s=T0 + 660.0, assay=9.1))
    assert (moved.status, "another sample_time" in moved.why) == ("refused", True)
    kept = [row.content()["status"] for row in journal.rows(kind="lab_result")]
    assert kept == ["new", "duplicate", "addition", "refused", "correction", "refused"], "nothing is lost"


@pytest.mark.parametrize(
    ("at_s", "why"),
    [(NOW + 3600.0, "future"), (T0 - 200.0, "not known"), (NOW - 80 * 3600.0, "back")],
)
def test_samples_that_cannot_be_joined_are_refused_into_the_record(
    intake: Intake, journal: Journal, at_s: float, why: str
) -> None:
    found = enter(intake, told(at_s=at_s, assay=10.0))
    assert found.status == "refused"
    assert why in found.why
    assert journal.get(found.seq).content()["told"] == {"assay": [10.0, "%{w/w}"]}  # type: ignore[union-attr]


def test_the_label_claim_is_the_recipe_when_the_sample_was_taken(intake: Intake, journal: Journal) -> None:
    found = enter(intake, replace(told(), values={"assay": (102.0, "%{label}")}))
    assert journal.get(found.seq).content()["assay_pct"] == pytest.approx(10.2)  # type: ignore[union-attr]


# the folder


def folder_of(tmp_path: Path, intake: Intake) -> tuple[LabFolder, Path, list[float]]:
    drop, clock = tmp_path / "drop", [0.0]
    drop.mkdir(exist_ok=True)
    return LabFolder(drop, 2.0, intake, lambda: NOW, lambda: clock[0]), drop, clock


def test_a_half_written_file_waits_and_a_good_one_is_done(tmp_path: Path, intake: Intake, journal: Journal) -> None:
    folder, drop, clock = folder_of(tmp_path, intake)
    line = f"S1,{stamp(T0 + 600)},10.1,%{{w/w}},,,\n"
    (drop / "a.csv").write_text(HEADER + line[:10])
    assert folder.take() is None
    clock[0] = 1.9
    (drop / "a.csv").write_text(HEADER + line)
    assert folder.take() is None
    clock[0] = 3.0
    assert folder.take() is None, "it changed a moment ago"
    clock[0] = 4.0
    assert [entered.status for entered in folder.take() or ()] == ["new"]
    assert (drop / "done" / "a.csv").exists()
    body = journal.last("lab_result").content()  # type: ignore[union-attr]
    assert (body["source"], body["file"]["name"], len(body["file"]["sha256"])) == ("file:a.csv", "a.csv", 64)


def test_a_refused_file_says_why_and_its_good_results_count(tmp_path: Path, intake: Intake) -> None:
    folder, drop, clock = folder_of(tmp_path, intake)
    (drop / "a.csv").write_text(HEADER + f"S1,{stamp(T0 + 600)},10.1,%{{w/w}},,,\nS2,{stamp(T0 + 600)},10.1,,,,\n")
    (drop / "b.json").write_text("{")
    folder.take()
    clock[0] = 5.0
    assert [e.status for e in folder.take() or ()] == ["new", "refused"]
    assert [e.status for e in folder.take() or ()] == ["refused"]
    why = (drop / "refused" / "a.csv.why.txt").read_text()
    assert "1 of 2 results were taken" in why
    assert "result 2: 'assay_unit' is missing" in why
    assert (drop / "refused" / "b.json").exists()


def test_the_same_file_again_is_a_duplicate_not_a_second_use(tmp_path: Path, intake: Intake, journal: Journal) -> None:
    folder, drop, clock = folder_of(tmp_path, intake)
    for k in range(2):
        (drop / "a.csv").write_text(HEADER + f"S1,{stamp(T0 + 600)},10.1,%{{w/w}},,,\n")
        os.utime(drop / "a.csv", ns=(0, 10**18 + k))
        folder.take()
        clock[0] += 3.0
        folder.take()
    assert [row.content()["status"] for row in journal.rows(kind="lab_result")] == ["new", "duplicate"]
    assert sorted(p.name for p in (drop / "done").iterdir()) == ["a.csv", "a.csv.1"]


class Killed(BaseException):
    """The process is gone at this point."""


@pytest.mark.parametrize("seed", range(12))
def test_killed_at_any_instant_each_result_is_there_once(
    tmp_path: Path, journal: Journal, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = Random(seed)
    drop = tmp_path / "drop"
    drop.mkdir()
    for k in range(3):
        rows = "".join(f"S{k}{n},{stamp(T0 + 60 * (9 * k + n))},10.1,%{{w/w}},,,\n" for n in range(4))
        (drop / f"{k}.csv").write_text(HEADER + rows)

    def or_killed(step: object) -> object:
        def tried(*args: object, **named: object) -> object:
            if random.random() < 0.2:
                raise Killed
            done = step(*args, **named)  # type: ignore[operator]
            if random.random() < 0.2:
                raise Killed
            return done

        return tried

    append = Journal.append
    for _ in range(300):
        folder = LabFolder(drop, 0.0, Intake(journal, LabTable(), 60.0), lambda: NOW, lambda: 0.0)
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "append", or_killed(append))
            patch.setattr(edge.lab.folder, "move", or_killed(edge.lab.folder.move))
            try:
                while folder.take() is not None:
                    pass
                break
            except Killed:
                continue
    entered = [row.content()["sample_id"] for row in journal.rows(kind="lab_result")]
    assert sorted(entered) == sorted(f"S{k}{n}" for k in range(3) for n in range(4))
    assert len(list((drop / "done").iterdir())) == 3


def test_a_watcher_that_is_killed_for_real_goes_on(tmp_path: Path, journal: Journal) -> None:
    table = f'prefix = "Lab"\nfolder = "{tmp_path / "drop"}"\nsettle_s = 0'
    text = LINE_FILE.read_text().replace('prefix = "Lab"', table)
    line = tmp_path / "line.toml"
    line.write_text(text)
    (tmp_path / "drop").mkdir()
    rows = "".join(f"S{n},{stamp(T0 + 60 * n)},10.1,%{{w/w}},,,\n" for n in range(40))
    (tmp_path / "drop" / "a.csv").write_text(HEADER + rows)
    main = [sys.executable, "-m", "deploy.cli", "lab", "watch", str(line), "--state", str(tmp_path)]
    process = subprocess.Popen(main, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30.0
    while journal.last("lab_result") is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = CliRunner().invoke(lab, ["watch", str(line), "--state", str(tmp_path), "--once"])
    assert done.exit_code == 0, done.output
    entered = [row.content()["sample_id"] for row in journal.rows(kind="lab_result")]
    assert entered == [f"S{n}" for n in range(40)]
    assert (tmp_path / "drop" / "done" / "a.csv").exists()


def test_import_says_what_became_of_each_result(tmp_path: Path, journal: Journal) -> None:
    file = tmp_path / "results.csv"
    file.write_text(HEADER + f"S1,{stamp(T0 + 600)},10.1,%{{w/w}},,,\n")
    args = ["import", str(LINE_FILE), str(file), "--state", str(tmp_path)]
    first, again = CliRunner().invoke(lab, args), CliRunner().invoke(lab, args)
    # The record is older than 72 h by this machine's clock, not by the line's.
    assert (first.exit_code, "S1 new" in first.output) == (0, True), first.output
    assert "on the record before" in again.output
    file.write_text(HEADER + "S2,2019-01-01T00:00:00Z,10.1,%{w/w},,,\n")
    refused = CliRunner().invoke(lab, args)
    assert (refused.exit_code, "refused" in refused.output) == (1, True)
    nowhere = CliRunner().invoke(lab, ["import", str(LINE_FILE), str(file), "--state", str(tmp_path / "none")])
    assert nowhere.exit_code == 2
    assert nowhere.output.count("\n") == 1


# the next look


class Still:
    """A source that sees the same line at every look."""

    def __init__(self) -> None:
        self.time_s = NOW

    async def scan(self) -> Scan:
        self.time_s += 5.0
        return Scan(self.time_s, Link.ONLINE, 1, 1, {})


def look_of(source: WithRecord) -> Scan:
    return asyncio.run(source.scan())


def test_results_are_handed_on_once_and_again_when_the_cycle_was_not_recorded(journal: Journal, intake: Intake) -> None:
    config, _ = read_config(LINE_FILE)
    enter(intake, told("S0", assay=10.0))
    source = WithRecord(Still(), journal, config)
    look = look_of(source)
    assert [r.sample_id for r in look.lims] == ["S0"], "it came while the service was down"
    again = look_of(source)
    assert [r.sample_id for r in again.lims] == ["S0"], "no cycle has recorded it"
    cycle(journal, NOW + 5.0, tuple(r.counter for r in again.lims))
    enter(intake, told("S0", assay=10.0))
    enter(intake, told("S1", at_s=T0 + 900.0, assay=10.2))
    look = look_of(source)
    assert [r.sample_id for r in look.lims] == ["S1"], "a duplicate is kept, not used"
    cycle(journal, NOW + 10.0, tuple(r.counter for r in look.lims))
    restarted = WithRecord(Still(), journal, config)
    assert look_of(restarted).lims == ()


def test_a_record_becomes_the_result_it_holds(intake: Intake, journal: Journal) -> None:
    entered = enter(intake, told(assay=10.0, reason="the line's own value was read off wrongly"))
    found = result_of(journal.get(entered.seq))  # type: ignore[arg-type]
    assert (found.counter, found.sample_id, found.assay_pct, found.corrects) == (entered.seq, "S1", 10.0, True)
    assert math.isnan(found.hardness_n)
