"""One problem, two solvers: the real-time iteration against do-mpc with IPOPT, on six models of different kinds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from control.compile import compile_problem, functions_of
from control.compiled import Compiled
from control.errors import ControlError
from control.model_file import ModelFile, read_model
from control.problem import Input, Problem
from control.reference import Reference, exact, plain, robust
from control.rti import Rti
from control.trial import Stepper, drive

MODELS = sorted((Path(__file__).parent / "models").glob("*.py"))
STEPS = 30


class Ipopt:
    """The reference as a driver: the full problem solved once a sample, from the last solution."""

    def __init__(self, reference: Reference) -> None:
        self._reference, self._begun = reference, False

    def move(self, x: np.ndarray, before: np.ndarray, P: np.ndarray) -> np.ndarray:
        if not self._begun:
            self._reference.begin(x, before)
            self._begun = True
        found = self._reference.again(x, before, P)
        assert found.success
        return found.plan[:, 0]


@pytest.fixture(scope="module", params=MODELS, ids=lambda path: path.stem)
def posed(request: pytest.FixtureRequest) -> tuple[ModelFile, Compiled, Reference]:
    """A model file without blocking, compiled, and the exact reference of it."""
    model = read_model(request.param)
    model = replace(model, problem=replace(model.problem, blocks=(1,) * model.problem.horizon_steps))
    return model, compile_problem(model.problem), exact(model.problem, functions_of(model.problem)[0]["predict"])


def test_there_are_models_of_every_kind() -> None:
    kinds = {(m.model_type, m.symvar_type, m.n_z > 0) for m in (read_model(path).problem.model for path in MODELS)}
    assert kinds >= {("discrete", "SX", False), ("continuous", "SX", False), ("continuous", "MX", False)}
    assert ("continuous", "SX", True) in kinds


def test_both_find_the_same_optimum(posed: tuple[ModelFile, Compiled, Reference]) -> None:
    model, compiled, reference = posed
    wanted = reference.optimum(model.x0, model.before, model.ahead(0))
    found = Rti(compiled).converge(model.x0, model.before, model.ahead(0))
    assert wanted.success
    assert found.status == "ok"
    assert found.cost == pytest.approx(wanted.cost, rel=1e-6)
    span = np.array(compiled.card.input_high) - np.array(compiled.card.input_low)
    assert np.max(np.abs(found.plan.U[:, 0] - wanted.plan[:, 0]) / span) < 1e-4


def test_one_step_a_sample_costs_at_most_a_per_cent_more(posed: tuple[ModelFile, Compiled, Reference]) -> None:
    model, compiled, reference = posed
    ours = drive(model, compiled, Stepper(Rti(compiled)), STEPS).cost(compiled)
    theirs = drive(model, compiled, Ipopt(reference), STEPS).cost(compiled)
    assert ours <= 1.01 * theirs


def test_where_the_model_curves_strongly_one_step_a_sample_does_not_cycle(tmp_path: Path) -> None:
    """Weak buffer, pH 7 to 8: full Gauss-Newton steps would end in a limit cycle six times as dear as the optimum."""
    text = (Path(__file__).parent / "models" / "neutralisation.py").read_text()
    for mild, harsh in (("ph - 7.0", "ph - 8.0"), ("START_PH = 6.0", "START_PH = 7.0"),
                        ("carbonate = 1.0", "carbonate = 0.5"), ("= 16.6, 1.0", "= 16.6, 0.55")):  # fmt: skip
        assert mild in text
        text = text.replace(mild, harsh)
    (tmp_path / "weak_buffer.py").write_text(text)
    model = read_model(tmp_path / "weak_buffer.py")
    model = replace(model, problem=replace(model.problem, blocks=(1,) * model.problem.horizon_steps))
    compiled = compile_problem(model.problem)
    reference = exact(model.problem, functions_of(model.problem)[0]["predict"])
    theirs = drive(model, compiled, Ipopt(reference), 12).cost(compiled)
    assert drive(model, compiled, Stepper(Rti(compiled)), 12).cost(compiled) < 1.25 * theirs


def test_plain_do_mpc_agrees_with_the_discrete_problem_but_for_its_integrator() -> None:
    model = read_model(Path(__file__).parent / "models" / "four_tanks.py")
    step = functions_of(model.problem)[0]["predict"]
    coarse = plain(model.problem).optimum(model.x0, model.before, model.ahead(0))
    fine = exact(model.problem, step).optimum(model.x0, model.before, model.ahead(0))
    assert coarse.success
    assert coarse.cost == pytest.approx(fine.cost, rel=1e-3)
    assert coarse.cost != fine.cost
    assert coarse.plan[:, 0] == pytest.approx(fine.plan[:, 0], abs=1e-3)


def test_rates_hold_in_the_reference_from_the_first_move_on() -> None:
    model = read_model(Path(__file__).parent / "models" / "four_tanks.py")
    far = model.ahead(0) + np.array([[5.0], [5.0]])
    found = plain(model.problem).optimum(model.x0, model.before, far)
    moves = np.diff(np.hstack([model.before[:, None], found.plan]), axis=1)
    assert np.max(np.abs(moves)) == pytest.approx(0.2 * model.problem.step_s, abs=1e-6)


def _tank(residual: float = 1.0) -> Problem:
    """Level of one tank whose outflow is uncertain, to be kept under 1.05 m."""
    from do_mpc.model import Model

    model = Model("continuous", "SX")
    level = model.set_variable("_x", "level_m")
    inflow = model.set_variable("_u", "inflow_m_s")
    outflow = model.set_variable("_p", "outflow_per_s")
    model.set_rhs("level_m", inflow - outflow * level)
    model.set_expression("r_level", level - 1.0)
    model.set_expression("sum", level + inflow)
    model.setup()
    from control.problem import Limit

    return Problem(
        model, step_s=1.0, horizon_steps=10, residuals={"r_level": residual}, inputs={"inflow_m_s": Input(0.0, 1.0)},
        limits={"level_m": Limit(weight=100.0, high=1.05)}, parameters={"outflow_per_s": 0.2},
    )  # fmt: skip


def test_a_scenario_tree_keeps_the_limit_in_its_worst_case() -> None:
    problem, x0, before = _tank(), np.array([0.9]), np.array([0.2])
    spread = {"outflow_per_s": (0.2, 0.05, 0.35)}
    careful = robust(problem, spread).optimum(x0, before)
    nominal = plain(problem).optimum(x0, before)
    assert careful.success
    assert careful.plan[0, 0] < nominal.plan[0, 0] - 0.01
    # What the least outflow makes of the first move, exactly: the nominal move breaks the limit then, the careful not.
    least, e = 0.05, np.exp(-0.05)
    worst = {name: 0.9 * e + move * (1 - e) / least for name, move in
             (("careful", careful.plan[0, 0]), ("nominal", nominal.plan[0, 0]))}  # fmt: skip
    assert worst["careful"] < 1.05 + 1e-4 < worst["nominal"]


def test_a_tree_over_something_else_is_refused() -> None:
    with pytest.raises(ControlError, match="'inflow'"):
        robust(_tank(), {"inflow": (1.0, 2.0)})
    with pytest.raises(ControlError, match="no value"):
        robust(_tank(), {"outflow_per_s": ()})


@pytest.mark.parametrize("build", [plain, compile_problem])
def test_a_terminal_cost_on_an_input_is_refused_by_both(build: object) -> None:
    with pytest.raises(ControlError, match="terminal"):
        build(replace(_tank(), terminal={"sum": 1.0}))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r"no function problem\(\)"),
        ("def problem(): return 1\ndef start(): return [], []", "must return"),
        ("def problem(): return 1 / 0\ndef start(): return [], []", "ZeroDivisionError"),
        ("import nothing_like_this", "ModuleNotFoundError"),
    ],
)
def test_a_model_file_that_does_not_fit_is_named(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(ControlError, match=says) as caught:
        read_model(file)
    assert "mine.py" in str(caught.value)
    assert "\n" not in str(caught.value)
