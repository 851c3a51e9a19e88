"""600 cycles of faults in the running loop: nothing undefended goes out; and a judge that finds what he should."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from control.qp import Program, Solution, solve
from control.signals import Situation
from edge.line import Line
from edge.signals import Scan, Thought
from hil_sim import trials as trials_module
from hil_sim.bench import compose_for
from hil_sim.commands import hil
from hil_sim.mishaps import KINDS, Mishap, mishaps
from hil_sim.trial_judge import breaches
from hil_sim.trials import Trials, run_trials

LINE_FILE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml"
SETTLE = 30
DECIDED_BY = {"solver_raises", "iteration_limit", "solver_wrong", "nan_state"}  # never the controller itself


@pytest.fixture(scope="module")
def line() -> Line:
    return compose_for(LINE_FILE, "mpc")


@pytest.fixture(scope="module")
def played(line: Line) -> Trials:
    return run_trials(line, 600, 2)


def test_600_cycles_under_faults_make_no_undefended_move(played: Trials) -> None:
    assert played.breaches == ()
    assert played.breached == 0
    assert played.moved > 200, "the loop was closed most of the time"
    assert len(played.rungs) >= len(KINDS), "and nearly every kind of fault was met"
    for kind in DECIDED_BY & set(played.rungs):
        assert played.rungs[kind].get("controller", 0) == 0, kind
    healthy = played.rungs["healthy"]
    assert healthy["controller"] > 0.9 * sum(n for rung, n in healthy.items() if rung != "written")


@pytest.mark.parametrize("kind", ["nan_state", "solver_raises", "iteration_limit", "solver_wrong"])
def test_the_ladder_goes_down_rung_by_rung_and_comes_back(line: Line, kind: str) -> None:
    found = run_trials(line, SETTLE + 15, 1, (Mishap(kind, SETTLE, 10, 7),))
    assert found.breaches == ()
    assert found.rungs[kind]["plan"] == 6
    assert found.rungs[kind]["pid"] == 4
    assert "pid" not in found.rungs["healthy"], "back as soon as it can"


def test_a_late_move_is_never_written(line: Line) -> None:
    found = run_trials(line, SETTLE + 5, 1, (Mishap("slow", SETTLE, 1, 7),))
    assert found.breaches == ()
    assert found.rungs["slow"]["written"] == 0
    assert found.rungs["healthy"]["plan"] == 3, "and the solver rests after it"


def test_the_same_seed_is_the_same_trial(line: Line, played: Trials) -> None:
    again = run_trials(line, 120, 2)
    more = run_trials(line, 120, 2)
    assert (again.moved, again.rungs) == (more.moved, more.rungs)
    assert mishaps(1, 5000) != mishaps(2, 5000)
    for found in (mishaps(1, 5000), mishaps(2, 5000)):
        assert {m.kind for m in found} == set(KINDS)
        assert all(a.first + a.cycles < b.first for a, b in pairwise(found))


def one_move(line: Line) -> tuple[Scan, Thought, Situation, tuple[Program, Solution], dict[str, float]]:
    """A move that the judge has nothing against."""
    kept: list[tuple[object, ...]] = []

    def spy(*given: object) -> list[str]:
        kept.append(given[1:])
        return []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trials_module, "breaches", spy)
        run_trials(line, SETTLE, 1, ())
    return kept[-1]  # type: ignore[return-value]


def test_the_judge_finds_what_must_not_be(line: Line) -> None:
    assert line.control is not None
    settings = line.control.settings
    scan, thought, situation, solved, written = one_move(line)
    assert written

    def said(**changed: object) -> str:
        now: dict[str, object] = {"scan": scan, "thought": thought, "situation": situation, "solved": solved}
        now.update({"written": written, **changed})
        return "; ".join(breaches(settings, *now.values()))  # type: ignore[arg-type]

    assert said() == ""
    api, force = written["FeederApi"], written["MainForce"]
    assert "faster than" in said(written={**written, "FeederApi": api + 0.3})
    assert "nan written" in said(written={**written, "FeederApi": float("nan")})
    tight = replace(situation, caps_pct={**situation.caps_pct, "FeederApi": 1.0})
    assert "outside its cap" in said(situation=tight, written={**written, "FeederApi": api + 0.05})
    closer = {"MainForce.SP_HiLim": replace(scan.readings["MainForce.SP_HiLim"], value=force - 0.05)}
    at_limit = {"MainForce.SP_Working": replace(scan.readings["MainForce.SP_Working"], value=force - 0.05)}
    limited = replace(scan, readings={**scan.readings, **closer, **at_limit})
    assert "is outside 7 to" in said(scan=limited)
    generous = replace(situation, caps_pct={**situation.caps_pct, "FeederApi": 99.0})
    assert "a cap of 99" in said(situation=generous)
    assert "without a situation" in said(situation=None)
    assert "without a solution" in said(solved=None)
    program, solution = solved
    assert "is off by" in said(solved=(program, replace(solution, z=solution.z + 1e-3)))
    decision = thought.decision
    assert decision is not None
    fallen = replace(thought, decision=replace(decision, fallback="pid: because"))
    assert said(thought=fallen) == "rung pid without its alarm"
    assert "no such rung" in said(thought=replace(thought, decision=replace(decision, fallback="luck: because")))
    assert "a reason of 141" in said(thought=replace(thought, decision=replace(decision, reason="x" * 141)))
    assert "a move without a decision" in said(thought=replace(thought, decision=None))


def test_the_judges_own_residual_accepts_true_minima_and_nothing_else(line: Line) -> None:
    scan, thought, situation, _, written = one_move(line)
    assert line.control is not None
    random = np.random.default_rng(3)
    for _ in range(50):
        root = random.standard_normal((6, 6))
        A = random.standard_normal((3, 6))
        bounds = random.uniform(0.1, 1.0, 9)
        program = Program(root @ root.T + 0.1 * np.eye(6), 3 * random.standard_normal(6), A, -bounds, bounds)
        true = solve(program)
        judged = [
            breaches(line.control.settings, scan, thought, situation, (program, answer), written)
            for answer in (true, replace(true, multipliers=-true.multipliers), replace(true, z=0.9 * true.z))
        ]
        assert judged[0] == []
        assert judged[1] or not np.any(np.abs(true.multipliers) > 1e-6)
        assert judged[2]


def test_command_reports_and_writes_its_figures(tmp_path: Path) -> None:
    file = tmp_path / "trials.json"
    done = CliRunner().invoke(hil, ["trials", str(LINE_FILE), "--cycles", "100", "--json", str(file)])
    figures = json.loads(file.read_text())
    assert done.exit_code == (0 if figures["passed"] else 1), done.output
    assert "processor time of a cycle" in done.output
    assert figures["cycles"] == 100
    assert figures["breached"] == 0
    assert set(figures["cpu"]) == {"p50", "p99", "worst", "over"}
    wrong = CliRunner().invoke(hil, ["trials", "nothing.toml"])
    assert wrong.exit_code == 2
    assert "Traceback" not in wrong.output
