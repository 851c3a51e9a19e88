"""What a window cannot tell apart is named and held, and only that."""

from __future__ import annotations

import numpy as np
import pytest

from control.observe.mhe import Estimator, Evaluate, Linear, Seen, advance, begin, linearised
from control.observe.observability import information, observability

NONE = np.zeros(0)


def _flat(slope: np.ndarray) -> Evaluate:
    def evaluate(X: np.ndarray, U: np.ndarray, P: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return slope @ X, np.repeat(slope[None], X.shape[1], axis=0)

    return evaluate


def _window(A: np.ndarray, C: np.ndarray, nodes: int = 12, sigma: float = 0.1, absent: tuple[int, ...] = ()) -> Linear:
    n, n_y = A.shape[0], C.shape[0]
    names = tuple(f"x{i}" for i in range(n))
    estimator = Estimator(_flat(A), _flat(C), names, tuple(f"y{i}" for i in range(n_y)), nodes, np.full(n, -9.0),
                          np.full(n, 9.0))  # fmt: skip
    seen = [Seen(i, 0.0, sigma) for i in range(n_y) if i not in absent]
    _, window = begin(estimator, np.zeros(n), np.eye(n), np.zeros(1), NONE, seen)
    for _ in range(nodes - 1):
        _, window = advance(estimator, window, np.zeros(1), NONE, np.full(n, 0.01), seen)
    return linearised(estimator, window)


A_SLOW = np.diag([1.0, 1.0, 0.9])
SUM = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])  # two constants seen only as their sum


def test_two_states_seen_only_as_a_sum_are_named_and_the_better_known_one_is_held() -> None:
    told = observability(_window(A_SLOW, SUM), np.array([0.1, 1.0, 1.0]), ("gain", "bias", "level"))
    assert len(told.untold) == 1
    assert told.frozen == ("gain",)
    assert told.ratio["gain"] > 0.95
    assert told.ratio["bias"] < 0.1
    assert told.ratio["level"] < 0.1
    assert "held gain" in told.sentence


def test_with_equal_priors_the_difference_is_what_is_not_told() -> None:
    told = observability(_window(A_SLOW, SUM), np.array([1.0, 1.0, 1.0]), ("gain", "bias", "level"))
    assert told.untold in (("gain - bias",), ("bias - gain",))
    assert len(told.frozen) == 1
    assert told.frozen[0] in ("gain", "bias")
    assert told.ratio["gain"] == pytest.approx(0.5, abs=0.01)


def test_a_second_sensor_on_one_of_them_frees_both() -> None:
    both = np.vstack([SUM, [[0.0, 1.0, 0.0]]])
    names, prior = ("gain", "bias", "level"), np.array([0.5, 1.0, 1.0])
    told = observability(_window(A_SLOW, both), prior, names)
    assert told.frozen == ()
    assert told.untold == ()
    assert told.sentence == "the data tell every state apart"
    assert observability(_window(A_SLOW, both, absent=(2,)), prior, names).frozen == ("gain",)


def test_a_state_that_nothing_sees_is_held_whatever_its_prior() -> None:
    C = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    told = observability(_window(A_SLOW, C), np.array([1.0, 50.0, 1.0]), ("a", "b", "c"))
    assert told.frozen == ("b",)
    assert told.ratio["b"] == pytest.approx(1.0)


def test_dynamics_tell_apart_what_one_look_cannot() -> None:
    A = np.diag([1.0, 0.7])  # a constant and a decay, seen as their sum
    C = np.array([[1.0, 1.0]])
    assert observability(_window(A, C, nodes=2, sigma=5.0), np.ones(2), ("a", "b")).frozen != ()
    assert observability(_window(A, C, nodes=12), np.ones(2), ("a", "b")).frozen == ()


def test_the_window_without_measurements_tells_nothing() -> None:
    told = observability(_window(A_SLOW, SUM, absent=(0, 1)), np.ones(3), ("a", "b", "c"))
    assert told.frozen == ("a", "b", "c")
    assert set(told.ratio.values()) == {1.0}


def test_information_is_that_of_the_stacked_measurements() -> None:
    A = np.array([[1.0, 0.1], [0.0, 0.9]])
    C = np.array([[1.0, 0.5]])
    along = _window(A, C, nodes=6)
    stacked = np.vstack([C @ np.linalg.matrix_power(A, k) for k in range(6)]) / 0.1
    assert information(along) == pytest.approx(stacked.T @ stacked)
