"""In closed loop refills that would meet are kept apart, on the record and in the replay; in advise people are told."""

from __future__ import annotations

import importlib.util
import json
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import hil_sim.bench
from edge.line import Line
from edge.record.canonical import decode
from edge.record.journal import Journal
from edge.record.recorder import JournalRecorder
from edge.record.replay import replay_journal
from edge.service import start_body
from edge.signals import Request

ROOT = Path(__file__).parents[2]
FEEDERS = ("FeederApi", "FeederMcc", "FeederLac", "FeederMgst")
HOURS = 0.3


class Recorded(JournalRecorder):
    """The scripted operator asks, nobody else."""

    def requests(self) -> tuple[Request, ...]:
        return ()


@pytest.fixture(scope="module")
def example() -> Any:
    spec = importlib.util.spec_from_file_location("refills_example", ROOT / "examples" / "refills_apart.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    made.MEET_AT_S = 780.0
    yield made
    del sys.modules[spec.name]


def record(example: ModuleType, line: Line, path: Path) -> tuple[dict[str, float], list[dict[str, Any]], bytes]:
    """One run with refills that would meet: its figures, its cycles, and all their bytes."""
    with Journal.open(path, line.config.line.name) as journal:
        recorder = Recorded(journal)
        recorder.start(1_760_000_000.0, start_body(line), line.artefacts())
        row = example.play(line, "met", 1, HOURS, recorder)
        bodies = [r.body for r in journal.rows() if r.kind in ("start", "cycle")]
    return row, [decode(body) for body in bodies[1:]], b"".join(bodies)


def blind(cycle: dict[str, Any]) -> set[str]:
    readings = cycle["sample"]["readings"]
    return {name for name in FEEDERS if readings[f"{name}.Volumetric"]["value"]}


def test_what_would_meet_is_kept_apart_and_explained_and_replayed(example: Any, tmp_path: Path) -> None:
    ways = example.lines()
    come, plain, off_bytes = record(example, ways["as they come"], tmp_path / "off.sqlite")
    apart, cycles, _ = record(example, ways["apart"], tmp_path / "on.sqlite")
    assert come["blind_two_api_min_h"] > 1.0, "three refills meet where nobody keeps them apart"
    assert apart["blind_two_min_h"] == 0.0
    assert apart["refills_h"] >= come["refills_h"] - 1e-9
    assert max(len(blind(c)) for c in plain) > 1
    assert max(len(blind(c)) for c in cycles) == 1
    asked = [(c, after) for c, after in pairwise(cycles) if c["thought"]["command"].get("refill")]
    assert 1 <= len(asked) <= 4
    for now, after in asked:
        thought, name = now["thought"], now["thought"]["command"]["refill"]
        assert not blind(now), "never while a feeder is blind"
        assert blind(after) == {name}, "the PLC took it at once"
        assert dict(thought["wire"])[f"{name}.RefillRequest"] == 1.0
        assert any(r.startswith(f"refill of {name} brought forward: it would") for r in thought["command"]["reasons"])
        assert after["sample"]["readings"][f"{name}.RefillRequest"]["value"] == 0.0, "and the request fell back"
    written = [tag for c in cycles for tag, _ in c["thought"]["wire"] if tag.endswith("RefillRequest")]
    assert len(written) == len(asked), "written only when asked"
    assert b"efill" not in off_bytes.replace(b"Refilling", b""), "a line without the table knows nothing of it"
    replayed = replay_journal(tmp_path / "on.sqlite", None, None, lambda *_: None)
    assert replayed.first_difference is None
    assert replayed.identical
    assert replayed.n_cycles == len(cycles)


def test_in_advise_the_operator_is_told_and_nothing_is_asked_of_the_plc(
    example: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hil_sim.bench, "CLOSE_AFTER_CYCLES", -1)
    row, cycles, _ = record(example, example.lines()["apart"], tmp_path / "advise.sqlite")
    told = [c["thought"]["command"] for c in cycles if c["thought"]["command"].get("refill")]
    assert told
    assert all(any(r.startswith(f"refill {c['refill']} now: it will meet") for r in c["reasons"]) for c in told)
    assert not [tag for c in cycles for tag, _ in c["thought"]["wire"] if tag.endswith("RefillRequest")]
    assert row["blind_two_api_min_h"] > 1.0, "nobody did it"


def test_the_example_compares_both_on_the_same_seeds(example: Any, tmp_path: Path) -> None:
    told = example.run(tmp_path, 2, HOURS, ("met",))
    assert json.loads((tmp_path / "refills_apart.json").read_text())["seeds"] == 2
    figures = told["cases"]["met"]
    assert set(figures) == set(example.FIGURES)
    assert figures["blind_two_min_h"]["apart"] == (0.0, 0.0)
    assert figures["blind_two_min_h"]["as they come"][0] > 1.0
    assert figures["asked_h"]["as they come"] == (0.0, 0.0)
    assert figures["asked_h"]["apart"][0] > 0.0
