"""Bundles: the graph equals the fitted model, the bytes are reproducible, a change is found."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnxruntime import InferenceSession

from soft_sensors.bundle import PARTS, load_bundle
from soft_sensors.calibrate import pls1
from soft_sensors.calibrate.evidence import read_evidence
from soft_sensors.calibrate.fit import Calibration, Fitted, calibrate
from soft_sensors.calibrate.graph import graph_bytes
from soft_sensors.calibrate.package import card_toml, write_bundle
from soft_sensors.calibrate.pretreatment import RECIPES, Recipe, steps
from soft_sensors.card import read_card
from soft_sensors.errors import AlteredError, BundleError, CalibrationError

from .conftest import INTENT, make_blends, samples_of


def with_recipes(made: Calibration, recipes: tuple[Recipe, ...], input_type: str) -> Calibration:
    from sklearn.cross_decomposition import PLSRegression
    from sklearn.pipeline import Pipeline

    members = []
    for recipe in recipes:
        pipeline = Pipeline([*steps(recipe, made.window), ("pls", PLSRegression(made.card.n_latent, scale=False))])
        pipeline.fit(made.samples.spectra[made.keep], made.samples.reference[made.keep])
        members.append(Fitted(recipe, pipeline))
    return replace(made, members=tuple(members), card=replace(made.card, input_type=input_type))


@pytest.mark.parametrize("others", [(), (RECIPES[5], RECIPES[0])], ids=["alone", "averaged"])
@pytest.mark.parametrize("input_type", ["float64", "float32"])
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_the_graph_equals_the_fitted_model(
    made: Calibration, recipe: Recipe, input_type: str, others: tuple[Recipe, ...]
) -> None:
    whole = with_recipes(made, (recipe, *others), input_type)
    session = InferenceSession(graph_bytes(whole), providers=["CPUExecutionProvider"])
    fresh = make_blends(20, seed=5).spectra.astype(input_type)
    treat, pls = whole.pipeline[:-1], whole.pipeline[-1]
    kept = treat.transform(made.samples.spectra[made.keep])
    model = pls1.fit(kept, made.samples.reference[made.keep], made.card.n_latent)
    for row in fresh:
        *numbers, t, residual = session.run(None, {"spectrum": row[None, :]})
        value, lower, upper, t2, q, distance = (o.item() for o in numbers)
        wide = row[None, :].astype(np.float64)
        assert value == pytest.approx(whole.predict(wide).item(), rel=1e-12)
        assert (lower, upper) == (value - whole.card.half_width, value + whole.card.half_width)
        x = treat.transform(wide)
        scores = pls.transform(x)
        spread = pls.transform(kept).std(axis=0, ddof=1)
        rest = x - kept.mean(axis=0) - scores @ pls.x_loadings_.T
        assert t2 == pytest.approx(float(((scores / spread) ** 2).sum()), rel=1e-9)
        assert q == pytest.approx(float((rest**2).sum()), rel=1e-9)
        np.testing.assert_allclose(t, scores / spread, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(residual, rest, rtol=1e-6, atol=1e-9 * float(np.abs(x).max()))
        nearest = np.sqrt((((scores - pls.transform(kept)) / spread) ** 2).sum(axis=1).min())
        assert distance == pytest.approx(nearest, rel=1e-9)
        ours_t2, ours_q = pls1.distances(model, x)
        assert (ours_t2.item(), ours_q.item()) == (pytest.approx(t2, rel=1e-6), pytest.approx(q, rel=1e-6))


@pytest.fixture(scope="module")
def wide() -> Calibration:
    """A calibration on more channels than one dense product is made for."""
    blends = make_blends(40, seed=1)
    axis = np.linspace(900.0, 1690.0, 301)
    spectra = np.array([np.interp(axis, blends.axis, row) for row in blends.spectra])
    samples = replace(samples_of(blends), axis=axis, spectra=spectra)
    return calibrate(samples, replace(INTENT, axis_range=(900.0, 1690.0)))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_many_channels_are_filtered_block_by_block(wide: Calibration, recipe: Recipe) -> None:
    whole = with_recipes(wide, (recipe, RECIPES[-1]), "float64")
    session = InferenceSession(graph_bytes(whole), providers=["CPUExecutionProvider"])
    blends = make_blends(5, seed=5)
    treat, pls = whole.pipeline[:-1], whole.pipeline[-1]
    centre = treat.transform(wide.samples.spectra[wide.keep]).mean(axis=0)
    for narrow in blends.spectra:
        row = np.interp(wide.samples.axis, blends.axis, narrow)[None, :]
        value, _, _, _, q, _, _, residual = session.run(None, {"spectrum": row})
        assert value.item() == pytest.approx(whole.predict(row).item(), rel=1e-12)
        x = treat.transform(row)
        rest = x - centre - pls.transform(x) @ pls.x_loadings_.T
        np.testing.assert_allclose(residual, rest, rtol=1e-6, atol=1e-9 * float(np.abs(x).max()))
        assert q.item() == pytest.approx(float((rest**2).sum()), rel=1e-8)


def test_the_same_samples_give_the_same_bytes(bundle_path: Path, tmp_path: Path) -> None:
    again = calibrate(samples_of(make_blends(60, seed=1)), INTENT)
    write_bundle(again, tmp_path / "again")
    for name in PARTS:
        assert (tmp_path / "again" / name).read_bytes() == (bundle_path / name).read_bytes()


def test_the_card_survives_its_file(made: Calibration) -> None:
    card = replace(made.card, name='quotes " and \\ and ü')
    back = read_card(card_toml(card), "card.toml")
    np.testing.assert_array_equal(back.axis, card.axis)
    bare = np.zeros(0)  # arrays do not compare to one truth value
    assert str(replace(back, axis=bare)) == str(replace(card, axis=bare))


def test_any_flipped_byte_is_found(bundle_path: Path, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for k in range(40):
        copy = tmp_path / f"copy{k}"
        shutil.copytree(bundle_path, copy, ignore=shutil.ignore_patterns("figures", "report.html"))
        name = (*PARTS, "hashes.toml")[k % 4]
        content = bytearray((copy / name).read_bytes())
        content[int(draw.integers(len(content)))] ^= 1 << int(draw.integers(8))
        (copy / name).write_bytes(content)
        with pytest.raises((AlteredError, BundleError)):
            load_with_evidence(copy)


def load_with_evidence(folder: Path) -> None:
    load_bundle(folder)
    read_evidence(folder)  # its hash, too, is in hashes.toml; the service does not look at it


@pytest.mark.parametrize("name", [*PARTS, "hashes.toml"])
def test_a_missing_part_is_named(bundle_path: Path, tmp_path: Path, name: str) -> None:
    copy = Path(shutil.copytree(bundle_path, tmp_path / "copy"))
    (copy / name).unlink()
    with pytest.raises(BundleError, match=f"lacks {name}"):
        load_bundle(copy)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such bundle folder"):
        load_bundle(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [("format = 1", "format = 9", "format 9"), ("seed = 1", "sed = 1", "missing"), ("format = 1", "format =", "TOML")],
)
def test_a_strange_card_is_refused(made: Calibration, old: str, new: str, words: str) -> None:
    with pytest.raises(BundleError, match=words):
        read_card(card_toml(made.card).replace(old, new), "card.toml")


def test_a_machine_that_computes_differently_is_found(made: Calibration, tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    from soft_sensors.calibrate import package

    honest = package.golden
    monkeypatch.setattr(package, "golden", lambda card, spectra, graph, explained: _mixed(
        honest(card, spectra, graph, explained), honest(card, spectra * (1 + 1e-5), graph, explained)))
    with pytest.raises(AlteredError, match="this machine differs"):
        write_bundle(made, tmp_path / "other")


def _mixed(ours: bytes, theirs: bytes) -> bytes:
    from io import BytesIO

    from soft_sensors.calibrate.package import npz_bytes

    with np.load(BytesIO(ours)) as a, np.load(BytesIO(theirs)) as b:
        return npz_bytes({**a, "outputs": b["outputs"]})


def test_a_foreign_folder_is_not_overwritten(made: Calibration, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("years of work")
    with pytest.raises(CalibrationError, match="no bundle"):
        write_bundle(made, tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter1.txt").is_file()


def test_running_needs_no_offline_package_and_leaves_no_telemetry(bundle_path: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from soft_sensors.bundle import load_bundle;"
        "import soft_sensors.estimate, soft_sensors.validate, soft_sensors.commands;"
        f"load_bundle(Path({str(bundle_path)!r}));"
        "found = {'sklearn', 'pandas', 'matplotlib', 'chemotools', 'onnx', 'pyarrow', 'scipy'} & set(sys.modules);"
        "assert not found, found"
    )
    home = tmp_path / "home"
    home.mkdir()
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY" and not k.startswith("XDG")}
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60, env={**environment, "HOME": str(home)})
    assert [p for p in home.rglob("*") if p.is_file()] == []
