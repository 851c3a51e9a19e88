"""A test set that was seen in calibration is found; one that was not is let through."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from soft_sensors.bundle import load_bundle
from soft_sensors.calibrate.evidence import CALIBRATION, check_agreement, read_evidence
from soft_sensors.calibrate.fit import Calibration, calibrate
from soft_sensors.calibrate.folds import by_group
from soft_sensors.calibrate.package import write_bundle
from soft_sensors.calibrate.quarantine import nearness, overlap, shared_spectra
from soft_sensors.calibrate.windows import quiet_window
from soft_sensors.errors import AlteredError, BundleError, TableError

from .conftest import INTENT, make_blends, real, samples_of


def test_the_evidence_says_what_the_model_was_made_from(made: Calibration, bundle_path: Path) -> None:
    evidence = read_evidence(bundle_path)
    assert evidence.sample_ids == made.samples.sample_ids
    assert np.array_equal(evidence.spectra, made.samples.spectra)
    assert np.array_equal(evidence.predicted, made.predicted)
    assert set(evidence.curves) == set(made.curves)
    assert 0 < evidence.rmsec < made.card.rmsecv
    check_agreement(evidence, made.card)


def test_the_evidence_is_written_the_same_each_time(made: Calibration, bundle_path: Path, tmp_path: Path) -> None:
    write_bundle(made, tmp_path / "again")
    assert (tmp_path / "again" / CALIBRATION).read_bytes() == (bundle_path / CALIBRATION).read_bytes()


def test_groups_keep_their_labels(tmp_path: Path) -> None:
    blends = make_blends(24, seed=3)
    samples = replace(samples_of(blends), folding=by_group([f"lot {k % 4}" for k in range(24)], "lot", 1))
    write_bundle(calibrate(samples, INTENT), tmp_path / "grouped")
    assert read_evidence(tmp_path / "grouped").group[:5] == ("lot 0", "lot 1", "lot 2", "lot 3", "lot 0")
    fresh = make_blends(2, seed=4).spectra
    assert overlap(tmp_path / "grouped", ["x", "y"], fresh, ["lot 3", "lot 9"]) == [
        "group lot 3: in the calibration set with 6 sample(s), in the test set with 1"]


def test_altered_or_missing_evidence_is_refused(bundle_path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(bundle_path, folder)
    content = bytearray((folder / CALIBRATION).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / CALIBRATION).write_bytes(bytes(content))
    with pytest.raises(AlteredError, match="altered"):
        read_evidence(folder)
    load_bundle(folder)  # the service neither reads nor misses it
    (folder / CALIBRATION).unlink()
    with pytest.raises(BundleError, match="keeps no calibration set"):
        read_evidence(folder)


def test_evidence_of_another_model_is_refused(made: Calibration, bundle_path: Path) -> None:
    with pytest.raises(AlteredError, match="another model"):
        check_agreement(read_evidence(bundle_path), replace(made.card, rmsecv=made.card.rmsecv * 1.001))


def test_a_fresh_test_set_is_independent(bundle_path: Path) -> None:
    fresh = make_blends(40, seed=5).spectra
    assert overlap(bundle_path, [f"t{k}" for k in range(40)], fresh) == []


def test_a_copied_spectrum_is_found_whatever_its_name(made: Calibration, bundle_path: Path) -> None:
    copy = np.array([[float(f"{v:.8g}") for v in made.samples.spectra[3]]])  # as a file with eight digits holds it
    (line,) = overlap(bundle_path, ["renamed"], copy)
    assert line == "renamed: identical to the spectrum of calibration sample b3"


def test_a_scaled_and_shifted_copy_is_found(made: Calibration, bundle_path: Path) -> None:
    (line,) = overlap(bundle_path, ["t"], 1.02 * made.samples.spectra[[7]] + 0.01)
    assert "nearly the spectrum of calibration sample b7" in line


def test_the_same_name_with_much_the_same_spectrum_is_found(made: Calibration, bundle_path: Path) -> None:
    card, evidence = made.card, read_evidence(bundle_path)
    limits = nearness(card, evidence)
    noise = np.random.default_rng(6).normal(0.0, 1.0, made.samples.spectra[7].shape)
    for size in np.geomspace(1e-5, 1e-2, 40):
        again = made.samples.spectra[[7]] + size * noise
        if (other := overlap(bundle_path, ["other"], again)) == [] and overlap(bundle_path, ["b7"], again):
            break
    assert other == []
    assert limits.duplicate < limits.same_name
    assert "the same sample_id" in overlap(bundle_path, ["b7"], again)[0]
    assert overlap(bundle_path, ["b7"], make_blends(1, seed=8).spectra) == []  # a name used again for another sample


def test_spectra_of_another_length_are_refused(bundle_path: Path) -> None:
    with pytest.raises(TableError, match="needs"):
        overlap(bundle_path, ["t"], np.ones((1, 3)))


REAL = {
    "idrc2002_tablets_dev_cal_val": ("X_inst1", None), "dyrby2002_nir_dev": ("X_nir", "batch"),
    "dyrby2002_raman_dev": ("X_raman", "batch"), "corn_nir_3_instruments": ("X_m5", None),
    "bioreactor_raman_small_dev": ("X_raman", "reactor"),
}  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_real_sets_raise_no_false_alarm_and_hide_no_copy(made: Calibration, bundle_path: Path, name: str) -> None:
    """Every second sample (or group) is the test set; then copies with new noise, gain and offset are put in."""
    stored = real(name)
    spectra_name, group = REAL[name]
    X = np.asarray(stored[spectra_name], dtype=np.float64)[:, ::2]
    labels = np.arange(len(X)) if group is None else np.unique(stored[group], return_inverse=True)[1]
    drawn = np.random.default_rng(1).permutation(labels.max() + 1) % 2 == 0
    train, test = X[drawn[labels]], X[~drawn[labels]]
    quiet = quiet_window(train)
    axis = np.arange(X.shape[1], dtype=np.float64)
    card = replace(made.card, axis=axis, window_low=axis[quiet][0], window_high=axis[quiet][-1])
    evidence = replace(read_evidence(bundle_path), spectra=train, unit=labels[drawn[labels]],
                       sample_ids=tuple(f"c{k}" for k in range(len(train))))
    assert shared_spectra(card, evidence, [f"t{k}" for k in range(len(test))], test) == []
    draw = np.random.default_rng(2)
    copies = train[:20] * (1 + draw.normal(0, 0.01, (20, 1))) + draw.normal(0, 0.01, (20, 1)) * np.abs(train).mean()
    # A first derivative over 11 channels passes 1/sqrt(110) of white noise: half the limit is reached.
    noise = 0.5 * np.sqrt(110.0) * nearness(card, evidence).duplicate * train[:20][:, quiet].std(axis=1, keepdims=True)
    copies += noise * draw.normal(0.0, 1.0, copies.shape)
    assert len(shared_spectra(card, evidence, [f"x{k}" for k in range(20)], copies)) == 20
