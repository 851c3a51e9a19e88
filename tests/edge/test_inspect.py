"""The inspector's bundle: what it tells, that it is whole, and that it can be checked without the product."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import math
import re
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from control.signals import Command, Decision, LabResult, Mode, Reading, Target
from edge.record.canonical import encode
from edge.record.commands import journal as journal_command
from edge.record.facts import Facts, gather
from edge.record.inspect_moves import by_minute
from edge.record.journal import Journal
from edge.record.moves import OUTSIDE
from edge.record.recorder import JournalRecorder
from edge.signals import Acted, Alarm, Context, Licence, Link, Request, Sample, Scan, Thought
from soft_sensors.signals import Estimate, Quality, Spectrum

AXIS = np.linspace(900.0, 1700.0, 4)
REGISTRY = Path(__file__).parents[2] / "deploy" / "models" / "registry"
FIRST = Path(__file__).parents[1] / "replay" / "first_release" / "journal.sqlite.gz"
T0 = 1_700_000_040.0  # 2023-11-14 22:14:00 UTC, a whole minute
START = {
    "line": "CDC-REF-1", "mode": "advise", "software": "patloop 0.1.0", "sensor_hash": "aa" * 32,
    "controller_hash": "cc" * 32,
    "config": {"line": {"cycle_s": 5.0}, "mv": [{"name": "FeederApi", "unit": "kg/h"}], "sensor": {"bias": 0}},
}  # fmt: skip


def cycle(i: int, working: float, **how: Any) -> tuple[Sample, Thought]:
    """One cycle; working: the setpoint in force; the rest as it is given."""
    time_s = T0 + 5 * i
    mode, write = Mode(how.get("mode", "closed")), how.get("write")
    writes = {} if write is None else {"FeederApi": write}
    scan = Scan(
        time_s, Link(how.get("link", "online")), 1, 7, {"FeederApi.SP_Working": Reading(working, time_s)},
        Spectrum(AXIS, "nm", AXIS / 10 + i, i, time_s), how.get("lab"), how.get("reason", ""),
        context=how.get("context"),
    )  # fmt: skip
    estimate = Estimate(9.9, 0.1, 9.7, 10.1, 3.0, 9.0, 0.5, 1.0, Quality.GOOD, "", i, time_s)
    decision = Decision("mpc", {"FeederApi": write or working}, "API low", "ok", 5.0, {}, {})
    command = Command(mode, writes, writes, how.get("holding", False), False, how.get("reasons", ()))
    thought = Thought(mode, Target(10, 20, 250), estimate, None, decision, command, how.get("alarms", ()), "", "", ())
    licence = Licence("aa" * 32, how.get("state", "effective"), 2e9, registry_id="ee" * 32, head_seq=4, head_hash="1f")
    return Sample(i, scan, how.get("requests", ()), Acted("good"), licence), thought


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Eight cycles: ann closes the loop, the PLC takes half of a move, its operator moves one; a gap; an alarm."""
    found = tmp_path / "journal.sqlite"
    alarm = Alarm("nir_drift", "NIR drifts <b>", 2, T0 + 10, T0 + 10)
    ask = Request(4, "mode", "closed", "ann", "settled <script>alert(1)</script>")
    lab = LabResult(1, T0, T0 + 20, 9.95, math.nan, math.nan)
    cycles = [
        cycle(0, 2.0, mode="advise"),
        cycle(1, 2.0, write=2.1, requests=(ask,)),
        cycle(2, 2.1, write=2.3, alarms=(alarm,), context=Context("B-7", "T", {}, "tags")),
        cycle(3, 2.2, alarms=(alarm,), holding=True, reasons=("hold: FeederApi.PV: stale",), context=Context("B-7")),
        cycle(4, 2.2, lab=lab, link="lost", reason="no answer"),
        cycle(5, 2.2, link="lost", reason="no answer"),
        cycle(6, 2.5, state="retired"),
        cycle(30, 2.5),
    ]
    with Journal.open(found, "CDC-REF-1", now=lambda: T0 - 10) as journal:
        recorder = JournalRecorder(journal)
        journal.append("start", T0 - 5, encode(START))
        journal.append("people", T0 - 2, encode({"event": "login", "name": "ann", "by": "ann", "reason": ""}))
        asked = {"action": "mode", "value": "closed", "user": "ann", "reason": "settled <script>alert(1)</script>"}
        for i, (sample, thought) in enumerate(cycles):
            if i == 1:
                journal.append("request", T0 + 4, encode({**asked, "cycle_seq": 4}))
            recorder.cycle(sample, thought)
            if thought.command.writes:
                recorder.acted(sample, Acted("good"))
        journal.append("start", T0 + 160, encode({**START, "config": {**START["config"], "sensor": {"bias": 1}}}))
    return found


def facts_of(path: Path, from_s: float | None = None, to_s: float | None = None) -> Facts:
    with Journal.open_reader(path) as journal:
        return gather(journal, from_s, to_s, lambda *_: None)


def run(*args: object) -> Result:
    return CliRunner().invoke(journal_command, ["inspect", *map(str, args)])


def test_who_did_what_is_told_with_name_meaning_and_change(path: Path) -> None:
    told = {(e.who, e.what): (e.before, e.after, e.why) for e in facts_of(path).events}
    why = "settled <script>alert(1)</script>"
    assert told[("ann", "entered with their own password")] == ("", "", "")
    assert told[("ann", "asked the service to run in this mode (shown: record 4)")] == ("", "closed", why)
    assert told[("ann", "mode of the service changed")] == ("advise", "closed", why)
    assert told[(OUTSIDE, "set-point FeederApi changed at the PLC")][:2] == ("2.2", "2.5")
    starts = [e.after for e in facts_of(path).events if e.kind == "start"]
    assert starts == ["", "sensor.bias: 0 -> 1"], "a changed setting shows old and new"


def test_every_move_says_before_sent_taken_and_for_whom(path: Path) -> None:
    moves = facts_of(path).moves
    ours = [(m.before, m.sent, m.took, m.outcome, m.by) for m in moves if m.by != OUTSIDE]
    assert ours == [(2.0, 2.1, 2.1, "good", "mpc in closed mode"), (2.1, 2.3, 2.2, "good", "mpc in closed mode")]
    assert {m.asked_by for m in moves if m.by != OUTSIDE} == {"ann: settled <script>alert(1)</script>"}
    (foreign,) = (m for m in moves if m.by == OUTSIDE)
    assert (foreign.before, foreign.took, foreign.time_s) == (2.2, 2.5, T0 + 30)
    minutes = {m.by: m for m in by_minute(moves)}
    assert (minutes["mpc in closed mode"].writes, minutes["mpc in closed mode"].not_as_sent) == (2, 1)
    assert minutes[OUTSIDE].foreign


def test_gaps_alarms_models_and_laboratory_are_told(path: Path) -> None:
    found = facts_of(path)
    gaps = [(g.kind, g.from_s - T0, g.to_s - T0, g.why) for g in found.gaps]
    assert gaps == [
        ("held", 15, 15, "FeederApi.PV: stale"), ("line not seen", 20, 25, "no answer"),
        ("no cycles", 30, 150, "no cycle on the record"),
    ]  # fmt: skip
    (alarm,) = found.alarms
    assert (alarm.name, alarm.from_s, alarm.to_s) == ("nir_drift", T0 + 10, T0 + 20)
    standings = [m.standing.split(";")[0] for m in found.models if m.kind == "soft sensor"]
    assert standings == ["effective", "retired", "effective"]
    assert [m.lab for m in found.minutes if math.isfinite(m.lab)] == [9.95]
    assert found.minutes[0].t2 == pytest.approx(1 / 3)
    assert (found.cycles, found.batches) == (8, ("B-7",))


def test_a_period_leaves_out_what_is_not_in_it_but_knows_what_was_before(path: Path) -> None:
    found = facts_of(path, T0 + 10, T0 + 22)
    assert (found.cycles, found.from_s, found.to_s) == (3, T0 + 10, T0 + 20)
    assert [(m.before, m.sent, m.took) for m in found.moves] == [(2.1, 2.3, 2.2)]
    assert found.moves[0].asked_by.startswith("ann: ")
    assert [e.kind for e in found.events] == []


def test_the_bundle_is_whole_and_its_texts_are_only_texts(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "shift"
    done = run(path, "--out", out, "--by", "Dr. Ann Reviewer")
    assert done.exit_code == 0, done.output
    page = (out / "index.html").read_text()
    assert "<script>alert(1)" not in page
    assert "settled &lt;script&gt;" in page
    assert "NIR drifts &lt;b&gt;" in page
    assert not re.search(r"(https?:)?//[a-z]", re.sub(r"^\s*// .*$", "", page, flags=re.M)), "nothing from a network"
    assert "Made by Dr. Ann Reviewer at 20" in page
    anchor = (out / "check" / "anchor.txt").read_text().strip()
    assert page.count(anchor) == 2
    listed = dict(reversed(line.split("  ", 1)) for line in (out / "MANIFEST.sha256").read_text().splitlines())
    there = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()} - {"MANIFEST.sha256"}
    assert set(listed) == there
    assert all(hashlib.sha256((out / name).read_bytes()).hexdigest() == digest for name, digest in listed.items())
    with zipfile.ZipFile(tmp_path / "shift.zip") as packed:
        assert {name.removeprefix("shift/") for name in packed.namelist()} == there | {"MANIFEST.sha256"}
        assert packed.read("shift/index.html").decode() == page


def test_the_tables_hold_every_value(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "shift"
    assert run(path, "--out", out).exit_code == 0
    moves = list(csv.DictReader((out / "data" / "setpoints.csv").read_text().splitlines()))
    assert [(m["name"], m["sent"], m["took"]) for m in moves] == [
        ("FeederApi", "2.1", "2.1"), ("FeederApi", "2.3", "2.2"), ("FeederApi", "", "2.5"),
    ]  # fmt: skip
    assert moves[0]["time_utc"] == "2023-11-14T22:14:05.000Z"
    assert len(list(csv.DictReader((out / "data" / "cycles.csv").read_text().splitlines()))) == 8
    header, *spectra = (out / "data" / "spectra.csv").read_text().splitlines()
    assert header == "sample_id," + ",".join(map(repr, AXIS.tolist()))
    assert len(spectra) == 8
    with Journal.open_reader(path) as journal:
        second = list(journal.rows(kind="cycle"))[1]
    assert spectra[1] == f"{second.seq}," + ",".join(map(repr, (AXIS / 10 + 1).tolist()))
    assert (out / "data" / "material.csv").read_text().startswith("from_utc,to_utc,"), "an empty table keeps its head"


def test_it_is_checked_with_plain_python_alone(path: Path, tmp_path: Path) -> None:
    """No package of any kind: an interpreter that was told to forget its site-packages, in the bundle's folder."""
    out = tmp_path / "shift"
    assert run(path, "--out", out).exit_code == 0
    if not (out / "check" / "standalone_verifier.py").is_file():
        pytest.fail("the bundle has no verifier")
    code = [sys.executable, "-I", "-S", "check/standalone_verifier.py", "record/journal.sqlite"]
    done = subprocess.run([*code, "--anchor", "check/anchor.txt"], cwd=out, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("sound")
    copy = out / "record" / "journal.sqlite"
    with closing(sqlite3.connect(copy)) as connection, connection:
        (trigger,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'records_no_update'").fetchone()
        connection.execute("DROP TRIGGER records_no_update")
        connection.execute("UPDATE records SET time_s = time_s + 1 WHERE seq = 6")
        connection.execute(trigger)
    done = subprocess.run([*code, "--anchor", "check/anchor.txt"], cwd=out, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "record 6" in done.stdout


def test_a_record_that_is_not_sound_is_told_on_the_first_page(path: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TRIGGER records_no_update")
        connection.execute("UPDATE records SET time_s = time_s + 1 WHERE seq = 6")
    done = run(path, "--out", tmp_path / "shift")
    assert done.exit_code == 1
    assert "NOT SOUND" in done.output
    assert "THE RECORD IS NOT SOUND" in (tmp_path / "shift" / "index.html").read_text()


def test_a_batch_is_a_period(path: Path, tmp_path: Path) -> None:
    assert run(path, "--out", tmp_path / "b", "--batch", "B-7").output.strip().startswith("2 cycles")
    done = run(path, "--out", tmp_path / "c", "--batch", "B-8")
    assert done.exit_code == 2
    assert "knows no cycle of it in this period (known: B-7)" in done.output


def test_a_folder_in_use_is_left_alone(path: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").write_text("dear aunt")
    done = run(path, "--out", tmp_path / "mine")
    assert done.exit_code == 2
    assert "there is something already" in done.output
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["letter"]
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".part"] == []
    assert run(tmp_path / "none", "--out", tmp_path / "x").exit_code == 2


def test_the_first_release_can_be_inspected(tmp_path: Path) -> None:
    path = tmp_path / "first.sqlite"
    path.write_bytes(gzip.decompress(FIRST.read_bytes()))
    shutil.copy(FIRST.with_name("journal.sqlite.head"), f"{path}.head")
    done = run(path, "--out", tmp_path / "first")
    assert done.exit_code == 0, done.output
    page = (tmp_path / "first" / "index.html").read_text()
    assert "demonstration shift" in page
    assert "no licence on the record (an earlier release)" in page
    assert len((tmp_path / "first" / "data" / "setpoints.csv").read_text().splitlines()) == 1041


def test_a_line_without_setpoints_is_told_too(tmp_path: Path) -> None:
    path = tmp_path / "watched.sqlite"
    with Journal.open(path, "WATCHED", now=lambda: T0) as journal:
        journal.append("start", T0, encode({**START, "config": {"line": {"cycle_s": 5.0}}, "controller_hash": None}))
        sample, thought = cycle(1, 2.0, mode="monitor")
        JournalRecorder(journal).cycle(sample, replace(thought, target=None, decision=None))
    assert run(path, "--out", tmp_path / "w").exit_code == 0
    assert "None in this period" in (tmp_path / "w" / "index.html").read_text()


def test_who_released_the_models_is_told_from_the_signed_registry(tmp_path: Path) -> None:
    registry = REGISTRY
    events = [json.loads(line) for line in (registry / "log.jsonl").read_text().splitlines()]
    lines = (registry / "log.jsonl").read_bytes().splitlines()
    approved = next(e for e in events if e["action"] == "approve")
    digest, head = approved["body"]["bundle"], len(events) - 1
    identity, newest = hashlib.sha256(lines[0]).hexdigest(), hashlib.sha256(lines[-1]).hexdigest()
    path = tmp_path / "journal.sqlite"
    with Journal.open(path, "CDC-REF-1", now=lambda: T0) as journal:
        journal.append("start", T0, encode({**START, "controller_hash": None}))
        for i, licence in enumerate(
            (Licence(digest, "effective", 2e9, 0, None, identity, head, newest),
             Licence(digest, "effective", 2e9, 0, None, identity, head, "00" * 32))
        ):  # fmt: skip
            sample, thought = cycle(i, 2.0)
            JournalRecorder(journal).cycle(replace(sample, licence=licence), thought)
    done = run(path, "--out", tmp_path / "with", "--registry", registry)
    assert done.exit_code == 0, done.output
    page = (tmp_path / "with" / "index.html").read_text()
    assert approved["person"] in page
    assert "approver: released it" in page
    assert f"event {head} is the one that the record saw" in page
    assert f"Event {head} of this registry is not the one that the record saw" in page
    assert (tmp_path / "with" / "record" / "registry_log.jsonl").read_bytes() == (registry / "log.jsonl").read_bytes()
    forged = tmp_path / "forged"
    shutil.copytree(registry, forged)
    text = (forged / "log.jsonl").read_text().replace(approved["person"], "Somebody Else")
    (forged / "log.jsonl").write_text(text)
    done = run(path, "--out", tmp_path / "not", "--registry", forged)
    assert done.exit_code == 2
    assert "--registry" in done.output
    assert not (tmp_path / "not").exists()


def test_results_batches_and_tokens_are_told_in_words(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    result = {
        "sample_id": "S-17",
        "status": "refused",
        "why": "no such unit",
        "assay_pct": 9.9,
        "hardness_n": math.nan,
        "source": "rest:lims",
    }
    making = {"batch": "B-7", "product": "T 10", "lots": {"FeederApi": "A-2", "FeederMcc": ""}, "source": "tags"}
    making["before"] = {"batch": "B-6", "product": "T 10", "lots": {}}
    token = {"event": "made", "id": "t1", "name": "historian", "role": "reader", "by": "ann", "expires_s": 1.0}
    silence = {"from_s": T0 - 60, "to_s": T0, "seconds": 60.0, "after": 1, "why": "no orderly stop"}
    retired = {"what": "rows", "archive": "a.journal", "reason": "older than 30 days", "ranges": []}
    drill = {"seconds": 4.2, "ok": True}
    with Journal.open(path, "CDC-REF-1", now=lambda: T0) as journal:
        bodies = {
            "lab_result": result, "batch": making, "token": token, "gap": silence, "retired": retired, "drill": drill,
        }  # fmt: skip
        for kind, body in bodies.items():
            journal.append(kind, T0, encode(body))
    told = {e.kind: (e.who, e.what, e.why, e.after) for e in facts_of(path).events}
    assert told["lab_result"] == ("rest:lims", "laboratory result S-17 (refused)", "no such unit", "assay_pct 9.9")
    assert told["batch"] == ("tags", "what is being made changed", "", "batch B-7, product T 10, lots FeederApi A-2")
    (batch,) = (e for e in facts_of(path).events if e.kind == "batch")
    assert batch.before == "batch B-6, product T 10"
    assert told["token"][:2] == ("ann", "API token made: historian (reader)")
    assert told["gap"][1:3] == ("no cycles for 60 s before this start", "no orderly stop")
    assert told["retired"][1:3] == ("rows of the record went to the archive a.journal", "older than 30 days")
    assert told["drill"] == ("the service", "drill", "", "ok True, seconds 4.2")


def test_a_late_period_knows_who_had_asked_long_before(tmp_path: Path) -> None:
    """The cycle that took the request up is an hour before the period: it is not read, and need not be."""
    path = tmp_path / "journal.sqlite"
    with Journal.open(path, "CDC-REF-1", now=lambda: T0) as journal:
        recorder = JournalRecorder(journal)
        journal.append("start", T0, encode(START))
        journal.append("request", T0, encode({"action": "mode", "value": "closed", "user": "ann", "reason": "settled"}))
        ask = Request(3, "mode", "closed", "ann", "settled")
        for i, requests in ((0, (ask,)), (1000, ()), (1001, ()), (1002, ()), (2000, ())):
            recorder.cycle(*cycle(i, 2.0, write=2.0, requests=requests))
    found = facts_of(path, T0 + 5005, T0 + 5005)
    assert [(m.time_s, m.asked_by, m.before, m.took) for m in found.moves] == [(T0 + 5005, "ann: settled", 2.0, 2.0)]
    assert run(path, "--out", tmp_path / "late", "--from", T0 + 5005, "--to", T0 + 5005).exit_code == 0
    header, spectrum = (tmp_path / "late" / "data" / "spectra.csv").read_text().splitlines()
    assert header == "sample_id," + ",".join(map(repr, AXIS.tolist())), "the axis was recorded long before"
    assert spectrum.startswith("6,")
