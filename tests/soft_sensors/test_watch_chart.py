"""Sensor against laboratory: pairing, rules, and the bias update that follows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import t as student

from soft_sensors.watch.chart import Point, Result, Sensed, bias_update, chart, ewma, pair, student_95


def points(differences: list[float]) -> list[Point]:
    return [Point(f"s{k}", float(k), d, 0.0) for k, d in enumerate(differences)]


def rules(differences: list[float], sigma: float = 1.0) -> set[tuple[int, str]]:
    return {(f.index, f.rule.split(":")[0]) for f in chart(points(differences), 1.0, sigma).flags}


QUIET = [0.5, -0.6, 0.7, -0.4, 0.2, -0.3] * 3


def test_quiet_differences_break_no_rule() -> None:
    assert rules(QUIET) == set()


@pytest.mark.parametrize(
    ("differences", "flag"),
    [
        ([*QUIET, 3.1], (18, "Nelson 1")),
        ([*QUIET, -3.1], (18, "Nelson 1")),
        ([-0.1, *[0.3, 0.2] * 4, 0.3], (9, "Nelson 2")),
        ([0.1, -0.9, -0.5, -0.1, 0.3, 0.7, 1.1], (6, "Nelson 3")),
        ([*QUIET, 2.1, 0.1, 2.2], (20, "Nelson 5")),
        ([*QUIET, *[1.4, 1.0] * 8], (33, "EWMA")),
    ],
)
def test_each_rule_finds_its_pattern(differences: list[float], flag: tuple[int, str]) -> None:
    assert flag in rules(differences)


@pytest.mark.parametrize(
    ("differences", "rule"),
    [
        ([*QUIET, 2.9], "Nelson 1"),
        ([-0.1, *[0.3, 0.2] * 4], "Nelson 2"),
        ([0.1, -0.5, -0.1, 0.3, 0.7, 0.6], "Nelson 3"),
        ([*QUIET, 2.1, 0.1, -2.2], "Nelson 5"),
    ],
)
def test_almost_is_not_enough(differences: list[float], rule: str) -> None:
    assert rule not in {name for _, name in rules(differences)}


def test_false_alarms_of_the_ewma_are_rare() -> None:
    noise = np.random.default_rng(1).normal(size=20_000)
    flagged = [f.index for f in chart(points(noise.tolist()), 1.0, 1.0).flags if f.rule.startswith("EWMA")]
    episodes = 1 + int((np.diff(flagged) > 1).sum())
    assert episodes < 60  # designed: one in 500 results


def test_results_join_by_sample_then_by_time_late_corrected_missing() -> None:
    sensed = [Sensed(f"s{k}", 100.0 * k, float(k)) for k in range(5)]
    results = [
        Result("s3", math.nan, 3.5, 900.0), Result("", 104.0, 1.5, 50.0), Result("s3", math.nan, 3.25, 1000.0),
        Result("s4", math.nan, math.nan, 60.0), Result("?", 250.0, 9.0, 70.0), Result("", 1e9, 9.0, 80.0),
    ]
    paired = pair(sensed, results, tolerance_s=10.0)
    assert [(p.sample_id, p.laboratory) for p in paired.points] == [("s1", 1.5), ("s3", 3.25)]
    assert paired.corrected == ("s3",)
    assert paired.missing == ("s4",)
    assert paired.unmatched == ("?", "")


def test_a_correction_counts_by_when_it_was_received_not_by_its_row() -> None:
    results = [Result("a", math.nan, 2.0, 200.0), Result("a", math.nan, 1.0, 100.0)]
    assert pair([Sensed("a", 0.0, 0.0)], results, 1.0).points[0].laboratory == 2.0


def test_no_update_where_the_mean_may_be_zero_or_results_are_few() -> None:
    assert bias_update(np.array(QUIET), 1.0) is None
    assert bias_update(np.full(5, 0.4) + np.arange(5) * 0.01, 1.0) is None


def test_the_update_brings_the_sensor_back_and_stops_at_its_bound() -> None:
    differences = 0.4 + 0.1 * np.random.default_rng(1).normal(size=12)
    free, bound = bias_update(differences, 1.0), bias_update(differences, 0.25)
    assert free is not None
    assert bound is not None
    assert free.add == pytest.approx(-differences.mean())
    assert free.low < 0.4 < free.high
    assert not free.limited
    assert (bound.add, bound.limited) == (-0.25, True)


def test_a_standing_alarm_takes_the_update_from_its_own_shift() -> None:
    made = chart(points([*QUIET, *[1.5, 1.3, 1.4, 1.6] * 3]), 5.0, 1.0)
    assert made.standing
    assert made.update is not None
    assert made.update.add == pytest.approx(-1.45, abs=0.1)


def test_differences_before_the_last_update_do_not_count() -> None:
    shifted = [1.0, 1.1] * 10 + [0.1, -0.1] * 10
    assert chart(points(shifted), 5.0, 2.0, since_s=19.0).update is None
    assert chart(points(shifted), 5.0, 2.0).update is not None


@pytest.mark.parametrize("freedom", [5, 8, 20, 200])
def test_students_quantile(freedom: int) -> None:
    assert student_95(freedom) == pytest.approx(float(student.ppf(0.975, freedom)), rel=2e-3)


def test_ewma_is_the_recursion() -> None:
    assert ewma(np.array([1.0, 0.0, 2.0]), 0.5).tolist() == [0.5, 0.25, 1.125]
