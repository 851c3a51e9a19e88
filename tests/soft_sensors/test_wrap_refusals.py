"""patloop sensor wrap: what is refused, each with one clear line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from .conftest import make_blends, write_table
from .test_wrap_commands import N, card_of, files, linear, node, save, wrap

__all__ = ["files"]  # the fixture of the same samples


def refused(files: Path, model: Path, tmp_path: Path, *more: object) -> str:
    """The one line of a refusal; no bundle is left."""
    result = wrap(files, model, tmp_path / "b", *more)
    assert result.exit_code == 2, result.output
    assert not (tmp_path / "b").exists()
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    return line


@pytest.mark.parametrize("shape", [("N", N + 1), (8, N), ("N", 2, N), (N,), ("N", "C", "L"), ("N", 1, N, 1)])
def test_wrong_shapes(files: Path, tmp_path: Path, shape: Sequence[object]) -> None:
    line = refused(files, linear(tmp_path / "m.onnx", shape), tmp_path)
    assert "input 'x' is [" in line
    assert f"{N} channels" in line


def two_outputs(path: Path) -> Path:
    """The regression, and a class beside it."""
    source = onnx.load(linear(path))
    source.graph.node.append(node("Neg", "y", "minus"))
    source.graph.output.append(helper.make_tensor_value_info("minus", TensorProto.FLOAT, ["N", 1]))
    path.write_bytes(source.SerializeToString())
    return path


def test_of_two_outputs_one_is_named(files: Path, tmp_path: Path) -> None:
    model = two_outputs(tmp_path / "m.onnx")
    assert "its outputs are y, minus; name the one to use with --output" in refused(files, model, tmp_path)
    assert "no output 'z'; it has y, minus" in refused(files, model, tmp_path, "--output", "z")
    assert wrap(files, model, tmp_path / "b", "--output", "y", "--input", "x").exit_code == 0
    assert card_of(tmp_path / "b")["skill"] > 0.9


def test_an_output_of_several_numbers(files: Path, tmp_path: Path) -> None:
    model = save(tmp_path / "m.onnx", [node("MatMul", "x w", "y")], {"w": np.ones((N, 3), np.float32)}, ("N", N),
                 out_shape=("N", 3))
    assert "is [1, 3], not one number" in refused(files, model, tmp_path)


def test_a_second_input(files: Path, tmp_path: Path) -> None:
    source = onnx.load(linear(tmp_path / "m.onnx"))
    source.graph.input.append(helper.make_tensor_value_info("temperature", TensorProto.FLOAT, [1]))
    (tmp_path / "m.onnx").write_bytes(source.SerializeToString())
    assert "x, temperature; name the one" in refused(files, tmp_path / "m.onnx", tmp_path)
    assert "besides 'x' it needs temperature" in refused(files, tmp_path / "m.onnx", tmp_path, "--input", "x")


def test_weights_listed_as_inputs_are_no_inputs(files: Path, tmp_path: Path) -> None:
    source = onnx.load(linear(tmp_path / "m.onnx"))
    source.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [N, 1]))
    (tmp_path / "m.onnx").write_bytes(source.SerializeToString())
    result = wrap(files, tmp_path / "m.onnx", tmp_path / "b")
    assert result.exit_code == 0, result.output


def test_no_number(files: Path, tmp_path: Path) -> None:
    """The logarithm of a negative number, for some of the spectra only."""
    weights = {"w": np.eye(N, 1, dtype=np.float32), "level": np.array([[0.4]], np.float32)}
    model = save(tmp_path / "m.onnx", [node("MatMul", "x w", "xw"), node("Sub", "xw level", "less"),
                                       node("Log", "less", "y")], weights, ("N", N))
    line = refused(files, model, tmp_path)
    assert "no finite value for" in line
    assert "of 60 spectra, the first is 'b" in line


def test_weights_in_another_file(files: Path, tmp_path: Path) -> None:
    source = onnx.load(linear(tmp_path / "m.onnx"))
    onnx.save_model(source, tmp_path / "m.onnx", save_as_external_data=True, size_threshold=0, location="weights.bin")
    assert "are in another file" in refused(files, tmp_path / "m.onnx", tmp_path)


def test_weights_in_another_file_inside_a_branch(files: Path, tmp_path: Path) -> None:
    outside = numpy_helper.from_array(np.ones((1, 1), np.float32), "outside")
    outside.ClearField("raw_data")
    outside.data_location = TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="/etc/hostname")
    body = helper.make_graph([node("Constant", "", "c", value=outside)], "body", [],
                             [helper.make_tensor_value_info("c", TensorProto.FLOAT, [1, 1])])
    model = save(tmp_path / "m.onnx", [node("If", "yes", "y", then_branch=body, else_branch=body)],
                 {"yes": np.array(True)}, ("N", N))  # fmt: skip
    assert "are in another file" in refused(files, model, tmp_path)


def test_operators_of_others(files: Path, tmp_path: Path) -> None:
    anything = node("Anything", "x", "y", domain="com.other")
    model = save(tmp_path / "m.onnx", [anything], {}, ("N", N), domain="com.other")
    assert "operator com.other.Anything is not of the standard" in refused(files, model, tmp_path)


@pytest.mark.parametrize("kind", ["RandomNormalLike", "Bernoulli"])
def test_random_operators(files: Path, tmp_path: Path, kind: str) -> None:
    weights = {"w": np.ones((N, 1), np.float32)}
    model = save(tmp_path / "m.onnx", [node(kind, "x", "noise"), node("MatMul", "noise w", "y")], weights, ("N", N))
    assert f"{kind} draws random numbers" in refused(files, model, tmp_path)


def test_dropout_left_on(files: Path, tmp_path: Path) -> None:
    weights = {"w": np.ones((N, 1), np.float32), "ratio": np.array(0.5, np.float32), "on": np.array(True)}
    model = save(tmp_path / "m.onnx", [node("Dropout", "x ratio on", "half"), node("MatMul", "half w", "y")], weights,
                 ("N", N))
    assert "the same spectrum gives different values" in refused(files, model, tmp_path)


def test_not_a_network(files: Path, tmp_path: Path) -> None:
    for content in (b"", b"\x08", b"sample_id,1,2\n", b"\xff" * 100):
        (tmp_path / "m.onnx").write_bytes(content)
        assert "not an ONNX file" in refused(files, tmp_path / "m.onnx", tmp_path)
    assert "No such file" in refused(files, tmp_path / "none.onnx", tmp_path)


def test_an_operator_that_does_not_run(files: Path, tmp_path: Path) -> None:
    model = save(tmp_path / "m.onnx", [node("NoSuchThing", "x", "y")], {}, ("N", N))
    assert "does not load on the processor" in refused(files, model, tmp_path)
    fixed = save(tmp_path / "m.onnx", [node("Reshape", "x s", "y")], {"s": np.array([2, N])}, ("N", N))
    assert "does not run on one spectrum" in refused(files, fixed, tmp_path)


def test_a_classifier(files: Path, tmp_path: Path) -> None:
    source = onnx.load(linear(tmp_path / "m.onnx"))
    source.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    (tmp_path / "m.onnx").write_bytes(source.SerializeToString())
    assert "output 'y' gives int64; a regressor gives float or double" in refused(files, tmp_path / "m.onnx", tmp_path)


def guesser(path: Path, weight: float) -> Path:
    """A network that says 12, and `weight` times the first channel."""
    weights = {"w": weight * np.eye(N, 1, dtype=np.float32), "b": np.array([12.0], np.float32)}
    return save(path, [node("MatMul", "x w", "xw"), node("Add", "xw b", "y")], weights, ("N", N))


def test_no_skill_is_said(files: Path, tmp_path: Path) -> None:
    assert wrap(files, guesser(tmp_path / "m.onnx", 0.1), tmp_path / "b").exit_code == 0
    card = card_of(tmp_path / "b")
    assert card["evidence"].startswith("no evidence")
    assert card["skill"] <= 0
    assert 'class="no"' in (tmp_path / "b" / "report.html").read_text()


def test_few_groups_are_said(files: Path, tmp_path: Path) -> None:
    (tmp_path / "S.csv").write_text((files / "S.csv").read_text())
    lines = (files / "R.csv").read_text().splitlines()
    (tmp_path / "R.csv").write_text("\n".join([*lines[:21], ""]))  # 20 samples in 4 lots
    result = wrap(tmp_path, linear(tmp_path / "m.onnx"), tmp_path / "b")
    assert result.exit_code == 0, result.output
    assert "rest on 4 groups (lot) only" in result.stderr
    assert "groups (lot) only" not in wrap(files, linear(tmp_path / "m.onnx"), tmp_path / "b").stderr


def test_one_number_for_all(files: Path, tmp_path: Path) -> None:
    assert "it says 12 whatever the spectrum" in refused(files, guesser(tmp_path / "m.onnx", 0.0), tmp_path)


def test_what_it_was_trained_on_must_be_others(files: Path, tmp_path: Path) -> None:
    model, blends = linear(tmp_path / "m.onnx"), make_blends(60, seed=1)
    others = make_blends(40, seed=50)
    trained = write_table(tmp_path / "T.csv", others.axis, [f"x{k}" for k in range(40)], others.spectra)
    assert wrap(files, model, tmp_path / "b", "--trained-on", trained).exit_code == 0
    said = card_of(tmp_path / "b")["evidence"]
    assert "none of the 40 training spectra" in said
    assert "declared" not in said

    others.spectra[3] = np.round(blends.spectra[7], 7)
    trained = write_table(tmp_path / "T.csv", others.axis, [f"x{k}" for k in range(40)], others.spectra)
    result = wrap(files, model, tmp_path / "c", "--trained-on", trained)
    assert result.exit_code == 1
    assert "training spectrum x3: identical to the spectrum of calibration sample b7" in result.stderr
    assert "no bundle: 1 overlap" in result.stderr
    assert not (tmp_path / "c").exists()


def test_a_training_batch_among_the_samples(files: Path, tmp_path: Path) -> None:
    """Another sample of a batch that the samples hold is no independent one."""
    others = make_blends(10, seed=50)
    trained = write_table(tmp_path / "T.csv", others.axis, [f"x{k}" for k in range(10)], others.spectra)
    reference = tmp_path / "R.csv"
    reference.write_text((files / "R.csv").read_text() + "x4,1.0,2.0,250.0,b-lot3\n")
    changed = tmp_path / "changed"
    changed.mkdir()
    (changed / "R.csv").write_text(reference.read_text())
    (changed / "S.csv").write_text((files / "S.csv").read_text())
    result = wrap(changed, linear(tmp_path / "m.onnx"), tmp_path / "b", "--trained-on", trained)
    assert result.exit_code == 1
    assert "group b-lot3: both in training and among the samples given" in result.stderr


def test_training_spectra_on_another_axis(files: Path, tmp_path: Path) -> None:
    others = make_blends(10, seed=50)
    trained = write_table(tmp_path / "T.csv", others.axis + 1.0, [f"x{k}" for k in range(10)], others.spectra)
    assert "not on the axis of the samples" in refused(files, linear(tmp_path / "m.onnx"), tmp_path, "--trained-on",
                                                       trained)
