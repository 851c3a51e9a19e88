"""ONNX network -> CasADi expression: a learnt relation as a term of the controller's model (offline only).

The network becomes plain arithmetic of the model: derivatives are exact, it is compiled into the controller bundle with
everything else, and the service needs neither the file nor a runtime for it. What was translated is believed only after
it gave what onnxruntime gives.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before the import: see soft_sensors/bundle.py

import casadi as ca
import numpy as np
import onnxruntime as ort

from control import learned_nodes
from control.errors import ControlError

SIZES = (0.1, 1.0, 10.0)  # typical inputs at which translation and original are compared
POINTS = 20  # at each size
ROUNDING = {"tensor(double)": 1e-9, "tensor(float)": 1e-4}  # relative to the largest output; a wrong graph is far off

Symbolic = Any


def term(onnx_path: Path, inputs: Sequence[Symbolic]) -> Symbolic:
    """What the network says of the inputs, as an expression [m, 1] of the same symbols, differentiable.

    inputs: CasADi scalars or columns, in the order in which the network takes its numbers (over all its inputs, one
    sample); m: how many numbers it gives. Raises ControlError: unreadable file, operator that cannot be translated
    (named), wrong number of inputs, or a translation that disagrees with onnxruntime.
    """
    network = function_of(onnx_path)
    column = ca.vertcat(*inputs)
    wanted = network.size1_in(0)
    if column.shape != (wanted, 1):
        raise ControlError(f"{onnx_path}: the network takes {wanted} numbers, {column.shape[0]} are given to it")
    return network(column)


def function_of(onnx_path: Path) -> ca.Function:
    """The network as a CasADi function, column [n, 1] to column [m, 1]; raises ControlError as `term` does."""
    session = _session(onnx_path)
    shapes = [_row(value, onnx_path) for value in session.get_inputs()]
    function = _translated(onnx_path, shapes)
    _compare(function, session, shapes, onnx_path)
    return function


def _translated(onnx_path: Path, shapes: list[tuple[int, ...]]) -> ca.Function:
    sizes = [int(np.prod(shape)) for shape in shapes]
    column = ca.MX.sym("x", sum(sizes))
    parts = ca.vertsplit(column, np.cumsum([0, *sizes]).tolist())
    try:
        found = _by_casadi(onnx_path, parts)
    except RuntimeError as error:
        refused = re.search(r"Unsupported operation '([^']+)'", str(error))
        if refused is None:
            last = str(error).strip().splitlines()[-1]
            raise ControlError(f"{onnx_path}: cannot become a term of a model ({last}); export it again") from error
        found = learned_nodes.translate(onnx_path, parts)
    whole = ca.Function("network", [column], [ca.vertcat(*(ca.vec(part) for part in found))], {"cse": True})
    return whole.expand()


def _by_casadi(onnx_path: Path, parts: list[Symbolic]) -> list[Symbolic]:
    builder = ca.GraphBuilder(str(onnx_path), {})
    for name in builder.dynamic_params():
        builder.bind_dim(name, 1)  # a batch of any size: here of one sample
    graph = builder.create("graph", {"symbolic": True})
    given = [ca.reshape(part, graph.size_in(i)) for i, part in enumerate(parts)]
    answer = graph(*given)
    return list(answer) if isinstance(answer, tuple) else [answer]


def _session(onnx_path: Path) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(str(onnx_path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions have no common root but this one
        told = str(error).strip().splitlines()[0][:120]
        raise ControlError(f"{onnx_path}: not a network that can be run ({told}); export it again") from error


def _row(value: Any, onnx_path: Path) -> tuple[int, ...]:
    """Shape of one sample: a batch of one number or one row, free dimensions first and only one."""
    shape = tuple(size if isinstance(size, int) else 1 for size in value.shape)
    if value.type not in ROUNDING or len(shape) > 2 or (len(shape) == 2 and shape[0] != 1):
        raise ControlError(
            f"{onnx_path}: input '{value.name}' is {value.type} {list(value.shape)}; a term takes one row of numbers"
        )
    return shape


def _compare(function: ca.Function, session: Any, shapes: list[tuple[int, ...]], onnx_path: Path) -> None:
    draw = np.random.default_rng(20260101)
    inputs = session.get_inputs()
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    points = [size * draw.standard_normal(int(ends[-1])) for size in SIZES for _ in range(POINTS)]
    theirs = []
    for point in points:
        parts = np.split(point, ends[:-1])
        feeds = {
            value.name: part.reshape(shape).astype("float64" if value.type == "tensor(double)" else "float32")
            for value, part, shape in zip(inputs, parts, shapes, strict=True)
        }
        theirs.append(np.concatenate([np.ravel(answer) for answer in session.run(None, feeds)]))
    ours = np.asarray(function.map(len(points))(np.array(points).T)).T
    wanted = np.asarray(theirs, dtype=np.float64)
    if ours.shape != wanted.shape:
        raise ControlError(f"{onnx_path}: gives {wanted.shape[1]} numbers, its translation {ours.shape[1]}")
    off = float(np.max(np.abs(ours - wanted)) / max(float(np.max(np.abs(wanted))), 1e-12))
    if not off <= max(ROUNDING[value.type] for value in inputs):
        raise ControlError(f"{onnx_path}: its translation differs by {off:.2g} of the largest output; not used")
