"""plain -> typed: frozen dataclasses rebuilt from recorded plain values by their type hints."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


def from_plain(cls: type[T], plain: object) -> T:
    """Rebuild a value of the annotated type from what decode gave, bit for bit.

    Knows dataclasses (nested), tuple[...], list[...], Mapping/dict, unions, enums, Literal, float64 arrays,
    Any and the JSON scalars. A field that is missing takes its default. Raises ValueError naming the place
    that does not fit.
    """
    return cast(T, _build(cls, plain, getattr(cls, "__name__", str(cls))))


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _build(hint: Any, plain: Any, where: str) -> Any:
    origin = get_origin(hint)
    if hint is Any or hint is object:
        return plain
    if origin in (Union, types.UnionType):
        return _build_union(get_args(hint), plain, where)
    if origin is Literal:
        return _expect(plain in get_args(hint), plain, where, "one of the allowed words")
    if hint is np.ndarray or origin in (np.ndarray, NDArray):  # NDArray: a type alias of its own from numpy 2.5 on
        return _expect(isinstance(plain, np.ndarray), plain, where, "an array")
    if origin is tuple or hint is tuple:
        return _build_tuple(get_args(hint), plain, where)
    if origin in (list, Sequence) or hint is list:
        item = (get_args(hint) or (Any,))[0]
        return [_build(item, value, f"{where}[{i}]") for i, value in enumerate(_as_list(plain, where))]
    if isinstance(origin or hint, type) and issubclass(origin or hint, Mapping):
        return _build_mapping(get_args(hint), plain, where)
    if is_dataclass(hint):
        return _build_dataclass(cast(type, hint), plain, where)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _build_enum(hint, plain, where)
    return _build_scalar(hint, plain, where)


def _build_union(options: tuple[Any, ...], plain: Any, where: str) -> Any:
    if plain is None and type(None) in options:
        return None
    problems = []
    for option in options:
        if option is type(None):
            continue
        try:
            return _build(option, plain, where)
        except ValueError as error:
            problems.append(str(error))
    raise ValueError("; ".join(problems) or f"{where}: expected nothing, found {plain!r:.60}")


def _build_tuple(items: tuple[Any, ...], plain: Any, where: str) -> tuple[Any, ...]:
    values = _as_list(plain, where)
    if not items:
        return tuple(values)
    if len(items) == 2 and items[1] is Ellipsis:
        items = (items[0],) * len(values)
    _expect(len(items) == len(values), plain, where, f"{len(items)} items")
    pairs = enumerate(zip(items, values, strict=True))
    return tuple(_build(hint, value, f"{where}[{i}]") for i, (hint, value) in pairs)


def _build_mapping(hints: tuple[Any, ...], plain: Any, where: str) -> dict[Any, Any]:
    _expect(isinstance(plain, dict), plain, where, "a mapping")
    key_hint, value_hint = hints or (Any, Any)
    return {_build(key_hint, k, where): _build(value_hint, v, f"{where}.{k}") for k, v in plain.items()}


def _build_dataclass(cls: type, plain: Any, where: str) -> Any:
    _expect(isinstance(plain, dict), plain, where, f"the fields of {cls.__name__}")
    known = [field for field in fields(cls) if field.init]
    unknown = sorted(set(plain) - {field.name for field in known})
    if unknown:
        raise ValueError(f"{where}: unknown field {unknown[0]!r}")
    for field in known:
        if field.name not in plain and field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{where}: field {field.name!r} is missing")
    hints = _hints(cls)
    return cls(**{name: _build(hints[name], value, f"{where}.{name}") for name, value in plain.items()})


def _build_enum(cls: type[Enum], plain: Any, where: str) -> Enum:
    try:
        return cls(plain)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _build_scalar(hint: Any, plain: Any, where: str) -> Any:
    if hint is None or hint is type(None):
        return _expect(plain is None, plain, where, "nothing")
    if hint is float:  # an int that was recorded in a float's place comes back as the int it was
        return _expect(_is_number(plain, (int, float)), plain, where, "a number")
    if hint is int:
        return _expect(_is_number(plain, (int,)), plain, where, "a whole number")
    if hint in (str, bool):
        return _expect(isinstance(plain, hint), plain, where, hint.__name__)
    raise ValueError(f"{where}: a journal body cannot rebuild the type {hint!r}")


def _is_number(plain: Any, kinds: tuple[type, ...]) -> bool:
    return isinstance(plain, kinds) and not isinstance(plain, bool)


def _as_list(plain: Any, where: str) -> list[Any]:
    return cast("list[Any]", _expect(isinstance(plain, list), plain, where, "a list"))


def _expect(fits: bool, plain: Any, where: str, wanted: str) -> Any:
    if not fits:
        raise ValueError(f"{where}: expected {wanted}, found {plain!r:.60}")
    return plain
