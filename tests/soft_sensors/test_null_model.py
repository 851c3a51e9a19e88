"""What one would say without the spectrum: a sensor that is no better has no evidence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from soft_sensors.bundle import load_bundle
from soft_sensors.calibrate import null
from soft_sensors.calibrate.fit import calibrate
from soft_sensors.commands import sensor

from .conftest import INTENT, make_blends, samples_of, write_table


def aging(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Spectra that only age, and a reference that follows age and its own chance, not the spectrum's."""
    draw = np.random.default_rng(seed)
    day = np.tile(np.arange(10.0), 6)
    blends = make_blends(60, seed)
    spectra = blends.spectra + 0.2 * np.outer(day + draw.normal(0.0, 0.8, 60), np.sin(blends.axis / 90.0))
    return day, spectra


def test_the_better_of_mean_and_trend() -> None:
    day, fold, keep = np.tile(np.arange(10.0), 6), np.repeat(np.arange(6), 10), np.ones(60, dtype=np.bool_)
    noise = np.random.default_rng(1).normal(0.0, 0.1, 60)
    found = null.best(2.0 * day - 0.1 * day**2 + noise, fold, keep, day, "day")
    assert found.name == "trend in day"
    assert 0.08 < found.rmse < 0.12
    flat = null.best(5.0 + noise, fold, keep, day, "day")
    assert (flat.name, null.best(5.0 + noise, fold, keep).name) == (null.MEAN, null.MEAN)
    out = keep.copy()
    out[7] = False
    spoilt = 5.0 + noise
    spoilt[7] = 1000.0
    assert null.best(spoilt, fold, out).rmse < 0.2, "a sample that is left out neither teaches nor counts"


def test_spectra_that_only_age_have_skill_over_the_mean_and_none_over_the_clock() -> None:
    day, spectra = aging(seed=2)
    reference = 3.0 * day + np.random.default_rng(3).normal(0.0, 1.0, 60)
    samples = replace(samples_of(make_blends(60, seed=2)), spectra=spectra, reference=reference)
    blind = calibrate(samples, INTENT).card
    assert blind.skill > 0.5
    told = calibrate(replace(samples, time=day), replace(INTENT, time="day")).card
    assert told.null == "trend in day"
    assert told.skill <= 0.0
    assert told.evidence == "no evidence: the spectra predict this no better than the trend in day"


def test_the_command_says_so(tmp_path: Path) -> None:
    day, spectra = aging(seed=4)
    reference = 3.0 * day + np.random.default_rng(5).normal(0.0, 1.0, 60)
    ids = [f"s{k}" for k in range(60)]
    write_table(tmp_path / "S.csv", make_blends(1, 1).axis, ids, spectra)
    write_table(tmp_path / "R.csv", ["titre", "day"], ids, np.column_stack([reference, day]).tolist())
    done = CliRunner().invoke(sensor, ["calibrate", "--spectra", str(tmp_path / "S.csv"), "--reference",
                                       str(tmp_path / "R.csv"), "--target", "titre", "--time", "day", "--out",
                                       str(tmp_path / "m")])
    assert done.exit_code == 0, done.output
    assert "no evidence" in " ".join(done.stdout.split())
    assert load_bundle(tmp_path / "m").card.null == "trend in day"
