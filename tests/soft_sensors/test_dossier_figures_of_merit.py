"""What the dossier computes: against hand calculations and against disturbances of known effect."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from scipy import stats

from soft_sensors.bundle import Bundle
from soft_sensors.calibrate.fit import Calibration
from soft_sensors.dossier import sensitivity
from soft_sensors.dossier.digits import fixed, p_said, p_value, places_for, signed
from soft_sensors.dossier.findings import Findings, find
from soft_sensors.dossier.headings import UnsupportedError
from soft_sensors.dossier.history import read_history
from soft_sensors.dossier.material import Inputs, gather
from soft_sensors.dossier.performance import performance
from soft_sensors.errors import RegistryError, TableError
from soft_sensors.predictions import Prediction
from soft_sensors.registry.entries import Role
from soft_sensors.registry.keys import public_hex
from soft_sensors.registry.log import append
from soft_sensors.registry.log import found as found_registry

from .dossier_hand import write_case


@pytest.fixture(scope="module")
def case(bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """A complete case."""
    return write_case(tmp_path_factory.mktemp("case"), bundle_path)


@pytest.fixture(scope="module")
def found(case: Inputs) -> Findings:
    """All that is computed from it."""
    return find(gather(case))


def rows_of(values: list[float], half: float) -> list[Prediction]:
    return [Prediction(f"p{k}", v, v - half, v + half, 1.0, 1.0, "good", "") for k, v in enumerate(values)]


def test_figures_of_merit_by_hand() -> None:
    y = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    result = performance(rows_of([1.1, 2.1, 2.9, 4.3, 5.1], 0.15), y)
    difference = np.array([0.1, 0.1, -0.1, 0.3, 0.1])
    assert result.score.rmsep == pytest.approx(math.sqrt(0.13 / 5))
    assert result.p_bias == pytest.approx(stats.ttest_1samp(difference, 0.0).pvalue)
    low, high = stats.t.interval(0.95, 4, loc=0.1, scale=stats.sem(difference))
    assert result.bias_half == pytest.approx((high - low) / 2)
    assert result.score.coverage_90 == pytest.approx(0.8)
    # Clopper-Pearson for 4 of 5, from the tables.
    assert (result.coverage_low, result.coverage_high) == (pytest.approx(0.2836, abs=1e-4),
                                                           pytest.approx(0.9949, abs=1e-4))
    assert result.line.slope == pytest.approx(np.polyfit(y, y + difference, 1)[0])
    assert result.line.slope_low < result.line.slope < result.line.slope_high
    assert result.half_width == pytest.approx(0.15)


def test_a_bent_response_is_noticed() -> None:
    draw = np.random.default_rng(1)
    y = np.linspace(0.0, 10.0, 40)
    noise = draw.normal(0.0, 0.1, 40)
    assert performance(rows_of((y + noise).tolist(), 1.0), y).line.p_quadratic > 0.05
    assert performance(rows_of((y + 0.02 * (y - 5) ** 2 + noise).tolist(), 1.0), y).line.p_quadratic < 0.001


def test_the_regression_vector_is_the_models(bundle: Bundle, made: Calibration) -> None:
    """A step along any direction changes the value by the vector's product with it."""
    mean = made.samples.spectra[made.keep].mean(axis=0)
    vector = sensitivity.regression_vector(bundle, mean)
    used = bundle.card.window
    for row in made.samples.spectra[:5]:
        step = np.zeros_like(mean)
        step[used] = 1e-4 * (row - mean)[used]
        change = bundle.infer(mean + step)["value"] - bundle.infer(mean - step)["value"]
        assert change / 2 == pytest.approx(float(vector @ step[used]), rel=1e-3, abs=1e-9)


def test_the_model_answers_to_the_analyte_and_not_to_the_filler(found: Findings) -> None:
    analyte, filler = found.responses
    assert (analyte.name, analyte.relative_pct) == ("api", pytest.approx(100.0))
    assert analyte.correlation > 0.6
    assert abs(filler.relative_pct) < 25
    assert abs(filler.correlation) < analyte.correlation / 2
    assert found.at_test.response == pytest.approx(1.0, abs=0.1)
    assert found.bands[0].low < 1190
    assert found.bands[0].high > 1110  # the analyte's band: 1150 nm, 40 wide
    assert sum(b.share_pct for b in found.bands) == pytest.approx(100.0)


def test_noise_is_measured_under_a_smooth_signal() -> None:
    draw = np.random.default_rng(3)
    smooth = np.sin(np.linspace(0.0, 6.0, 400))
    assert sensitivity.noise(smooth + draw.normal(0.0, 0.01, (50, 400))) == pytest.approx(0.01, rel=0.05)


def test_repeated_scans_show_the_noise_they_were_made_with(found: Findings) -> None:
    expected = 0.002 * float(np.linalg.norm(found.vector))
    assert found.repeatability.freedom == 6
    assert 0.4 * expected < found.repeatability.sd < 2.0 * expected


def test_repeats_that_repeat_nothing_are_no_evidence(case: Inputs) -> None:
    with pytest.raises(UnsupportedError, match="no sample was scanned twice"):
        find(gather(replace(case, repeat=case.spectra)))


def test_pure_spectra_without_the_analyte_are_no_evidence(bundle_path: Path, tmp_path: Path) -> None:
    case = write_case(tmp_path, bundle_path, {"specificity.analyte": "caffeine"})
    with pytest.raises(UnsupportedError, match="'caffeine' is no row of the pure spectra; they are api, filler"):
        find(gather(case))


def test_disturbances_do_what_they_say(found: Findings, bundle: Bundle) -> None:
    by_name = {(e.name, e.size): e for e in found.effects}
    assert by_name["none (test set as measured)", ""].rms == 0.0
    up, down = by_name["axis shift", "+1 nm"], by_name["axis shift", "-1 nm"]
    assert up.rms > 0
    assert up.mean * down.mean < 0
    noisy = by_name["noise", "2 times"]
    assert noisy.rms == pytest.approx(math.sqrt(3) * 0.002 * float(np.linalg.norm(found.vector)), rel=0.5)


def test_a_fault_campaign_of_another_kind_is_refused(case: Inputs, tmp_path: Path) -> None:
    wrong = tmp_path / "faults.json"
    for text in ("[]", "{", '{"caught": 1}'):
        wrong.write_text(text, encoding="utf-8")
        with pytest.raises(TableError, match=r"faults\.json"):
            _robustness(replace(case, faults=wrong))


def _robustness(case: Inputs) -> object:
    from soft_sensors.dossier.campaign import campaign_blocks

    return campaign_blocks(gather(case))


def test_no_registry_no_history_and_a_broken_one_is_refused(tmp_path: Path) -> None:
    assert read_history(None, "0" * 64) == ()
    (tmp_path / "log.jsonl").write_text('{"seq": 0}\n', encoding="utf-8")
    with pytest.raises(RegistryError):
        read_history(tmp_path, "0" * 64)


def test_numbers_are_printed_with_the_digits_they_are_worth() -> None:
    assert (places_for(4.5), places_for(0.35), places_for(120.0), places_for(math.nan)) == (2, 3, 0, 3)
    assert (fixed(2.103, 2), fixed(-0.5, 2), fixed(-1e-14, 2), fixed(math.nan, 2)) == ("2.10", "−0.50", "0.00", "–")
    assert (signed(0.06, 2), signed(-0.06, 2), signed(1e-9, 2)) == ("+0.06", "−0.06", "0.00")
    assert (p_value(0.0004), p_value(0.0042), p_value(0.87)) == ("< 0.001", "0.004", "0.87")
    assert (p_said(0.0004), p_said(0.87)) == ("p < 0.001", "p = 0.87")


def test_the_signed_history_of_the_bundle_is_told(bundle: Bundle, tmp_path: Path) -> None:
    owner, author = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    found_registry(tmp_path / "registry", owner, "Olga", (Role.OWNER,), 1.8e9)
    body = {"name": "Anna", "public_key": public_hex(author), "roles": ["author"]}
    append(tmp_path / "registry", owner, "enrol", body, 1.8e9 + 1)
    criteria = {"max_rmsep": 1.0, "min_coverage": 0.8, "max_coverage": 1.0, "min_samples": 20,
                "valid_until_s": 1.9e9, "max_bias": 0.1}
    body = {"model": "blend", "bundle": bundle.bundle_hash, "skill": 0.9, "reason": "first", "criteria": criteria}
    append(tmp_path / "registry", author, "register", body, 1.8e9 + 2)
    (event,) = read_history(tmp_path / "registry", bundle.bundle_hash)
    assert (event.action, event.person, event.said) == ("register", "Anna", "first")
    assert event.time.startswith("2027-01-15T08:00:02")
    assert read_history(tmp_path / "registry", "f" * 64) == ()
