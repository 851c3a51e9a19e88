"""numbers -> variants of the very types a server's nodes have; what does not fit is refused, never cut."""

from __future__ import annotations

import math
from collections.abc import Mapping

from asyncua import ua

_BITS = {
    ua.VariantType.SByte: (-(2**7), 2**7 - 1), ua.VariantType.Byte: (0, 2**8 - 1),
    ua.VariantType.Int16: (-(2**15), 2**15 - 1), ua.VariantType.UInt16: (0, 2**16 - 1),
    ua.VariantType.Int32: (-(2**31), 2**31 - 1), ua.VariantType.UInt32: (0, 2**32 - 1),
    ua.VariantType.Int64: (-(2**63), 2**63 - 1), ua.VariantType.UInt64: (0, 2**64 - 1),
}  # fmt: skip
RANGES: Mapping[ua.VariantType, tuple[int, int]] = _BITS
FLOATS = (ua.VariantType.Float, ua.VariantType.Double)
FLOAT_MAX = 3.4028234663852886e38


class MappingError(ValueError):
    """A value has no place in the type of the node it is meant for."""


def variant(value: float, kind: ua.VariantType) -> ua.Variant:
    """The value in the node's own type. Raises MappingError."""
    if kind is ua.VariantType.Boolean and value in (0, 1):
        return ua.Variant(bool(value), kind)
    if kind in RANGES and math.isfinite(value) and value == int(value):
        low, high = RANGES[kind]
        if low <= value <= high:
            return ua.Variant(int(value), kind)
    if kind in FLOATS and math.isfinite(value) and (kind is ua.VariantType.Double or abs(value) <= FLOAT_MAX):
        return ua.Variant(float(value), kind)
    raise MappingError(f"{value!r} has no place in the node's type {kind.name}")


def counted(value: float, kind: ua.VariantType) -> float:
    """A counter that wraps where its type ends, and leaves out 0, which means 'not running'."""
    if kind not in RANGES:
        return value
    return 1 + (int(value) - 1) % RANGES[kind][1]


def largest(kind: ua.VariantType) -> int:
    """The largest whole number that a node of this type holds, as far as a session number needs."""
    return min(RANGES[kind][1], 2**31 - 1) if kind in RANGES else 2**24


def kind_of(data_type: ua.DataValue, value: ua.DataValue) -> ua.VariantType | None:
    """A node's built-in type from its DataType attribute, or else from its present value; None where neither tells."""
    told = None if data_type.Value is None else data_type.Value.Value
    if isinstance(told, ua.NodeId) and told.NamespaceIndex == 0 and isinstance(told.Identifier, int):
        found = next((kind for kind in ua.VariantType if kind.value == told.Identifier), None)
        if found in RANGES or found in FLOATS or found is ua.VariantType.Boolean:
            return found
    present = None if value.Value is None else value.Value.VariantType
    return present if present in RANGES or present in FLOATS or present is ua.VariantType.Boolean else None
