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
from soft_sensors.calibrate.folds import IntArray
from soft_sensors.calibrate.kernel import KernelOnScores
from soft_sensors.calibrate.nodes import Nodes
from soft_sensors.calibrate.pretreatment import POLYNOMIAL, Fused, Recipe
from soft_sensors.signals import FloatArray

OPSET, IR_VERSION = 17, 8  # our choice: old enough for every onnxruntime of the last years
TYPES = {"float64": TensorProto.DOUBLE, "float32": TensorProto.FLOAT}
BLOCK = 32  # channels, our choice: the derivative is two dense products on blocks, onnxruntime has no such convolution
DENSE = 256  # channels, our choice: up to here one dense product is faster than the blocks


def graph_bytes(made: Calibration, outputs: tuple[str, ...] = OUTPUTS) -> bytes:
    """The serialised graph: input `spectrum` [1, n_channels], outputs OUTPUTS, the scalar ones [1, 1].

    With outputs ("value",) alone the graph does nothing but predict: what a bench compares with a bare product.
    """
    nodes = Nodes()
    inside = _inside(made, nodes)
    values, alone = [], len(made.members) == 1
    for k, member in enumerate(made.members):
        part = nodes if k == 0 else nodes.prefixed(f"member{k + 1}_")
        part.value = "value" if alone else "member_value"
        values.append(_member(made, member, inside, part, first=k == 0 and outputs == OUTPUTS))
    if not alone:
        total = nodes.add("Sum", values, "total")
        nodes.add("Mul", [total, nodes.constant("share", np.array([[1.0 / len(values)]]))], "value")
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
    channels, pls = made.samples.axis[channels_of(member.recipe, made.window)], member.pls
    return {"rotations": pls.x_rotations_, "loadings": pls.x_loadings_, "score_sd": _score_sd(made, member),
            "channels": channels}


def channels_of(recipe: Recipe | Fused, window: slice) -> IntArray:
    """The channel of the whole spectrum that each pre-treated channel [m] stands for."""
    if isinstance(recipe, Fused):
        return np.concatenate([channels_of(part.recipe, slice(part.start, part.stop)) for part in recipe.parts])
    return np.arange(window.start + recipe.margin, window.stop - recipe.margin, dtype=np.int64)


def _sizes(made: Calibration) -> dict[str, int]:
    n_treated = channels_of(made.members[0].recipe, made.window).size
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
    x_mean, sd = _treated(made, member).mean(axis=0), _score_sd(made, member)
    # Behind the last non-linear step everything is one matrix: the derivative is folded into the rotations.
    if isinstance(recipe, Fused):
        source, scale, linear = _fused(recipe, inside, nodes), 1.0, np.eye(x_mean.size)
    elif recipe.snv == "after":
        row = _derivative(recipe, n_inside, inside, 1.0, nodes)
        source, scale = _snv(row, "snv_out", x_mean.size, nodes)
        linear = np.eye(x_mean.size)
    else:
        source, scale = _snv(inside, "snv_in", n_inside, nodes) if recipe.snv == "before" else (inside, 1.0)
        linear = _filter(recipe, n_inside).T
    rotations = scale * linear @ pls.x_rotations_
    kernel = member.pipeline[-1] if isinstance(member.pipeline[-1], KernelOnScores) else None
    offset = x_mean @ pls.x_rotations_
    if kernel is None and not first:
        weights, y_mean = pls.y_loadings_[0], float(pls.intercept_[0])
        # Half the time of a product with one column, which onnxruntime does not vectorise.
        weighed = nodes.add("Mul", [source, nodes.row("weights", rotations @ weights)], "weighed")
        product = nodes.add("ReduceSum", [weighed, nodes.constant("along", np.array([1]))], "product", keepdims=1)
        return nodes.add("Add", [product, nodes.row("offset", np.array([y_mean - offset @ weights]))], nodes.value)
    raw = nodes.add("MatMul", [source, nodes.constant("rotations", rotations / sd)], "raw_scores")
    t = nodes.add("Sub", [raw, nodes.row("score_offset", offset / sd)], "scores")
    if first:
        nodes.add("ReduceSumSquare", [t], "t2", axes=[1], keepdims=1)
        loadings = sd[:, None] * pls.x_loadings_.T
        if isinstance(recipe, Fused):
            _residual(source, t, loadings, x_mean, nodes)
        elif recipe.snv == "after":
            _residual(_times(source, scale, nodes), t, loadings, x_mean, nodes)
        elif n_inside > DENSE:
            _residual(_derivative(recipe, n_inside, source, scale, nodes), t, loadings, x_mean, nodes)
        else:
            _dense_residual(source, scale * linear - (rotations / sd) @ loadings, x_mean - (offset / sd) @ loadings,
                            nodes)
    known = nodes.constant("known", _scores(made, member) / sd) if first or kernel is not None else ""
    if first:
        near = nodes.add("ReduceL2", [nodes.add("Sub", [t, known], "apart")], "distances", axes=[1], keepdims=1)
        nodes.add("ReduceMin", [near], "distance", axes=[0], keepdims=1)
    if kernel is not None:
        return _kernel_value(kernel, t, known, nodes)
    product = nodes.add("MatMul", [t, nodes.constant("y_loadings", sd[:, None] * pls.y_loadings_.T)], "product")
    return nodes.add("Add", [product, nodes.row("offset", pls.intercept_)], nodes.value)


def _fused(recipe: Fused, inside: str, nodes: Nodes) -> str:
    """Each block pre-treated by itself and weighed, then joined."""
    rows = []
    for k, part in enumerate(recipe.parts):
        own, size = nodes.prefixed(f"{nodes.prefix}block{k + 1}_"), part.stop - part.start
        now, scale = own.cut(inside, "block", (0, 1), (part.start, part.stop)), part.weight
        if part.recipe.snv == "before":
            now, length = _snv(now, "snv_in", size, own)
            scale *= length
        now = _derivative(part.recipe, size, now, 1.0, own)
        if part.recipe.snv == "after":
            now, length = _snv(now, "snv_out", size - 2 * part.recipe.margin, own)
            scale *= length
        rows.append(_times(now, scale, own))
    return nodes.add("Concat", rows, "joined", axis=1)


def _snv(now: str, name: str, size: int, nodes: Nodes) -> tuple[str, float]:
    """The centred row at length 1, and what it must be multiplied by to be the standard normal variate."""
    mean = nodes.add("ReduceMean", [now], f"{name}_mean", axes=[1], keepdims=1)
    centred = nodes.add("Sub", [now, mean], f"{name}_centred")
    length = nodes.add("ReduceL2", [centred], f"{name}_length", axes=[1], keepdims=1)
    return nodes.add("Div", [centred, length], name), float(np.sqrt(size))


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


def _derivative(recipe: Recipe, n_inside: int, now: str, scale: float, nodes: Nodes) -> str:
    """scale times Savitzky-Golay: one product, or, where channels are many, on blocks.

    A block of outputs is its channels and the next block's, times two small matrices.
    """
    if n_inside <= DENSE or not recipe.derivative:
        if not recipe.derivative and scale == 1.0:
            return now
        if not recipe.derivative:
            return _times(now, scale, nodes)
        return nodes.add("MatMul", [now, nodes.constant("filter", scale * _filter(recipe, n_inside).T)], "derivative")
    width, n_out = recipe.width, n_inside - recipe.width + 1
    n_blocks = -(-n_inside // BLOCK) + 1
    toeplitz = np.zeros((2 * BLOCK, BLOCK))
    for k in range(BLOCK):
        toeplitz[k: k + width, k] = scale * _kernel(recipe)
    pads = np.array([0, 0, 0, n_blocks * BLOCK - n_inside])
    padded = nodes.add("Pad", [now, nodes.constant("pads", pads)], "padded")
    blocks = nodes.add("Reshape", [padded, nodes.constant("blocks_shape", np.array([n_blocks, BLOCK]))], "blocks")
    here = nodes.cut(blocks, "here", (0, n_blocks - 1))
    following = nodes.cut(blocks, "following", (1, n_blocks), (0, width - 1))
    first = nodes.add("MatMul", [here, nodes.constant("toeplitz_here", toeplitz[:BLOCK])], "from_here")
    rest = nodes.constant("toeplitz_next", toeplitz[BLOCK: BLOCK + width - 1])
    second = nodes.add("MatMul", [following, rest], "from_next")
    both = nodes.add("Add", [first, second], "filtered")
    whole = nodes.constant("row_shape", np.array([1, (n_blocks - 1) * BLOCK]))
    return nodes.cut(nodes.add("Reshape", [both, whole], "filtered_row"), "derivative", (0, 1), (0, n_out))


def _times(now: str, scale: float, nodes: Nodes) -> str:
    return nodes.add("Mul", [now, nodes.row("scale", np.array([scale]))], "treated")


def _residual(row: str, t: str, loadings: FloatArray, x_mean: FloatArray, nodes: Nodes) -> None:
    """Q = |x - x_mean - t P'|^2 with x the pre-treated row."""
    explained = nodes.add("Gemm", [t, nodes.constant("loadings", -loadings), row], "unexplained")
    residual = nodes.add("Sub", [explained, nodes.row("x_mean", x_mean)], "residual")
    nodes.add("ReduceSumSquare", [residual], "q", axes=[1], keepdims=1)


def _dense_residual(source: str, matrix: FloatArray, offset: FloatArray, nodes: Nodes) -> None:
    """The same, derivative and model folded into one matrix."""
    product = nodes.add("MatMul", [source, nodes.constant("residual_matrix", matrix)], "residual_raw")
    residual = nodes.add("Sub", [product, nodes.row("residual_offset", offset)], "residual")
    nodes.add("ReduceSumSquare", [residual], "q", axes=[1], keepdims=1)


def _kernel_value(kernel: KernelOnScores, t: str, known: str, nodes: Nodes) -> str:
    """y_mean + y_sd (sum_i alpha_i k(t, t_i)), the linear part of k folded into one row of weights.

    Distances are sums of squared differences, not a difference of squares: no digits are lost near a sample.
    """
    process = kernel.process_
    curved, straight = process.kernel_.k1.k1, process.kernel_.k1.k2
    amplitude, length = curved.k1.constant_value, curved.k2.length_scale
    y_sd, y_mean = float(process._y_train_std), float(process._y_train_mean)
    apart = nodes.add("Sub", [t, known], "kernel_apart")
    squares = nodes.add("ReduceSumSquare", [apart], "squares", axes=[1], keepdims=1)
    exponent = nodes.add("Mul", [squares, nodes.row("inverse_length", np.array([-0.5 / length**2]))], "exponent")
    likeness = nodes.add("Exp", [exponent], "likeness")
    bent = nodes.add("MatMul", [nodes.row("alpha", y_sd * amplitude * process.alpha_), likeness], "bent")
    weights = y_sd * straight.k1.constant_value * (process.X_train_.T @ process.alpha_)
    line = nodes.add("MatMul", [t, nodes.constant("straight", weights[:, None])], "line")
    return nodes.add("Sum", [bent, line, nodes.row("y_mean", np.array([y_mean]))], nodes.value)


def _treated(made: Calibration, member: Fitted) -> FloatArray:
    """The pre-treated calibration spectra."""
    return np.asarray(member.pipeline[:-1].transform(made.samples.spectra[made.keep]), dtype=np.float64)


def _scores(made: Calibration, member: Fitted) -> FloatArray:
    x = _treated(made, member)
    return np.asarray((x - x.mean(axis=0)) @ member.pls.x_rotations_, dtype=np.float64)


def _score_sd(made: Calibration, member: Fitted) -> FloatArray:
    return np.asarray(_scores(made, member).std(axis=0, ddof=1), dtype=np.float64)
