"""A network as a term of a controller's model: the same numbers, exact derivatives, and refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import casadi as ca
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from control.compile import compile_problem
from control.errors import ControlError
from control.learned import function_of, term
from control.problem import Input, Limit, Problem

DRAW = np.random.default_rng(4)
FIRST, SHIFT, LAST, END = DRAW.normal(size=(3, 5)), DRAW.normal(size=5), DRAW.normal(size=(5, 1)), DRAW.normal(size=1)
CONSTANTS = {
    "W1": FIRST, "b1": SHIFT, "W2": LAST, "b2": END, "mu": np.array([1.0, -2.0, 0.5]), "sd": np.array([2.0, 0.5, 3.0]),
    "up": np.array([80.0]), "W1t": FIRST.T, "five": np.arange(1.0, 6.0), "small": np.full(5, 0.1),
}  # fmt: skip


def node(op: str, given: str, made: str, **attributes: Any) -> Any:
    return helper.make_node(op, given.split(), [made], **attributes)


def layers(*middle: Any) -> list[Any]:
    """Scaling, a Gemm, the nodes from 'a' to 'c', MatMul and Add."""
    head = [node("Sub", "x mu", "x0"), node("Div", "x0 sd", "x1"), node("Gemm", "x1 W1 b1", "a")]
    return [*head, *middle, node("MatMul", "c W2", "m"), node("Add", "m b2", "y")]


GRAPHS = {op: layers(node(op, "a", "c")) for op in ("Relu", "Tanh", "Sigmoid", "LeakyRelu", "Softplus", "Identity")}
GRAPHS["MatMul, Mul"] = [
    node("MatMul", "x W1", "p"), node("Add", "p b1", "a"), node("Tanh", "a", "c"), node("MatMul", "c W2", "m"),
    node("Mul", "m up", "y"),
]  # fmt: skip
GRAPHS["Gemm turned"] = [
    node("Gemm", "x W1t b1", "a", transB=1, alpha=0.5, beta=2.0), node("Tanh", "a", "c"), node("Gemm", "c W2", "y"),
]  # fmt: skip
REFUSED_BY_CASADI = {
    "Softmax": layers(node("Softmax", "a", "c")),
    "Flatten": layers(node("Flatten", "a", "f"), node("Softplus", "f", "c")),
    "Dropout": layers(node("Dropout", "a", "d"), node("LeakyRelu", "d", "c", alpha=0.2)),
    "BatchNormalization": layers(node("BatchNormalization", "a five small small five", "d"), node("Sigmoid", "d", "c")),
    "SNV": layers(
        node("ReduceMean", "a", "mean", keepdims=1), node("Sub", "a mean", "z"), node("Mul", "z z", "zz"),
        node("ReduceMean", "zz", "v", keepdims=1), node("Sqrt", "v", "s"), node("Div", "z s", "c"),
    ),
}  # fmt: skip


def save(nodes: list[Any], path: Path, element: type = np.float64, batch: int | str = 1) -> Path:
    kind = TensorProto.DOUBLE if element is np.float64 else TensorProto.FLOAT
    used = {name for one in nodes for name in one.input}
    stored = [numpy_helper.from_array(v.astype(element), k) for k, v in CONSTANTS.items() if k in used]
    x, y = (helper.make_tensor_value_info(n, kind, [batch, w]) for n, w in (("x", 3), ("y", 1)))
    graph = helper.make_graph(nodes, "g", [x], [y], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize("name", [*GRAPHS, *REFUSED_BY_CASADI])
def test_value_and_derivative_are_the_networks(name: str, tmp_path: Path) -> None:
    path = save({**GRAPHS, **REFUSED_BY_CASADI}[name], tmp_path / "m.onnx")
    network = function_of(path)
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    points = 3.0 * np.random.default_rng(5).standard_normal((200, 3))
    theirs = np.array([session.run(None, {"x": p[None]})[0].item() for p in points])
    ours = np.array([float(network(p)) for p in points])
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)
    x = ca.SX.sym("x", 3)
    slope = ca.Function("slope", [x], [ca.jacobian(term(path, [x[0], x[1:]]), x)])
    for p in points[:20]:
        apart = [(float(network(p + h)) - float(network(p - h))) / 2e-6 for h in 1e-6 * np.eye(3)]
        np.testing.assert_allclose(np.asarray(slope(p))[0], apart, rtol=1e-5, atol=1e-6)


def test_single_precision_and_any_batch(tmp_path: Path) -> None:
    exact = function_of(save(GRAPHS["Tanh"], tmp_path / "d.onnx"))
    network = function_of(save(GRAPHS["Tanh"], tmp_path / "f.onnx", np.float32, "N"))
    assert float(network([0.3, -1.0, 2.0])) == pytest.approx(float(exact([0.3, -1.0, 2.0])), rel=1e-6)


def test_the_term_serialises_in_both_kinds_of_symbols(tmp_path: Path) -> None:
    path = save(GRAPHS["Tanh"], tmp_path / "m.onnx")
    for kind in (ca.SX, ca.MX):
        x = kind.sym("x", 3)
        function = ca.Function("f", [x], [term(path, [x])])
        again = ca.Function.deserialize(function.serialize())
        assert float(again([1.0, 2.0, 3.0])) == float(function([1.0, 2.0, 3.0]))


@pytest.mark.filterwarnings("ignore:The approximateMPC feature")
@pytest.mark.parametrize("kind", ["SX", "MX"])
def test_it_is_a_residual_and_a_limit_of_a_model(kind: str, tmp_path: Path) -> None:
    from do_mpc.model import Model

    path = save(GRAPHS["Tanh"], tmp_path / "m.onnx")
    model = Model("discrete", kind)
    level = model.set_variable("_x", "level")
    force = model.set_variable("_u", "force")
    model.set_rhs("level", 0.9 * level + 0.1 * force)
    model.set_expression("learnt", term(path, [level, force, 1.0 + 0 * level]))
    model.set_expression("off", model.aux["learnt"] - 0.5)
    model.setup()
    compiled = compile_problem(
        Problem(model, 1.0, 5, {"off": 4.0}, {"force": Input(-1.0, 1.0)}, limits={"learnt": Limit(10.0, high=0.8)})
    )
    point = np.array([0.4, -0.2, 1.0])
    x, u = (np.full((1, 5), v) for v in point[:2])
    R, R_x, R_u, E, E_x, _ = compiled.columns("stage", x, u, np.zeros((0, 5)))
    network, probe = function_of(path), ca.SX.sym("x", 3)
    slope = np.asarray(ca.Function("slope", [probe], [ca.jacobian(network(probe), probe)])(point))[0]
    assert R[0].item() == pytest.approx(2 * (float(network(point)) - 0.5))
    assert E[0].item() == pytest.approx(float(network(point)))
    assert (R_x[0].item(), R_u[0].item()) == pytest.approx((2 * slope[0], 2 * slope[1]))
    assert E_x[0].item() == pytest.approx(slope[0])


def test_what_cannot_be_a_term_is_refused_by_name(tmp_path: Path) -> None:
    top = save(layers(node("CumSum", "a axis", "c")), tmp_path / "m.onnx")
    model = onnx.load(str(top))
    model.graph.initializer.append(numpy_helper.from_array(np.array(1), "axis"))
    onnx.save(model, str(top))
    with pytest.raises(ControlError, match="operator 'CumSum' cannot become a term"):
        function_of(top)
    fine = save(GRAPHS["Tanh"], tmp_path / "fine.onnx")
    with pytest.raises(ControlError, match="takes 3 numbers, 2 are given"):
        term(fine, [ca.SX.sym("a"), ca.SX.sym("b")])
    with pytest.raises(ControlError, match="not a network that can be run"):
        function_of(tmp_path / "none.onnx")
    wide = save(GRAPHS["Tanh"], tmp_path / "wide.onnx", batch=2)
    with pytest.raises(ControlError, match="one row of numbers"):
        function_of(wide)


def test_a_translation_that_disagrees_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from control import learned_nodes

    path = save(REFUSED_BY_CASADI["Softmax"], tmp_path / "m.onnx")
    monkeypatch.setitem(learned_nodes.OPERATORS, "Softmax", lambda _, x: x)
    with pytest.raises(ControlError, match="its translation differs"):
        function_of(path)
