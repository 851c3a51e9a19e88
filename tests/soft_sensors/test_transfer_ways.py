"""Limits only, re-calibration with references, the new instrument's fingerprint and evidence."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from soft_sensors.bundle import GRAPH, Bundle, load_bundle
from soft_sensors.calibrate.evidence import CALIBRATION, Evidence, check_agreement, read_evidence
from soft_sensors.calibrate.quarantine import overlap
from soft_sensors.calibrate.transfer import pooled
from soft_sensors.calibrate.transfer.describe import LIMITS_ONLY, interval
from soft_sensors.calibrate.transfer.maps import Map
from soft_sensors.calibrate.transfer.move import Known, Moved, Paired, move
from soft_sensors.calibrate.transfer.package import write_moved
from soft_sensors.calibrate.transfer.pooled import POOLED, Home
from soft_sensors.calibrate.transfer.routes import Tried
from soft_sensors.commands import sensor
from soft_sensors.errors import TransferError
from soft_sensors.predictions import Prediction, predict
from soft_sensors.read.tables import SpectraTable
from soft_sensors.signals import FloatArray

from .conftest import Blends, make_blends, write_table

HOME, TEST = make_blends(60, seed=1), make_blends(60, seed=12)
ROWS = np.arange(0, 60, 3)
IDS = tuple(f"b{k}" for k in ROWS)


def noisy(blends: Blends, seed: int) -> FloatArray:
    """The blends on a detector with four times the noise: no map helps, and every spectrum is rough."""
    return blends.spectra + np.random.default_rng(seed).normal(0.0, 0.008, blends.spectra.shape)


def bent(blends: Blends, seed: int) -> FloatArray:
    """The blends through a longer fibre with a band of its own, which bends from scan to scan: broad random bands."""
    draw = np.random.default_rng(seed)
    bands = [np.exp(-0.5 * ((blends.axis - c) / 60.0) ** 2) for c in (1230.0, 1450.0)]
    heights = draw.normal(0.0, 0.1, (len(blends.spectra), 2))
    own = 0.15 * np.exp(-0.5 * ((blends.axis - 1160.0) / 40.0) ** 2)
    return own + blends.spectra + heights @ np.array(bands) + draw.normal(0.0, 0.002, blends.spectra.shape)


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(sensor, ["transfer", *(str(a) for a in arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def predictions(bundle: Bundle, spectra: FloatArray) -> list[Prediction]:
    return list(predict(bundle, SpectraTable(tuple(map(str, range(len(spectra)))), bundle.card.axis, spectra)))


def share(rows: list[Prediction], quality: str) -> float:
    return float(np.mean([row.quality == quality for row in rows]))


@pytest.fixture(scope="module")
def evidence(bundle_path: Path) -> Evidence:
    return read_evidence(bundle_path)


@pytest.fixture(scope="module")
def rough(bundle: Bundle, bundle_path: Path, evidence: Evidence) -> Moved:
    wide = replace(bundle, card=replace(bundle.card, half_width=1.0))
    return move(wide, (bundle_path / GRAPH).read_bytes(), Paired(IDS, HOME.spectra[ROWS], noisy(HOME, 2)[ROWS]), "m",
                known=Known(evidence))


@pytest.fixture(scope="module")
def again(bundle: Bundle, bundle_path: Path, evidence: Evidence) -> Moved:
    """Fitted again, whatever a map could do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tried, "prefers_pooled", lambda *_: True)
        return move(bundle, (bundle_path / GRAPH).read_bytes(), Paired(IDS, HOME.spectra[ROWS], bent(HOME, 3)[ROWS]),
                    "m", known=Known(evidence))


@pytest.fixture(scope="module")
def home(bundle: Bundle, evidence: Evidence) -> Home:
    found = pooled.home_of(evidence, bundle.card, IDS, {})
    assert found is not None
    return found


def test_where_values_agree_only_the_limits_move(bundle: Bundle, rough: Moved, tmp_path: Path) -> None:
    assert rough.card.transfer is not None
    assert rough.card.transfer.method == LIMITS_ONLY
    assert any("nothing to gain in value" in text for text in rough.warnings)
    moved, new = write_moved(rough, tmp_path / "m"), noisy(TEST, 4)
    assert [moved.infer(row)["value"] for row in new] == [bundle.infer(row)["value"] for row in new]
    assert share(predictions(bundle, new), "good") < 0.2
    after = predictions(moved, new)
    assert share(after, "good") >= 0.9
    assert share(after, "bad") <= 0.02
    assert moved.card.half_width >= 1.0


def test_where_spectra_are_good_as_they_are_nothing_is_written(bundle_path: Path, tmp_path: Path) -> None:
    draw = np.random.default_rng(8)
    write_table(tmp_path / "A.csv", HOME.axis, IDS, HOME.spectra[ROWS])
    write_table(tmp_path / "B.csv", HOME.axis, IDS, HOME.spectra[ROWS] + draw.normal(0.0, 0.0005, (20, 80)))
    result = run(bundle_path, "--from", tmp_path / "A.csv", "--to", tmp_path / "B.csv", "--out", tmp_path / "m")
    assert result.exit_code == 1
    assert "use the model as it is" in result.stderr
    assert not (tmp_path / "m").exists()


def test_the_model_fitted_again_holds_on_the_new_instrument(bundle: Bundle, again: Moved, tmp_path: Path) -> None:
    assert again.card.transfer is not None
    assert again.card.transfer.method == POOLED
    assert again.tried is not None
    moved, new = write_moved(again, tmp_path / "m"), bent(TEST, 5)
    error = np.array([moved.infer(row)["value"] for row in new]) - TEST.concentration
    without = np.array([bundle.infer(row)["value"] for row in new]) - TEST.concentration
    assert np.sqrt(np.mean(error**2)) < 0.5 * np.sqrt(np.mean(without**2))
    assert np.mean(np.abs(error) <= moved.card.half_width) >= 0.85
    assert share(predictions(moved, new), "good") >= 0.85
    assert again.card.transfer.referenced == len(IDS)
    assert again.card.transfer.rmsep_after < again.card.transfer.rmsep_before


def test_a_fault_on_the_new_instrument_has_a_name(again: Moved, tmp_path: Path) -> None:
    moved, new = write_moved(again, tmp_path / "m"), bent(TEST, 5)
    assert moved.fingerprint is not None
    spike = new.copy()
    spike[:, 40] += 0.1
    rows = predictions(moved, spike)
    assert share(rows, "good") == 0.0
    assert all("shape: spike or step" in row.reason for row in rows)


def test_a_held_out_value_has_seen_nothing_of_its_pair(home: Home) -> None:
    home = replace(home, on_kernel=False)  # the kernel's three numbers are learnt once, from all
    old, new, fold = HOME.spectra[ROWS], bent(HOME, 3)[ROWS], np.arange(ROWS.size) % 10
    maps = tuple(Map("shift", offset=np.zeros(home.window.stop - home.window.start)) for _ in range(10))
    plain = pooled.refit(home, old, new, maps, fold)
    truth, reference = home.truth.copy(), home.reference.copy()
    truth[0], reference[home.row[0]] = 99.0, -99.0
    spoiled = pooled.refit(replace(home, truth=truth, reference=reference), old, new, maps, fold)
    mates = fold == fold[0]
    for name in ("plain", "mapped", "pooled"):
        was, now = getattr(plain, name), getattr(spoiled, name)
        assert now[0] == was[0], name
        assert np.all(now[~mates] != was[~mates]), name


@pytest.mark.parametrize(("rival", "refitted", "home_error", "wanted"), [
    (1.0, 0.1, 1.0, True), (0.1, 1.0, 1.0, False), (1.0, 0.99, 1.0, False),  # a map as good as at home: clearly better
    (1.0, 0.99, 0.2, True), (0.99, 1.0, 0.2, True), (0.6, 1.0, 0.2, False),  # a map that is worse: unless clearly worse
    (100.0, 20.0, 0.2, False),  # no better than the mean
])
def test_which_of_map_and_re_calibration(
    home: Home, rival: float, refitted: float, home_error: float, wanted: bool
) -> None:
    draw = np.random.default_rng(9)
    first, second = (d / np.sqrt(np.mean(d**2)) for d in draw.normal(0.0, 1.0, (2, ROWS.size)))
    found = pooled.Refitted(home.truth + 50.0, home.truth + rival * first, home.truth + refitted * second)
    tried = Tried(home_error, home, found, home.trusted, home.trusted, ())
    assert tried.prefers_pooled(map_helps=True) is wanted


def test_a_wrong_reference_of_a_pair_is_named_and_does_not_count(
    bundle: Bundle, bundle_path: Path, evidence: Evidence
) -> None:
    references = {s: float(HOME.concentration[k]) for s, k in zip(IDS, ROWS, strict=True)}
    references[IDS[4]] += 30.0
    moved = move(bundle, (bundle_path / GRAPH).read_bytes(), Paired(IDS, HOME.spectra[ROWS], bent(HOME, 3)[ROWS]), "m",
                 known=Known(evidence, references))
    assert moved.card.transfer is not None
    assert moved.card.transfer.referenced == len(IDS) - 1
    assert any(text.endswith(f"suspect at home or here: {IDS[4]}") for text in moved.warnings)


def test_strangers_are_refused_with_references_too(
    bundle: Bundle, bundle_path: Path, evidence: Evidence
) -> None:
    paired = Paired(IDS, HOME.spectra[ROWS], bent(TEST, 3)[ROWS])
    with pytest.raises(TransferError, match="sample_id pairs the same samples"):
        move(bundle, (bundle_path / GRAPH).read_bytes(), paired, "m", known=Known(evidence))


def test_card_and_evidence_of_the_moved_model_agree(again: Moved, tmp_path: Path) -> None:
    moved = write_moved(again, tmp_path / "m")
    kept = read_evidence(tmp_path / "m")
    check_agreement(kept, moved.card)
    assert {kept.sample_ids[k] for k in np.flatnonzero(kept.keep)} == set(IDS)
    assert len(kept.sample_ids) == 60
    known = overlap(tmp_path / "m", IDS, again.paired.new)
    assert len(known) == len(IDS)
    assert overlap(tmp_path / "m", [f"t{k}" for k in range(60)], bent(TEST, 5)) == []


def test_without_the_calibration_it_is_said_what_is_missing(bundle: Bundle, bundle_path: Path) -> None:
    moved = move(bundle, (bundle_path / GRAPH).read_bytes(),
                 Paired(IDS, HOME.spectra[ROWS], HOME.spectra[ROWS] * 1.1 + 0.1), "m")
    assert moved.fingerprint is None
    assert not moved.evidence
    assert any("no fingerprint" in text for text in moved.warnings)


def test_few_errors_get_a_wider_interval_and_never_a_narrower_one_than_at_home(bundle: Bundle) -> None:
    card = bundle.card
    normal = replace(card, half_width=1.2 * card.rmsecv)
    many, few = np.full(1000, 5.0 * card.rmsecv), np.full(6, 5.0 * card.rmsecv)
    assert interval(normal, many) == pytest.approx(5.0 * 1.6449 * card.rmsecv, rel=2e-3)
    assert interval(normal, few) == pytest.approx(5.0 * 1.9432 * card.rmsecv, rel=1e-3)
    longer = replace(card, half_width=2.0 * card.rmsecv)
    assert interval(longer, many) == pytest.approx(10.0 * card.rmsecv, rel=2e-3)
    assert interval(card, np.zeros(20)) == card.half_width


def test_references_by_table_and_what_is_wrong_with_them(bundle_path: Path, tmp_path: Path) -> None:
    ids = [f"n{k}" for k in range(20)]
    write_table(tmp_path / "A.csv", TEST.axis, ids, TEST.spectra[:20])
    write_table(tmp_path / "B.csv", TEST.axis, ids, bent(TEST, 6)[:20])
    table = write_table(tmp_path / "R.csv", ["api"], ids, TEST.concentration[:20, None].tolist())
    files = ("--from", tmp_path / "A.csv", "--to", tmp_path / "B.csv", "--out", tmp_path / "m")
    result = run(bundle_path, *files, "--reference", table, "--target", "api")
    assert result.exit_code == 0, result.output
    made = load_bundle(tmp_path / "m").card.transfer
    assert made is not None
    assert made.referenced == 20
    assert "Against references" in (tmp_path / "m" / "report.html").read_text()
    bare = tmp_path / "bare"
    shutil.copytree(bundle_path, bare)
    (bare / CALIBRATION).unlink()
    for parent, options, text in (
        (bundle_path, ("--target", "api"), "name it with --reference"),
        (bundle_path, ("--reference", table), "needs --target"),
        (bundle_path, ("--reference", table, "--target", "api", "--mass", "api"), "has no --mass"),
        (bundle_path, ("--reference", table, "--target", "assay"), "no column 'assay'"),
        (bare, ("--reference", table, "--target", "api"), "leave --reference away"),
    ):
        result = run(parent, *files, *options)
        assert result.exit_code == 2, text
        assert text in result.stderr
        assert result.stderr.splitlines()[-1].startswith("Error: ")
