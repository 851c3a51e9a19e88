"""The compiled sums against numpy's, to the last bit, and a plan and an estimate that do not depend on the compiler."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from control.arithmetic import INTERPRETED, Arithmetic, WindowSums, padded
from control.bundle import ControllerBundle
from control.native import native
from control.observe.mhe import Estimator, Seen, advance, begin
from control.observe.window_model import window_model
from control.rti import Rti
from control.signals import Target

pytestmark = pytest.mark.skipif(
    not (shutil.which("gcc") or shutil.which("cc")), reason="no C compiler here: there is nothing to compare"
)
BEFORE = np.array([2.0, 10.8, 7.0, 0.2, 9.55])


@pytest.fixture(scope="module")
def compiled(bundle: ControllerBundle, tmp_path_factory: pytest.TempPathFactory) -> ControllerBundle:
    """The line's own bundle in machine code."""
    made = native(bundle, tmp_path_factory.mktemp("cache") / "native")
    assert made.arithmetic is not INTERPRETED, "the compiled sums were refused"
    return made


def _window(random: np.random.Generator, steps: int, n: int, n_y: int, stiff: float = 0.0) -> WindowSums:
    root, nodes = random.normal(size=(n, n)), steps + 1
    held = stiff * (random.random((nodes, n)) < 0.2)
    return WindowSums(
        np.eye(n) + random.normal(size=(steps, n, n)) * (random.random((steps, n, n)) < 0.3),
        random.normal(size=(nodes, n, n_y)) * (random.random((nodes, n, n_y)) < 0.6),
        random.normal(size=(steps, n)), random.normal(size=(nodes, n_y)),
        random.uniform(0.1, 9.0, (nodes, n_y)) * (random.random((nodes, n_y)) < 0.8),
        random.uniform(1.0, 100.0, (nodes, n)), root @ root.T + np.eye(n), random.normal(size=n),
        held, random.normal(size=(nodes, n)) * (held > 0),
    )  # fmt: skip


def _dense(sums: WindowSums) -> np.ndarray:
    """The step by one least-squares problem over all nodes at once."""
    nodes, n = sums.aim.shape
    H, g = np.zeros((nodes * n, nodes * n)), np.zeros(nodes * n)
    H[:n, :n], g[:n] = sums.prior, sums.pull
    for k in range(nodes):
        here, C = slice(k * n, (k + 1) * n), sums.C[k].T
        H[here, here] += C.T @ (sums.weights[k][:, None] * C)
        g[here] -= C.T @ (sums.weights[k] * sums.misfits[k])
        if k:
            led = np.zeros((n, nodes * n))
            led[:, (k - 1) * n : k * n], led[:, here] = sums.A[k - 1].T, -np.eye(n)
            H += led.T @ (sums.inverse_q[k][:, None] * led)
            g += led.T @ (sums.inverse_q[k] * sums.gaps[k - 1])
    return np.asarray(-np.linalg.solve(H, g)).reshape(nodes, n)


@pytest.mark.parametrize(("steps", "n", "n_y"), [(0, 3, 1), (6, 1, 1), (5, 3, 2), (12, 19, 8), (3, 7, 0), (2, 16, 3)])
def test_a_window_is_solved_as_least_squares_and_alike_by_both(
    compiled: ControllerBundle, steps: int, n: int, n_y: int
) -> None:
    sums = _window(np.random.default_rng(n), steps, n, n_y)
    step, last = INTERPRETED.window(sums)
    assert step == pytest.approx(_dense(sums), rel=1e-6, abs=1e-9)
    for tried in (sums, _window(np.random.default_rng(n), steps, n, n_y, stiff=1e8)):
        pairs = zip(INTERPRETED.window(tried), compiled.arithmetic.window(tried), strict=True)
        assert all(a.tobytes() == b.tobytes() for a, b in pairs)
    assert np.all(np.triu(last, 1) == 0.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1e9])
def test_a_window_without_a_factor_is_refused_by_both(compiled: ControllerBundle, bad: float) -> None:
    sums = _window(np.random.default_rng(1), 4, 5, 2)
    prior = sums.prior.copy()
    prior[2, 2] = bad
    for arithmetic in (INTERPRETED, compiled.arithmetic):
        with pytest.raises(np.linalg.LinAlgError):
            arithmetic.window(replace(sums, prior=prior))


def _carried(sums: Arithmetic, broken: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random, blocks = np.random.default_rng(3), np.repeat(np.arange(4), (1, 2, 3, 5))
    A = random.normal(size=(11, 9, 9)) * (random.random((11, 9, 9)) < 0.4)
    B, row, direct = random.normal(size=(11, 3, 9)), random.normal(size=(11, 9, 1)), random.normal(size=(11, 3, 1))
    if broken:
        A[4, 2, 5] = np.nan
    T, J, x = np.zeros((12, 9, padded(12))), np.zeros((11, 1, padded(12))), np.ones((12, 9))
    sums.carry(A, B, blocks, T[:-1], T[1:])
    sums.carry(row, direct, blocks, T[:-1], J)
    sums.follow(A, B[:, 0].copy(), x[:-1], x[1:])
    return T, J, x


@pytest.mark.parametrize("broken", [False, True])
def test_sensitivities_are_carried_alike_by_both(compiled: ControllerBundle, broken: bool) -> None:
    ours, theirs = _carried(INTERPRETED, broken), _carried(compiled.arithmetic, broken)
    for a, b in zip(ours, theirs, strict=True):
        assert np.array_equal(a, b, equal_nan=True)
    assert bool(np.isnan(ours[0]).any()) is broken


def test_a_plan_does_not_depend_on_the_compiler(bundle: ControllerBundle, compiled: ControllerBundle) -> None:
    x0 = np.array([9.0 if "pct" in name else 1.0 for name in bundle.states])
    P = bundle.targets(Target(10.0, 20.0, 250.0), bundle.horizon_steps + 1)
    moves = []
    for core in (Rti(bundle), Rti(compiled)):
        plan = core.start(x0, BEFORE, P)
        for _ in range(3):
            move = core.step(core.shifted(plan, P), x0, BEFORE, P)
            assert move.status == "ok"
            plan = move.plan
        moves.append(move)
    assert moves[0].plan.U.tobytes() == moves[1].plan.U.tobytes()
    assert moves[0].plan.X.tobytes() == moves[1].plan.X.tobytes()
    assert moves[0].cost == moves[1].cost


def test_an_estimate_does_not_depend_on_the_compiler(bundle: ControllerBundle, compiled: ControllerBundle) -> None:
    n, n_y, far = len(bundle.states), len(bundle.measurements), np.full(len(bundle.states), np.inf)
    start, p = np.array([9.0 if "pct" in name else 1.0 for name in bundle.states]), bundle.targets(Target(10, 20, 250))
    y = bundle.call("measure", start, BEFORE, p[:, 0])[0][:, 0]
    ends = []
    for problem in (bundle, compiled):
        predict, measure = window_model(problem, 4)
        estimator = Estimator(predict, measure, bundle.states, bundle.measurements, 4, -far, far,
                              arithmetic=problem.arithmetic)  # fmt: skip
        found, window = begin(estimator, start, 0.01 * np.eye(n), BEFORE, p[:, 0])
        random = np.random.default_rng(5)
        for _ in range(8):
            seen = [Seen(i, float(y[i] + 0.1 * random.normal()), 0.1) for i in range(n_y)]
            found, window = advance(estimator, window, BEFORE, p[:, 0], np.full(n, 0.01), seen, held=(2,))
            assert found.status == "ok"
        ends.append(found)
    assert ends[0].states.tobytes() == ends[1].states.tobytes()
    assert ends[0].cov.tobytes() == ends[1].cov.tobytes()
