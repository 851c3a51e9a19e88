"""Calibration: honest choice, suspects found, intervals that cover, no evidence where there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from soft_sensors.calibrate import pls1, select, windows
from soft_sensors.calibrate.fit import Samples, calibrate
from soft_sensors.calibrate.folds import by_group, by_order
from soft_sensors.calibrate.limits import half_width
from soft_sensors.calibrate.outliers import outlying_spectra, suspect_references
from soft_sensors.calibrate.report import _page
from soft_sensors.calibrate.select import simplest
from soft_sensors.errors import CalibrationError

from .conftest import INTENT, make_blends, samples_of


@pytest.mark.parametrize("n_latent", [1, 3, 8])
def test_fast_pls_equals_scikit_learn(n_latent: int) -> None:
    from sklearn.cross_decomposition import PLSRegression

    blends = make_blends(50, seed=4)
    theirs = PLSRegression(n_latent, scale=False).fit(blends.spectra, blends.concentration)
    ours = pls1.fit(blends.spectra, blends.concentration, n_latent)
    path = pls1.predict_path(ours, blends.spectra, n_latent)
    np.testing.assert_allclose(path[:, -1], theirs.predict(blends.spectra).ravel(), rtol=1e-8)


def test_compression_changes_neither_prediction_nor_distances() -> None:
    blends = make_blends(30, seed=4)
    small, axes = pls1.compress(blends.spectra)
    np.testing.assert_allclose((blends.spectra - blends.spectra.mean(axis=0)) @ axes, small, atol=1e-9)
    assert small.shape == (30, 29)
    a, b = (pls1.fit(X[:20], blends.concentration[:20], 3) for X in (blends.spectra, small))
    np.testing.assert_allclose(pls1.predict_path(a, blends.spectra[20:], 3), pls1.predict_path(b, small[20:], 3))
    for ours, theirs in zip(pls1.distances(a, blends.spectra[20:]), pls1.distances(b, small[20:]), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_a_fully_explained_response_stops_early() -> None:
    X = np.random.default_rng(0).normal(size=(20, 3))
    y = X @ np.array([1.0, 2.0, 3.0])
    assert pls1.fit(X, y, 10).q.size <= 4
    np.testing.assert_allclose(pls1.predict_path(pls1.fit(X, y, 10), X, 10)[:, -1], y, rtol=1e-8)
    assert pls1.predict_path(pls1.fit(X, np.ones(20), 2), X, 2).tolist() == [[1.0, 1.0]] * 20


def test_the_one_standard_error_rule_takes_the_simplest_that_is_as_good() -> None:
    folds = np.array([[4.0, 1.1, 1.0], [4.2, 0.9, 1.0], [3.8, 1.1, 0.9], [4.0, 1.0, 1.0]])
    assert simplest(folds) == 2
    clearly_better = folds - np.array([0.0, 0.0, 0.5])
    assert simplest(clearly_better) == 3


def test_suspect_references_and_outlying_spectra_are_named_and_left_out() -> None:
    blends = make_blends(60, seed=6)
    blends.concentration[[7, 33]] += 3.0
    blends.spectra[50, 20:30] += 0.5
    made = calibrate(samples_of(blends), INTENT)
    reasons = {e.sample_id: e.reason for e in made.card.excluded}
    assert set(reasons) == {"b7", "b33", "b50"}
    assert "suspect reference" in reasons["b7"]
    assert "outlying spectrum" in reasons["b50"]
    assert made.card.n_samples == 57
    assert made.card.rmsecv < 0.05


def test_many_flags_mean_another_distribution_and_nobody_is_left_out() -> None:
    residual = np.concatenate([np.random.default_rng(0).normal(size=80), np.full(20, 50.0)])
    assert not suspect_references(np.zeros(100), residual).any()
    assert suspect_references(np.zeros(81), residual[:81]).tolist() == [False] * 80 + [True]
    assert not suspect_references(np.zeros(5), np.array([0.0, 0.1, 0.0, 0.1, 50.0])).any()
    assert outlying_spectra(np.ones(40), np.append(np.exp(residual[:39]), 1e9)).tolist() == [False] * 39 + [True]


def test_no_evidence_is_said_where_there_is_none() -> None:
    blends = make_blends(60, seed=7)
    blends.concentration[:] = np.random.default_rng(9).uniform(5, 15, 60)
    made = calibrate(samples_of(blends), INTENT)
    assert made.card.skill <= 0
    assert made.card.evidence.startswith("no evidence")
    assert made.card.half_width > 3.5
    assert "no evidence" in _page(made, "hash", {})


def test_intervals_cover_new_samples_on_average_over_calibrations() -> None:
    fresh = make_blends(1000, seed=99)
    covered = []
    for seed in range(1, 9):
        made = calibrate(samples_of(make_blends(60, seed)), INTENT)
        error = np.abs(made.predict(fresh.spectra) - fresh.concentration)
        covered.append(float(np.mean(error <= made.card.half_width)))
    assert 0.87 <= np.mean(covered) <= 0.96


def test_the_conformal_quantile() -> None:
    rows = np.arange(19)
    assert half_width(np.arange(1.0, 20.0), rows) == 18.0  # the 18th of 19: the first that holds 90 %
    assert half_width(-np.arange(1.0, 20.0), rows) == 18.0
    few = np.array([0, 0, 1, 1, 2, 2])
    assert half_width(np.array([1.0, 2, 3, 4, 5, 9]), few) == 9.0
    # one bad group among 19 with 100 samples of its own weighs no more than a group of one
    residual = np.concatenate([np.arange(1.0, 19.0), np.full(100, 50.0)])
    unit = np.concatenate([np.arange(18), np.full(100, 18)])
    assert half_width(residual, unit) == 18.0


def test_grouped_intervals_are_wider_when_groups_differ() -> None:
    blends = make_blends(72, seed=9)
    batch = np.repeat(np.arange(12), 6)
    shift = np.random.default_rng(10).normal(0.0, 1.0, 12)
    blends.concentration[:] += shift[batch]
    plain = calibrate(samples_of(blends), INTENT).card
    samples = replace(samples_of(blends), folding=by_group([f"lot{b}" for b in batch], "lot", seed=1))
    card = calibrate(samples, INTENT).card
    assert card.n_groups == 12
    assert "12 groups (lot)" in card.grouping
    assert plain.n_groups == 0
    assert card.half_width > 1.0  # of the shift between lots, standard deviation 1; within one lot 0.2 would do


def test_no_group_is_ever_split() -> None:
    labels = [f"g{k % 60}" for k in range(300)]
    folding = by_group(labels, "g", seed=3)
    assert np.unique(folding.fold).size == 10
    assert all(len({folding.fold[k] for k in range(300) if labels[k] == g}) == 1 for g in set(labels))
    np.testing.assert_array_equal(folding.fold, by_group(labels, "g", seed=3).fold)
    assert (folding.fold != by_group(labels, "g", seed=4).fold).any()
    assert by_order(30).n_units == 30
    assert np.unique(by_order(200).fold).tolist() == list(range(10))


def test_detector_noise_at_the_ends_is_left_aside() -> None:
    blends = make_blends(40, seed=11)
    noise = np.random.default_rng(12).normal(0.0, 5.0, (40, 80))
    spectra = np.concatenate([noise[:, :30], blends.spectra, noise[:, :25]], axis=1)
    found = windows.quiet_window(spectra)
    assert 28 <= found.start <= 36
    assert 104 <= found.stop <= 112
    asked = windows.asked_window(np.arange(100.0)[::-1], 20.0, 40.0)
    assert (asked.start, asked.stop) == (59, 80)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda s: replace(s, sample_ids=s.sample_ids[:5], spectra=s.spectra[:5], reference=s.reference[:5],
                           folding=by_order(5)), "5 usable samples"),
        (lambda s: replace(s, reference=np.full(60, 3.0)), "all 60 reference values are 3"),
        (lambda s: replace(s, spectra=np.ones_like(s.spectra)), "usable channels"),
    ],
)
def test_samples_that_allow_no_model(spoil, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(CalibrationError, match=words):
        calibrate(spoil(samples_of(make_blends(60, seed=1))), INTENT)


def test_too_few_groups() -> None:
    with pytest.raises(CalibrationError, match="at least 3"):
        by_group(["a", "b", "a"], "lot", seed=1)


def test_an_asked_range_is_kept() -> None:
    samples: Samples = samples_of(make_blends(60, seed=1))
    card = calibrate(samples, replace(INTENT, axis_range=(1000.0, 1400.0))).card
    assert (card.window_low, card.window_high) == (1000.0, 1400.0)


def test_recipes_that_cannot_be_told_apart_are_averaged() -> None:
    blends = make_blends(60, seed=5)
    blends.concentration[:] += np.random.default_rng(5).normal(0.0, 0.8, 60)  # a poor reference tells little apart
    many, few = calibrate(samples_of(blends), INTENT), calibrate(samples_of(make_blends(30, seed=3)), INTENT)
    assert 1 < len(many.members) <= select.MOST_MEMBERS
    assert len(many.card.averaged) == len(many.members)
    assert many.card.averaged[0] == f"{many.card.pretreatment}, {many.card.n_latent}"
    rows = many.samples.spectra[:5]
    by_hand = sum(np.ravel(member.pipeline.predict(rows)) for member in many.members) / len(many.members)
    np.testing.assert_allclose(many.predict(rows), by_hand, rtol=1e-12)
    assert (len(few.members), few.card.averaged) == (1, ())
