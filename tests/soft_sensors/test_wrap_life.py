"""A wrapped network through the rest of its life: tablets by mass, registry, dossier, transfer, and PyTorch itself."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from soft_sensors.bundle import load_bundle
from soft_sensors.card import AMOUNT_VIA_MASS
from soft_sensors.dossier.build import HTML, PDF, build
from soft_sensors.dossier.document import Outcome

from .conftest import make_blends, write_table
from .dossier_hand import write_case
from .test_registry_commands import REGISTER, Site, site
from .test_wrap_commands import N, alone, card_of, files, fitted, linear, node, run, save, wrap, wrapped

__all__ = ["files", "site", "wrapped"]  # fixtures


def test_registered_verified_approved_and_effective(site: Site, wrapped: Path, files: Path) -> None:
    test = ("--spectra", files / "T.csv", "--reference", files / "TR.csv", "--target", "api")
    own = ("--spectra", files / "S.csv", "--reference", files / "R.csv", "--target", "api")
    for words in (("register", wrapped, *REGISTER, "--reason", "first", *site.by("ada")),
                  ("verify", wrapped, *test, *site.by("eve")),
                  ("approve", wrapped, "--reason", "r", *site.by("paul")),
                  ("activate", wrapped, "--reason", "r", *site.by("paul"))):
        result = run(*words)
        assert result.exit_code == 0, result.output
        if words[0] == "register":
            kin = run("verify", wrapped, *own, *site.by("eve"))
            assert kin.exit_code == 2
            assert "not independent of the calibration" in kin.stderr
    assert "effective" in run("list", "--registry", site.registry).stdout


def test_its_dossier_has_every_heading(wrapped: Path, tmp_path: Path) -> None:
    case = write_case(tmp_path, wrapped)
    assert build(case, tmp_path / "out") in (Outcome.MEETS, Outcome.FAILS)
    page = (tmp_path / "out" / HTML).read_text(encoding="utf-8")
    assert "wrapped network" in page
    assert (tmp_path / "out" / PDF).read_bytes().startswith(b"%PDF-")


def test_amounts_by_mass(files: Path, tmp_path: Path) -> None:
    """The network says concentration in amount per unit of mass; the weigher says the rest."""
    w, b = fitted()
    weights = {"w": (w / 100)[:, None], "b": np.array([b / 100])}  # 2.5 c / 250
    model = save(tmp_path / "m.onnx", [node("MatMul", "x w", "xw"), node("Add", "xw b", "y")], weights, ("N", N),
                 element="float64")
    result = run("wrap", model, "--spectra", files / "S.csv", "--reference", files / "R.csv", "--target", "amount",
                 "--mass", "mass", "--group", "lot", "--unit", "mg", "--accept", 12.5, 37.5, "--out", tmp_path / "b")
    assert result.exit_code == 0, result.output
    card = card_of(tmp_path / "b")
    assert card["target"] == AMOUNT_VIA_MASS
    assert card["accept"] == pytest.approx([0.05, 0.15])
    test = ("--spectra", files / "T.csv", "--reference", files / "TR.csv", "--target", "amount", "--mass", "mass")
    assert run("validate", tmp_path / "b", *test, "--json", tmp_path / "f.json").exit_code == 0
    assert json.loads((tmp_path / "f.json").read_text())["rmsep"] < 0.4


def test_part_of_the_axis_is_watched_and_all_of_it_seen(files: Path, tmp_path: Path) -> None:
    model = linear(tmp_path / "m.onnx")
    assert wrap(files, model, tmp_path / "b", "--range", 1000, 1500, "--input-type", "float32").exit_code == 0
    card = card_of(tmp_path / "b")
    assert (card["window_low"], card["window_high"]) == (1000.0, 1500.0)
    fresh = make_blends(5, seed=9).spectra
    got = [load_bundle(tmp_path / "b").infer(row)["value"] for row in fresh]
    np.testing.assert_array_equal(got, alone(model, fresh, (1, N), "float32"))


def test_a_scaler_of_the_machine_learning_domain(files: Path, tmp_path: Path) -> None:
    """As scikit-learn's converter writes a pipeline: Scaler and LinearRegressor of ai.onnx.ml, output [N, 1]."""
    w, b = fitted()
    nodes = [
        helper.make_node("Scaler", ["x"], ["scaled"], domain="ai.onnx.ml", offset=[0.0] * N, scale=[2.0] * N),
        helper.make_node("LinearRegressor", ["scaled"], ["y"], domain="ai.onnx.ml", targets=1,
                         coefficients=(w / 2).tolist(), intercepts=[b]),
    ]  # fmt: skip
    model = save(tmp_path / "m.onnx", nodes, {}, ("N", N), domain="ai.onnx.ml")
    result = wrap(files, model, tmp_path / "b")
    assert result.exit_code == 0, result.output
    fresh = make_blends(5, seed=9).spectra
    got = [load_bundle(tmp_path / "b").infer(row)["value"] for row in fresh]
    np.testing.assert_array_equal(got, alone(model, fresh, (1, N), "float32"))


def test_a_branch_that_the_processor_runs(files: Path, tmp_path: Path) -> None:
    """The body of an If uses names of the graph around it, which keep their meaning when all are prefixed."""
    w, b = fitted()
    out = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
    bodies = [helper.make_graph([node("MatMul", "x w", "xw"), node("Add", "xw b", "z")], "yes", [], [out]),
              helper.make_graph([node("MatMul", "x w", "z")], "no", [], [out])]
    nodes = [node("ReduceMax", "x", "top", keepdims=0), node("Greater", "top zero", "is"),
             node("If", "is", "y", then_branch=bodies[0], else_branch=bodies[1])]
    weights = {"w": w[:, None].astype(np.float32), "b": np.array([b], np.float32), "zero": np.array(0, np.float32)}
    model = save(tmp_path / "m.onnx", nodes, weights, ("N", N))
    result = wrap(files, model, tmp_path / "b")
    assert result.exit_code == 0, result.output
    fresh = make_blends(5, seed=9).spectra
    got = [load_bundle(tmp_path / "b").infer(row)["value"] for row in fresh]
    np.testing.assert_array_equal(got, alone(model, fresh, (1, N), "float32"))


def test_functions_of_the_file_are_written_out(files: Path, tmp_path: Path) -> None:
    """Exporters put layers into functions of their own domain; these are no foreign operators."""
    w, b = fitted()
    model = save(tmp_path / "m.onnx", [node("Dense", "x w b", "y", domain="layers")],
                 {"w": w[:, None].astype(np.float32), "b": np.array([b], np.float32)}, ("N", N), domain="layers")
    source = helper.make_function("layers", "Dense", ["a", "w", "b"], ["y"],
                                  [node("MatMul", "a w", "aw"), node("Add", "aw b", "y")],
                                  [helper.make_opsetid("", 17)])
    whole = onnx.load(model)
    whole.functions.append(source)
    model.write_bytes(whole.SerializeToString())
    result = wrap(files, model, tmp_path / "b")
    assert result.exit_code == 0, result.output
    fresh = make_blends(5, seed=9).spectra
    got = [load_bundle(tmp_path / "b").infer(row)["value"] for row in fresh]
    np.testing.assert_array_equal(got, alone(model, fresh, (1, N), "float32"))


def test_without_groups_neighbours_are_held_out(files: Path, tmp_path: Path) -> None:
    result = wrap(files, linear(tmp_path / "m.onnx"), tmp_path / "b", group=())
    assert result.exit_code == 0, result.output
    assert "name them with --group" in result.stderr
    assert card_of(tmp_path / "b")["n_groups"] == 0


def test_a_suspect_reference_is_named_and_left_out(files: Path, tmp_path: Path) -> None:
    lines = (files / "R.csv").read_text().splitlines()
    assert lines[8].startswith("b7,")
    lines[8] = re.sub(r"^b7,[\d.]+", "b7,99.0", lines[8])
    (tmp_path / "R.csv").write_text("\n".join([*lines, ""]))
    (tmp_path / "S.csv").write_text((files / "S.csv").read_text())
    assert wrap(tmp_path, linear(tmp_path / "m.onnx"), tmp_path / "b").exit_code == 0
    card = card_of(tmp_path / "b")
    assert card["n_samples"] == 59
    (left_out,) = card["excluded"]
    assert left_out["sample_id"] == "b7"
    assert "suspect reference" in left_out["reason"]


@pytest.mark.skipif(importlib.util.find_spec("torch") is None,
                    reason="PyTorch is not installed here (the optional extra 'torch'); the example needs it")
def test_the_pytorch_example(tmp_path: Path) -> None:
    """Trained, exported, wrapped and compared, on made-up blends."""
    blends = make_blends(60, seed=1)
    ids = [f"b{k}" for k in range(60)]
    spectra = write_table(tmp_path / "S.csv", blends.axis, ids, blends.spectra)
    reference = write_table(tmp_path / "R.csv", ["api", "lot"], ids,
                            [(c, f"lot{k // 4}") for k, c in enumerate(blends.concentration)])
    example = Path(__file__).parents[2] / "examples" / "cnn_pytorch.py"
    done = subprocess.run(
        [sys.executable, example, "--spectra", spectra, "--reference", reference, "--target", "api", "--group", "lot",
         "--epochs", "40", "--out", tmp_path / "out"], capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "network, wrapped" in done.stdout
    assert card_of(tmp_path / "out" / "cnn")["family"] == "wrapped network"
