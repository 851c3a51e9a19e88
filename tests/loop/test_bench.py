"""The lock-step bench: bit-stable by seed, and a short shift that shows what the controllers are for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from hil_sim.bench import compose_for, run_one
from hil_sim.bench_commands import SCENARIOS, bench
from hil_sim.scenario import Scenario, load_scenario

LINE_FILE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml"
CONTRACT = {
    "scenario", "controller", "seed", "rsd_pct", "mean_error_pct", "max_deviation_pct", "time_outside_3pct",
    "time_outside_5pct", "weight_rsd_pct", "hardness_in_limits_pct", "released_oos_kg", "diverted_kg",
    "ideal_diverted_kg", "travel", "cycle_ms_p50", "cycle_ms_p99", "fallbacks", "wall_s",
}  # fmt: skip
CLOCKED = {"cycle_ms_p50", "cycle_ms_p99", "wall_s"}


def early(name: str, at_min: float) -> Scenario:
    """A shipped scenario with its fault moved to the front, so that a test need not play an hour before it."""
    found = load_scenario(name)
    faults = tuple(f.model_copy(update={"at_min": at_min}) for f in found.fault)
    return found.model_copy(update={"fault": faults})


def test_same_seed_same_run_other_seed_other_run() -> None:
    line = compose_for(LINE_FILE, "mpc")
    first, again = (run_one(line, load_scenario("nominal"), 3, 0.3).row for _ in range(2))
    other = run_one(line, load_scenario("nominal"), 4, 0.3).row
    assert {k: v for k, v in first.items() if k not in CLOCKED} == {k: v for k, v in again.items() if k not in CLOCKED}
    assert other["rsd_pct"] != first["rsd_pct"]


def test_hidden_loss_is_found_and_made_up_for() -> None:
    played = early("hidden_loss", 15.0)
    figures = {name: run_one(compose_for(LINE_FILE, name), played, 2, 0.75).row for name in ("ratio", "mpc")}
    ratio, mpc = (figures[n]["time_outside_3pct"] for n in ("ratio", "mpc"))
    assert isinstance(ratio, float)
    assert isinstance(mpc, float)
    assert ratio > 30.0
    assert mpc < 10.0
    assert figures["mpc"]["hidden_loss_alarm_min"] is not None


def test_a_drifting_nir_does_not_move_the_product_and_is_named() -> None:
    run = run_one(compose_for(LINE_FILE, "mpc"), load_scenario("nir_drift"), 2, 1.2)
    assert abs(float(run.row["mean_error_pct"] or 0)) <= 0.8
    assert run.alarms_min["nir_drift"] <= 70.0, "drift starts at minute 10: named within 60 minutes"


def test_a_lost_connection_ends_remote_and_a_new_handshake_brings_it_back() -> None:
    seen: list[tuple[str, bool]] = []
    played = early("lost_connection", 8.0)
    run_one(
        compose_for(LINE_FILE, "mpc"), played, 1, 0.3,
        watch=lambda _, thought: seen.append((thought.handshake, bool(thought.command.writes))),
    )  # fmt: skip
    phases = [phase for phase, _ in seen]
    lost = phases.index("off", 10)
    assert phases[lost - 1] == "remote"
    back = phases.index("remote", lost)
    assert "requested" in phases[lost:back]
    assert not any(wrote for _, wrote in seen[lost : back + 1]), "nothing is written before the new handshake is done"


def test_command_writes_the_contract(tmp_path: Path) -> None:
    rows_file = tmp_path / "rows.json"
    argv = [str(LINE_FILE), "--scenario", "nominal", "--controller", "ratio", "--controller", "hybrid", "--seeds", "2",
            "--hours", "0.2", "--out", str(tmp_path), "--json", str(rows_file)]  # fmt: skip
    done = CliRunner().invoke(bench, argv)
    assert done.exit_code == 0, done.output
    rows = json.loads(rows_file.read_text())
    assert [(r["controller"], r["seed"]) for r in rows] == [("ratio", 1), ("ratio", 2), ("hybrid", 1), ("hybrid", 2)]
    assert set(rows[0]) >= CONTRACT | {"iae", "mean_error_last_h_pct", "back_within_1pct_min", "first_within_min"}
    page = (tmp_path / "table.md").read_text()
    assert "| nominal | hybrid | 2 |" in page
    assert "**travel %**: best bold" in page
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_resume_plays_only_what_is_missing(tmp_path: Path) -> None:
    argv = [str(LINE_FILE), "--scenario", "nominal", "--controller", "ratio", "--hours", "0.2", "--out", str(tmp_path)]
    assert CliRunner().invoke(bench, argv).exit_code == 0
    ledger = tmp_path / "rows.jsonl"
    first = ledger.read_text()
    ledger.write_text(first + first[: len(first) // 2])  # a run that was killed while it wrote
    done = CliRunner().invoke(bench, [*argv, "--resume", "--seeds", "2"])
    assert done.exit_code == 0, done.output
    assert "1 of 2 runs are in" in done.output
    assert "1 of 1: nominal ratio seed 2" in done.output
    rows = [json.loads(line) for line in ledger.read_text().splitlines()]
    assert rows[0] == json.loads(first), "the row that was there is kept, wall time and all"
    assert [row["seed"] for row in rows] == [1, 2]
    other = CliRunner().invoke(bench, [*argv[:-4], "--hours", "0.21", "--out", str(tmp_path), "--resume"])
    assert "0 of 1 runs are in" in other.output, "a row of another length is another run"


def test_the_same_scenario_twice_is_refused(tmp_path: Path) -> None:
    argv = [str(LINE_FILE), "--scenario", "bridge", "--scenario", "bridge", "--out", str(tmp_path)]
    done = CliRunner().invoke(bench, argv)
    assert done.exit_code == 2
    assert "'bridge' is asked for twice" in done.output


def test_what_controllers_are_compared_on_exists() -> None:
    for name in SCENARIOS:
        assert load_scenario(name).name == name


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (["nothing.toml"], "cannot be read"),
        ([str(LINE_FILE), "--scenario", "flood"], "flood"),
    ],
)
def test_wrong_input_is_one_line_and_exit_2(tmp_path: Path, argv: list[str], word: str) -> None:
    done = CliRunner().invoke(bench, [*argv, "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert word in done.output
    assert "Traceback" not in done.output
