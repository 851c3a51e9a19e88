"""A journal's moves are certified from the journal alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from deploy.certify import certify
from edge.record.journal import Journal
from edge.record.recorder import JournalRecorder
from edge.record.verify import verify
from edge.service import start_body
from edge.signals import Request
from hil_sim.bench import compose_for, run_one
from hil_sim.scenario import load_scenario

LINE_FILE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml"


class _Recorded(JournalRecorder):
    def requests(self) -> tuple[Request, ...]:
        return ()


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _record(tmp_path_factory.mktemp("certify") / "journal.sqlite", 0.18)


def _record(path: Path, hours: float) -> Path:
    line = compose_for(LINE_FILE, "mpc")
    with Journal.open(path, line.config.line.name) as journal:
        recorder = _Recorded(journal)
        recorder.start(1_760_000_000.0, start_body(line), line.artefacts())
        if hours:
            run_one(line, load_scenario("hidden_loss"), 1, hours, recorder=recorder)
    return path


def test_gaps_are_judged_and_written_and_a_limit_that_is_not_met_is_exit_1(journal: Path, tmp_path: Path) -> None:
    file = tmp_path / "certificate.json"
    done = CliRunner().invoke(certify, [str(journal), "--every", "10", "--limit", "0", "--json", str(file)])
    assert done.exit_code == 1, done.output
    told = json.loads(file.read_text())
    assert told["judged"] == len(told["gaps"]) >= 3
    assert told["unsolved"] == 0
    assert all(gap["percent"] > -0.01 for gap in told["gaps"])
    assert told["max_pct"] >= told["p95_pct"] >= told["p50_pct"]
    started_s = told["gaps"][0]["time_s"]
    first = [gap["percent"] for gap in told["gaps"] if gap["time_s"] - started_s < 300.0]
    assert max(first) < 0.02, "a move on a start's way is judged by the problem that it was made for"
    assert "gap to the optimum" in done.output


def test_a_certificate_goes_onto_the_record_and_the_journal_stays_sound(journal: Path) -> None:
    done = CliRunner().invoke(certify, [str(journal), "--every", "60", "--record"])
    assert done.exit_code == 0, done.output
    with Journal.open_reader(journal) as record:
        row = record.last("certificate")
    assert row is not None
    told = row.content()
    assert told["judged"] >= 2
    assert told["from_s"] < told["to_s"]
    assert told["p50_pct"] <= told["max_pct"]
    assert verify(journal).ok


def test_a_journal_without_a_move_is_refused_in_one_line(tmp_path: Path) -> None:
    idle = _record(tmp_path / "idle.sqlite", 0.0)
    done = CliRunner().invoke(certify, [str(idle)], standalone_mode=False)
    assert "there is nothing to" in str(done.exception)
    assert "\n" not in str(done.exception)
