"""Rules that are one word long in the code, each with the case where that word alone decides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from soft_sensors.bundle import Bundle
from soft_sensors.calibrate import limits, select
from soft_sensors.calibrate.fit import Calibration, calibrate
from soft_sensors.calibrate.pretreatment import RECIPES
from soft_sensors.calibrate.wear import Treated, some
from soft_sensors.calibrate.windows import Region
from soft_sensors.commands import sensor
from soft_sensors.estimate import estimate
from soft_sensors.signals import Quality, Spectrum, Verdict

from .conftest import INTENT, make_blends, samples_of, write_table


def test_a_recipe_that_wear_moves_loses_to_a_steady_one_though_it_fits_better() -> None:
    draw = np.random.default_rng(1)
    y = draw.uniform(0.0, 10.0, 30)
    fine, coarse = (y[:, None] + draw.normal(0.0, sd, (30, 1)) for sd in (0.05, 0.3))
    places = some(30)
    fold, keep = np.arange(30, dtype=np.int64) % 5, np.ones(30, dtype=np.bool_)

    def chosen(moved_by: float) -> str:
        treated = {RECIPES[0]: Treated(fine, fine[places][None] + moved_by, places),
                   RECIPES[1]: Treated(coarse, coarse[places][None], places)}
        return select.choose({Region("whole", 0, 1): treated}, y, fold, keep).members[0].recipe.name

    assert chosen(0.0) == RECIPES[0].name
    assert chosen(2.0) == RECIPES[1].name


def test_a_shape_that_only_the_fingerprint_minds_makes_the_estimate_uncertain(bundle: Bundle) -> None:
    fresh = make_blends(1, seed=2)
    verdict = Verdict(Quality.GOOD)
    plain = Spectrum(fresh.axis, "nm", fresh.spectra[0], 1, 0.0)
    assert estimate(bundle, plain, verdict).quality is Quality.GOOD
    step = np.where(fresh.axis > 1400.0, 1.0, 0.0)
    for size in np.geomspace(1e-4, 0.1, 60):
        found = estimate(bundle, replace(plain, values=plain.values + size * step), verdict)
        if found.quality is not Quality.GOOD:
            break
    card = bundle.card
    assert found.t2 <= card.t2_limit
    assert found.q <= card.q_limit
    assert found.distance <= card.distance_limit
    assert found.quality is Quality.UNCERTAIN
    assert found.reason.startswith("shape: ")


def test_calibrate_takes_the_bundle_away_when_the_test_set_was_learnt(tmp_path: Path) -> None:
    blends, fresh = make_blends(24, seed=3), make_blends(5, seed=4)
    ids = [f"b{k}" for k in range(24)]
    files = {"S": (blends.axis, ids, blends.spectra), "T": (fresh.axis, [f"t{k}" for k in range(5)], fresh.spectra),
             "L": (blends.axis, ["x"], blends.spectra[[3]]), "R": (["api"], ids, blends.concentration[:, None])}
    paths = {name: write_table(tmp_path / f"{name}.csv", *table) for name, table in files.items()}
    out = tmp_path / "model"
    asked = ["calibrate", "--spectra", paths["S"], "--reference", paths["R"], "--target", "api", "--out", out, "--test"]
    fit = CliRunner().invoke(sensor, [str(a) for a in (*asked, paths["T"])])
    assert fit.exit_code == 0, fit.output
    assert (out / "card.toml").is_file()
    learnt = CliRunner().invoke(sensor, [str(a) for a in (*asked, paths["L"])])
    assert learnt.exit_code == 1
    assert "x: identical to the spectrum of calibration sample b3" in learnt.stderr
    assert not out.exists()


@pytest.fixture(scope="module")
def with_suspects() -> Calibration:
    """60 blends, five of them with a reference that is far off."""
    blends = make_blends(60, seed=6)
    blends.concentration[[3, 14, 25, 36, 47]] += 4.0
    return calibrate(samples_of(blends), INTENT)


def test_the_interval_is_the_sensors_not_that_of_suspect_references(with_suspects: Calibration) -> None:
    made = with_suspects
    residual, unit = made.predicted - made.samples.reference, made.samples.folding.unit
    assert np.flatnonzero(made.suspect).tolist() == [3, 14, 25, 36, 47]
    assert made.card.half_width == limits.half_width(residual[made.keep], unit[made.keep])
    assert made.card.half_width < limits.half_width(residual, unit)
