"""The inspector's bundle: what it tells, that it is whole, and that it can be checked without the product."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import re
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from inspect_hand import AXIS, START, T0, cycle, facts_of, shift

from edge.record.canonical import encode
from edge.record.commands import journal as journal_command
from edge.record.journal import Journal
from edge.record.recorder import JournalRecorder
from edge.signals import Licence, Request

REGISTRY = Path(__file__).parents[2] / "deploy" / "models" / "registry"
FIRST = Path(__file__).parents[1] / "replay" / "first_release" / "journal.sqlite.gz"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Eight cycles of a shift."""
    return shift(tmp_path / "journal.sqlite")


def run(*args: object) -> Result:
    return CliRunner().invoke(journal_command, ["inspect", *map(str, args)])


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
