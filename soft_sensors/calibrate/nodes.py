"""An ONNX graph as it grows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from soft_sensors.signals import FloatArray


class Nodes:
    """Nodes in order and their constants, all names with the given prefix."""

    def __init__(self, prefix: str = "") -> None:
        self.prefix = prefix
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.value = "value"  # what the node that predicts calls its output

    def prefixed(self, prefix: str) -> Nodes:
        """The same growing graph under another prefix."""
        other = Nodes(prefix)
        other.nodes, other.constants = self.nodes, self.constants
        return other

    def constant(self, name: str, value: FloatArray | NDArray[np.int64]) -> str:
        """Add a constant; returns its full name."""
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), self.prefix + name))
        return self.prefix + name

    def row(self, name: str, value: FloatArray) -> str:
        """Add a constant [m] as a row [1, m]."""
        return self.constant(name, np.asarray(value, dtype=np.float64)[None, :])

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add a node; returns the full name of its output."""
        output = self.prefix + output
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"make_{output}", **attributes))
        return output

    def cut(self, now: str, output: str, *ends: tuple[int, int]) -> str:
        """The elements from start to stop, a pair for each axis from the first on."""
        parts = (("start", [a for a, _ in ends]), ("stop", [b for _, b in ends]), ("axis", list(range(len(ends)))))
        names = [self.constant(f"{output}_{name}", np.array(values)) for name, values in parts]
        return self.add("Slice", [now, *names], output)
