"""What was decided is computed again from the journal alone, bit for bit; a changed number is found and named."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.line import Line
from edge.record.canonical import decode, encode
from edge.record.journal import Journal
from edge.record.recorder import JournalRecorder
from edge.record.replay import replay_journal
from edge.record.replay_commands import replay
from edge.service import start_body
from edge.signals import Request
from hil_sim.bench import compose_for, run_one
from hil_sim.scenario import load_scenario

LINE_FILE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml"


class Recorded(JournalRecorder):
    """A journal recorder that also counts the cycles it was given."""

    def requests(self) -> tuple[Request, ...]:
        return ()


def record(folder: Path, hours: float = 0.5, scenario: str = "hidden_loss") -> tuple[Path, Line]:
    line = compose_for(LINE_FILE, "mpc")
    assert line.control is not None
    path = folder / "journal.sqlite"
    faults = tuple(f.model_copy(update={"at_min": 12.0}) for f in load_scenario(scenario).fault)
    with Journal.open(path, line.config.line.name) as journal:
        recorder = Recorded(journal)
        recorder.start(1_760_000_000.0, start_body(line), line.artefacts())
        run_one(line, load_scenario(scenario).model_copy(update={"fault": faults}), 1, hours, recorder=recorder)
    return path, line


@pytest.fixture(scope="module")
def journal_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("replay"))[0]


def test_every_cycle_is_identical(journal_path: Path) -> None:
    found = replay_journal(journal_path, None, None, lambda *_: None)
    assert found.first_difference is None
    assert found.identical
    with Journal.open_reader(journal_path) as journal:
        bodies = [decode(row.body) for row in journal.rows(kind="cycle")]
    assert found.n_cycles == len(bodies) == 360
    assert any(b["thought"]["command"]["writes"] for b in bodies), "the loop was closed"
    told = " ".join(note for b in bodies for note in b["thought"]["belief"]["notes"])
    assert "delivered API" in told or "judged anew" in told, "the loss was found: there was something to decide"


def test_a_window_of_time_can_be_chosen(journal_path: Path) -> None:
    found = replay_journal(journal_path, 1_760_000_300.0, 1_760_000_600.0, lambda *_: None)
    assert found.identical
    assert 55 <= found.n_cycles <= 62


def test_a_decision_that_was_not_ours_is_found_and_named(journal_path: Path, tmp_path: Path) -> None:
    """Forge a whole, consistently chained journal with one setpoint changed: the chain holds, the decision does not."""
    forged = tmp_path / "forged.sqlite"
    with Journal.open_reader(journal_path) as old, Journal.open(forged, "CDC-REF-1") as new:
        for row in old.rows(after_seq=1, limit=100):
            body = row.body
            if row.kind == "cycle" and decode(body)["sample"]["cycle"] == 40:
                changed = decode(body)
                changed["thought"]["decision"]["setpoints"]["FeederApi"] += 1e-12
                body = encode(changed)
            new.append(row.kind, row.time_s, body, row.blob)
    found = replay_journal(forged, None, None, lambda *_: None)
    assert not found.identical
    assert found.n_cycles > 41
    assert [(s.stage, s.differing) for s in found.stages if s.differing] == [("decision", 1)]
    alone = [(s.stage, s.differing) for s in found.own if s.differing]
    assert alone == [("decision", 1), ("command", 1), ("written", 1)], "nor does the command follow from it"
    assert found.written_differs == 0
    assert "decision.setpoints.FeederApi" in str(found.first_difference)
    done = CliRunner().invoke(replay, [str(forged)])
    assert done.exit_code == 1
    assert "NOT IDENTICAL" in done.output


def test_a_journal_without_its_bundle_says_so(journal_path: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.sqlite"
    with Journal.open_reader(journal_path) as old, Journal.open(bare, "CDC-REF-1") as new:
        for row in old.rows(after_seq=1, limit=20):
            if row.kind != "artefact":
                new.append(row.kind, row.time_s, row.body, row.blob)
    done = CliRunner().invoke(replay, [str(bare)])
    assert done.exit_code == 2
    assert "does not hold the sensor bundle" in done.output


def test_what_is_not_a_journal_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.sqlite")) as database, database:
        database.execute("CREATE TABLE t (x)")
    done = CliRunner().invoke(replay, [str(tmp_path / "x.sqlite")])
    assert done.exit_code == 2
    assert "Traceback" not in done.output
