"""ESTIMATE: the graph's numbers, and what T2, Q and a bad verdict make of them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from soft_sensors.bundle import Bundle
from soft_sensors.estimate import conclude, estimate, judge
from soft_sensors.signals import Outcome, Quality, Spectrum, Verdict

from .conftest import make_blends

GOOD = Verdict(Quality.GOOD)


def test_a_good_estimate_holds_value_interval_and_origin(bundle: Bundle, spectrum: Spectrum) -> None:
    result = estimate(bundle, spectrum, GOOD)
    truth = make_blends(1, seed=2).concentration[0]
    assert result.quality is Quality.GOOD
    assert result.reason == ""
    assert result.lower < truth < result.upper
    assert result.upper - result.value == pytest.approx(bundle.card.half_width)
    assert result.sigma == pytest.approx(bundle.card.half_width / 1.645)
    assert (result.counter, result.time_s) == (7, 1000.0)
    assert result.t2 < result.t2_limit
    assert result.q < result.q_limit


def test_a_bad_verdict_gives_no_number(bundle: Bundle, spectrum: Spectrum) -> None:
    result = estimate(bundle, spectrum, Verdict(Quality.BAD, "frozen"))
    assert result.quality is Quality.BAD
    assert result.reason == "frozen"
    assert all(math.isnan(v) for v in (result.value, result.sigma, result.lower, result.upper, result.t2, result.q))


def test_an_uncertain_verdict_stays_uncertain(bundle: Bundle, spectrum: Spectrum) -> None:
    result = estimate(bundle, spectrum, Verdict(Quality.UNCERTAIN, "lamp ageing"))
    assert result.quality is Quality.UNCERTAIN
    assert result.reason == "lamp ageing"
    assert math.isfinite(result.value)


def test_a_foreign_band_is_refused_by_q(bundle: Bundle, spectrum: Spectrum) -> None:
    band = np.exp(-0.5 * ((spectrum.axis - 1500.0) / 30.0) ** 2)
    result = estimate(bundle, replace(spectrum, values=spectrum.values + band), GOOD)
    assert result.quality is Quality.BAD
    assert "Q is" in result.reason
    assert math.isfinite(result.value), "kept for the record, marked bad"
    assert result.q > bundle.card.q_limit


def test_far_outside_the_concentration_range_is_refused_by_t2(bundle: Bundle, spectrum: Spectrum) -> None:
    band = np.exp(-0.5 * ((spectrum.axis - 1150.0) / 40.0) ** 2)
    result = estimate(bundle, replace(spectrum, values=spectrum.values + 10 * band), GOOD)
    assert result.quality is Quality.BAD
    assert "T2 is" in result.reason


@pytest.mark.parametrize(
    ("t2", "q", "quality", "words"),
    [
        (1.0, 1.0, Quality.GOOD, ()), (1.5, 0.5, Quality.UNCERTAIN, ("T2",)), (0.5, 2.0, Quality.UNCERTAIN, ("Q",)),
        (3.0, 3.0, Quality.UNCERTAIN, ("T2", "Q")), (3.1, 1.5, Quality.BAD, ("T2", "Q")),
        (math.nan, 0.1, Quality.BAD, ("not finite",)), (0.1, math.inf, Quality.BAD, ("not finite",)),
    ],
)
def test_limits_in_multiples(bundle: Bundle, t2: float, q: float, quality: Quality, words: tuple[str, ...]) -> None:
    card = bundle.card
    got, reason = judge(card, t2 * card.t2_limit, q * card.q_limit, 0.0)
    assert got is quality
    assert all(word in reason for word in words)
    assert bool(reason) == bool(words)


def test_new_samples_of_the_same_kind_are_not_refused(bundle: Bundle) -> None:
    blends = make_blends(1000, seed=3)
    results = [estimate(bundle, Spectrum(blends.axis, "nm", v, 1, 0.0), GOOD) for v in blends.spectra]
    assert sum(r.quality is Quality.BAD for r in results) <= 10
    assert sum(r.quality is not Quality.GOOD for r in results) <= 50  # the fingerprint's own share of alarms, ALARMS


def test_the_same_spectrum_gives_the_same_bits(bundle: Bundle, spectrum: Spectrum) -> None:
    first = estimate(bundle, spectrum, GOOD)
    assert all(estimate(bundle, spectrum, GOOD) == first for _ in range(200))


def test_what_may_be_concluded(bundle: Bundle) -> None:
    card = replace(bundle.card, accept=(8.0, 12.0), reference_low=5.0, reference_high=15.0, half_width=0.5)
    good = Quality.GOOD
    assert conclude(card, 9.5, 10.0, 10.5, good) == (Outcome.WITHIN, "")
    assert conclude(card, 12.6, 13.1, 13.6, good) == (Outcome.OUTSIDE, "")
    assert conclude(card, 11.7, 12.2, 12.7, good)[0] is Outcome.UNDECIDED
    assert "spans an acceptance limit" in conclude(card, 11.7, 12.2, 12.7, good)[1]
    assert conclude(card, 9.5, 10.0, 10.5, Quality.UNCERTAIN) == (Outcome.UNDECIDED, "the estimate is uncertain")
    assert "beyond the calibrated range" in conclude(card, 15.2, 15.7, 16.2, good)[1]
    assert "no evidence" in conclude(replace(card, skill=0.0), 9.5, 10.0, 10.5, good)[1]
    assert conclude(replace(card, accept=()), 9.5, 10.0, 10.5, good) == (Outcome.DECIDED, "")


def test_far_from_every_calibration_sample_is_uncertain_though_t2_and_q_are_fine(bundle: Bundle) -> None:
    card = bundle.card
    assert judge(card, 0.0, 0.0, card.distance_limit) == (Quality.GOOD, "")
    quality, reason = judge(card, 0.0, 0.0, 1.01 * card.distance_limit)
    assert quality is Quality.UNCERTAIN
    assert "distance to the calibration samples" in reason
    assert judge(card, 0.0, 0.0, card.refuse_factor * 1.01 * card.distance_limit)[0] is Quality.BAD
