"""What the OPC UA stack would do for ever on a few bytes, bounded; and bytes that it sends as they are.

Put into the stack before anything is decoded. An array of nulls takes no bytes an item, so that eight bytes can
announce two thousand million of them, and the decoder would make them all while the loop stands still (asyncua 2.1,
found by fuzzing). And a request that is the same look after look need not be put into bytes each time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asyncua import ua
from asyncua.ua import ua_binary

MOST_NULLS = 65_536


class Written(bytes):
    """A part of a request that is in its binary form already."""


_kinds: Callable[[Any], Callable[[Any], bytes]] = ua_binary.create_type_serializer
_arrays: Callable[[ua.VariantType], Callable[[Any], list[Any] | None]] = ua_binary._create_uatype_array_deserializer


def bound() -> None:
    """Put the bound into the stack, and the way for what is written; doing it twice does no harm."""
    ua_binary._create_uatype_array_deserializer = _bounded
    ua_binary.create_type_serializer = _written


def _written(kind: Any) -> Callable[[Any], bytes]:
    return bytes if kind is Written else _kinds(kind)


def _bounded(kind: ua.VariantType) -> Callable[[Any], list[Any] | None]:
    return _nulls if kind is ua.VariantType.Null else _arrays(kind)


def _nulls(read: Any) -> list[None] | None:
    """An array of nulls. Raises UaError for more than anybody sends."""
    length = ua_binary.Primitives.Int32.unpack(read)
    if length > MOST_NULLS:
        raise ua.UaError(f"an array of {length} nulls")
    return None if length == -1 else [None] * length
