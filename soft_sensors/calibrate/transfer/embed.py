"""graph of the old instrument + map -> graph of the new instrument: the map stands between window and pre-treatment."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import checker, numpy_helper

from soft_sensors.calibrate.nodes import Nodes
from soft_sensors.calibrate.transfer.maps import Map
from soft_sensors.errors import BundleError
from soft_sensors.signals import FloatArray

VALUE = "value"  # the tensor that graph.py names so


def embed(graph: bytes, chosen: Map, half_width: float) -> bytes:
    """The serialised graph with the map inside and a new half width; BundleError when the graph is not one of ours."""
    model = onnx.load_from_string(graph)
    body = model.graph
    constants = {constant.name: constant for constant in body.initializer}
    cut = next((node for node in body.node if node.op_type == "Slice"), None)
    valued = next((node for node in body.node if VALUE in node.output), None)
    if cut is None or valued is None or "half_width" not in constants:
        raise BundleError("the graph was not made by 'patloop sensor calibrate': it cannot be transferred")
    constants["half_width"].CopyFrom(numpy_helper.from_array(np.array([[half_width]]), "half_width"))
    nodes = Nodes(prefix=_free_prefix(constants))
    if chosen.on_spectra:
        # Right behind the window: before the pre-treatment, and before the map of an earlier transfer.
        _put_behind(body, cut, _spectra(chosen, nodes), nodes)
    elif chosen.on_values:
        _put_behind(body, valued, _value(chosen, nodes), nodes)
    body.initializer.extend(nodes.constants)
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _spectra(chosen: Map, nodes: Nodes) -> str:
    """Nodes from tensor "before" to the mapped window; every part is added to the spectrum itself."""
    now = "before"
    if chosen.left is not None and chosen.right is not None:
        scores = nodes.add("MatMul", ["before", nodes.constant("left", chosen.left)], "scores")
        product = nodes.add("MatMul", [scores, nodes.constant("right", chosen.right)], "product")
        now = nodes.add("Add", [now, product], "with_product")
    if chosen.band is not None:
        places = nodes.constant("places", chosen.band.places)
        gathered = nodes.add("Gather", ["before", places], "gathered", axis=1)
        weighed = nodes.add("Mul", [gathered, nodes.constant("weights", chosen.band.weights[None])], "weighed")
        summed = nodes.add("ReduceSum", [weighed, nodes.constant("axis", np.array([1]))], "summed", keepdims=0)
        now = nodes.add("Add", [now, summed], "with_band")
    offset = np.zeros(1) if chosen.offset is None else chosen.offset
    return nodes.add("Add", [now, nodes.constant("offset", offset[None, :])], "mapped")


def _value(chosen: Map, nodes: Nodes) -> str:
    scaled = nodes.add("Mul", ["before", nodes.constant("slope", _scalar(chosen.slope))], "scaled")
    return nodes.add("Add", [scaled, nodes.constant("intercept", _scalar(chosen.intercept))], "mapped")


def _put_behind(body: Any, maker: Any, mapped: str, nodes: Nodes) -> None:
    """Let a node feed the new ones under another name, and the last of these give its name: consumers stay as is."""
    name, before = maker.output[0], f"{nodes.prefix}before"
    place = list(body.node).index(maker) + 1
    maker.output[:] = [before]
    for node in nodes.nodes:
        node.input[:] = [before if i == "before" else i for i in node.input]
        node.output[:] = [name if output == mapped else output for output in node.output]
    ordered = [onnx.NodeProto.FromString(node.SerializeToString())
               for node in (*body.node[:place], *nodes.nodes, *body.node[place:])]
    del body.node[:]
    body.node.extend(ordered)


def _free_prefix(constants: dict[str, Any]) -> str:
    """A model may be transferred again: its maps are told apart by number."""
    number = 1
    while any(name.startswith(f"map{number}_") for name in constants):
        number += 1
    return f"map{number}_"


def _scalar(value: float) -> FloatArray:
    return np.array([[value]])
