"""Kernel on PLS scores, joined instruments, regions: each gives the graph's numbers and is taken only when it pays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from soft_sensors.bundle import load_bundle
from soft_sensors.calibrate import nested, pls1, select, wear, windows
from soft_sensors.calibrate.fit import Calibration, Samples, calibrate
from soft_sensors.calibrate.folds import by_order
from soft_sensors.calibrate.package import write_bundle
from soft_sensors.calibrate.pretreatment import Fused, Recipe
from soft_sensors.card import Block
from soft_sensors.commands import sensor
from soft_sensors.signals import FloatArray

from .conftest import INTENT, Blends, make_blends, samples_of, write_table


def curved(n: int, seed: int) -> Blends:
    """Blends whose answer is a curved function of what the spectra show."""
    blends = make_blends(n, seed)
    centred = (blends.concentration - 10.0) / 4.0
    return replace(blends, concentration=10.0 + 4.0 * np.sin(1.6 * centred))


@pytest.fixture(scope="module")
def bent() -> Calibration:
    return calibrate(samples_of(curved(90, seed=1)), INTENT)


def rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def test_a_curve_is_learnt_by_the_kernel_and_beats_the_line(bent: Calibration) -> None:
    assert bent.card.family == "kernel on PLS scores"
    fresh = curved(200, seed=2)
    line, kernel = (float(t.split(": ")[1]) for t in bent.card.tried[-2:])
    assert kernel < 0.7 * line
    assert rms(bent.predict(fresh.spectra) - fresh.concentration) < 0.8 * line


def test_a_straight_answer_keeps_the_line() -> None:
    assert calibrate(samples_of(make_blends(90, seed=1)), INTENT).card.family == "PLS"


@pytest.mark.parametrize("input_type", ["float64", "float32"])
def test_the_kernel_s_graph_equals_the_fitted_model(bent: Calibration, tmp_path: Path, input_type: str) -> None:
    made = replace(bent, card=replace(bent.card, input_type=input_type))
    bundle = write_bundle(made, tmp_path / "bent")
    fresh = curved(30, seed=3).spectra.astype(input_type)
    for row in fresh:
        out, scores, residual = bundle.infer_whole(row)
        assert out["value"] == pytest.approx(made.predict(row[None, :].astype(np.float64)).item(), rel=1e-12)
        assert out["t2"] == pytest.approx(float((scores**2).sum()), rel=1e-12)
        assert out["q"] == pytest.approx(float((residual**2).sum()), rel=1e-12)


def test_contributions_add_up_and_name_the_disturbed_channel(bent: Calibration, tmp_path: Path) -> None:
    bundle = write_bundle(bent, tmp_path / "bent")
    blends = curved(5, seed=4)
    spike = blends.spectra[0].copy()
    spike[40] += 0.3
    out, scores, residual = bundle.infer_whole(spike)
    assert bundle.anatomy.t2(scores, residual).sum() == pytest.approx(out["t2"], rel=1e-9)
    assert bundle.anatomy.q(residual).sum() == pytest.approx(out["q"], rel=1e-9)
    named = [c.axis for c in bundle.anatomy.top(scores, residual) if c.statistic == "Q"]
    width = bent.recipe.width if isinstance(bent.recipe, Recipe) else 0
    assert all(abs(place - blends.axis[40]) <= (width + 1) * (blends.axis[1] - blends.axis[0]) for place in named)


def test_a_thousand_repeats_give_the_same_bytes(bent: Calibration, tmp_path: Path) -> None:
    bundle = write_bundle(bent, tmp_path / "bent")
    row = curved(1, seed=5).spectra
    outputs = {b"".join(o.tobytes() for o in bundle.session.run(None, {"spectrum": row})) for _ in range(1000)}
    assert len(outputs) == 1


def two_instruments(n: int, seed: int) -> tuple[Blends, FloatArray]:
    """A first instrument that sees analyte and moisture as one, and spectra of a second that sees moisture."""
    draw = np.random.default_rng(seed)
    analyte, moisture = draw.uniform(5.0, 15.0, n), draw.uniform(0.0, 6.0, n)
    axis, place = np.linspace(900.0, 1690.0, 80), np.linspace(0.0, 1.0, 90)
    band = np.exp(-0.5 * ((axis - 1200.0) / 60.0) ** 2)
    water = np.exp(-0.5 * ((place - 0.4) / 0.08) ** 2)
    first = 0.4 + np.outer((analyte + moisture) / 10.0, band) + draw.normal(0.0, 0.002, (n, 80))
    second = 50.0 * (4.0 + np.outer(moisture, water)) + draw.normal(0.0, 0.5, (n, 90))
    return Blends(axis, first, analyte), second


def joined(n: int, seed: int) -> Samples:
    first, second = two_instruments(n, seed)
    axis = np.concatenate([first.axis, np.arange(90.0)])
    return Samples(tuple(f"s{k}" for k in range(n)), axis, np.hstack([first.spectra, second]), first.concentration,
                   by_order(n))


BLOCKS = (Block("nir", "nm", 80), Block("raman", "cm-1", 90))


def test_joined_instruments_beat_each_alone_and_the_graph_is_the_model(tmp_path: Path) -> None:
    samples = joined(60, seed=1)
    made = calibrate(samples, replace(INTENT, axis_unit="nm|cm-1", blocks=BLOCKS))
    assert isinstance(made.recipe, Fused)
    parts = [replace(samples, axis=samples.axis[p], spectra=samples.spectra[:, p]) for p in (slice(80), slice(80, 170))]
    alone = [calibrate(part, INTENT).card.rmsecv for part in parts]
    assert made.card.rmsecv < 0.5 * min(alone)
    bundle = write_bundle(made, tmp_path / "fused")
    for row in joined(10, seed=2).spectra:
        out, _, residual = bundle.infer_whole(row)
        assert out["value"] == pytest.approx(made.predict(row[None, :]).item(), rel=1e-12)
        assert residual.size == bundle.anatomy.channels.size
    assert bundle.card.blocks == BLOCKS


def test_two_files_through_the_commands(tmp_path: Path) -> None:
    first, second = two_instruments(40, seed=3)
    ids = [f"s{k}" for k in range(40)]
    write_table(tmp_path / "a.csv", first.axis, ids, first.spectra)
    write_table(tmp_path / "b.csv", np.arange(90.0), [*ids[::-1], "lonely"], [*second[::-1], second[0]])
    write_table(tmp_path / "r.csv", ["api"], ids, first.concentration[:, None].tolist())
    model = str(tmp_path / "model")
    common = ["--spectra", str(tmp_path / "a.csv")]
    both = [*common, "--with", str(tmp_path / "b.csv")]
    reference = ["--reference", str(tmp_path / "r.csv"), "--target", "api"]
    made = CliRunner().invoke(sensor, ["calibrate", *both, *reference, "--out", model])
    assert made.exit_code == 0, made.output
    assert "lonely" in made.stderr
    done = CliRunner().invoke(sensor, ["predict", model, *both, "--out", str(tmp_path / "p.csv"),
                                       "--contributions", str(tmp_path / "c.csv")])
    assert done.exit_code == 0, done.output
    assert len((tmp_path / "c.csv").read_text().splitlines()) == 81
    refused = CliRunner().invoke(sensor, ["predict", model, *common, "--out", str(tmp_path / "q.csv")])
    assert refused.exit_code == 2
    assert "two instruments" in refused.output
    assert load_bundle(Path(model)).card.axis_unit == "nm|cm-1"


def test_a_part_of_the_axis_is_taken_only_when_it_is_clearly_better() -> None:
    blends = make_blends(60, seed=6)
    axis = np.linspace(900.0, 1700.0, 160)
    clean = np.array([np.interp(axis, blends.axis, row) for row in blends.spectra])
    samples = replace(samples_of(blends), axis=axis, spectra=clean)
    assert calibrate(samples, INTENT).window == windows.quiet_window(clean)
    draw = np.random.default_rng(7)
    spoilt = clean.copy()  # broad, sample by sample different humps in the upper third: smooth, so they pass as signal
    place = np.linspace(0.0, 1.0, 50)
    for row in spoilt:
        row[110:] += 3.0 * draw.normal() * np.sin(np.pi * (1 + draw.integers(1, 6)) * place) * np.sin(np.pi * place)
    window = calibrate(replace(samples, spectra=spoilt), INTENT).window
    assert window.stop <= 112


def test_wear_is_paid_by_those_whom_it_moves() -> None:
    blends = make_blends(60, seed=8)
    window = slice(0, 80)
    offset = [blends.spectra + 0.03]
    moved = {}
    offset = [rows[wear.some(60)] for rows in offset]
    for recipe in (Recipe("no", 0, 0), Recipe("no", 1, 11)):
        part = wear.treated(recipe, window, blends.spectra, offset)
        moved[recipe.derivative] = wear.penalty(pls1.fit(part.X, blends.concentration, 2), part, 2)[-1]
    assert moved[0] > 1e-6
    assert moved[1] < 1e-20
    disturbed = wear.worn(blends.spectra, slice(10, 70))
    assert len(disturbed) == 6
    for rows in disturbed:
        changed = rows - blends.spectra[wear.some(60)]
        assert np.abs(changed[:, 10:70]).max() > 0.0
        assert np.abs(changed[:, :10]).max() == np.abs(changed[:, 70:]).max() == 0.0


def test_every_core_gives_the_bits_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = samples_of(make_blends(40, seed=9))
    whole = slice(0, 80)
    region = windows.regions(whole)[0]
    disturbed = wear.worn(samples.spectra, whole)
    candidates: select.Candidates = {region: {r: wear.treated(r, whole, samples.spectra, disturbed)
                                              for r in (Recipe("before", 0, 0), Recipe("after", 1, 11))}}
    folding, keep = samples.folding, np.ones(40, dtype=np.bool_)
    results = []
    for worth in (0.0, 1e30):
        monkeypatch.setattr(nested, "WORTH_PROCESSES", worth)
        results.append(
            nested.nested(candidates, samples.reference, folding.fold, folding.outer(), keep, lambda _: None))
    np.testing.assert_array_equal(*results)


def test_a_scatter_corrected_model_is_not_moved_by_gain() -> None:
    samples = samples_of(make_blends(60, seed=2))
    free, corrected = (calibrate(samples, replace(INTENT, scatter=kind)) for kind in ("free", "corrected"))
    assert all(isinstance(m.recipe, Recipe) and m.recipe.snv != "no" for m in corrected.members)
    fresh = make_blends(20, seed=3).spectra
    moved = [float(np.abs(made.predict(1.05 * fresh) - made.predict(fresh)).max()) for made in (free, corrected)]
    assert moved[0] > 0.1
    assert moved[1] < 1e-9
