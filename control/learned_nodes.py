"""ONNX nodes -> CasADi expressions, one operator a line: for graphs that CasADi's own import refuses (offline only).

Values are rows [1, n]; what needs other shapes is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import casadi as ca
import numpy as np

from control.errors import ControlError

Symbolic = Any
Attributes = dict[str, Any]


def translate(onnx_path: Path, inputs: Sequence[Symbolic]) -> list[Symbolic]:
    """The graph's outputs for its inputs (columns of numbers, one an input); ControlError names what is unsupported."""
    import onnx

    model = onnx.load(str(onnx_path))
    stored = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
    values: dict[str, Symbolic] = {name: _constant(array) for name, array in stored.items()}
    fed = [value.name for value in model.graph.input if value.name not in stored]
    values.update({name: part.T for name, part in zip(fed, inputs, strict=True)})
    for node in model.graph.node:
        settings = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        if node.op_type == "Constant":
            values[node.output[0]] = _constant(onnx.numpy_helper.to_array(settings["value"]))
            continue
        known = OPERATORS.get(node.op_type)
        if known is None:
            raise ControlError(
                f"{onnx_path}: operator '{node.op_type}' cannot become a term of a model; "
                f"use {', '.join(sorted(OPERATORS))}, or what CasADi imports itself"
            )
        values[node.output[0]] = known(settings, *(values[name] for name in node.input if name))
    return [values[value.name] for value in model.graph.output]


def _constant(array: np.ndarray) -> ca.DM:
    return ca.DM(np.atleast_2d(np.asarray(array, dtype=np.float64)))


def _both(function: Callable[[Symbolic, Symbolic], Symbolic]) -> Callable[..., Symbolic]:
    """Row by row, a single number or column of the batch spread over the other's width as ONNX does."""

    def apply(_: Attributes, a: Symbolic, b: Symbolic) -> Symbolic:
        rows, wide = max(a.shape[0], b.shape[0]), max(a.shape[1], b.shape[1])
        return function(*(ca.repmat(v, rows // v.shape[0], wide // v.shape[1]) for v in (a, b)))

    return apply


def _each(function: Callable[[Symbolic], Symbolic]) -> Callable[..., Symbolic]:
    return lambda _, x, *rest: function(x)  # noqa: ARG005 - what else a node is given (a dropout's ratio) has no part


def _gemm(at: Attributes, a: Symbolic, b: Symbolic, c: Symbolic | None = None) -> Symbolic:
    product = at.get("alpha", 1.0) * (a.T if at.get("transA") else a) @ (b.T if at.get("transB") else b)
    return product if c is None else _both(lambda x, y: x + y)(at, product, at.get("beta", 1.0) * c)


def _softmax(_: Attributes, x: Symbolic) -> Symbolic:
    raised = ca.exp(x - ca.mmax(x))
    return raised / ca.sum2(raised)


def _normalised(at: Attributes, x: Symbolic, scale: Any, shift: Any, mean: Any, variance: Any) -> Symbolic:
    return (x - mean) / ca.sqrt(variance + at.get("epsilon", 1e-5)) * scale + shift


def _scaler(at: Attributes, x: Symbolic) -> Symbolic:
    return (x - ca.DM(at["offset"]).T) * ca.DM(at["scale"]).T


OPERATORS: dict[str, Callable[..., Symbolic]] = {
    "Add": _both(lambda a, b: a + b),
    "BatchNormalization": _normalised,
    "Cast": _each(lambda x: x),
    "Div": _both(lambda a, b: a / b),
    "Dropout": _each(lambda x: x),
    "Exp": _each(ca.exp),
    "Flatten": _each(lambda x: x),
    "Gemm": _gemm,
    "Identity": _each(lambda x: x),
    "LeakyRelu": lambda at, x: ca.if_else(x > 0, x, at.get("alpha", 0.01) * x),
    "MatMul": lambda _, a, b: a @ b,
    "Mul": _both(lambda a, b: a * b),
    "ReduceMean": _each(lambda x: ca.sum2(x) / x.shape[1]),
    "Relu": _each(lambda x: ca.fmax(x, 0)),
    "Scaler": _scaler,
    "Sigmoid": _each(lambda x: 1 / (1 + ca.exp(-x))),
    "Softmax": _softmax,
    "Softplus": _each(lambda x: ca.fmax(x, 0) + ca.log1p(ca.exp(-ca.fabs(x)))),
    "Sqrt": _each(ca.sqrt),
    "Sub": _both(lambda a, b: a - b),
    "Tanh": _each(ca.tanh),
}
