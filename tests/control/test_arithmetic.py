"""The compiled sums against numpy's, to the last bit, and a plan and an estimate that do not depend on the compiler."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from control.arithmetic import INTERPRETED, Arithmetic, padded
from control.bundle import ControllerBundle
from control.native import native
from control.observe.mhe import Estimator, Seen, advance, begin
from control.observe.window_model import window_model
from control.rti import Rti
from control.signals import Target
from control.window import Linearised, Stepped

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


def _window(random: np.random.Generator, nodes: int, n: int, n_y: int, **other: Any) -> Linearised:
    """A window with values missing and entries of exactly 0, as real ones have them; nothing is held or bounded."""
    root, steps = random.normal(size=(n, n)), nodes - 1
    made = Linearised(
        random.normal(size=(nodes, n)),
        np.eye(n) + random.normal(size=(steps, n, n)) * (random.random((steps, n, n)) < 0.3),
        random.normal(size=(nodes, n, n_y)) * (random.random((nodes, n, n_y)) < 0.6),
        random.normal(size=(steps, n)), random.normal(size=(nodes, n_y)),
        random.uniform(0.1, 9.0, (nodes, n_y)) * (random.random((nodes, n_y)) < 0.8),
        random.uniform(0.01, 1.0, (nodes, n)), random.normal(size=n), root @ root.T + np.eye(n), nodes,
        np.full(n, -np.inf), np.full(n, np.inf), np.zeros(n),
    )  # fmt: skip
    return replace(made, **other)


def _dense(window: Linearised, pinned: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The states after the step, and the covariance of the newest, by one least-squares problem over all nodes.

    pinned [K+1, n]: where states are to be, NaN where they are free.
    """
    nodes, n = window.X.shape
    H, g = np.zeros((nodes * n, nodes * n)), np.zeros(nodes * n)
    H[:n, :n] = np.linalg.inv(window.cov)
    g[:n] = H[:n, :n] @ (window.X[0] - window.mean)
    for k in range(nodes):
        here, C = slice(k * n, (k + 1) * n), window.C[k].T
        H[here, here] += C.T @ (window.weights[k][:, None] * C)
        g[here] -= C.T @ (window.weights[k] * window.misfits[k])
        if k:
            led = np.zeros((n, nodes * n))
            led[:, (k - 1) * n : k * n], led[:, here] = window.A[k - 1].T, -np.eye(n)
            H += led.T @ (led / window.noise[k][:, None])
            g += led.T @ (window.gaps[k - 1] / window.noise[k])
    aim = np.full(nodes * n, np.nan) if pinned is None else (pinned - window.X).ravel()
    step, free = np.nan_to_num(aim), np.isnan(aim)
    step[free] = -np.linalg.solve(H[np.ix_(free, free)], (g + H @ step)[free])
    return window.X + step.reshape(nodes, n), np.linalg.inv(H)[-n:, -n:]


def _alike(compiled: ControllerBundle, window: Linearised) -> Stepped:
    """What both say, after it was found to be the same to the last bit."""
    ours, theirs = INTERPRETED.window(window), compiled.arithmetic.window(window)
    for name in ("X", "newest_cov", "mean", "cov"):
        assert getattr(ours, name).tobytes() == getattr(theirs, name).tobytes(), name
    return theirs


SIZES = [(1, 3, 1), (7, 1, 1), (6, 3, 2), (13, 19, 8), (4, 7, 0), (3, 16, 3), (5, 30, 4)]


@pytest.mark.parametrize(("nodes", "n", "n_y"), SIZES)
def test_a_window_is_solved_as_least_squares_and_alike_by_both(
    compiled: ControllerBundle, nodes: int, n: int, n_y: int
) -> None:
    window = _window(np.random.default_rng(n), nodes, n, n_y)
    found, (X, cov) = _alike(compiled, window), _dense(window)
    assert pytest.approx(X, rel=1e-6, abs=1e-8) == found.X
    # Against the largest entry: what is lost in inverting the dense matrix is another on every processor.
    assert found.newest_cov == pytest.approx(cov, rel=1e-6, abs=1e-9 * float(np.abs(cov).max()))
    assert found.mean.tobytes() == window.mean.tobytes()
    assert found.cov.tobytes() == window.cov.tobytes()


@pytest.mark.parametrize(("n", "n_y"), [(1, 1), (3, 0), (19, 8), (30, 4)])
def test_a_predicted_measurement_is_as_uncertain_as_its_state_and_alike_by_both(
    compiled: ControllerBundle, n: int, n_y: int
) -> None:
    window = _window(np.random.default_rng(n), 2, n, n_y)
    given = window.A[0], window.cov, window.noise[1], window.C[0]
    A, C = window.A[0].T, window.C[0].T
    found = INTERPRETED.spread(*given)
    assert found == pytest.approx(np.diag(C @ (A @ window.cov @ A.T + np.diag(window.noise[1])) @ C.T), rel=1e-9)
    assert found.tobytes() == compiled.arithmetic.spread(*given).tobytes()


@pytest.mark.parametrize("left", [1, 3])
@pytest.mark.parametrize(("nodes", "n", "n_y"), [size for size in SIZES if size[0] > 3])
def test_nodes_that_leave_count_as_if_they_had_stayed(
    compiled: ControllerBundle, nodes: int, n: int, n_y: int, left: int
) -> None:
    """The problem is linear: what a node said is kept whole in the prior of the next."""
    window = _window(np.random.default_rng(n), nodes, n, n_y)
    found, (X, cov) = _alike(compiled, replace(window, keep=nodes - left)), _dense(window)
    assert pytest.approx(X[left:], rel=1e-5, abs=1e-7) == found.X
    assert found.newest_cov == pytest.approx(cov, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize(("nodes", "n", "n_y"), SIZES)
def test_bounds_and_held_states_are_kept_and_alike_by_both(
    compiled: ControllerBundle, nodes: int, n: int, n_y: int
) -> None:
    """What would leave its bounds is put there, what is held stays, and the rest is optimal given both."""
    random = np.random.default_rng(n)
    free = _window(random, nodes, n, n_y)
    X = INTERPRETED.window(free).X
    low, high = np.quantile(X, (0.1, 0.9), axis=0)
    held = (np.arange(n) == 1).astype(float)
    for window in (replace(free, low=low), replace(free, high=high), replace(free, low=low, high=high, held=held)):
        pinned = np.where(window.low > X, window.low, np.where(window.high < X, window.high, np.nan))
        pinned[:, window.held > 0.0] = free.X[:, window.held > 0.0]
        expected = np.clip(_dense(window, pinned)[0], window.low, window.high)
        assert pytest.approx(expected, abs=1e-4) == _alike(compiled, window).X
        assert np.any(np.isfinite(pinned)) or nodes == 1
    assert pytest.approx(free.X, abs=1e-4) == _alike(compiled, replace(free, held=np.ones(n))).X


@pytest.mark.parametrize("seed", range(40))
def test_random_windows_are_solved_alike_by_both(compiled: ControllerBundle, seed: int) -> None:
    """Of any size, with values missing at random nodes, bounds that hold, held states and nodes that leave."""
    random = np.random.default_rng(1000 + seed)
    nodes, n, n_y = (int(random.integers(low, high)) for low, high in ((1, 20), (1, 26), (0, 9)))
    window = _window(random, nodes, n, n_y, keep=int(random.integers(1, nodes + 1)))
    window.weights[random.random(nodes) < 0.3] = 0.0
    low, bounded = random.normal(size=n) - 1.0, random.random(n) < 0.5
    low, high = np.where(bounded, low, -np.inf), np.where(bounded, low + 1.5, np.inf)
    _alike(compiled, replace(window, low=low, high=high, held=(random.random(n) < 0.1).astype(float)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1e9])
def test_a_window_without_a_factor_is_refused_by_both(compiled: ControllerBundle, bad: float) -> None:
    cov = _window(np.random.default_rng(1), 5, 5, 2).cov.copy()
    cov[2, 2] = bad
    for arithmetic in (INTERPRETED, compiled.arithmetic):
        with pytest.raises(np.linalg.LinAlgError, match="no factor"):
            arithmetic.window(_window(np.random.default_rng(1), 5, 5, 2, cov=cov))


@pytest.mark.parametrize("where", ["X", "gaps", "misfits", "mean"])
def test_a_window_that_is_not_finite_is_refused_by_both(compiled: ControllerBundle, where: str) -> None:
    window = _window(np.random.default_rng(2), 5, 5, 2)
    window.weights[:] = 1.0
    getattr(window, where)[-1] = np.nan
    for arithmetic in (INTERPRETED, compiled.arithmetic):
        with pytest.raises(np.linalg.LinAlgError, match="not finite"):
            arithmetic.window(window)


def test_a_covariance_beyond_all_numbers_is_refused_by_both(compiled: ControllerBundle) -> None:
    """Two variances near the largest number there is: their sum is none, though the states themselves are."""
    window = _window(np.random.default_rng(3), 2, 1, 0, A=np.ones((1, 1, 1)))
    large, beyond = (replace(window, cov=np.full((1, 1), v), noise=np.full((2, 1), v)) for v in (5e307, 1.5e308))
    for arithmetic in (INTERPRETED, compiled.arithmetic):
        assert arithmetic.window(large).newest_cov[0, 0] == pytest.approx(1e308)
        with pytest.raises(np.linalg.LinAlgError, match="not finite"):
            arithmetic.window(beyond)


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
