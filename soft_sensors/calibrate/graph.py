"""fitted pipeline -> ONNX: pre-treatment, model, interval, T2 and Q in one graph, in double precision throughout.

scikit-learn converters know neither chemotools nor T2 and Q, so the few nodes are written by hand. float32 input is
widened first: Q is the small difference of large numbers and would lose its digits otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper, numpy_helper
from scipy.signal import savgol_coeffs

from soft_sensors.bundle import OUTPUTS
from soft_sensors.calibrate.fit import Calibration, Fitted
from soft_sensors.calibrate.pretreatment import POLYNOMIAL, Recipe
from soft_sensors.signals import FloatArray

OPSET, IR_VERSION = 17, 8  # our choice: old enough for every onnxruntime of the last years
TYPES = {"float64": TensorProto.DOUBLE, "float32": TensorProto.FLOAT}


class Nodes:
    """The graph as it grows: nodes in order and their constants, all names with the given prefix."""

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def prefixed(self, prefix: str) -> Nodes:
        """The same growing graph under another prefix."""
        other = Nodes(prefix)
        other.nodes, other.constants = self.nodes, self.constants
        return other

    def constant(self, name: str, value: FloatArray | NDArray[np.int64]) -> str:
        """Add a constant; returns its full name."""
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), self.prefix + name))
        return self.prefix + name

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add a node; returns the full name of its output."""
        output = self.prefix + output
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"make_{output}", **attributes))
        return output


def graph_bytes(made: Calibration) -> bytes:
    """The serialised graph: input `spectrum` [1, n_channels], outputs OUTPUTS, each [1, 1]."""
    card, nodes = made.card, Nodes()
    inside = _inside(made, nodes)
    alone = len(made.members) == 1
    values = []
    for k, member in enumerate(made.members):
        part = nodes if k == 0 else nodes.prefixed(f"member{k + 1}_")
        treated = _pretreatment(made, member, inside, part)
        centred, t = _scores(made, member, treated, part)
        values.append(_value(made, member, t, "value" if alone else "member_value", part))
        if k == 0:
            _distances(made, member, centred, t, part)
    if not alone:
        total = nodes.add("Sum", values, "total")
        nodes.add("Mul", [total, nodes.constant("share", np.array([[1.0 / len(values)]]))], "value")
    half = nodes.constant("half_width", np.array([[card.half_width]]))
    nodes.add("Sub", ["value", half], "lower")
    nodes.add("Add", ["value", half], "upper")
    spectrum = helper.make_tensor_value_info("spectrum", TYPES[card.input_type], [1, card.axis.size])
    outputs = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, [1, 1]) for name in OUTPUTS]
    graph = helper.make_graph(nodes.nodes, "soft_sensor", [spectrum], outputs, nodes.constants)
    model = helper.make_model(graph, producer_name="patloop", ir_version=IR_VERSION,
                              opset_imports=[helper.make_opsetid("", OPSET)])
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _inside(made: Calibration, nodes: Nodes) -> str:
    now = "spectrum"
    if made.card.input_type == "float32":
        now = nodes.add("Cast", [now], "wide", to=TensorProto.DOUBLE)
    start = nodes.constant("window_start", np.array([made.window.start]))
    stop = nodes.constant("window_stop", np.array([made.window.stop]))
    return nodes.add("Slice", [now, start, stop, nodes.constant("channels", np.array([1]))], "inside")


def _pretreatment(made: Calibration, member: Fitted, inside: str, nodes: Nodes) -> str:
    now = inside
    if member.recipe.snv:
        mean = nodes.add("ReduceMean", [now], "mean", axes=[1], keepdims=1)
        centred = nodes.add("Sub", [now, mean], "snv_centred")
        squared = nodes.add("Mul", [centred, centred], "snv_squared")
        variance = nodes.add("ReduceMean", [squared], "variance", axes=[1], keepdims=1)
        now = nodes.add("Div", [centred, nodes.add("Sqrt", [variance], "deviation")], "snv")
    if member.recipe.derivative:
        now = _derivative(made.window, member.recipe, now, nodes)
    return now


def _derivative(window: slice, recipe: Recipe, now: str, nodes: Nodes) -> str:
    """Savitzky-Golay as windows times kernel: onnxruntime has no double-precision convolution on the processor.

    The window's centre is taken off first (a derivative's kernel sums to zero): the offset costs no digits then.
    """
    width = recipe.width
    n_out = window.stop - window.start - width + 1
    places = np.arange(width)[:, None] + np.arange(n_out)
    kernel = savgol_coeffs(width, POLYNOMIAL, deriv=recipe.derivative, use="dot")
    # scipy.ndimage, which filtered the calibration spectra, takes one half of the kernel for both: so do we.
    kernel[width // 2 + 1:] = (-1) ** recipe.derivative * kernel[: width // 2][::-1]
    gathered = nodes.add("Gather", [now, nodes.constant("places", places)], "gathered", axis=1)
    centre = nodes.add("Gather", [now, nodes.constant("centres", places[[width // 2]])], "centre", axis=1)
    differences = nodes.add("Sub", [gathered, centre], "differences")
    filtered = nodes.add("MatMul", [nodes.constant("kernel", kernel[None, :]), differences], "filtered")
    shape = nodes.constant("shape", np.array([1, n_out]))
    return nodes.add("Reshape", [filtered, shape], "derivative")


def _scores(made: Calibration, member: Fitted, treated: str, nodes: Nodes) -> tuple[str, str]:
    """x - x_mean and t = (x - x_mean) R."""
    x_mean = _treated(made, member).mean(axis=0)
    centred = nodes.add("Sub", [treated, nodes.constant("x_mean", x_mean[None, :])], "centred")
    rotations = nodes.constant("rotations", member.pipeline[-1].x_rotations_)
    return centred, nodes.add("MatMul", [centred, rotations], "scores")


def _value(made: Calibration, member: Fitted, t: str, output: str, nodes: Nodes) -> str:
    """y_mean + t q."""
    y_mean = float(made.samples.reference[made.keep].mean())
    product = nodes.add("MatMul", [t, nodes.constant("y_loadings", member.pipeline[-1].y_loadings_.T)], "product")
    return nodes.add("Add", [product, nodes.constant("y_mean", np.array([[y_mean]]))], output)


def _distances(made: Calibration, member: Fitted, centred: str, t: str, nodes: Nodes) -> None:
    """T2 = |t / s|^2; Q = |x - x_mean - t P'|^2."""
    pls, x = member.pipeline[-1], _treated(made, member)
    scores = (x - x.mean(axis=0)) @ pls.x_rotations_
    score_sd = nodes.constant("score_sd", scores.std(axis=0, ddof=1)[None, :])
    _square_sum(nodes, nodes.add("Div", [t, score_sd], "scaled"), "t2")
    explained = nodes.add("MatMul", [t, nodes.constant("loadings", pls.x_loadings_.T)], "explained")
    _square_sum(nodes, nodes.add("Sub", [centred, explained], "residual"), "q")


def _treated(made: Calibration, member: Fitted) -> FloatArray:
    """The pre-treated calibration spectra."""
    return np.asarray(member.pipeline[:-1].transform(made.samples.spectra[made.keep]), dtype=np.float64)


def _square_sum(nodes: Nodes, name: str, output: str) -> None:
    squared = nodes.add("Mul", [name, name], f"{output}_squared")
    axes = nodes.constant(f"{output}_axes", np.array([1]))
    nodes.add("ReduceSum", [squared, axes], output, keepdims=1)
