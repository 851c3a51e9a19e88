"""Canonical JSON for journal bodies: one value, one sequence of bytes, and back bit for bit."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import numpy as np

from control.signals import WHEN_SET
from edge.record.compact import pack_spectrum, unpack_spectrum
from edge.record.rebuild import from_plain

_FLOAT, _ARRAY, _SHAPE = "~f", "~a", "shape"
_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")  # as a surrogate, whole pairs among them, is written in ASCII
_NAMED: set[type] = set()  # enums of texts that were met
_NAMES: dict[type, tuple[str, ...]] = {}  # fields of the dataclasses that were met and always write all of them


def encode(obj: object) -> bytes:
    """The canonical JSON of a value: sorted keys, compact, ASCII, floats by repr.

    Takes None, bool, int, float, str, enums with such a value, numpy scalars, float64 arrays, lists, tuples,
    mappings with text keys and dataclasses of these. Raises TypeError for anything else.
    """
    return _ENCODER.encode(to_plain(obj)).encode("ascii")


def encode_with(table: Mapping[str, object], key: str, text: str) -> bytes:
    """The canonical JSON of a mapping with one entry more, whose own canonical JSON is there already."""
    before = _ENCODER.encode(to_plain({k: v for k, v in table.items() if k < key}))[1:-1]
    after = _ENCODER.encode(to_plain({k: v for k, v in table.items() if k > key}))[1:-1]
    parts = (before, f"{_ENCODER.encode(_plain_key(key))}:{text}", after)
    return f"{{{','.join(part for part in parts if part)}}}".encode("ascii")


def decode(body: bytes) -> Any:
    """The plain value (None, bool, int, float, str, list, dict, float64 array) in a body that encode made.

    Half a character (a surrogate on its own, which JSON can say and UTF-8 cannot) is read as U+FFFD: whatever is
    recorded can be shown and written. Raises ValueError when the bytes are not canonical JSON.
    """
    try:
        found = json.loads(body.decode("ascii"), object_hook=_restore, parse_constant=_refuse_constant)
        return _mended(found) if _HALF.search(body) else found
    except (UnicodeDecodeError, binascii.Error, RecursionError) as error:
        raise ValueError(f"not a journal body: {error}") from error


def to_plain(obj: object) -> Any:
    """The JSON-ready form of a value: what encode writes. Raises TypeError for a type that has none."""
    # By exact type first: a cycle holds a thousand values, and nearly all are of these few types.
    kind = type(obj)
    if kind is float:
        return obj if math.isfinite(obj) else {_FLOAT: repr(obj)}  # type: ignore[arg-type]
    if kind is str or kind is int or kind is bool or obj is None:
        return obj
    names = _NAMES.get(kind)
    if names is not None:
        return {name: to_plain(getattr(obj, name)) for name in names}
    if kind in _NAMED:
        return obj._value_  # type: ignore[attr-defined]
    if kind is dict:
        return {_plain_key(key): to_plain(value) for key, value in obj.items()}  # type: ignore[attr-defined]
    return _plain_other(obj)


def _plain_other(obj: object) -> Any:
    if isinstance(obj, Enum):
        if all(type(member.value) is str for member in type(obj)):
            _NAMED.add(type(obj))
        return to_plain(obj.value)
    if isinstance(obj, np.generic):
        return to_plain(obj.item())
    if obj is None or isinstance(obj, (bool, int)):
        return obj
    if isinstance(obj, str):
        return str(obj)
    if isinstance(obj, float):
        return float(obj) if math.isfinite(obj) else {_FLOAT: repr(float(obj))}
    if isinstance(obj, np.ndarray):
        return _plain_array(obj)
    if isinstance(obj, Mapping):
        return {_plain_key(key): to_plain(value) for key, value in obj.items()}
    if isinstance(obj, (list, tuple)):
        return [to_plain(item) for item in obj]
    if is_dataclass(obj) and not isinstance(obj, type):
        told = [f for f in fields(obj) if f.metadata != WHEN_SET or getattr(obj, f.name) != f.default]
        names = tuple(sorted(field.name for field in told))  # as the encoder sorts them anyway
        if not any(f.metadata == WHEN_SET for f in fields(obj)):
            _NAMES[type(obj)] = names
        return {name: to_plain(getattr(obj, name)) for name in names}
    raise TypeError(f"a journal body cannot hold a {type(obj).__name__}")


def _plain_key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a journal body has text keys only, not {type(key).__name__}")
    if key.startswith("~"):  # kept for the two markers, so that decode cannot mistake a mapping for a number
        raise TypeError(f"a key of a journal body may not begin with '~': {key!r}")
    return str(key)


def _plain_array(array: np.ndarray[Any, Any]) -> dict[str, object]:
    if array.dtype != np.float64:
        raise TypeError(f"a journal body holds float64 arrays only, not {array.dtype}")
    text = base64.b64encode(np.ascontiguousarray(array, dtype="<f8").tobytes()).decode("ascii")
    return {_ARRAY: text, _SHAPE: list(array.shape)}


def _restore(found: dict[str, Any]) -> Any:
    if _FLOAT in found:
        name = found[_FLOAT]
        if not isinstance(name, str) or name not in _NOT_FINITE:
            raise ValueError(f"not a journal body: unknown float {name!r}")
        return _NOT_FINITE[name]
    if _ARRAY in found:
        raw = base64.b64decode(found[_ARRAY], validate=True)
        return np.frombuffer(raw, dtype="<f8").reshape(found[_SHAPE]).astype(np.float64)
    return found


def _mended(found: Any) -> Any:
    if isinstance(found, str):
        return found.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(found, list):
        return [_mended(item) for item in found]
    if isinstance(found, dict):
        return {_mended(key): _mended(value) for key, value in found.items()}
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"not a journal body: bare {name}")


__all__ = ["decode", "encode", "encode_with", "from_plain", "pack_spectrum", "to_plain", "unpack_spectrum"]
