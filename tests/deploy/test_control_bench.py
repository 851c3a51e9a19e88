"""The bench of control and estimation, in small: rows that can be read, costs that agree, files that are refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from control.compile import compile_problem
from control.errors import ControlError
from control.model_file import read_model
from deploy import control_bench, estimator_bench
from deploy.side_by_side import row

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "control_model.py"


def test_a_model_of_ones_own_gives_rows_with_equal_cost() -> None:
    said: list[str] = []
    rows = list(control_bench.rows(said.append, EXAMPLE, steps=12))
    assert [r.name.split(",")[0] for r in rows] == ["control", "estimation"]
    assert "N = 40" in rows[0].name
    more = float(rows[0].equal_result.split("cost ")[1].split(" %")[0])
    assert abs(more) < 3.0
    assert "over 12 steps," in rows[0].equal_result
    assert rows[0].ratio_p50 == pytest.approx(rows[0].peer_ms_p50 / rows[0].ours_ms_p50)
    assert all(0 < r.ours_ms_p50 <= r.ours_ms_p99 for r in rows)
    assert any("step 12 of 12" in line for line in said)


def test_the_peer_is_stopped_when_its_time_is_used_up_and_the_row_says_so() -> None:
    model = read_model(EXAMPLE)
    found = control_bench.against_do_mpc(model, lambda _text: None, steps=500, budget_s=0.05)
    done = int(found.equal_result.split("over ")[1].split(" steps")[0])
    assert done < 500
    assert "of 500: the peer's 0 s were used up" in found.equal_result


def test_the_estimators_see_the_same_life_and_miss_by_the_same() -> None:
    found = estimator_bench.against_do_mpc(read_model(EXAMPLE), lambda _text: None, steps=60)
    ours_more = float(found.equal_result.split("RMSE ")[1].split(" %")[0])
    assert ours_more < 1.0
    assert ours_more > -40.0


def test_the_lines_own_model_is_what_the_bench_runs_by_default() -> None:
    model = read_model(control_bench.THIS_LINE)
    assert model.problem.step_s == 1.0
    assert compile_problem(model.problem).card.horizon_steps == 60
    gain = next(i for i, name in enumerate(model.problem.model.x.keys()) if name == "api_gain")
    lost = model.disturb(35, model.x0) - model.x0
    assert np.flatnonzero(lost).tolist() == [gain]
    assert model.disturb(34, model.x0) == pytest.approx(model.x0)
    assert model.targets(0)[0] != model.targets(15)[0]


def test_percentiles_leave_the_first_calls_out() -> None:
    found = row("a", "b", [900.0] * 3 + [1.0] * 20, [900.0] * 3 + [5.0] * 20, "same")
    assert (found.ours_ms_p50, found.ours_ms_p99, found.ratio_p50, found.ratio_p99) == (1.0, 1.0, 5.0, 5.0)


def test_a_file_that_is_no_model_ends_in_one_line_and_code_2(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("x = 1\n")
    with pytest.raises(ControlError, match=r"bad\.py"):
        list(control_bench.rows(lambda _text: None, bad))
    out = tmp_path / "o.json"
    command = [sys.executable, "-m", "deploy.bench", "--model", str(bad), "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert "problem()" in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()
