"""What goes into a journal body comes back bit for bit, and the same value always gives the same bytes."""

from __future__ import annotations

import dataclasses
import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from control.signals import Belief, Command, Decision, Envelope, LabResult, PressMove, Reading, Target
from edge.record.canonical import decode, encode, from_plain, pack_spectrum, to_plain, unpack_spectrum
from soft_sensors.signals import Estimate, FloatArray, Spectrum, Verdict

TYPES = [Estimate, Spectrum, Verdict, Belief, Command, Decision, Envelope, LabResult, Reading, Target]
CANONICAL_NAN = struct.unpack("<d", struct.pack("<d", math.nan))[0]

keys = st.text(max_size=8).filter(lambda key: not key.startswith("~"))
floats = st.floats(allow_nan=False) | st.just(CANONICAL_NAN)
spectra = arrays(np.float64, st.integers(0, 20), elements=st.floats(width=64))
st.register_type_strategy(float, floats)
st.register_type_strategy(np.ndarray, spectra)
st.register_type_strategy(Mapping, st.dictionaries(keys, floats, max_size=4))


def instances(cls: type[Any]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(cls)
    known = {
        FloatArray: spectra,
        Mapping[str, float]: st.dictionaries(keys, floats, max_size=4),
        Mapping[str, tuple[float, ...]]: st.dictionaries(
            keys, st.lists(floats, max_size=5).map(tuple), max_size=3
        ),
    }
    return st.builds(cls, **{name: known.get(hint, st.from_type(hint)) for name, hint in hints.items()})


def bits(value: Any) -> Any:
    """A value's exact content, comparable: floats and arrays as their bytes, each with its type."""
    if isinstance(value, float):
        return ("float", struct.pack("<d", value))
    if isinstance(value, np.ndarray):
        return ("array", value.shape, value.dtype.str, value.tobytes())
    if isinstance(value, Mapping):
        return {key: bits(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return (type(value).__name__, [bits(item) for item in value])
    if dataclasses.is_dataclass(value):
        return (type(value), [bits(getattr(value, part.name)) for part in dataclasses.fields(value)])
    return (type(value), value)


st.register_type_strategy(PressMove, instances(PressMove))  # its trajectories are tuples, inside a decision, too


@pytest.mark.parametrize("cls", TYPES)
@given(st.data())
def test_every_signal_comes_back_bit_for_bit(cls: type[Any], data: st.DataObject) -> None:
    signal = data.draw(instances(cls))
    body = encode(signal)
    again = from_plain(cls, decode(body))
    assert bits(again) == bits(signal)
    assert encode(again) == body


@given(st.dictionaries(keys, floats | st.text() | st.integers() | st.none() | st.booleans() | spectra))
def test_plain_values_come_back_and_order_does_not_matter(value: dict[str, Any]) -> None:
    body = encode(value)
    assert bits(decode(body)) == bits(value)
    assert encode(dict(reversed(value.items()))) == body


@given(spectra)
def test_a_packed_spectrum_comes_back(values: FloatArray) -> None:
    assert unpack_spectrum(pack_spectrum(values)).tobytes() == values.tobytes()


def test_the_form_is_the_published_one() -> None:
    value = {
        "b": (1.0, math.nan, -math.inf),
        "a": np.array([[1.0, 2.0]]),
        "n": np.float64(0.1),
        "i": np.int64(3),
    }
    assert encode(value) == (
        b'{"a":{"shape":[1,2],"~a":"AAAAAAAA8D8AAAAAAAAAQA=="},"b":[1.0,{"~f":"nan"},{"~f":"-inf"}],"i":3,"n":0.1}'
    )


@pytest.mark.parametrize("value", [{"~f": 1}, {1: 2}, {1, 2}, b"x", np.array([1, 2]), object(), Reading])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="journal body"):
        to_plain(value)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        b"NaN",
        b'{"~f":"one"}',
        b'{"~f":{}}',
        b'{"~a":"A","shape":[1]}',
        b'{"~a":"","shape":[3]}',
    ],
)
def test_a_body_that_is_not_canonical_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):
        decode(body)


def test_a_blob_that_is_no_spectrum_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="packed spectrum"):
        unpack_spectrum(b"no zlib")


@dataclass(frozen=True)
class Nest:
    reading: Reading | None
    pair: tuple[int, str]
    seen: Mapping[str, Reading]
    word: Literal["online", "lost"] = "online"
    steps: list[int] = field(default_factory=list)
    rest: Any = None


def test_nested_types_and_defaults_are_rebuilt() -> None:
    nest = Nest(None, (1, "a"), {"x": Reading(1.0, 2.0)}, "lost", [1, 2], {"free": [1]})
    assert from_plain(Nest, decode(encode(nest))) == nest
    assert from_plain(Nest, {"reading": None, "pair": [1, "a"], "seen": {}}) == Nest(None, (1, "a"), {})


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"reading": {"value": "x", "time_s": 1.0}}, r"Nest\.reading\.value"),
        ({"reading": {"value": True, "time_s": 1.0}}, r"Nest\.reading\.value"),
        ({"reading": {"value": 1.0}}, "'time_s' is missing"),
        ({"reading": {"value": 1.0, "time_s": 1.0, "quality": "fine"}}, r"Nest\.reading\.quality"),
        ({"pair": [1]}, r"Nest\.pair"),
        ({"pair": [1.5, "a"]}, r"Nest\.pair\[0\]"),
        ({"seen": []}, r"Nest\.seen"),
        ({"seen": {"x": 3}}, r"Nest\.seen\.x"),
        ({"word": "gone"}, r"Nest\.word"),
        ({"steps": {}}, r"Nest\.steps"),
        ({"more": 1}, "unknown field 'more'"),
    ],
)
def test_what_does_not_fit_is_named_by_its_place(change: dict[str, Any], place: str) -> None:
    plain: dict[str, Any] = {"reading": None, "pair": [1, "a"], "seen": {}}
    with pytest.raises(ValueError, match=place):
        from_plain(Nest, plain | change)


def test_half_a_character_is_read_as_one_that_can_be_written() -> None:
    body = encode({"batch \ud800": ["\udc00x", {"lot": "A\ud83d"}], "whole": "\U0001f48a"})
    assert decode(body) == {"batch \ufffd": ["\ufffdx", {"lot": "A\ufffd"}], "whole": "\U0001f48a"}
    json.dumps(decode(body), ensure_ascii=False).encode("utf-8")


@pytest.mark.parametrize("body", [b'{"a":"\xed\xa0\x80"}', '{"a":"ä"}'.encode(), '{"a":1}'.encode("utf-16")])
def test_a_body_that_is_not_ascii_is_none_of_ours(body: bytes) -> None:
    with pytest.raises(ValueError, match="not a journal body"):
        decode(body)
