"""Performance figures against textbook processes whose answer is known by hand, and against their false alarms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from control.assess import (
    constraint_costs,
    gain_mismatch,
    harris_index,
    oscillation,
    time_in_control,
    travel_pct,
    whiteness,
)
from control.assess.loop import autocorrelation, chi_square_tail
from control.errors import ControlError
from control.signals import Active

FloatArray = np.ndarray


def autoregression(share: float, n: int, seed: int) -> FloatArray:
    noise, y = np.random.default_rng(seed).normal(size=n), np.zeros(n)
    for t in range(1, n):
        y[t] = share * y[t - 1] + noise[t]
    return y


@pytest.mark.parametrize(("share", "delay"), [(0.9, 3), (0.8, 2), (0.95, 10)])
def test_harris_of_an_autoregression_is_known(share: float, delay: int) -> None:
    # minimum variance 1 + a^2 + ... + a^(2 (d - 1)) over 1 / (1 - a^2) is 1 - a^(2 d)
    assert harris_index(autoregression(share, 40_000, 1), delay) == pytest.approx(1 - share ** (2 * delay), abs=0.03)


def test_harris_of_minimum_variance_control_is_one() -> None:
    noise = np.random.default_rng(2).normal(size=20_000)
    moving_average = noise[2:] + 0.7 * noise[1:-1] + 0.3 * noise[:-2]  # what is left with a delay of three
    assert harris_index(moving_average, 3) == pytest.approx(1.0, abs=0.02)
    assert harris_index(moving_average, 1) < 0.75


def test_harris_says_what_it_needs() -> None:
    with pytest.raises(ControlError, match="too few for a Harris index"):
        harris_index(np.zeros(50), 10)
    with pytest.raises(ControlError, match="does not move"):
        harris_index(np.zeros(500), 3)


def test_an_oscillation_is_found_under_noise_with_its_period() -> None:
    t = np.arange(1200)
    noise = np.random.default_rng(3).normal(size=t.size)
    found = oscillation(np.sin(2 * math.pi * t / 60.0) + 0.7 * noise)
    assert found.present
    assert found.period_samples == pytest.approx(60.0, rel=0.03)


def test_noise_seldom_looks_like_an_oscillation() -> None:
    alarms = sum(oscillation(autoregression(0.6, 1000, seed)).present for seed in range(100))
    assert alarms <= 10


def test_what_does_not_move_does_not_oscillate() -> None:
    assert not oscillation(np.ones(100)).present


def test_autocorrelation_by_hand() -> None:
    # 1, -1, 1, -1: sums of products 4, -3, 2, -1
    assert autocorrelation(np.array([1.0, -1.0, 1.0, -1.0]), 3) == pytest.approx([1.0, -0.75, 0.5, -0.25])


def test_ljung_box_by_hand() -> None:
    y = np.array([1.0, -1.0, 1.0, -1.0])
    found = whiteness(y, 1)
    assert found.statistic == pytest.approx(4 * 6 * 0.75**2 / 3)  # n (n + 2) rho_1^2 / (n - 1) = 4.5
    assert found.p_value == pytest.approx(math.erfc(math.sqrt(4.5 / 2.0)))  # chi-square with one degree of freedom


def test_white_noise_keeps_its_level_and_colour_is_seen() -> None:
    rejected = sum(whiteness(np.random.default_rng(seed).normal(size=400)).p_value < 0.05 for seed in range(200))
    assert rejected <= 22, "5 % of 200 and twice its standard deviation, rounded up"
    assert whiteness(autoregression(0.3, 400, 7)).p_value < 1e-3
    with pytest.raises(ControlError, match="too few for 20 lags"):
        whiteness(np.zeros(30))


def shift(gain: float, seed: int, n: int = 1440) -> tuple[FloatArray, FloatArray]:
    """Two hours of a loop at 5 s: PI on a noisy reading of a first-order plant with dead time, a drifting disturbance.

    The plant's gain is `gain` times the model's; returned are the reading and the model's response to the moves.
    """
    random = np.random.default_rng(seed)
    delay, pole = 20, math.exp(-5.0 / 120.0)
    u, real, model, drift, total = np.zeros(n), 0.0, 0.0, 0.0, 0.0
    reading, response = np.zeros(n), np.zeros(n)
    for t in range(1, n):
        drift += -0.002 * drift + random.normal(0.0, 0.02)
        old = u[t - delay] if t >= delay else 0.0
        real = pole * real + (1 - pole) * gain * old
        model = pole * model + (1 - pole) * old
        reading[t], response[t] = real + drift + random.normal(0.0, 0.1), model
        total += -reading[t] / 130.0 * 5.0
        change = 1.0 if t % 480 < 240 else 0.0  # the target moves by a tenth and back, as between grades
        u[t] = 0.25 * (-reading[t] + total) + change
    return reading, response


def test_a_gain_that_is_off_by_a_fifth_is_flagged_within_two_hours() -> None:
    flagged = sum(gain_mismatch(*shift(gain, seed)).flagged for gain in (0.8, 1.2) for seed in range(10))
    assert flagged >= 15


def test_a_right_gain_is_seldom_flagged_and_the_interval_holds() -> None:
    found = [gain_mismatch(*shift(1.0, 100 + seed)) for seed in range(60)]
    assert sum(m.flagged for m in found) <= 2
    assert sum(abs(m.gain - 1.0) < 1.96 * m.sigma for m in found) >= 51


def met(gain: float, seed: int, n: int = 1440) -> tuple[FloatArray, FloatArray]:
    """A quiet line whose feeders overfeed at refills; from sample 600 on 1.5 is lost, which one move makes good."""
    random = np.random.default_rng(seed)
    delay, pole = 20, math.exp(-5.0 / 60.0)
    real = model = lost = 0.0
    u = np.array([0.5 if t % 480 > 450 else 0.0 for t in range(n)]) + 1.5 * (np.arange(n) >= 625)
    reading, response = np.zeros(n), np.zeros(n)
    for t in range(n):
        old = u[t - delay] if t >= delay else 0.0
        real, model = pole * real + (1 - pole) * gain * old, pole * model + (1 - pole) * old
        lost = pole * lost + (1 - pole) * 1.5 * (t - delay >= 600)
        reading[t], response[t] = real - lost + random.normal(0.0, 0.5), model
    return reading, response


def test_a_loss_that_one_move_makes_good_is_no_wrong_gain_where_its_arrival_is_left_out() -> None:
    arriving = np.zeros(1440, dtype=bool)
    arriving[580:720] = True
    assert sum(gain_mismatch(*met(1.0, seed)).flagged for seed in range(10)) >= 8, "with it, the gain looks wrong"
    told = [gain_mismatch(*met(1.0, seed), left_out=arriving) for seed in range(20)]
    assert sum(m.flagged for m in told) <= 1
    assert sum(abs(m.gain - 1.0) < 1.96 * m.sigma for m in told) >= 17
    wrong = [gain_mismatch(*met(gain, seed), left_out=arriving) for gain in (0.4, 1.6) for seed in range(5)]
    assert sum(m.flagged for m in wrong) >= 8
    with pytest.raises(ControlError, match="0 samples are too few"):
        gain_mismatch(*met(1.0, 1), left_out=np.ones(1440, dtype=bool))


def test_the_gain_needs_moves_and_says_so() -> None:
    with pytest.raises(ControlError, match="nothing was moved"):
        gain_mismatch(np.random.default_rng(1).normal(size=500), np.full(500, 3.0))
    noise = np.random.default_rng(1).normal(size=500)
    assert not gain_mismatch(noise, 1e-3 * np.sin(np.arange(500) / 30.0)).excited


def test_time_in_control_counts_what_is_not_known_as_out() -> None:
    assert time_in_control(np.array([0.0, 1.0, -2.0, math.nan, 0.5]), 1.0) == pytest.approx(0.6)
    assert time_in_control(np.zeros(0), 1.0) == 0.0


def test_travel_is_the_sum_of_moves_in_per_cent_of_the_mean() -> None:
    found = travel_pct({"a": np.array([10.0, 11.0, math.nan, 9.0]), "b": np.array([math.nan])})
    assert found == {"a": pytest.approx(30.0), "b": 0.0}


def test_costs_of_constraints_by_hand() -> None:
    cap, rate = Active("FeederApi trim cap", "high", 0.0, 6.0), Active("MainForce", "low", 5.0, 1.0)
    later = Active("FeederApi trim cap", "high", 10.0, 2.0)
    costs = constraint_costs([(cap, rate, later), (later,), (), ()])
    assert [(c.name, c.share, c.mean_multiplier) for c in costs] == [
        ("FeederApi trim cap high", 0.5, 4.0),
        ("MainForce low", 0.25, 1.0),
    ]


@given(statistic=st.floats(0.0, 150.0), freedom=st.integers(1, 60))
def test_the_tail_of_chi_square_is_that_of_the_tables(statistic: float, freedom: int) -> None:
    assert chi_square_tail(statistic, freedom) == pytest.approx(chi2.sf(statistic, freedom), rel=1e-10, abs=1e-300)
