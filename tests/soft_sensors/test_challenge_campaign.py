"""The campaign and the fingerprint: what is caught, what is not, and that good spectra pass."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from soft_sensors.bundle import Bundle
from soft_sensors.challenge.campaign import Case, Samples, Step, challenge
from soft_sensors.challenge.faults import FAULTS
from soft_sensors.challenge.tally import tally
from soft_sensors.commands import sensor
from soft_sensors.fingerprint import Fingerprint, fingerprint_of, judge_shape, signature_limits, table_of
from soft_sensors.signals import FloatArray, Quality

from .conftest import make_blends, write_table

ACCEPT = 0.5


@pytest.fixture(scope="module")
def fingerprint(bundle: Bundle) -> Fingerprint:
    spectra = make_blends(120, seed=1).spectra[:, bundle.card.window]
    return signature_limits(spectra, np.arange(120) * 10 // 120)


def samples(n: int = 6) -> Samples:
    blends = make_blends(n, seed=11)
    return Samples(tuple(f"b{k}" for k in range(n)), blends.spectra, blends.concentration, np.ones(n), "absorbance")


def case(*steps: tuple[float, Quality]) -> Case:
    made = tuple(Step(0.1 * k, error, error, quality, "") for k, (error, quality) in enumerate(steps))
    return Case("x", "s", made, 0.25)


GOOD, DOUBT, BAD = Quality.GOOD, Quality.UNCERTAIN, Quality.BAD


@pytest.mark.parametrize(
    ("steps", "harmful", "caught", "escape"),
    [
        (case((0.1, GOOD), (0.3, DOUBT), (0.9, BAD)), True, True, 0.0),
        (case((0.1, GOOD), (-0.3, GOOD), (0.9, BAD)), True, False, 0.3),
        (case((0.1, DOUBT), (0.3, BAD), (0.4, GOOD)), True, False, 0.4),
        (case((0.1, GOOD), (0.2, GOOD)), False, False, 0.0),
        (case((0.1, GOOD), (0.2, DOUBT)), False, True, 0.0),
    ],
)
def test_caught_in_time(steps: Case, harmful: bool, caught: bool, escape: float) -> None:
    assert (steps.harmful, steps.caught, steps.escape) == (harmful, caught, escape)


def test_the_fingerprint_sees_more_than_t2_and_q(bundle: Bundle, fingerprint: Fingerprint) -> None:
    """What still escapes cannot be seen in one spectrum: here a gain is a concentration, a mean of two a third."""
    without, with_it = (tally(*challenge(bundle, samples(), ACCEPT, 1, seen)) for seen in (None, fingerprint))
    assert with_it.n_harmful >= 100
    assert with_it.caught >= max(0.93, without.caught)
    assert {k.name for k in with_it.kinds if k.escaped} <= {"gain error", "averaged with previous"}
    assert with_it.refused == 0.0


def test_a_frozen_scan_is_caught_by_the_sequence(bundle: Bundle) -> None:
    frozen = [f for f in FAULTS if f.repeats]
    cases, _ = challenge(bundle, samples(), ACCEPT, 1, None, frozen)
    assert all(c.steps[0].reason.startswith("frozen") for c in cases)
    assert tally(cases, challenge(bundle, samples(), ACCEPT, 1, None, frozen)[1]).caught == 1.0


def test_a_campaign_is_the_same_for_the_same_seed(bundle: Bundle) -> None:
    some = [f for f in FAULTS if f.name in ("noise x10", "etalon fringes")]
    first, again, other = (challenge(bundle, samples(3), ACCEPT, seed, None, some)[0] for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_good_spectra_keep_the_fingerprint(bundle: Bundle, fingerprint: Fingerprint) -> None:
    fresh = make_blends(300, seed=77).spectra[:, bundle.card.window]
    verdicts = [judge_shape(fingerprint, row, 3.0).quality for row in fresh]
    assert sum(q is Quality.BAD for q in verdicts) <= 3
    assert sum(q is not Quality.GOOD for q in verdicts) <= 30


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda x: np.interp(np.arange(x.size) + 0.3, np.arange(x.size), x), ("axis shift", "axis bow", "resolution")),
        (lambda x: x + 0.05 * (np.arange(x.size) == x.size // 2), ("spike or step", "residual")),
        (lambda x: x + np.random.default_rng(1).normal(0, 0.02, x.size), ("roughness", "residual", "spike or step")),
    ],
)
def test_the_likest_fault_is_named(bundle: Bundle, fingerprint: Fingerprint, change, named) -> None:  # type: ignore[no-untyped-def]
    x = make_blends(5, seed=12).spectra[0][bundle.card.window]
    assert judge_shape(fingerprint, x, 3.0).quality is Quality.GOOD
    verdict = judge_shape(fingerprint, np.asarray(change(x)), 3.0)
    assert verdict.quality is not Quality.GOOD
    assert any(name in verdict.reason for name in named), verdict.reason


def test_a_stored_fingerprint_measures_the_same(fingerprint: Fingerprint) -> None:
    x: FloatArray = fingerprint.mean + 0.01
    assert np.array_equal(fingerprint_of(table_of(fingerprint)).measure(x), fingerprint.measure(x))
    short = {k: v for k, v in table_of(fingerprint).items() if k != "floor"}
    with pytest.raises(KeyError):
        fingerprint_of(short)


def test_refuse_factor_parts_uncertain_from_bad(fingerprint: Fingerprint) -> None:
    slope = np.gradient(fingerprint.mean)
    worst = float(fingerprint.measure(fingerprint.mean + slope).max())
    assert judge_shape(fingerprint, fingerprint.mean + slope, worst * 1.01).quality is Quality.UNCERTAIN
    assert judge_shape(fingerprint, fingerprint.mean + slope, worst * 0.99).quality is Quality.BAD


def test_what_is_not_finite_is_bad(fingerprint: Fingerprint) -> None:
    x = fingerprint.mean.copy()
    x[3] = np.nan
    assert judge_shape(fingerprint, x, 3.0).quality is Quality.BAD


@pytest.mark.parametrize(
    ("n", "channels", "fold"),
    [(8, 10, [0, 1] * 4), (8, 80, [0] * 7 + [1]), (8, 80, [0] * 8), (40, 10, list(range(40)))],
)
def test_few_samples_channels_or_groups_still_give_a_fingerprint(n: int, channels: int, fold: list[int]) -> None:
    spectra = make_blends(n, seed=3).spectra[:, 20 : 20 + channels]
    made = signature_limits(spectra, np.array(fold))
    assert np.isfinite(made.measure(spectra[0])).all()
    assert judge_shape(made, spectra[0], 3.0).quality is not Quality.BAD


def test_a_fingerprint_needs_eight_spectra_and_channels() -> None:
    spectra = make_blends(8, seed=3).spectra
    for few in (spectra[:7], spectra[:, :7]):
        with pytest.raises(ValueError, match="needs 8"):
            signature_limits(few, np.arange(len(few)))


def test_command(bundle_path: Path, tmp_path: Path) -> None:
    blends, train = make_blends(4, seed=11), make_blends(120, seed=1)
    spectra = write_table(tmp_path / "S.csv", blends.axis, [f"b{k}" for k in range(4)], blends.spectra)
    calibration = write_table(tmp_path / "C.csv", train.axis, [f"t{k}" for k in range(120)], train.spectra)
    reference = write_table(tmp_path / "R.csv", ["api"], [f"b{k}" for k in range(4)], blends.concentration[:, None])
    asked = ["challenge", str(bundle_path), "--spectra", str(spectra), "--reference", str(reference), "--target", "api"]
    done = CliRunner().invoke(sensor, [*asked, "--accept", "0.5", "--calibration", str(calibration), "--json",
                                       str(tmp_path / "c.json")])
    made = json.loads((tmp_path / "c.json").read_text())
    assert done.exit_code == (0 if made["passed"] else 1), done.output
    assert made["n_cases"] == 4 * len(FAULTS)
    assert len(made["kinds"]) == len(FAULTS)
    assert 0.85 <= made["caught"] <= 1.0  # four spectra of a toy: a floor, the real sets are measured elsewhere
    for more, said in ((["--accept", "0"], "accept"), (["--accept", "1", "--mass", "api"], "leave --mass away"),
                       (["--accept", "1", "--target", "x"], "no column 'x'")):
        wrong = CliRunner().invoke(sensor, [*asked, *more])
        assert wrong.exit_code == 2
        assert said in wrong.output


def test_a_sample_that_is_refused_as_it_is_is_not_challenged(bundle: Bundle) -> None:
    some = samples(3)
    spoiled = replace(some, spectra=np.vstack([some.spectra[:2], some.spectra[2:] + 50.0]))
    cases, clean = challenge(bundle, spoiled, ACCEPT, 1, None, FAULTS[:1])
    assert {c.sample_id for c in cases} == {"b0", "b1"}
    assert clean[2].quality is Quality.BAD
