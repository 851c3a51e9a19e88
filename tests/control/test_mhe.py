"""Moving-horizon estimation against what it must equal on a linear model, and against what goes wrong with samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from control.observe.mhe import Estimator, Evaluate, Seen, Smoothed, Window, advance, begin, freed
from control.observe.robust import Loss, huber, squared, welsch

A = np.array([[0.95, 0.10, 0.0], [-0.10, 0.90, 0.05], [0.0, 0.0, 1.0]])
B = np.array([[0.0], [0.3], [0.0]])
C = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
PROCESS, ERROR = np.array([0.05, 0.05, 0.01]), np.array([0.2, 0.3])
PRIOR, PRIOR_COV = np.array([1.0, 0.0, 0.5]), np.diag([0.5, 0.4, 0.3]) ** 2
NONE = np.zeros(0)


def _evaluate(slope: np.ndarray, direct: np.ndarray) -> Evaluate:
    def evaluate(X: np.ndarray, U: np.ndarray, P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return slope @ X + direct @ U, np.repeat(slope[None], X.shape[1], axis=0)

    return evaluate


def _estimator(length: int, loss: Loss = squared, low: float = -np.inf, high: float = np.inf) -> Estimator:
    return Estimator(
        _evaluate(A, B), _evaluate(C, np.zeros((2, 1))), ("level", "speed", "bias"), ("y_level", "y_speed"), length,
        np.full(3, low), np.full(3, high), loss,
    )  # fmt: skip


def _life(steps: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """States, inputs and measurements of a life of the linear model."""
    random = np.random.default_rng(seed)
    x = PRIOR + random.normal(size=3) * np.sqrt(np.diag(PRIOR_COV))
    X, U = [x], random.normal(size=(1, steps))
    for k in range(1, steps):
        x = A @ x + B @ U[:, k] + PROCESS * random.normal(size=3)
        X.append(x)
    states = np.array(X).T
    return states, U, C @ states + ERROR[:, None] * random.normal(size=(2, steps))


def _run(
    estimator: Estimator, U: np.ndarray, seen: Sequence[Sequence[Seen]]
) -> tuple[list[Smoothed], Window]:
    found, window = begin(estimator, PRIOR, PRIOR_COV, U[:, 0], NONE, seen[0])
    history = [found]
    for k in range(1, len(seen)):
        found, window = advance(estimator, window, U[:, k], NONE, PROCESS, seen[k])
        assert found.status == "ok"
        history.append(found)
    return history, window


def _prompt(Y: np.ndarray) -> list[list[Seen]]:
    return [[Seen(i, Y[i, k], ERROR[i]) for i in range(2)] for k in range(Y.shape[1])]


def _batch(U: np.ndarray, values: Sequence[tuple[int, int, float]]) -> tuple[np.ndarray, np.ndarray]:
    """All states [3, K] and covariance of the last by one dense least-squares problem; values: (step, index, value)."""
    steps, rows, right = U.shape[1], [], []

    def row(*parts: tuple[int, np.ndarray]) -> np.ndarray:
        made = np.zeros((len(parts[0][1]), 3 * steps))
        for k, block in parts:
            made[:, 3 * k : 3 * k + 3] = block
        return made

    root = np.linalg.inv(np.linalg.cholesky(PRIOR_COV))
    rows.append(row((0, root)))
    right.append(root @ PRIOR)
    for k in range(1, steps):
        rows.append(np.diag(1 / PROCESS) @ row((k - 1, -A), (k, np.eye(3))))
        right.append((B @ U[:, k]) / PROCESS)
    for k, i, value in values:
        rows.append(row((k, C[i : i + 1])) / ERROR[i])
        right.append(np.array([value / ERROR[i]]))
    whole, aim = np.vstack(rows), np.concatenate(right)
    solution = np.linalg.lstsq(whole, aim)[0]
    return solution.reshape(steps, 3).T, np.linalg.inv(whole.T @ whole)[-3:, -3:]


def _all(Y: np.ndarray) -> list[tuple[int, int, float]]:
    return [(k, i, Y[i, k]) for k in range(Y.shape[1]) for i in range(2)]


def test_a_window_that_holds_everything_is_batch_least_squares() -> None:
    _, U, Y = _life(20)
    history, window = _run(_estimator(30), U, _prompt(Y))
    states, cov = _batch(U, _all(Y))
    assert pytest.approx(states, abs=1e-9) == window.X
    assert history[-1].cov == pytest.approx(cov, abs=1e-9)


def test_a_short_window_ends_with_the_same_mean_and_covariance_when_linear() -> None:
    """What leaves the window is kept whole in the arrival cost: the Kalman filter and the RTS smoother's end agree."""
    _, U, Y = _life(60)
    history, window = _run(_estimator(5), U, _prompt(Y))
    states, cov = _batch(U, _all(Y))
    assert window.X.shape == (3, 6)
    assert pytest.approx(states[:, -6:], abs=1e-8) == window.X  # the smoother, over all of the window
    assert history[-1].cov == pytest.approx(cov, abs=1e-9)


def test_a_late_value_counts_as_if_it_had_come_in_time() -> None:
    _, U, Y = _life(25)
    prompt, late = _prompt(Y), _prompt(Y)
    lab = late[10].pop(1)
    late[22].append(replace(lab, age=12))
    in_time, _ = _run(_estimator(15), U, prompt)
    delayed, _ = _run(_estimator(15), U, late)
    missing, _ = _run(_estimator(15), U, [s if k != 10 else s[:1] for k, s in enumerate(prompt)])
    assert delayed[21].mean == pytest.approx(missing[21].mean, abs=1e-12)
    assert delayed[-1].mean == pytest.approx(in_time[-1].mean, abs=1e-9)
    assert np.max(np.abs(missing[-1].mean - in_time[-1].mean)) > 1e-5


def test_the_order_of_arrival_does_not_matter() -> None:
    _, U, Y = _life(12)
    prompt = _prompt(Y)
    shuffled: list[list[Seen]] = [[] for _ in range(12)]
    for k in (4, 5, 6, 7):  # four samples come three to six steps late, last one first
        for value in prompt[k]:
            shuffled[10 if k > 5 else 11].append(replace(value, age=(10 if k > 5 else 11) - k))
    for k in (0, 1, 2, 3, 8, 9, 10, 11):
        shuffled[k] += prompt[k]
    shuffled[10].reverse()
    a, _ = _run(_estimator(20), U, prompt)
    b, _ = _run(_estimator(20), U, shuffled)
    assert b[-1].states == pytest.approx(a[-1].states, abs=1e-9)


def test_a_value_from_before_the_window_or_after_it_is_named_and_dropped() -> None:
    _, U, Y = _life(12)
    prompt = _prompt(Y)
    prompt[11].append(Seen(0, 99.0, 0.1, age=9))
    prompt[11].append(Seen(1, 99.0, 0.1, age=-1))
    plain, _ = _run(_estimator(5), U, _prompt(Y))
    history, _ = _run(_estimator(5), U, prompt)
    assert [note.split(":")[0] for note in history[-1].notes] == ["y_level", "y_speed"]
    assert history[-1].mean == pytest.approx(plain[-1].mean, abs=1e-12)


@pytest.mark.parametrize("bad", [Seen(0, np.nan, 0.2), Seen(0, 1.0, np.nan), Seen(0, np.inf, 0.2), Seen(0, 1.0, 0.0)])
def test_a_value_that_is_no_number_is_named_and_dropped(bad: Seen) -> None:
    _, U, Y = _life(8)
    prompt = _prompt(Y)
    prompt[7] = [bad, prompt[7][1]]
    history, _ = _run(_estimator(5), U, prompt)
    without, _ = _run(_estimator(5), U, [*prompt[:7], prompt[7][1:]])
    assert len(history[-1].notes) == 1
    assert "y_level: dropped" in history[-1].notes[0]
    assert history[-1].mean == pytest.approx(without[-1].mean, abs=1e-12)


def test_an_input_that_is_no_number_fails_without_raising_and_leaves_the_window() -> None:
    _, U, Y = _life(8)
    history, window = _run(_estimator(5), U, _prompt(Y))
    found, after = advance(_estimator(5), window, np.array([np.nan]), NONE, PROCESS, [Seen(0, 1.0, 0.2)])
    assert "not finite" in found.status
    assert after is window
    assert found.mean == pytest.approx(history[-1].mean)
    again, _ = advance(_estimator(5), after, U[:, 0], NONE, PROCESS, [Seen(0, 1.0, 0.2)])
    assert again.status == "ok"


@pytest.mark.parametrize("loss", [huber, welsch])
def test_gross_errors_of_ten_sigma_hardly_matter(loss: Loss) -> None:
    """5 % of all values are off by 10 sigma: at most 1.3 times the error without them; least squares does far worse."""
    rmse = {}
    for name, chosen in (("squared", squared), ("robust", loss)):
        for dirt in (0.0, 10.0):
            errors = []
            for seed in range(4):
                X, U, Y = _life(250, seed)
                random = np.random.default_rng(100 + seed)
                hit = random.random(Y.shape) < 0.05
                Y = Y + dirt * hit * random.choice([-1, 1], Y.shape) * ERROR[:, None]
                history, _ = _run(_estimator(20, chosen), U, _prompt(Y))
                errors.append(np.array([h.mean for h in history[20:]]).T - X[:, 20:])
            rmse[name, dirt] = np.sqrt(np.mean(np.concatenate(errors, axis=1) ** 2))
    assert rmse["robust", 10.0] <= 1.3 * rmse["squared", 0.0]
    assert rmse["robust", 0.0] <= 1.05 * rmse["squared", 0.0]
    assert rmse["squared", 10.0] > 1.4 * rmse["squared", 0.0]


def test_a_gross_error_is_told_by_its_innovation_and_weight() -> None:
    _, U, Y = _life(30)
    Y[0, 29] += 10 * ERROR[0]
    history, _ = _run(_estimator(10, huber), U, _prompt(Y))
    assert history[-1].innovations["y_level"] > 6
    assert history[-1].weights["y_level"] < 0.25
    assert history[-1].weights["y_speed"] == pytest.approx(1.0, abs=0.5)
    assert set(history[5].innovations) == {"y_level", "y_speed"}


def test_an_innovation_is_told_in_units_of_what_prediction_and_value_could_be_off_by() -> None:
    _, U, Y = _life(12)
    estimator = _estimator(5)
    before, window = _run(estimator, U[:, :11], _prompt(Y[:, :11]))
    found, _ = advance(estimator, window, U[:, 11], NONE, PROCESS, [Seen(0, Y[0, 11], ERROR[0])])
    forecast, cov = A @ before[-1].mean + B @ U[:, 11], A @ before[-1].cov @ A.T + np.diag(PROCESS**2)
    expected = (Y[0, 11] - C[0] @ forecast) / np.sqrt(ERROR[0] ** 2 + C[0] @ cov @ C[0])
    assert found.innovations == {"y_level": pytest.approx(expected, abs=1e-9)}
    assert found.weights == {"y_level": 1.0}


def test_what_the_model_cannot_tell_of_a_sensor_that_is_not_there_does_not_matter() -> None:
    _, U, Y = _life(12)
    seen = [s[:1] for s in _prompt(Y)]

    def broken(X: np.ndarray, u: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        values, slopes = _evaluate(C, np.zeros((2, 1)))(X, u, p)
        values[1] = np.nan
        return values, slopes

    plain, _ = _run(_estimator(5, huber), U, seen)
    history, _ = _run(replace(_estimator(5, huber), measure=broken), U, seen)
    assert history[-1].mean.tobytes() == plain[-1].mean.tobytes()


def test_innovations_are_white_and_of_variance_one() -> None:
    _, U, Y = _life(400, seed=3)
    history, _ = _run(_estimator(10), U, _prompt(Y))
    series = np.array([list(h.innovations.values()) for h in history[50:]])
    assert np.mean(series**2) == pytest.approx(1.0, abs=0.15)
    assert abs(np.corrcoef(series[1:, 0], series[:-1, 0])[0, 1]) < 0.15


def test_bounds_are_never_left_and_change_nothing_where_they_are_far() -> None:
    X, U, Y = _life(80, seed=5)
    top = float(np.quantile(X[0], 0.7))
    held = replace(_estimator(10), high=np.array([top, np.inf, np.inf]))
    history, _ = _run(held, U, _prompt(Y))
    assert max(np.max(h.states[0]) for h in history) <= top
    assert any(np.max(h.states[0]) == pytest.approx(top, abs=1e-6) for h in history)
    free, _ = _run(_estimator(10), U, _prompt(Y))
    far, _ = _run(_estimator(10, low=-1e6, high=1e6), U, _prompt(Y))
    assert far[-1].mean == pytest.approx(free[-1].mean, abs=1e-12)


def test_the_model_is_not_asked_outside_the_bounds() -> None:
    X, U, Y = _life(80, seed=5)
    top = float(np.quantile(X[0], 0.7))
    asked: list[float] = []

    def spied(X: np.ndarray, u: np.ndarray, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        asked.append(float(np.max(X[0])))
        return _evaluate(C, np.zeros((2, 1)))(X, u, p)

    _run(replace(_estimator(10), measure=spied, high=np.array([top, np.inf, np.inf])), U, _prompt(Y))
    assert max(asked[1:]) == top  # but for the start, which is given


def test_a_bound_that_holds_is_the_constrained_least_squares_answer() -> None:
    """One active bound at the newest node: the others must be optimal given it, which the dense problem tells."""
    _, U, Y = _life(6, seed=56)
    states, _ = _batch(U, _all(Y))
    top = states[0, -1] - 0.05
    estimator = replace(_estimator(30), high=np.array([top, np.inf, np.inf]))
    free, _ = _run(_estimator(30), U, _prompt(Y))
    if np.any(free[-1].states[0, :-1] > top):
        pytest.fail("the case is meant to have one active bound; choose another seed")
    found, _ = _run(estimator, U, _prompt(Y))
    pinned, _ = _batch(U, [*_all(Y), *[(5, 0, top)] * 200_000])
    assert found[-1].states == pytest.approx(pinned, abs=1e-3)


def test_a_held_state_stays_and_the_others_go_on() -> None:
    _, U, Y = _life(40)
    estimator = _estimator(10)
    _, window = _run(estimator, U[:, :30], _prompt(Y[:, :30]))
    kept = window.X[2, -1]
    for k in range(30, 40):
        seen = [Seen(i, Y[i, k] + 3.0, ERROR[i]) for i in range(2)]
        found, window = advance(estimator, window, U[:, k], NONE, PROCESS, seen, held=(2,))
    assert found.mean[2] == pytest.approx(kept, abs=1e-6)
    assert found.mean[0] > 1.0


def test_freeing_a_state_lets_a_jump_be_put_where_it_began() -> None:
    _, U, Y = _life(40)
    Y[1, 30:] += 2.0  # the bias jumps at step 30 and is recognised at step 36
    estimator = _estimator(20)
    _, window = _run(estimator, U[:, :36], _prompt(Y[:, :36]))
    stuck = advance(estimator, window, U[:, 36], NONE, PROCESS, _prompt(Y)[36])[0]
    loose = freed(window, state=2, sigma=3.0, age=5)
    found = advance(estimator, loose, U[:, 36], NONE, PROCESS, _prompt(Y)[36])[0]
    jump = np.diff(found.states[2])
    assert np.argmax(jump) == found.states.shape[1] - 2 - 6  # the step that led to node 30, seen from node 36
    assert np.max(jump) == pytest.approx(2.0, abs=0.5)
    assert np.max(np.diff(stuck.states[2])) < 0.5
    assert freed(window, state=2, sigma=3.0, age=500) is window
