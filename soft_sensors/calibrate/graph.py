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
from soft_sensors.calibrate.fit import Calibration
from soft_sensors.calibrate.pretreatment import POLYNOMIAL
from soft_sensors.signals import FloatArray

OPSET, IR_VERSION = 17, 8  # our choice: old enough for every onnxruntime of the last years
TYPES = {"float64": TensorProto.DOUBLE, "float32": TensorProto.FLOAT}


class Nodes:
    """The graph as it grows: nodes in order and their constants, all names with the given prefix."""

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

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
    treated = _pretreatment(made, nodes)
    _model(made, treated, nodes)
    spectrum = helper.make_tensor_value_info("spectrum", TYPES[card.input_type], [1, card.axis.size])
    outputs = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, [1, 1]) for name in OUTPUTS]
    graph = helper.make_graph(nodes.nodes, "soft_sensor", [spectrum], outputs, nodes.constants)
    model = helper.make_model(graph, producer_name="patloop", ir_version=IR_VERSION,
                              opset_imports=[helper.make_opsetid("", OPSET)])
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _pretreatment(made: Calibration, nodes: Nodes) -> str:
    now = "spectrum"
    if made.card.input_type == "float32":
        now = nodes.add("Cast", [now], "wide", to=TensorProto.DOUBLE)
    start = nodes.constant("window_start", np.array([made.window.start]))
    stop = nodes.constant("window_stop", np.array([made.window.stop]))
    now = nodes.add("Slice", [now, start, stop, nodes.constant("channels", np.array([1]))], "inside")
    if made.recipe.snv:
        mean = nodes.add("ReduceMean", [now], "mean", axes=[1], keepdims=1)
        centred = nodes.add("Sub", [now, mean], "snv_centred")
        squared = nodes.add("Mul", [centred, centred], "snv_squared")
        variance = nodes.add("ReduceMean", [squared], "variance", axes=[1], keepdims=1)
        now = nodes.add("Div", [centred, nodes.add("Sqrt", [variance], "deviation")], "snv")
    if made.recipe.derivative:
        now = _derivative(made, now, nodes)
    return now


def _derivative(made: Calibration, now: str, nodes: Nodes) -> str:
    """Savitzky-Golay as windows times kernel: onnxruntime has no double-precision convolution on the processor.

    The window's centre is taken off first (a derivative's kernel sums to zero): the offset costs no digits then.
    """
    width = made.recipe.width
    n_out = made.window.stop - made.window.start - width + 1
    places = np.arange(width)[:, None] + np.arange(n_out)
    kernel = savgol_coeffs(width, POLYNOMIAL, deriv=made.recipe.derivative, use="dot")
    # scipy.ndimage, which filtered the calibration spectra, takes one half of the kernel for both: so do we.
    kernel[width // 2 + 1:] = (-1) ** made.recipe.derivative * kernel[: width // 2][::-1]
    gathered = nodes.add("Gather", [now, nodes.constant("places", places)], "gathered", axis=1)
    centre = nodes.add("Gather", [now, nodes.constant("centres", places[[width // 2]])], "centre", axis=1)
    differences = nodes.add("Sub", [gathered, centre], "differences")
    filtered = nodes.add("MatMul", [nodes.constant("kernel", kernel[None, :]), differences], "filtered")
    shape = nodes.constant("shape", np.array([1, n_out]))
    return nodes.add("Reshape", [filtered, shape], "derivative")


def _model(made: Calibration, treated: str, nodes: Nodes) -> None:
    """value = y_mean + t q, t = (x - x_mean) R; T2 = |t / s|^2; Q = |x - x_mean - t P'|^2."""
    pls = made.pipeline[-1]
    x = made.pipeline[:-1].transform(made.samples.spectra[made.keep])
    x_mean = x.mean(axis=0)
    scores = (x - x_mean) @ pls.x_rotations_
    y_mean = float(made.samples.reference[made.keep].mean())
    centred = nodes.add("Sub", [treated, nodes.constant("x_mean", x_mean[None, :])], "centred")
    t = nodes.add("MatMul", [centred, nodes.constant("rotations", pls.x_rotations_)], "scores")
    product = nodes.add("MatMul", [t, nodes.constant("y_loadings", pls.y_loadings_.T)], "product")
    value = nodes.add("Add", [product, nodes.constant("y_mean", np.array([[y_mean]]))], "value")
    half = nodes.constant("half_width", np.array([[made.card.half_width]]))
    nodes.add("Sub", [value, half], "lower")
    nodes.add("Add", [value, half], "upper")
    score_sd = nodes.constant("score_sd", scores.std(axis=0, ddof=1)[None, :])
    _square_sum(nodes, nodes.add("Div", [t, score_sd], "scaled"), "t2")
    explained = nodes.add("MatMul", [t, nodes.constant("loadings", pls.x_loadings_.T)], "explained")
    _square_sum(nodes, nodes.add("Sub", [centred, explained], "residual"), "q")


def _square_sum(nodes: Nodes, name: str, output: str) -> None:
    squared = nodes.add("Mul", [name, name], f"{output}_squared")
    axes = nodes.constant(f"{output}_axes", np.array([1]))
    nodes.add("ReduceSum", [squared, axes], output, keepdims=1)
