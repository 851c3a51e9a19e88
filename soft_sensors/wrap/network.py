"""model.onnx -> Network: a stranger's regressor, looked at before it is believed, and run alone.

Refused: weights in other files, operators outside the standard (custom code), random operators, more than one input,
any form but one spectrum in and one number out. What loops or branches is left to onnxruntime, which runs it or not.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import: see soft_sensors/bundle.py

import numpy as np
import onnx
import onnxruntime as ort
from google.protobuf.message import DecodeError
from onnx import TensorProto, inliner

from soft_sensors.errors import SensorError
from soft_sensors.signals import FloatArray

STANDARD = ("", "ai.onnx", "ai.onnx.ml")
RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli")
ELEMENTS = {TensorProto.FLOAT: "float32", TensorProto.DOUBLE: "float64"}
REPEATS = 10  # our choice: a network that is not deterministic shows it within a few runs


class NetworkError(SensorError):
    """A network cannot be wrapped."""


@dataclass(frozen=True)
class Network:
    """A regressor as it was given: its bytes and graph, the names and form of its input and output.

    shape: of one spectrum as the input takes it; element: float32 or float64, of the input; where: the file, sha256:
    its hash.
    """

    where: str
    content: bytes
    model: Any
    input_name: str
    output_name: str
    shape: tuple[int, ...]
    element: str
    sha256: str

    @property
    def origin(self) -> str:
        """What made the file, as it says itself, and its hash."""
        producer = f"{self.model.producer_name} {self.model.producer_version}".strip() or "an unnamed producer"
        return f"{Path(self.where).name} of {producer}, SHA-256 {self.sha256}"


def read_network(path: Path, n_channels: int, input_name: str | None = None, output_name: str | None = None) -> Network:
    """The network in a file for spectra of n_channels; NetworkError says why it cannot be wrapped."""
    content = path.read_bytes()
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise NetworkError(f"{path}: not an ONNX file ({error}); export the network again") from error
    if not model.graph.node:
        raise NetworkError(f"{path}: not an ONNX file, or an empty one; export the network again")
    _refuse_outside(model, path)
    if model.functions:
        model = inliner.inline_local_functions(model)
    _refuse_operators(model, path)
    given, made = _input(model, path, input_name), _output(model, path, output_name)
    sha256 = hashlib.sha256(content).hexdigest()
    if len(model.graph.input) > 1:  # old files list weights as inputs, which nobody will feed: they become constants
        del model.graph.input[:]
        model.graph.input.append(given)
        content = model.SerializeToString(deterministic=True)
    if given.type.tensor_type.elem_type not in ELEMENTS:
        raise NetworkError(f"{path}: input {given.name!r} takes {_kind(given)}; wrap takes float or double networks")
    return Network(str(path), content, model, given.name, made.name, _shape(given, n_channels, path),
                   ELEMENTS[given.type.tensor_type.elem_type], sha256)


def answers(network: Network, spectra: FloatArray, input_type: str = "float64") -> FloatArray:
    """What the network, run alone, says of each spectrum [n, n_channels] that arrives as input_type; float64 [n].

    NetworkError when it does not run, gives more than one number, or is not the same each time.
    """
    session = _session(network)
    feeds = [row.astype(input_type).astype(network.element).reshape(network.shape) for row in spectra]
    found = np.array([_one(session, network, feed) for feed in feeds], dtype=np.float64)
    again = {_one(session, network, feeds[0]).tobytes() for _ in range(REPEATS)}
    if len(again) > 1:
        raise NetworkError(f"{network.where}: the same spectrum gives different values; export it for inference "
                           "(no dropout, no sampling)")
    return found


def _session(network: Network) -> Any:
    """One thread, as the service runs it: the order of sums, and with it the last bits, is then the same."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong is said below, in one line
    try:
        return ort.InferenceSession(network.content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions have no common root but this one
        raise NetworkError(f"{network.where}: does not load on the processor ({_first(error)}); export it again, "
                           "perhaps with an older opset") from error


def _one(session: Any, network: Network, feed: FloatArray) -> Any:
    try:
        (found,) = session.run([network.output_name], {network.input_name: feed})
    except Exception as error:  # onnxruntime's own exceptions have no common root but this one
        raise NetworkError(f"{network.where}: does not run on one spectrum as {list(feed.shape)} ({_first(error)}); "
                           "export it with a batch of 1 or a dynamic batch") from error
    if np.size(found) != 1:
        raise NetworkError(f"{network.where}: output {network.output_name!r} of one spectrum is {list(found.shape)}, "
                           "not one number; export the network with one target")
    return np.ravel(found)[0]


def _first(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _refuse_outside(model: Any, path: Path) -> None:
    for tensor in _tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            raise NetworkError(f"{path}: the weights {tensor.name!r} are in another file; export with everything in "
                               "one file (in PyTorch: external_data=False)")


def _refuse_operators(model: Any, path: Path) -> None:
    for node in _nodes(model.graph):
        if node.domain not in STANDARD:
            raise NetworkError(f"{path}: operator {node.domain}.{node.op_type} is not of the standard; only "
                               "operators of ai.onnx and ai.onnx.ml are run")
        if node.op_type in RANDOM:
            raise NetworkError(f"{path}: operator {node.op_type} draws random numbers; export it for inference")


def _nodes(graph: Any) -> Iterator[Any]:
    """Every node, those in the bodies of loops and branches included."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for body in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _nodes(body)


def _tensors(model: Any) -> Iterator[Any]:
    """Every stored tensor: weights of the graph and its bodies, constants of nodes, those of functions too."""
    graphs = [model.graph]
    nodes = [*_nodes(model.graph), *(n for function in model.functions for n in _nodes(function))]
    for node in nodes:
        for attribute in node.attribute:
            yield from attribute.tensors
            yield from (part for sparse in attribute.sparse_tensors for part in (sparse.values, sparse.indices))
            if attribute.HasField("t"):
                yield attribute.t
            if attribute.HasField("sparse_tensor"):
                yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)
            graphs += [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]
    for graph in graphs:
        yield from graph.initializer
        yield from (part for sparse in graph.sparse_initializer for part in (sparse.values, sparse.indices))


def _input(model: Any, path: Path, asked: str | None) -> Any:
    weights = {tensor.name for tensor in model.graph.initializer}
    weights |= {sparse.values.name for sparse in model.graph.sparse_initializer}
    free = [value for value in model.graph.input if value.name not in weights]
    chosen = _named(free, path, asked, "input")
    if len(free) > 1:
        others = ", ".join(value.name for value in free if value is not chosen)
        raise NetworkError(f"{path}: besides {chosen.name!r} it needs {others}; a soft sensor has the spectrum only: "
                           "make the rest constants")
    return chosen


def _output(model: Any, path: Path, asked: str | None) -> Any:
    made = _named(list(model.graph.output), path, asked, "output")
    if not made.type.HasField("tensor_type") or made.type.tensor_type.elem_type not in ELEMENTS:
        raise NetworkError(f"{path}: output {made.name!r} gives {_kind(made)}; a regressor gives float or double")
    return made


def _named(values: list[Any], path: Path, asked: str | None, what: str) -> Any:
    names = ", ".join(value.name for value in values) or "none"
    if asked is not None:
        found = next((value for value in values if value.name == asked), None)
        if found is None:
            raise NetworkError(f"{path}: no {what} {asked!r}; it has {names}")
        return found
    if len(values) != 1:
        raise NetworkError(f"{path}: its {what}s are {names}; name the one to use with --{what}")
    return values[0]


def _kind(value: Any) -> str:
    if not value.type.HasField("tensor_type"):
        return str(value.type.WhichOneof("value") or "nothing known").removesuffix("_type")
    return str(TensorProto.DataType.Name(value.type.tensor_type.elem_type)).lower()


def _shape(value: Any, n_channels: int, path: Path) -> tuple[int, ...]:
    """The one form of a spectrum that every fixed dimension of the input allows."""
    forms: dict[int, list[tuple[int, ...]]] = {2: [(1, n_channels)], 3: [(1, 1, n_channels), (1, n_channels, 1)]}
    fixed = [d.dim_value if d.HasField("dim_value") else None for d in value.type.tensor_type.shape.dim]
    fits = [form for form in forms.get(len(fixed), [])
            if all(size in (None, wanted) for size, wanted in zip(fixed, form, strict=True))]
    if len(fits) == 1:
        return fits[0]
    shown = ", ".join("N" if size is None else str(size) for size in fixed)
    m = n_channels
    raise NetworkError(f"{path}: input {value.name!r} is [{shown}], the spectra have {m} channels; one spectrum must "
                       f"fit as [N, {m}], [N, 1, {m}] or [N, {m}, 1] with N = 1 or dynamic, its channels fixed")
