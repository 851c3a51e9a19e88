"""Campaign and tune played small, through their commands."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from hil_sim.campaign_commands import campaign
from hil_sim.tune_commands import tune

LINE_FILE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml"


def test_a_campaign_plays_every_point_and_resumes(tmp_path: Path) -> None:
    design = tmp_path / "design.toml"
    design.write_text(
        f'line = "{LINE_FILE}"\nscenarios = ["nominal"]\ncontrollers = ["pid"]\nseeds = 1\nhours = 0.2\n'
        '[factors]\n"controller.pid.gain" = [0.001, 0.6]\n'
    )
    out = tmp_path / "out"
    done = CliRunner().invoke(campaign, [str(design), "--out", str(out)])
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]
    calm, eager = ({r["controller.pid.gain"]: r["travel"] for r in rows}[gain] for gain in (0.001, 0.6))
    assert eager > calm, "the setting reached the controller"
    assert "| nominal | pid | 0.6 | 1 |" in (out / "table.md").read_text()
    assert (out / "figure.png").stat().st_size > 10_000
    again = CliRunner().invoke(campaign, [str(design), "--out", str(out), "--resume"])
    assert "2 of 2 runs are in" in again.output


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[str]:
    """A Dask scheduler with one worker, as processes of their own."""
    file = tmp_path / "scheduler.json"
    common = ["--scheduler-file", str(file), "--no-dashboard"]
    commands = (
        [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", *common],
        [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "1", "--nworkers", "1", *common],
    )
    running = []
    try:
        for command in commands:
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            running.append(subprocess.Popen(command, cwd=tmp_path, **quiet))
            deadline = time.monotonic() + 30
            while not file.exists():
                assert time.monotonic() < deadline
                time.sleep(0.1)
        yield str(json.loads(file.read_text())["address"])
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(20)


def test_a_scheduler_s_workers_play_the_same_rows(tmp_path: Path, scheduler: str) -> None:
    design = tmp_path / "design.toml"
    design.write_text(
        f'line = "{LINE_FILE}"\nscenarios = ["nominal"]\ncontrollers = ["ratio", "pid"]\nseeds = 1\nhours = 0.2\n'
    )
    there, here = tmp_path / "there", tmp_path / "here"
    done = CliRunner().invoke(campaign, [str(design), "--scheduler", scheduler, "--out", str(there)])
    assert done.exit_code == 0, done.output
    assert CliRunner().invoke(campaign, [str(design), "--out", str(here)]).exit_code == 0
    clocked = {"cycle_ms_p50", "cycle_ms_p99", "wall_s"}
    rows = [
        sorted(
            ({k: v for k, v in json.loads(line).items() if k not in clocked} for line in text.splitlines()),
            key=lambda row: str(row["controller"]),
        )
        for text in ((out / "rows.jsonl").read_text() for out in (there, here))
    ]
    assert len(rows[0]) == 2
    assert rows[0] == rows[1]


def test_a_scheduler_that_does_not_answer_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hil_sim.elsewhere.PATIENCE_S", 1.0)
    design = tmp_path / "design.toml"
    design.write_text(f'line = "{LINE_FILE}"\nscenarios = ["nominal"]\ncontrollers = ["pid"]\nseeds = 1\nhours = 0.2\n')
    wanted = [str(design), "--scheduler", "tcp://127.0.0.1:1", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(campaign, wanted)
    assert done.exit_code == 2
    assert "no scheduler answers there" in done.output


def test_a_campaign_on_a_wrong_setting_is_exit_2_before_anything_is_played(tmp_path: Path) -> None:
    design = tmp_path / "design.toml"
    design.write_text(f'line = "{LINE_FILE}"\nscenarios = ["nominal"]\n[factors]\n"controller.pid.colour" = [1]\n')
    done = CliRunner().invoke(campaign, [str(design), "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "colour" in done.output
    assert not (tmp_path / "out" / "rows.jsonl").exists()


def test_tune_proposes_a_table_and_draws_the_trade_off(tmp_path: Path) -> None:
    argv = [str(LINE_FILE), "--trade-off", "calm", "--scenario", "nominal", "--seeds", "1", "--points", "1",
            "--hours", "0.2", "--out", str(tmp_path)]  # fmt: skip
    done = CliRunner().invoke(tune, argv)
    assert done.exit_code == 0, done.output
    assert "[controller.mpc]\nmove_rel = " in done.output
    assert (tmp_path / "pareto.png").stat().st_size > 10_000
    assert len(list((tmp_path / "bundles").iterdir())) == 1, "the present weights use the line's own controller"
