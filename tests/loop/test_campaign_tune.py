"""Campaign and tune played small, through their commands."""

from __future__ import annotations

import json
from pathlib import Path

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
