"""Drift alarms: rare on sound streams, soon on drifting ones, with hysteresis."""

from __future__ import annotations

import math

import numpy as np
import pytest

from soft_sensors.signals import FloatArray
from soft_sensors.watch.drift import BASELINE, Drift, compare, follow


def squares(n: int, freedom: int, alike: float, seed: int) -> FloatArray:
    """Sums of squares as T2 and Q are, of normal scores that remember the spectrum before."""
    random = np.random.default_rng(seed)
    kicks, scores = random.normal(size=(n, freedom)), np.empty((n, freedom))
    scores[0] = kicks[0]
    for k in range(1, n):
        scores[k] = alike * scores[k - 1] + math.sqrt(1 - alike**2) * kicks[k]
    return np.asarray((scores**2).sum(axis=1))


@pytest.mark.parametrize("alike", [0.0, 0.5, 0.8, 0.95])
def test_false_alarms_are_at_most_one_in_a_thousand_spectra(alike: float) -> None:
    raised, spectra = 0, 0
    for seed in range(6):
        state, before = Drift(), False
        t2, q = squares(3000, 4, alike, seed) / 18.0, squares(3000, 20, alike, 100 + seed) / 60.0
        for a, b in zip(t2, q, strict=True):
            state = follow(state, float(a), float(b), 1.0)
            now = bool(state.alarms)
            raised, before, spectra = raised + (now and not before), now, spectra + 1
    assert raised <= spectra / 1000


@pytest.mark.parametrize(("factor", "most"), [(2.0, 60), (5.0, 20)])
def test_a_risen_q_is_found_within_so_many_spectra(factor: float, most: int) -> None:
    for seed in range(8):
        q, state = squares(BASELINE + 400, 20, 0.5, seed) / 60.0, Drift()
        q[-300:] *= factor
        delay = 0
        for k, value in enumerate(q):
            state = follow(state, 0.3, float(value), 1.0)
            if k >= BASELINE + 100 and not state.q.alarm:
                delay += 1
            elif state.q.alarm:
                break
        assert delay <= most
        assert "Q has risen" in state.alarms[0]


def test_an_alarm_clears_lower_than_it_is_raised() -> None:
    state = Drift()
    for k in range(BASELINE):
        state = follow(state, 1.0, 1.0 + 0.01 * (k % 2), 1.0)
    raised, cleared = [], []
    for ratio in np.concatenate([np.linspace(1.0, 2.5, 400), np.linspace(2.5, 1.0, 400)]):
        before, state = state.q.alarm, follow(state, 1.0, float(ratio), 1.0)
        if state.q.alarm != before:
            (cleared if before else raised).append(state.q.level)
    assert len(raised) == len(cleared) == 1
    assert cleared[0] < raised[0]


def test_a_wider_interval_is_an_alarm_too() -> None:
    state = Drift()
    for k in range(BASELINE + 100):
        state = follow(state, 1.0, 1.0, 1.0 if k < BASELINE else 2.5)
    assert state.alarms == ("the interval has risen 2.5 times",)


def test_what_is_no_number_changes_nothing() -> None:
    assert follow(Drift(), math.nan, math.inf, math.nan) == Drift()
    assert compare(Drift(run=3), math.nan) == Drift(run=3)


def test_nine_results_on_one_side_are_an_alarm() -> None:
    state = Drift()
    for _ in range(8):
        state = compare(state, 0.1)
    assert not state.alarms
    assert compare(state, 0.1).alarms == ("9 results in a row below the sensor",)
    assert not compare(state, -0.1).alarms
    assert compare(state, 0.0).run == 0
