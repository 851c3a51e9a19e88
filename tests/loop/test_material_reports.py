"""Genealogy and performance of a short recorded shift with an API bridge: what is told, and told again."""

from __future__ import annotations

import csv
import json
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.errors import ConfigError
from edge.record.canonical import decode, encode
from edge.record.commands import journal as journal_command
from edge.record.genealogy import genealogy, lots_between, read_lots
from edge.record.journal import Journal
from edge.record.performance import performance
from edge.record.recorder import JournalRecorder
from edge.service import start_body
from edge.signals import Request
from hil_sim.bench import compose_for, run_one
from hil_sim.faults import Bridge
from hil_sim.scenario import Scenario

LINE_FILE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml"
HOURS = 0.4


class Recorded(JournalRecorder):
    """A journal recorder whose operator is the bench's own."""

    def requests(self) -> tuple[Request, ...]:
        return ()


@pytest.fixture(scope="module")
def shift(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A journal, and the mass of tablets that were truly made, kg."""
    line = compose_for(LINE_FILE, "mpc")
    path = tmp_path_factory.mktemp("material") / "journal.sqlite"
    bridge = Bridge(kind="bridge", at_min=9.0, feeder="api", flow_factor=0.2, duration_s=90.0)
    scenario = Scenario(name="bridge", description="an API bridge early in the shift", hours=HOURS, fault=(bridge,))
    with Journal.open(path, line.config.line.name) as journal:
        recorder = Recorded(journal)
        recorder.start(1_760_000_000.0, start_body(line), line.artefacts())
        run = run_one(line, scenario, 1, recorder=recorder)
    return path, float(run.trace.throughput_kg_h.mean()) * HOURS


def silent(_done: int, _total: int) -> None:
    """No progress is shown."""


def test_every_minute_is_there_and_the_masses_add_up(shift: tuple[Path, float]) -> None:
    path, made_kg = shift
    with Journal.open_reader(path) as journal:
        found = genealogy(journal, None, None, silent)
    minutes = [entry.minute for entry in found.entries]
    assert len(minutes) in (23, 24)
    assert all(b.start_s == a.end_s for a, b in pairwise(minutes))
    assert found.released_kg + found.diverted_kg == pytest.approx(made_kg, rel=0.06)
    (balance,) = found.balances
    assert not balance.missing
    assert not balance.beyond
    assert balance.fed_kg == pytest.approx(made_kg, rel=0.04), "the fillers follow a feeder that starves"


def test_the_bridge_is_diverted_with_its_reason_and_released_minutes_bear_little_risk(
    shift: tuple[Path, float],
) -> None:
    with Journal.open_reader(shift[0]) as journal:
        minutes = [entry.minute for entry in genealogy(journal, None, None, silent).entries]
    start_s = minutes[0].start_s
    diverted = [m for m in minutes if m.diverted_kg > 0.0 and m.start_s > start_s + 300.0]
    assert diverted
    assert all("API at the gate" in m.reason for m in diverted[1:-1])
    assert min(m.api_pct for m in diverted) < 9.5
    assert all(m.p_nonconf < 0.05 for m in minutes if m.diverted_kg == 0.0)
    worst = min(diverted, key=lambda m: m.api_pct)
    bridged_s = start_s + 540.0
    assert worst.fed_from_s < bridged_s + 90.0
    assert worst.fed_to_s > bridged_s, "its origin is the time of the bridge"


def test_who_decided_is_with_each_minute(shift: tuple[Path, float]) -> None:
    with Journal.open_reader(shift[0]) as journal:
        last = genealogy(journal, None, None, silent).entries[-1].deciders
    assert last.mode == "closed"
    assert last.asked_by == "scripted operator"
    assert len(last.sensor) == len(last.controller) == 12


def test_without_recorded_tracking_the_same_is_computed_again(shift: tuple[Path, float], tmp_path: Path) -> None:
    bare = tmp_path / "bare.sqlite"
    with Journal.open_reader(shift[0]) as old, Journal.open(bare, "CDC-REF-1") as new:
        for row in old.rows():
            if row.kind in ("start", "cycle"):
                body = decode(row.body)
                body.get("thought", {}).pop("track", None)
                new.append(row.kind, row.time_s, encode(body))
        recorded = genealogy(old, None, None, silent)
    with Journal.open_reader(bare) as journal:
        again = genealogy(journal, None, None, silent)
    assert [e.minute for e in again.entries] == [e.minute for e in recorded.entries]
    assert again.balances == recorded.balances


def test_the_command_writes_the_rows_with_lots(shift: tuple[Path, float], tmp_path: Path) -> None:
    lots, out = tmp_path / "lots.csv", tmp_path / "g.csv"
    lots.write_text("feeder,from,lot\nFeederApi,2025-01-01T00:00:00Z,A17\nFeederApi,2025-10-09T09:00:00Z,A18\n")
    done = CliRunner().invoke(journal_command, ["genealogy", str(shift[0]), "--lots", str(lots), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "within 3 sigma" in done.output
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert {"start_utc", "released_kg", "p_nonconf", "fed_from_utc", "lots", "sensor"} <= set(rows[0])
    assert rows[0]["lots"] == "FeederApi: A17"
    assert rows[-1]["lots"] == "FeederApi: A18"


@pytest.mark.parametrize("form", ["html", "parquet"])
def test_other_forms_hold_the_same_minutes(shift: tuple[Path, float], tmp_path: Path, form: str) -> None:
    out = tmp_path / f"g.{form}"
    argv = [
        "genealogy",
        str(shift[0]),
        "--format",
        form,
        "--from",
        "1760000600",
        "--to",
        "1760000900",
        "--out",
        str(out),
    ]
    done = CliRunner().invoke(journal_command, argv)
    assert done.exit_code == 0, done.output
    said = done.output.strip()
    assert said.startswith(("4 minutes", "5 minutes"))
    if form == "html":
        assert out.read_text().count("<tr") == int(said.split()[0]) + 1
        assert "from the record of line CDC-REF-1 up to the anchor" in out.read_text()
    else:
        import pyarrow.parquet as pq

        assert pq.read_table(out).num_rows == int(said.split()[0])


def test_lots_are_told_from_the_one_in_the_hopper_on() -> None:
    lots = {"FeederApi": [(100.0, "A"), (200.0, "B"), (300.0, "C")], "FeederMcc": [(250.0, "M")]}
    assert lots_between(lots, 150.0, 180.0) == "FeederApi: A"
    assert lots_between(lots, 150.0, 260.0) == "FeederApi: A+B; FeederMcc: M"
    assert lots_between({}, 0.0, 1.0) == ""


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("feeder,lot\na,b\n", "needs the columns"),
        ("feeder,from,lot\na,yesterday,b\n", "write times as"),
        ("feeder,from,lot\na,2025-01-01T00:00:00,b\n", "line 2: 'from' names no time zone"),
    ],
)
def test_a_wrong_list_of_lots_says_where(tmp_path: Path, text: str, word: str) -> None:
    path = tmp_path / "lots.csv"
    path.write_text(text)
    with pytest.raises(ConfigError, match=word):
        read_lots(path)


def test_the_loop_s_performance_is_told(shift: tuple[Path, float], tmp_path: Path) -> None:
    out = tmp_path / "p.json"
    done = CliRunner().invoke(journal_command, ["performance", str(shift[0]), "--json", str(out)])
    assert done.exit_code == 0, done.output
    told = json.loads(out.read_text())
    assert told["cycles"] == 288
    assert told["closed_share"] > 0.95
    assert 80.0 < told["dead_time_s"] < 200.0
    assert 0.0 < told["harris"] <= 1.0
    assert told["travel_pct"]["FeederApi"] > 0.0
    assert "plant/model gain" in done.output or "not told: gain" in done.output


def test_a_stretch_without_enough_says_what_is_not_told(shift: tuple[Path, float]) -> None:
    with Journal.open_reader(shift[0]) as journal:
        found = performance(journal, 1_760_000_600.0, 1_760_000_700.0, silent)
        nothing = performance(journal, 1.0, 2.0, silent)
    assert found is not None
    assert found.harris is None
    assert any(line.startswith("harris: ") for line in found.untold)
    assert nothing is None
