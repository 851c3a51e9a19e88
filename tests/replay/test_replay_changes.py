"""A product that was changed on purpose: the replay says at which stage, since which record, and how much."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

import edge.cycle
import soft_sensors.estimate
from control.observe import Observer
from control.signals import Command
from edge.errors import PatloopError
from edge.line import Line
from edge.record.canonical import decode, encode
from edge.record.compare import STAGES, Change, Unmatched, differences, shown_apart, tallies
from edge.record.journal import Journal
from edge.record.recorder import JournalRecorder
from edge.record.replay import ReplayReport, replay_journal
from edge.service import start_body
from edge.signals import Alarm, Request, Thought
from hil_sim.bench import compose_for, run_one
from hil_sim.scenario import load_scenario

LINE_FILE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml"
T0 = 1_760_000_000.0
UNTIL_S = T0 + 400.0  # what is computed again in a test


class Recorded(JournalRecorder):
    """A journal recorder without people."""

    def requests(self) -> tuple[Request, ...]:
        return ()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve minutes in closed loop with a hidden loss."""
    found = tmp_path_factory.mktemp("changes") / "journal.sqlite"
    line = compose_for(LINE_FILE, "mpc")
    shift = load_scenario("hidden_loss")
    faults = tuple(f.model_copy(update={"at_min": 2.0}) for f in shift.fault)
    with Journal.open(found, line.config.line.name) as journal:
        recorder = Recorded(journal)
        recorder.start(T0, start_body(line), line.artefacts())
        run_one(line, shift.model_copy(update={"fault": faults}), 1, 0.2, recorder=recorder)
    return found


def cycles(path: Path) -> list[tuple[int, dict[str, Any]]]:
    with Journal.open_reader(path) as journal:
        return [(r.seq, decode(r.body)) for r in journal.rows(kind="cycle") if r.time_s <= UNTIL_S]


def again(path: Path, **how: Any) -> ReplayReport:
    return replay_journal(path, None, UNTIL_S, lambda *_: None, **how)


def differing(report: ReplayReport, part: str) -> dict[str, int]:
    return {s.stage: s.differing for s in getattr(report, part) if s.differing}


def test_a_changed_interval_is_found_in_the_estimate_and_its_consequences_are_not_blamed_on_others(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soft_sensors.estimate, "SIGMAS_90", 1.7)
    report = again(path)
    first = next(seq for seq, body in cycles(path) if body["thought"]["estimate"] is not None)
    estimate = report.stages[1]
    assert estimate.stage == "estimate"
    assert estimate.first_seq == first
    sigma = next(f for f in estimate.fields if f.path == "estimate.sigma")
    assert sigma.typical_relative == pytest.approx(1 - 1.645 / 1.7, rel=1e-9)
    assert "estimate.sigma" in str(report.first_difference)
    assert differing(report, "own") == {"estimate": estimate.differing}, "belief and all after it follow from it"
    assert "belief" in differing(report, "stages")


def test_a_changed_observer_is_found_in_the_belief(path: Path) -> None:
    def livelier(line: Line) -> Line:
        assert line.control is not None
        settings = line.control.settings
        noise = settings.observer.model_copy(update={"gain_rw": 3 * settings.observer.gain_rw})
        changed = settings.model_copy(update={"observer": noise})
        return replace(line, control=replace(line.control, observer=Observer(line.control.bundle, changed)))

    report = again(path, around=livelier)
    free, own = differing(report, "stages"), differing(report, "own")
    assert "estimate" not in free
    assert own["belief"] == free["belief"] > 50
    assert not {"decision", "command", "written"} & set(own), "given the recorded belief they do as they did"
    assert report.written_differs


def test_a_tighter_guard_is_found_in_the_command_since_its_first_act(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [
        (seq, body["thought"]["command"]["recommended"]["FeederApi"])
        for seq, body in cycles(path)
        if body["thought"]["decision"] is not None and not body["thought"]["command"]["holding"]
    ]
    values = sorted(value for _, value in wanted)
    limit = values[2 * len(values) // 3]
    first = next(seq for seq, value in wanted if value > limit)
    real = edge.cycle.guard

    def tighter(*args: Any) -> Command:
        command = real(*args)
        capped = {n: min(v, limit) if n == "FeederApi" else v for n, v in command.recommended.items()}
        writes = {name: capped[name] for name in command.writes}
        return command if command.holding else replace(command, recommended=capped, writes=writes)

    monkeypatch.setattr(edge.cycle, "guard", tighter)
    report = again(path)
    command = next(s for s in report.stages if s.stage == "command")
    assert command.first_seq == first
    named = next(f for f in command.fields if f.path == "command.recommended.FeederApi")
    assert named.largest == pytest.approx(values[-1] - limit)
    assert set(differing(report, "own")) <= {"command", "written", "alarms"}
    assert {"command", "written"} <= set(differing(report, "own"))
    assert report.written_differs == sum(1 for _, v in wanted if v > limit)
    assert "command.recommended.FeederApi" in str(report.first_difference)


def test_a_record_without_a_newer_setting_is_replayed_all_the_same(path: Path, tmp_path: Path) -> None:
    """A setting that came after the record does not refuse the bundle that the record shows in use."""
    older = tmp_path / "older.sqlite"
    with Journal.open_reader(path) as old, Journal.open(older, "CDC-REF-1") as new:
        for row in old.rows(after_seq=1, limit=40):
            body = row.content()
            if row.kind == "start":
                del body["config"]["controller"]["mpc"]["weight_band_pct"]
                del body["config"]["track"]
                body["config"]["controller"]["mpc"]["forgotten"] = 7
            new.append(row.kind, row.time_s, encode(body), row.blob)
    report = again(older)
    assert report.n_cycles > 15
    assert report.remarks.controlled
    assert "controller.mpc.forgotten = 7" in report.remarks.unknown
    assert any(line.startswith("controller.mpc.weight_band_pct = ") for line in report.remarks.newer)
    assert any(line.startswith("track = ") for line in report.remarks.newer)


def test_every_part_of_a_thought_has_its_stage() -> None:
    staged = [name for names in STAGES.values() for name in names]
    assert sorted(staged) == sorted(f.name for f in fields(Thought))


def test_a_field_that_was_not_recorded_is_no_difference_but_a_missing_setpoint_is_one() -> None:
    command = Command("closed", {"A": 1.0}, {"A": 1.0}, holding=False, divert=False, reasons=())  # type: ignore[arg-type]
    plain = decode(encode(command))
    assert list(differences("c", plain, command)) == []
    del plain["divert"]
    del plain["writes"]["A"]
    plain["gone"] = 1
    assert set(differences("c", plain, command)) == {
        Unmatched("c.divert", "then"), Unmatched("c.gone", "now"), Change("c.writes.A", None, 1.0),
    }  # fmt: skip


def test_the_last_bit_and_the_sign_of_nothing_count() -> None:
    assert len(list(differences("x", 0.1 + 0.2, 0.3))) == 1
    assert len(list(differences("x", 0.0, -0.0))) == 1
    assert list(differences("x", float("nan"), float("nan"))) == []


def test_one_more_alarm_is_one_difference() -> None:
    old, new = Alarm("old", "text", 2, T0, T0), Alarm("a_new_one", "text", 2, T0, T0)
    silent = Command("monitor", {}, {}, holding=False, divert=False, reasons=())  # type: ignore[arg-type]
    now = Thought("monitor", None, None, None, None, silent, (new, old), "", "", ())  # type: ignore[arg-type]
    tally = tallies()["alarms"]
    tally.add(7, T0, {"alarms": [decode(encode(old))]}, now)
    assert [(f.path, f.first_seq, f.first_before) for f in tally.report().fields] == [
        ("alarms.a_new_one", 7, "nothing")
    ]


def test_retired_records_are_not_passed_over_in_silence(path: Path, tmp_path: Path) -> None:
    """Without the first minutes nobody knows what the loop remembered: that is said, not guessed."""
    kept = tmp_path / "kept.sqlite"
    shutil.copy(path, kept)
    shutil.copy(f"{path}.head", f"{kept}.head")
    with closing(sqlite3.connect(kept)) as connection, connection:
        connection.execute("DROP TRIGGER records_no_delete")
        connection.execute("DELETE FROM records WHERE seq BETWEEN 10 AND 30 AND kind = 'cycle'")
    with pytest.raises(PatloopError, match=r"no cycle|could not be computed again.*records \d+ to \d+ are not"):
        replay_journal(kept, T0 + 300, UNTIL_S, lambda *_: None)
    report = again(kept)
    assert not report.identical
    assert "cycles could not be computed again" in report.remarks.refused[0]
    assert "replay the archive, too" in report.remarks.refused[0]


def test_a_spectrum_that_was_retired_is_not_replaced_by_the_one_before(path: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.sqlite"
    shutil.copy(path, kept)
    with closing(sqlite3.connect(kept)) as connection, connection:
        connection.execute("DROP TRIGGER blobs_no_delete")
        connection.execute("DELETE FROM blobs WHERE seq > 20")
    report = again(kept)
    assert {s.stage for s in report.stages if s.differing} == set()
    assert not report.identical
    assert "the spectrum of record" in str(report.first_difference)


def test_a_start_after_retired_records_says_what_it_could_not_take_over(path: Path, tmp_path: Path) -> None:
    twice = tmp_path / "twice.sqlite"
    with Journal.open_reader(path) as old, Journal.open(twice, "CDC-REF-1") as new:
        for _ in range(2):
            for row in old.rows(after_seq=1, limit=20):
                new.append(row.kind, row.time_s, row.body, row.blob)
        last = max(row.seq for row in new.rows(kind="cycle") if row.seq <= 21)
    whole = replay_journal(twice, None, None, lambda *_: None)
    assert whole.identical, whole.first_difference
    with closing(sqlite3.connect(twice)) as connection, connection:
        connection.execute("DROP TRIGGER records_no_delete")
        connection.execute("DELETE FROM records WHERE seq BETWEEN ? AND 21", (last - 3,))
    report = replay_journal(twice, None, None, lambda *_: None)
    assert report.n_cycles < whole.n_cycles
    assert not any(stage.differing for stage in report.stages)
    assert not report.identical
    assert "took over (its cycle was retired)" in str(report.first_difference)


def test_long_texts_are_shown_from_where_they_part() -> None:
    before = "no usable NIR estimate yet: nothing tells what is in the line; API at the gate 97.9, bounds 93.6"
    told = shown_apart(before, before.replace("93.6", "93.5"))
    assert told[0] != told[1]
    assert told[0].endswith("93.6")
    assert all(len(text) <= 63 for text in told)
    assert shown_apart("advise", "closed") == ("advise", "closed")
    assert shown_apart(1.0, None) == ("1.0", "nothing")
