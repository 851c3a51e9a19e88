"""calibration -> ONNX: pre-treatment, model, interval, T2, Q and distance in one graph, in double precision throughout.

scikit-learn converters know neither chemotools nor T2 and Q, so the nodes are written by hand. float32 input is widened
first: Q is the small difference of large numbers and would lose its digits otherwise. Everything linear behind the last
non-linear step is folded into one matrix: a derivative and a regression are one product with the spectrum.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, checker, helper
from scipy.signal import savgol_coeffs

from soft_sensors.bundle import OUTPUTS, SCALARS
from soft_sensors.calibrate.fit import Calibration, Fitted
from soft_sensors.calibrate.kernel import KernelOnScores
from soft_sensors.calibrate.nodes import Nodes
from soft_sensors.calibrate.pretreatment import POLYNOMIAL, Recipe
from soft_sensors.signals import FloatArray

OPSET, IR_VERSION = 17, 8  # our choice: old enough for every onnxruntime of the last years
TYPES = {"float64": TensorProto.DOUBLE, "float32": TensorProto.FLOAT}
BLOCK = 32  # channels, our choice: the derivative is two dense products on blocks, onnxruntime has no such convolution


def graph_bytes(made: Calibration, outputs: tuple[str, ...] = OUTPUTS) -> bytes:
    """The serialised graph: input `spectrum` [1, n_channels], outputs OUTPUTS, the scalar ones [1, 1].

    With outputs ("value",) alone the graph does nothing but predict: what a bench compares with a bare product.
    """
    nodes = Nodes()
    inside = _inside(made, nodes)
    values = []
    for k, member in enumerate(made.members):
        part = nodes if k == 0 else nodes.prefixed(f"member{k + 1}_")
        values.append(_member(made, member, inside, part, first=k == 0 and outputs == OUTPUTS))
    if len(values) > 1:
        total = nodes.add("Sum", values, "total")
        nodes.add("Mul", [total, nodes.constant("share", np.array([[1.0 / len(values)]]))], "value")
    else:
        nodes.add("Identity", values, "value")
    if outputs == OUTPUTS:
        half = nodes.constant("half_width", np.array([[made.card.half_width]]))
        nodes.add("Sub", ["value", half], "lower")
        nodes.add("Add", ["value", half], "upper")
    return serialise(nodes, made.card.input_type, made.card.axis.size, outputs, _sizes(made))


def serialise(nodes: Nodes, input_type: str, n_channels: int, outputs: tuple[str, ...], sizes: dict[str, int]) -> bytes:
    """The checked graph as bytes, the same bytes each time; sizes: of the outputs that are rows."""
    spectrum = helper.make_tensor_value_info("spectrum", TYPES[input_type], [1, n_channels])
    given = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, [1, 1 if name in SCALARS else sizes[name]])
             for name in outputs]
    graph = helper.make_graph(nodes.nodes, "soft_sensor", [spectrum], given, nodes.constants)
    model = helper.make_model(graph, producer_name="patloop", ir_version=IR_VERSION,
                              opset_imports=[helper.make_opsetid("", OPSET)])
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def explanation(made: Calibration) -> dict[str, FloatArray]:
    """What turns scores and residual into contributions: rotations [m, k], loadings [m, k], score_sd [k], channels [m].

    Of the member that gives T2 and Q; channels: places on the axis of the pre-treated channels.
    """
    member = made.members[0]
    centre = member.recipe.margin
    channels = made.samples.axis[made.window][centre: made.window.stop - made.window.start - centre]
    pls = member.pls
    return {"rotations": pls.x_rotations_, "loadings": pls.x_loadings_, "score_sd": _score_sd(made, member),
            "channels": channels}


def _sizes(made: Calibration) -> dict[str, int]:
    n_treated = made.window.stop - made.window.start - 2 * made.members[0].recipe.margin
    return {"scores": made.card.n_latent, "residual": n_treated}


def _inside(made: Calibration, nodes: Nodes) -> str:
    now = "spectrum"
    if made.card.input_type == "float32":
        now = nodes.add("Cast", [now], "wide", to=TensorProto.DOUBLE)
    start = nodes.constant("window_start", np.array([made.window.start]))
    stop = nodes.constant("window_stop", np.array([made.window.stop]))
    return nodes.add("Slice", [now, start, stop, nodes.constant("channels", np.array([1]))], "inside")


def _member(made: Calibration, member: Fitted, inside: str, nodes: Nodes, *, first: bool) -> str:
    """The nodes of one member; the name of its value. The first one gives T2, Q, distance, scores and residual too."""
    recipe, pls = member.recipe, member.pls
    n_inside = made.window.stop - made.window.start
    x_mean = _treated(made, member).mean(axis=0)
    now = _snv(inside, "snv_in", nodes) if recipe.snv == "before" else inside
    treated = ""
    if recipe.snv == "after" or first:
        treated = _derivative(recipe, n_inside, now, nodes)
        treated = _snv(treated, "snv_out", nodes) if recipe.snv == "after" else treated
    # Behind the last non-linear step everything is one matrix: the derivative is folded into the rotations.
    folded = pls.x_rotations_ if recipe.snv == "after" else _filter(recipe, n_inside).T @ pls.x_rotations_
    source = treated if recipe.snv == "after" else now
    kernel = member.pipeline[-1] if isinstance(member.pipeline[-1], KernelOnScores) else None
    offset = x_mean @ pls.x_rotations_
    if kernel is None and not first:
        weights, y_mean = pls.y_loadings_[0], float(pls.intercept_[0])
        product = nodes.add("MatMul", [source, nodes.constant("weights", (folded @ weights)[:, None])], "product")
        return nodes.add("Add", [product, nodes.row("offset", np.array([y_mean - offset @ weights]))], "linear")
    raw = nodes.add("MatMul", [source, nodes.constant("rotations", folded)], "raw_scores")
    t = nodes.add("Sub", [raw, nodes.row("score_offset", offset)], "scores")
    scaled = nodes.add("Mul", [t, nodes.row("inverse_sd", 1.0 / _score_sd(made, member))], "scaled")
    if first:
        nodes.add("ReduceSumSquare", [scaled], "t2", axes=[1], keepdims=1)
        _residual(pls.x_loadings_, x_mean, treated, t, nodes)
    squared = _squared_distances(made, member, scaled, nodes) if first or kernel is not None else ""
    if first:
        nodes.add("Sqrt", [nodes.add("ReduceMin", [squared], "nearest", axes=[1], keepdims=1)], "distance")
    if kernel is not None:
        return _kernel_value(kernel, scaled, squared, nodes)
    product = nodes.add("MatMul", [t, nodes.constant("y_loadings", pls.y_loadings_.T)], "product")
    return nodes.add("Add", [product, nodes.row("offset", pls.intercept_)], "linear")


def _snv(now: str, name: str, nodes: Nodes) -> str:
    mean = nodes.add("ReduceMean", [now], f"{name}_mean", axes=[1], keepdims=1)
    centred = nodes.add("Sub", [now, mean], f"{name}_centred")
    return nodes.add("Div", [centred, _deviation(centred, name, nodes)], name)


def _deviation(centred: str, name: str, nodes: Nodes) -> str:
    """Standard deviation (population) of a centred row."""
    squared = nodes.add("Mul", [centred, centred], f"{name}_squared")
    variance = nodes.add("ReduceMean", [squared], f"{name}_variance", axes=[1], keepdims=1)
    return nodes.add("Sqrt", [variance], f"{name}_deviation")


def _kernel(recipe: Recipe) -> FloatArray:
    """Savitzky-Golay coefficients, the second half mirrored as scipy.ndimage, which filtered the calibration, does."""
    width = recipe.width
    kernel = savgol_coeffs(width, POLYNOMIAL, deriv=recipe.derivative, use="dot")
    kernel[width // 2 + 1:] = (-1) ** recipe.derivative * kernel[: width // 2][::-1]
    return np.asarray(kernel, dtype=np.float64)


def _filter(recipe: Recipe, n_inside: int) -> FloatArray:
    """The derivative as a matrix [window less margins, window]; the identity where there is none."""
    if not recipe.derivative:
        return np.eye(n_inside)
    kernel, n_out = _kernel(recipe), n_inside - recipe.width + 1
    matrix = np.zeros((n_out, n_inside))
    for k, c in enumerate(kernel):
        matrix[np.arange(n_out), np.arange(n_out) + k] = c
    return matrix


def _derivative(recipe: Recipe, n_inside: int, now: str, nodes: Nodes) -> str:
    """Savitzky-Golay on blocks: a block of outputs is its channels and the next block's, times two small matrices."""
    if not recipe.derivative:
        return now
    width, n_out = recipe.width, n_inside - recipe.width + 1
    n_blocks = -(-n_inside // BLOCK) + 1
    toeplitz = np.zeros((2 * BLOCK, BLOCK))
    for k in range(BLOCK):
        toeplitz[k: k + width, k] = _kernel(recipe)
    pads = np.array([0, 0, 0, n_blocks * BLOCK - n_inside])
    padded = nodes.add("Pad", [now, nodes.constant("pads", pads)], "padded")
    blocks = nodes.add("Reshape", [padded, nodes.constant("blocks_shape", np.array([n_blocks, BLOCK]))], "blocks")
    here = nodes.cut(blocks, "here", 0, n_blocks - 1, axis=0)
    following = nodes.cut(blocks, "following", 1, n_blocks, axis=0)
    first = nodes.add("MatMul", [here, nodes.constant("toeplitz_here", toeplitz[:BLOCK])], "from_here")
    second = nodes.add("MatMul", [following, nodes.constant("toeplitz_next", toeplitz[BLOCK:])], "from_next")
    both = nodes.add("Add", [first, second], "filtered")
    whole = nodes.constant("row_shape", np.array([1, (n_blocks - 1) * BLOCK]))
    return nodes.cut(nodes.add("Reshape", [both, whole], "filtered_row"), "derivative", 0, n_out, axis=1)


def _residual(loadings: FloatArray, x_mean: FloatArray, treated: str, t: str, nodes: Nodes) -> None:
    """Q = |x - x_mean - t P'|^2."""
    explained = nodes.add("MatMul", [t, nodes.constant("loadings", loadings.T)], "explained")
    centred = nodes.add("Sub", [treated, nodes.row("x_mean", x_mean)], "centred")
    residual = nodes.add("Sub", [centred, explained], "residual")
    nodes.add("ReduceSumSquare", [residual], "q", axes=[1], keepdims=1)


def _squared_distances(made: Calibration, member: Fitted, scaled: str, nodes: Nodes) -> str:
    """Squared distances [1, n] to the calibration samples, as differences: no digits are lost near a sample."""
    known = _scores(made, member) / _score_sd(made, member)
    apart = nodes.add("Sub", [scaled, nodes.constant("known", known)], "apart")
    squares = nodes.add("ReduceSumSquare", [apart], "squares", axes=[1], keepdims=0)
    return nodes.add("Unsqueeze", [squares, nodes.constant("front", np.array([0]))], "squared_distances")


def _kernel_value(kernel: KernelOnScores, scaled: str, squared: str, nodes: Nodes) -> str:
    """y_mean + y_sd (sum_i alpha_i k(t, t_i)), the linear part of k folded into one row of weights."""
    process = kernel.process_
    curved, straight = process.kernel_.k1.k1, process.kernel_.k1.k2
    amplitude, length = curved.k1.constant_value, curved.k2.length_scale
    y_sd, y_mean = float(process._y_train_std), float(process._y_train_mean)
    exponent = nodes.add("Mul", [squared, nodes.row("inverse_length", np.array([-0.5 / length**2]))], "exponent")
    likeness = nodes.add("Exp", [exponent], "likeness")
    bent = nodes.add("MatMul", [likeness, nodes.constant("alpha", y_sd * amplitude * process.alpha_[:, None])], "bent")
    weights = y_sd * straight.k1.constant_value * (process.X_train_.T @ process.alpha_)
    line = nodes.add("MatMul", [scaled, nodes.constant("straight", weights[:, None])], "line")
    return nodes.add("Add", [nodes.add("Add", [bent, line], "above_mean"), nodes.row("y_mean", np.array([y_mean]))],
                     "kernel_value")


def _treated(made: Calibration, member: Fitted) -> FloatArray:
    """The pre-treated calibration spectra."""
    return np.asarray(member.pipeline[:-1].transform(made.samples.spectra[made.keep]), dtype=np.float64)


def _scores(made: Calibration, member: Fitted) -> FloatArray:
    x = _treated(made, member)
    return np.asarray((x - x.mean(axis=0)) @ member.pls.x_rotations_, dtype=np.float64)


def _score_sd(made: Calibration, member: Fitted) -> FloatArray:
    return np.asarray(_scores(made, member).std(axis=0, ddof=1), dtype=np.float64)
