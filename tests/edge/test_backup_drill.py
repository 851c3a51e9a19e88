"""The restore drill: a backup of a line that ran comes back, thinks the same again, and the record says so."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from deploy.crash.cycles import Prepared, prepare
from deploy.crash.writer import LINE_FILE, Task, write_cycles
from edge.record import drill as drilling
from edge.record.backup_commands import backup
from edge.record.journal import Journal
from edge.record.verify import verify

CYCLES = 12


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return prepare(LINE_FILE, CYCLES)


def drill(state: Path) -> Result:
    return CliRunner().invoke(backup, ["drill", str(LINE_FILE), "--state", str(state)])


def run(state: Path, prepared: Prepared) -> None:
    write_cycles(Task(state / "journal.sqlite", prepared, prepared.cycles[0][0].scan.time_s), lambda _: None, CYCLES)


def drills(state: Path) -> list[dict[str, object]]:
    with Journal.open_reader(state / "journal.sqlite") as journal:
        return [row.content() for row in journal.rows(kind="drill")]


def test_a_line_that_ran_comes_back_and_thinks_the_same(tmp_path: Path, prepared: Prepared) -> None:
    run(tmp_path, prepared)
    done = drill(tmp_path)
    assert done.exit_code == 0, done.output
    assert f"{CYCLES} cycles thought again, 20 records compared: the same" in done.output
    (told,) = drills(tmp_path)
    assert (told["replayed"], told["compared"], told["wrong"]) == (CYCLES, 20, [])
    assert all(item.name.startswith("journal.sqlite") for item in tmp_path.iterdir()), "nothing is left behind"
    assert verify(tmp_path / "journal.sqlite").ok


def test_a_decision_that_is_another_now_is_told(tmp_path: Path, prepared: Prepared) -> None:
    sample, thought = prepared.cycles[7]
    altered = replace(thought, interval_factor=thought.interval_factor + 1e-9)
    run(tmp_path, replace(prepared, cycles=(*prepared.cycles[:7], (sample, altered), *prepared.cycles[8:])))
    done = drill(tmp_path)
    assert done.exit_code == 1
    assert "thought again, the decision is another" in done.output
    assert drills(tmp_path)[0]["replayed"] == 7


def test_records_are_compared_whole_and_retired_ones_passed_over(tmp_path: Path) -> None:
    journals = []
    for name, last in (("live", b"[9]"), ("restored", b"[8]")):
        with Journal.open(tmp_path / name, "A", now=lambda: 0.0) as journal:
            for body in (b"[1]", b"[2]", last):
                journal.append("act", 0.0, body)
        journals.append(Journal.open_reader(tmp_path / name))
    live, restored = journals
    assert drilling._compare(live, restored, 3, random.Random(1)) == (20, [])
    assert drilling._compare(live, restored, 4, random.Random(1))[1] == ["record 4 is another in the restored journal"]
    for journal in journals:
        journal.close()
