"""patloop sensor wrap: networks written by hand, of every form, behind the same card as a calibrated model."""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper

from soft_sensors.bundle import OUTPUTS, load_bundle
from soft_sensors.calibrate.evidence import check_agreement, read_evidence
from soft_sensors.calibrate.quarantine import overlap
from soft_sensors.commands import sensor

from .conftest import make_blends, write_table

N = 80
KINDS = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(sensor, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def save(
    path: Path, nodes: Sequence[Any], weights: dict[str, np.ndarray], shape: Sequence[object], *,
    element: str = "float32", outputs: Sequence[str] = ("y",), out_shape: Sequence[object] = ("N", 1), opset: int = 17,
    ir_version: int = 8, domain: str = "",
) -> Path:
    """An ONNX file of nodes that turn `x` into the outputs."""
    kind = KINDS[element]
    graph = helper.make_graph(
        list(nodes), "net", [helper.make_tensor_value_info("x", kind, list(shape))],
        [helper.make_tensor_value_info(name, kind, list(out_shape)) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in weights.items()])
    imports = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    path.write_bytes(helper.make_model(graph, opset_imports=imports, ir_version=ir_version).SerializeToString())
    return path


def node(kind: str, inputs: str, output: str, **attributes: Any) -> Any:
    return helper.make_node(kind, inputs.split(), output.split(), **attributes)


def fitted() -> tuple[np.ndarray, float]:
    """Weights of a plain regression on other blends than any test gives to wrap."""
    train = make_blends(300, seed=50)
    mean = train.spectra.mean(axis=0)
    X = train.spectra - mean
    w = np.linalg.solve(X.T @ X + 1e-2 * np.eye(N), X.T @ (train.concentration - train.concentration.mean()))
    return w, float(train.concentration.mean() - mean @ w)


def linear(path: Path, shape: Sequence[object] = ("N", N), element: str = "float32", **options: Any) -> Path:
    """Regression after a Flatten, whatever the form of the input."""
    w, b = fitted()
    weights = {"w": w[:, None].astype(element), "b": np.array([b], dtype=element)}
    return save(path, [node("Flatten", "x", "flat"), node("MatMul", "flat w", "xw"), node("Add", "xw b", "y")], weights,
                shape, element=element, **options)


def conv(path: Path, element: str = "float32") -> Path:
    """Two convolutions, an average pool and a dense layer behind a fixed standardisation."""
    draw = np.random.default_rng(3)
    w, b = fitted()
    nodes = [
        node("Sub", "x mean", "centred"), node("Conv", "centred k1", "c1", kernel_shape=[5], pads=[2, 2]),
        node("Relu", "c1", "r1"), node("Conv", "r1 k2", "c2", kernel_shape=[5], pads=[2, 2], strides=[2]),
        node("Relu", "c2", "r2"), node("Flatten", "r2", "flat"), node("MatMul", "flat d", "small"),
        node("Flatten", "x", "whole"), node("MatMul", "whole w", "xw"), node("Add", "xw b", "xwb"),
        node("Add", "xwb small", "y"),
    ]  # fmt: skip
    weights = {
        "mean": np.full((1, 1, 1), 0.6), "k1": draw.normal(size=(4, 1, 5)), "k2": draw.normal(size=(4, 4, 5)),
        "d": draw.normal(size=(4 * N // 2, 1)) * 1e-5, "w": w[:, None], "b": np.array([b]),
    }
    return save(path, nodes, {k: v.astype(element) for k, v in weights.items()}, ("N", 1, N), element=element)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Samples in 12 lots (S.csv, R.csv) and other, later ones (T.csv, TR.csv)."""
    folder = tmp_path_factory.mktemp("wrap")
    for seed, n, spectra, reference, first in ((1, 60, "S", "R", "b"), (2, 30, "T", "TR", "t")):
        blends = make_blends(n, seed=seed)
        ids = [f"{first}{k}" for k in range(n)]
        write_table(folder / f"{spectra}.csv", blends.axis, ids, blends.spectra)
        rows = [(blends.concentration[k], blends.concentration[k] * 2.5, 250.0, f"{first}-lot{k // 5}")
                for k in range(n)]
        write_table(folder / f"{reference}.csv", ["api", "amount", "mass", "lot"], ids, rows)
    return folder


def wrap(files: Path, model: Path, out: Path, *more: object, group: Sequence[object] = ("--group", "lot")) -> Result:
    return run("wrap", model, "--spectra", files / "S.csv", "--reference", files / "R.csv", "--target", "api", *group,
               "--out", out, *more)


@pytest.fixture(scope="module")
def wrapped(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The convolutional network, wrapped."""
    folder = tmp_path_factory.mktemp("wrapped")
    result = wrap(files, conv(folder / "net.onnx"), folder / "cnn", "--unit", "%")
    assert result.exit_code == 0, result.output
    assert "declared, not shown" in result.output
    return folder / "cnn"


def alone(model: Path, spectra: np.ndarray, shape: tuple[int, ...], element: str) -> np.ndarray:
    """The user's model run by itself, one spectrum at a time."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.read_bytes(), options, providers=["CPUExecutionProvider"])
    return np.array([np.ravel(session.run(["y"], {"x": row.astype(element).reshape(shape)})[0])[0].astype(float)
                     for row in spectra])


def card_of(path: Path) -> dict[str, Any]:
    return tomllib.loads((path / "card.toml").read_text())


@pytest.mark.parametrize(("shape", "form"), [
    ((1, N), (1, N)), (("N", N), (1, N)), ((1, 1, N), (1, 1, N)), (("N", 1, N), (1, 1, N)), (("N", N, 1), (1, N, 1)),
])
@pytest.mark.parametrize("element", ["float32", "float64"])
def test_every_form_gives_the_number_it_gives_alone(
    files: Path, tmp_path: Path, shape: tuple[object, ...], form: tuple[int, ...], element: str
) -> None:
    out_shape = (shape[0], 1)
    model = linear(tmp_path / "m.onnx", shape, element, out_shape=out_shape)
    result = wrap(files, model, tmp_path / "b")
    assert result.exit_code == 0, result.output
    bundle, fresh = load_bundle(tmp_path / "b"), make_blends(20, seed=9).spectra
    got = np.array([bundle.infer(row)["value"] for row in fresh])
    wanted = alone(model, fresh, form, element)
    if element == "float32":
        np.testing.assert_array_equal(got, wanted)
    else:
        np.testing.assert_allclose(got, wanted, rtol=1e-12)


@pytest.mark.parametrize(("opset", "ir_version"), [(9, 3), (13, 7), (17, 8), (18, 8), (21, 10), (23, 11)])
def test_old_and_new_opsets(files: Path, tmp_path: Path, opset: int, ir_version: int) -> None:
    model = linear(tmp_path / "m.onnx", opset=opset, ir_version=max(ir_version, 4))
    assert wrap(files, model, tmp_path / "b").exit_code == 0
    fresh = make_blends(5, seed=9).spectra
    got = [load_bundle(tmp_path / "b").infer(row)["value"] for row in fresh]
    np.testing.assert_array_equal(got, alone(model, fresh, (1, N), "float32"))


def test_the_network_gives_the_same_bytes_a_thousand_times(wrapped: Path) -> None:
    bundle, row = load_bundle(wrapped), make_blends(1, seed=9).spectra
    feed = row.astype(bundle.card.input_type)
    first = [o.tobytes() for o in bundle.session.run(OUTPUTS, {"spectrum": feed})]
    for _ in range(1000):
        assert [o.tobytes() for o in bundle.session.run(OUTPUTS, {"spectrum": feed})] == first


def test_wrapping_again_gives_the_same_bundle(files: Path, wrapped: Path, tmp_path: Path) -> None:
    assert wrap(files, conv(tmp_path / "net.onnx"), tmp_path / "cnn", "--unit", "%").exit_code == 0
    for name in ("graph.onnx", "card.toml", "golden.npz", "calibration.npz", "hashes.toml"):
        assert (tmp_path / "cnn" / name).read_bytes() == (wrapped / name).read_bytes(), name


def test_the_card_says_what_it_is(wrapped: Path) -> None:
    card = card_of(wrapped)
    assert card["family"] == "wrapped network"
    assert card["skill"] > 0.9
    assert "nothing was refitted" in card["evidence"]
    assert "declared, not shown" in card["evidence"]
    assert "SHA-256" in card["software"]
    assert "12 groups (lot)" in card["grouping"]
    evidence = read_evidence(wrapped)
    check_agreement(evidence, load_bundle(wrapped).card)
    np.testing.assert_array_equal(evidence.fitted, evidence.predicted)


def test_t2_and_q_are_those_of_the_components(files: Path, wrapped: Path) -> None:
    """Recomputed with scikit-learn's components and SciPy's filter, outside the graph."""
    from scipy.signal import savgol_filter
    from sklearn.decomposition import PCA

    bundle, evidence = load_bundle(wrapped), read_evidence(wrapped)
    fresh = make_blends(6, seed=9).spectra

    def treat(X: np.ndarray) -> np.ndarray:
        snv = (X - X.mean(axis=1, keepdims=True)) / X.std(axis=1, keepdims=True)
        return savgol_filter(snv, 11, 2, deriv=1, axis=1)[:, 5:-5]

    known = treat(evidence.spectra[evidence.keep])
    pca = PCA(bundle.card.n_latent, svd_solver="full").fit(known)
    assert pca.explained_variance_ratio_.sum() >= 0.99
    assert pca.explained_variance_ratio_[:-1].sum() < 0.99
    scores = pca.transform(treat(fresh)) / np.sqrt(pca.explained_variance_)
    left = treat(fresh) - pca.inverse_transform(pca.transform(treat(fresh)))
    near = np.linalg.norm(scores[:, None] - (pca.transform(known) / np.sqrt(pca.explained_variance_))[None], axis=2)
    for k, row in enumerate(fresh):
        out, _, residual = bundle.infer_whole(row)
        assert out["t2"] == pytest.approx(float((scores[k] ** 2).sum()), rel=1e-9)
        assert out["q"] == pytest.approx(float((left[k] ** 2).sum()), rel=1e-9)
        assert out["distance"] == pytest.approx(float(near[k].min()), rel=1e-9)
        np.testing.assert_allclose(residual, left[k], atol=1e-12)
        assert out["upper"] - out["value"] == pytest.approx(bundle.card.half_width)


def test_a_strange_spectrum_is_not_good_and_says_where(wrapped: Path, tmp_path: Path) -> None:
    fresh = make_blends(2, seed=9)
    fresh.spectra[1] += 0.3 * np.exp(-0.5 * ((fresh.axis - 1600.0) / 15.0) ** 2)
    spectra = write_table(tmp_path / "new.csv", fresh.axis, "ab", fresh.spectra)
    assert run("predict", wrapped, "--spectra", spectra, "--out", tmp_path / "P.csv").exit_code == 0
    with (tmp_path / "P.csv").open(newline="") as stream:
        good, strange = csv.DictReader(stream)
    assert good["quality"] == "good"
    assert strange["quality"] == "bad"
    bundle = load_bundle(wrapped)
    _, scores, residual = bundle.infer_whole(fresh.spectra[1])
    assert 1550 < max(bundle.anatomy.top(scores, residual), key=lambda c: c.share).axis < 1650


def test_show_validate_and_challenge_take_it_as_any_other(files: Path, wrapped: Path, tmp_path: Path) -> None:
    assert "wrapped network" in run("show", wrapped).stdout
    test = ("--spectra", files / "T.csv", "--reference", files / "TR.csv", "--target", "api")
    result = run("validate", wrapped, *test, "--json", tmp_path / "f.json")
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "f.json").read_text())
    assert figures["rmsep"] < 0.2
    assert figures["coverage_90"] > 0.75
    challenged = run("challenge", wrapped, *test, "--accept", 1.0, "--most", 4, "--json", tmp_path / "c.json")
    assert challenged.exit_code in (0, 1), challenged.output
    assert json.loads((tmp_path / "c.json").read_text())["accept"] == 1.0


def test_quarantine_knows_the_samples(files: Path, wrapped: Path) -> None:
    blends = make_blends(60, seed=1)
    assert overlap(wrapped, ["again"], blends.spectra[:1]) != []
    assert overlap(wrapped, ["new"], make_blends(1, seed=9).spectra) == []


@pytest.mark.parametrize("input_type", ["float64", "float32"])
def test_a_convolutional_network_keeps_every_bit(files: Path, tmp_path: Path, input_type: str) -> None:
    model = conv(tmp_path / "net.onnx")
    assert wrap(files, model, tmp_path / "b", "--input-type", input_type).exit_code == 0
    fresh = make_blends(20, seed=9).spectra
    got = [load_bundle(tmp_path / "b").infer(row)["value"] for row in fresh]
    np.testing.assert_array_equal(got, alone(model, fresh, (1, 1, N), "float32"))


def test_layers_the_processor_has_no_code_for(files: Path, tmp_path: Path) -> None:
    """onnxruntime convolves in single precision only; the same network in double is refused, not crashed on."""
    result = wrap(files, conv(tmp_path / "net.onnx", "float64"), tmp_path / "b")
    assert result.exit_code == 2
    assert "does not load on the processor" in result.stderr
    assert "Conv" in result.stderr
