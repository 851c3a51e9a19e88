"""Coverage on a stream: late references, corrections, bounds, and that it adapts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from soft_sensors.watch.coverage import (
    SCALE_HIGH,
    SCALE_LOW,
    Coverage,
    binomial_interval,
    issue,
    learn,
    report,
)

LATE = 10  # results come ten samples later


def run(shift: float, n: int = 1000) -> tuple[float, float, Coverage]:
    """Share of hits in the first and the last 400 samples; the sensor is off by shift from the middle on."""
    random, state, sent = np.random.default_rng(5), Coverage(), []
    for k in range(n):
        truth = float(random.normal())
        value = truth + float(random.normal()) + (shift if k >= n // 2 else 0.0)
        half, state = issue(state, float(k), value, 1.645)
        sent.append((truth, abs(value - truth) <= half))
        if k >= LATE:
            state = learn(state, float(k - LATE), sent[k - LATE][0], 0.4)
    hits = [hit for _, hit in sent]
    return float(np.mean(hits[: n // 2])), float(np.mean(hits[-400:])), state


def test_a_sound_sensor_keeps_its_interval() -> None:
    before, after, state = run(0.0)
    assert 0.88 <= before <= 0.95
    assert 0.88 <= after <= 0.95
    assert state.scale < 1.5


def test_a_shifted_sensor_gets_a_wider_interval_that_covers() -> None:
    _, after, state = run(1.0)
    assert 0.86 <= after <= 0.94
    assert SCALE_LOW < state.scale <= SCALE_HIGH


def test_the_width_stays_within_its_bounds() -> None:
    always, never = Coverage(), Coverage()
    for k in range(200):
        _, always = issue(always, float(k), 0.0, 1.0)
        _, never = issue(never, float(k), 0.0, 1.0)
        always, never = learn(always, float(k), 0.0, 0.1), learn(never, float(k), 99.0, 0.1)
    assert always.scale == SCALE_LOW
    assert never.scale == SCALE_HIGH
    assert issue(never, 500.0, 0.0, 1.0)[0] == pytest.approx(SCALE_HIGH)


def test_a_late_result_is_judged_against_the_interval_of_its_own_sample() -> None:
    state = Coverage()
    for k, value in enumerate((0.0, 10.0, 20.0)):
        _, state = issue(state, 100.0 * k, value, 1.0)
    state = learn(state, 0.0, 0.5, 30.0)
    assert report(state).coverage == 1.0
    assert learn(state, 150.0, 0.5, 30.0).unmatched == 1
    assert learn(state, 100.0, math.nan, 30.0).unmatched == 1


def test_a_correction_replaces_the_result_and_moves_the_scale_once() -> None:
    _, state = issue(Coverage(), 0.0, 10.0, 1.0)
    first = learn(state, 0.0, 99.0, 1.0)
    corrected = learn(first, 0.0, 10.2, 1.0)
    assert report(first).coverage == 0.0
    assert (report(corrected).n, report(corrected).coverage) == (1, 1.0)
    assert corrected.scale == first.scale


def test_what_is_no_number_or_out_of_order_is_not_remembered() -> None:
    _, state = issue(Coverage(), 10.0, 1.0, 1.0)
    for time_s, value, half in ((20.0, math.nan, 1.0), (20.0, 1.0, math.inf), (10.0, 1.0, 1.0), (5.0, 1.0, 1.0)):
        assert issue(state, time_s, value, half)[1] == state


def test_two_days_are_remembered() -> None:
    state = Coverage()
    for day in range(5):
        _, state = issue(state, day * 86400.0, 0.0, 1.0)
    assert [i.sample_time_s / 86400.0 for i in state.issued] == [2.0, 3.0, 4.0]


def test_binomial_interval_against_a_published_example() -> None:
    """81 of 263: 0.2553 to 0.3662 (Newcombe 1998, Statist. Med. 17, 857, table I, method 3)."""
    low, high = binomial_interval(81, 263)
    assert (low, high) == (pytest.approx(0.2553, abs=5e-5), pytest.approx(0.3662, abs=5e-5))
    assert binomial_interval(0, 0) == (0.0, 1.0)
