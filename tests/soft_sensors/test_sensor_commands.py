"""patloop sensor ...: from files to files, and one clear line for each thing that can be wrong."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from soft_sensors.commands import sensor

from .conftest import make_blends, write_table


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(sensor, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Spectra and references of 60 blends in 12 lots, tablets of about 250 mg."""
    folder = tmp_path_factory.mktemp("files")
    blends = make_blends(60, seed=1)
    mass = np.random.default_rng(2).normal(250.0, 10.0, 60)
    ids = [f"b{k}" for k in range(60)]
    write_table(folder / "S.csv", blends.axis, ids, blends.spectra)
    amount = blends.concentration / 100 * mass
    rows = [(blends.concentration[k], amount[k], mass[k], f"lot{k // 5}") for k in range(60)]
    write_table(folder / "R.csv", ["api", "amount", "mass", "lot"], [*ids[1:], "lonely"], [*rows[1:], rows[0]])
    return folder


@pytest.fixture(scope="module")
def model(files: Path) -> Path:
    result = run("calibrate", "--spectra", files / "S.csv", "--reference", files / "R.csv", "--target", "api",
                 "--group", "lot", "--unit", "%", "--out", files / "model")
    assert result.exit_code == 0, result.output
    assert "in " in result.stderr
    assert "b0" in result.stderr
    assert "lonely" in result.stderr
    assert "12 groups (lot)" in " ".join(result.stdout.split())
    return files / "model"


def test_a_bundle_is_complete_and_its_report_stands_alone(model: Path) -> None:
    assert {p.name for p in model.iterdir()} == {"graph.onnx", "card.toml", "golden.npz", "hashes.toml", "report.html",
                                                 "figures", "calibration.npz"}
    page = (model / "report.html").read_text()
    assert page.count("data:image/png;base64,") == len(list((model / "figures").glob("*.png"))) == 5
    assert "http" not in page
    assert "Skill over the null model" in page


def test_predictions_file(model: Path, files: Path, tmp_path: Path) -> None:
    fresh = make_blends(4, seed=20)
    fresh.spectra[2, 5] = np.nan
    fresh.spectra[3, 60:] += 0.3
    spectra = write_table(tmp_path / "new.csv", fresh.axis, "wxyz", fresh.spectra)
    result = run("predict", model, "--spectra", spectra, "--out", tmp_path / "P.csv")
    assert result.exit_code == 0
    assert "4 predictions, 2 good, 0 uncertain, 2 bad" in result.stdout
    with (tmp_path / "P.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["sample_id", "value", "lower", "upper", "t2", "q", "quality", "reason", "distance",
                             "outcome", "undecided"]
    assert [r["quality"] for r in rows] == ["good", "good", "bad", "bad"]
    assert float(rows[0]["lower"]) < fresh.concentration[0] < float(rows[0]["upper"])
    assert rows[2]["value"] == ""
    assert "NaN" in rows[2]["reason"]
    assert "Q is" in rows[3]["reason"]
    assert float(rows[3]["value"]) > 0


def test_validate_writes_the_figures(model: Path, files: Path, tmp_path: Path) -> None:
    arguments = ("validate", model, "--spectra", files / "S.csv", "--reference", files / "R.csv", "--target", "api")
    result = run(*arguments, "--group", "lot", "--json", tmp_path / "f.json")
    assert result.exit_code == 0
    assert "lot3" in result.stdout
    figures = json.loads((tmp_path / "f.json").read_text())
    assert list(figures) == ["n", "rmsep", "bias", "sep", "r2", "mae", "coverage_90", "n_bad"]
    assert figures["n"] == 59
    assert figures["n_bad"] == 0
    assert figures["r2"] > 0.999
    assert run(*arguments, "--max-rmsep", "1").exit_code == 0
    too_much = run(*arguments, "--max-rmsep", "0.0001")
    assert too_much.exit_code == 1
    assert "above the limit" in too_much.stderr


def test_an_amount_per_tablet_goes_through_its_mass(files: Path, tmp_path: Path) -> None:
    both = ("--spectra", files / "S.csv", "--reference", files / "R.csv")
    assert run("calibrate", *both, "--target", "amount", "--mass", "mass", "--unit", "mg",
               "--out", tmp_path / "m").exit_code == 0
    assert run("validate", tmp_path / "m", *both, "--target", "amount", "--mass", "mass",
               "--json", tmp_path / "f.json").exit_code == 0
    assert json.loads((tmp_path / "f.json").read_text())["rmsep"] < 0.05
    assert run("predict", tmp_path / "m", *both, "--mass", "mass", "--mass-sd", "5",
               "--out", tmp_path / "p.csv").exit_code == 0
    with (tmp_path / "p.csv").open(newline="") as stream:
        rows = {r["sample_id"]: r for r in csv.DictReader(stream)}
    assert rows["b0"]["quality"] == "bad"
    assert "no tablet mass" in rows["b0"]["reason"]
    one = rows["b1"]
    assert float(one["upper"]) - float(one["value"]) > 1.6 * 5 * float(one["value"]) / 260
    without = run("predict", tmp_path / "m", "--spectra", files / "S.csv", "--out", tmp_path / "p.csv")
    assert without.exit_code == 2
    assert "name the masses" in without.stderr


def test_show_list_verify(model: Path, files: Path, tmp_path: Path) -> None:
    assert "latent variables" in run("show", model).stdout
    assert "model" in run("list", files).stdout
    assert "intact" in run("verify", model).stdout
    copy = Path(shutil.copytree(model, tmp_path / "copy"))
    card = (copy / "card.toml").read_text()
    (copy / "card.toml").write_text(card.replace("t2_limit = ", "t2_limit = 9"))
    altered = run("verify", copy)
    assert altered.exit_code == 1
    assert "card.toml: altered" in altered.stderr
    assert "altered" in " ".join(run("list", tmp_path).stdout.split())
    refused = run("predict", copy, "--spectra", files / "S.csv", "--out", tmp_path / "p.csv")
    assert refused.exit_code == 2
    assert not (tmp_path / "p.csv").exists()


def test_calibrating_again_replaces_the_bundle_with_the_same_one(model: Path, files: Path) -> None:
    before = (model / "hashes.toml").read_bytes()
    assert run("calibrate", "--spectra", files / "S.csv", "--reference", files / "R.csv", "--target", "api",
               "--group", "lot", "--unit", "%", "--out", model).exit_code == 0
    assert (model / "hashes.toml").read_bytes() == before


def test_one_line_and_exit_2_for_what_is_wrong(model: Path, files: Path, tmp_path: Path) -> None:
    both = ("--spectra", files / "S.csv", "--reference", files / "R.csv")
    out = ("--out", tmp_path / "o")
    fresh = make_blends(3, seed=1)
    shifted = write_table(tmp_path / "shifted.csv", fresh.axis + 5, "abc", fresh.spectra)
    short = write_table(tmp_path / "short.csv", fresh.axis[:70], "abc", fresh.spectra[:, :70])
    (tmp_path / "busy").mkdir()
    (tmp_path / "busy" / "x").write_text("x")
    cases = [
        (("calibrate", *both, "--target", "assay", *out), "no column 'assay'; it has api, amount, mass, lot"),
        (("calibrate", *both, "--target", "api", "--group", "batch", *out), "no column 'batch'"),
        (("calibrate", *both, "--target", "lot", *out), "'lot0' is not a number"),
        (("calibrate", *both, "--target", "api", "--out", tmp_path / "busy"), "is no bundle"),
        (("calibrate", "--spectra", shifted, "--reference", files / "R.csv", "--target", "api", *out), "no sample_id"),
        (("calibrate", *both, "--target", "api", "--range", "1", "2", *out), "only 0 usable channels"),
        (("predict", model, "--spectra", tmp_path / "none.csv", *out), "no such file"),
        (("predict", model, "--spectra", shifted, *out), "axis differs at channel 0: 905 nm, the model has 900"),
        (("predict", model, "--spectra", short, *out), "axis has 70 channels, the model 80"),
        (("predict", model, *both, "--mass", "mass", *out), "was not calibrated with --mass"),
        (("predict", model, "--spectra", files / "S.csv", "--mass", "mass", *out), "belong together"),
        (("predict", tmp_path / "none", "--spectra", files / "S.csv", *out), "no such bundle folder"),
        (("predict", model, "--spectra", files / "S.csv", "--out", tmp_path / "no" / "p.csv"), "No such file"),
        (("list", tmp_path / "none"), "no such folder"),
    ]
    for arguments, words in cases:
        result = run(*arguments)
        assert result.exit_code == 2, arguments
        assert words in result.stderr, result.stderr
        assert "Traceback" not in result.output


@pytest.mark.parametrize("name", ["calibrate", "validate", "predict", "show", "list", "verify"])
def test_every_command_explains_itself(name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    assert f"patloop sensor {name}" in result.stdout
