"""The certificate's problem is the controller's own, and its gap is what a move really costs."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from control.certificate import Certificate, Gap, Judge, Made
from control.compile import compile_problem
from control.model_file import ModelFile, read_model
from control.rti import Rti

MODELS = Path(__file__).parent / "models"


def _posed(name: str) -> tuple[ModelFile, Rti, Judge, Made]:
    model = read_model(MODELS / f"{name}.py")
    model = replace(model, problem=replace(model.problem, blocks=(1,) * model.problem.horizon_steps))
    compiled = compile_problem(model.problem)
    core = Rti(compiled)
    made = Made(7.0, model.x0, model.before, model.ahead(0), core.bounds(), model.before)
    return model, core, Judge(compiled), made


@pytest.mark.parametrize("name", ["oscillating_masses", "stirred_tank", "four_tanks"])
def test_the_best_first_move_has_no_gap_and_costs_what_the_solver_converges_to(name: str) -> None:
    model, core, judge, made = _posed(name)
    best = core.converge(model.x0, model.before, made.P)
    gap = judge.gap(replace(made, move=best.plan.U[:, 0]))
    assert gap.solved
    assert gap.best == pytest.approx(best.cost, rel=1e-6)
    assert gap.percent == pytest.approx(0.0, abs=1e-3)


def test_holding_costs_and_a_move_further_off_costs_more() -> None:
    model, core, judge, made = _posed("four_tanks")
    best = core.converge(model.x0, model.before, made.P).plan.U[:, 0]
    gaps = [judge.gap(replace(made, move=best + off)).absolute for off in (0.0, 0.2, 0.5)]
    assert gaps[0] < 1e-5 < gaps[1] < gaps[2]


def test_tighter_bounds_are_obeyed() -> None:
    model, _, judge, made = _posed("four_tanks")
    tight = replace(made, bounds=replace(made.bounds, high=model.before + 0.01))
    assert judge.gap(tight).best > judge.gap(made).best * 1.01


def test_the_summary_leaves_out_what_was_not_solved() -> None:
    gaps = [Gap(float(i), 9.0, 9.0 + 0.1 * i, solved=i != 3) for i in range(4)]
    found = Certificate.of(gaps)
    assert (found.judged, found.unsolved, found.worst_at_s) == (3, 1, 2.0)
    assert found.max_pct == pytest.approx(2.0)
    assert found.p50_pct == pytest.approx(1.0)
    assert math.isnan(Certificate.of(gaps[3:]).p50_pct)
