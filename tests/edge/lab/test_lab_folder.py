"""The LIMS folder: each result once, whenever the process is killed; and handed to the loop once."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner

import edge.lab.folder
from edge.acquire.told import WithRecord, result_of
from edge.config import read_config
from edge.lab.commands import lab
from edge.lab.folder import LabFolder
from edge.lab.intake import Entered, Intake, Origin
from edge.lab.result import Told
from edge.lab.settings import LabTable
from edge.record.canonical import encode
from edge.record.journal import Journal
from edge.signals import Link, Scan

LINE_FILE = Path(__file__).parents[3] / "deploy" / "lines" / "cdc_ref_1.toml"
T0 = 1_780_000_000.0
NOW = T0 + 3600.0
HEADER = "sample_id,sample_time,assay,assay_unit,weight,weight_unit,reason\n"


def stamp(time_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_s))


def cycle(journal: Journal, time_s: float, lims: tuple[int, ...] = ()) -> None:
    sample = {"lims": [{"counter": n} for n in lims], "context": None}
    journal.append("cycle", time_s, encode({"sample": sample, "thought": {"target": {"api_pct": 10.0}}}))


def told(sample_id: str = "S1", at_s: float = T0 + 600.0, reason: str = "", **values: float) -> Told:
    units = {"assay": "%{w/w}", "weight": "mg", "hardness": "N"}
    return Told(sample_id, at_s, None, {n: (v, units[n]) for n, v in values.items()}, reason=reason)


def enter(intake: Intake, result: Told | None, why: str = "") -> Entered:
    return intake.enter(result, why, Origin("test"), NOW)


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
