"""Network + space of good spectra -> one graph with the outputs of every bundle.

The graph that gives T2, Q and distance is that of a calibrated model; only what makes its `value` is taken out and the
network, its names prefixed, is put there: `spectrum` cast and reshaped in front, widened to double behind.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, checker, helper, version_converter

from soft_sensors.bundle import OUTPUTS
from soft_sensors.calibrate.fit import Calibration
from soft_sensors.calibrate.graph import IR_VERSION, OPSET, TYPES, graph_bytes
from soft_sensors.calibrate.nodes import Nodes
from soft_sensors.signals import FloatArray
from soft_sensors.wrap.network import Network, NetworkError

PREFIX = "network_"
AGREES = 1e-12  # relative, of a double network; a float network must agree exactly


def merged_graph(network: Network, space: Calibration) -> bytes:
    """The serialised graph: input `spectrum` of the card's type, outputs OUTPUTS with the network's number as value.

    NetworkError when the network's opset cannot be brought together with ours.
    """
    theirs = network.model
    opset = max(OPSET, *(entry.version for entry in theirs.opset_import if entry.domain in ("", "ai.onnx")))
    theirs = _copy(_at(theirs, opset, network.where))
    _prefix(theirs.graph)
    ours = _at(onnx.load_model_from_string(graph_bytes(space)), opset, network.where)
    kept = _without_value(ours.graph)
    nodes = Nodes("wrap_")
    _around(network, nodes)
    front, back = nodes.nodes[:2], nodes.nodes[2:]
    names = {name for node in kept for name in node.input}
    graph = helper.make_graph(
        [*front, *theirs.graph.node, *back, *kept], "soft_sensor", list(ours.graph.input), list(ours.graph.output),
        [*theirs.graph.initializer, *nodes.constants, *(t for t in ours.graph.initializer if t.name in names)],
        sparse_initializer=list(theirs.graph.sparse_initializer),
    )  # fmt: skip
    others = [entry for entry in theirs.opset_import if entry.domain not in ("", "ai.onnx")]
    model = helper.make_model(graph, producer_name="patloop", ir_version=max(IR_VERSION, theirs.ir_version),
                              opset_imports=[helper.make_opsetid("", opset), *others])
    try:
        checker.check_model(model, full_check=True)
    except (checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        first = " ".join(str(error).split())[:200]
        raise NetworkError(f"{network.where}: the network is not valid ONNX ({first}); export it again") from error
    return bytes(model.SerializeToString(deterministic=True))


def check_same(network: Network, alone: FloatArray, wrapped: FloatArray) -> None:
    """NetworkError unless the wrapped values [n] are those of the network run alone."""
    allowed = 0.0 if network.element == "float32" else AGREES
    apart = np.abs(wrapped - alone)
    worst = int(np.argmax(apart - allowed * np.abs(alone)))
    if not (apart <= allowed * np.abs(alone)).all():
        raise NetworkError(f"{network.where}: alone it gives {alone[worst]:.9g}, in the bundle {wrapped[worst]:.9g}: "
                           f"its opset cannot be converted without a change; export it with opset {OPSET} or later")


def _at(model: Any, opset: int, where: str) -> Any:
    """The model with its standard operators at one opset."""
    if all(entry.version == opset for entry in model.opset_import if entry.domain in ("", "ai.onnx")):
        return model
    try:
        return version_converter.convert_version(model, opset)
    except (version_converter.ConvertError, RuntimeError, ValueError) as error:
        first = " ".join(str(error).split())[:200]
        raise NetworkError(f"{where}: cannot be brought to opset {opset} ({first}); export it with opset {OPSET} or "
                           "later") from error


def _copy(model: Any) -> Any:
    made = onnx.ModelProto()
    made.CopyFrom(model)
    return made


def _prefix(graph: Any) -> None:
    """Every name with PREFIX, those in the bodies of loops and branches too: all alike, so what a body takes from the
    graph around it keeps its meaning (onnx.compose.add_prefix leaves such names as they were)."""
    for node in graph.node:
        node.name = PREFIX + node.name if node.name else ""
        for names in (node.input, node.output):
            names[:] = [PREFIX + name if name else name for name in names]
        for attribute in node.attribute:
            for body in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                _prefix(body)
    sparse = [tensor.values for tensor in graph.sparse_initializer]
    for named in (*graph.input, *graph.output, *graph.value_info, *graph.initializer, *sparse):
        named.name = PREFIX + named.name


def _around(network: Network, nodes: Nodes) -> None:
    """Two nodes in front of the network, two behind it."""
    row = nodes.add("Cast", ["spectrum"], "typed", to=TYPES[network.element])
    shape = nodes.constant("shape", np.array(network.shape))
    nodes.nodes.append(helper.make_node("Reshape", [row, shape], [PREFIX + network.input_name], name="wrap_into"))
    wide = nodes.add("Cast", [PREFIX + network.output_name], "wide", to=TensorProto.DOUBLE)
    one = nodes.constant("one", np.array([1, 1]))
    nodes.nodes.append(helper.make_node("Reshape", [wide, one], ["value"], name="wrap_from"))


def _without_value(graph: Any) -> list[Any]:
    """The nodes of a calibrated model's graph that its outputs need when `value` comes from elsewhere."""
    maker = {name: node for node in graph.node for name in node.output}
    wanted, needed = [name for name in OUTPUTS if name != "value"], set()
    while wanted:
        name = wanted.pop()
        if name != "value" and name in maker and name not in needed:
            needed.add(name)
            wanted += list(maker[name].input)
    return [node for node in graph.node if needed.intersection(node.output)]
