"""metrics <-> Sparkplug B payload bytes, by the field numbers of the Sparkplug specification 3.0, section 6.4.

The messages are declared here and encoded by the protobuf library; nothing generated is kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

Value = float | int | bool | str | None
_FIELD = descriptor_pb2.FieldDescriptorProto
QUALITY = {"good": 192, "uncertain": 64, "bad": 0}  # 6.4.7: 192 good, 0 bad; 64 is OPC's uncertain


class DataType(IntEnum):
    """Sparkplug data types that are used here (6.4.16)."""

    INT64 = 4
    UINT64 = 8
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12


@dataclass(frozen=True)
class Metric:
    """One metric; name or alias may be left out (as data messages do with names), time_ms: since the epoch, UTC.

    value None, or a number that is not finite, is sent as null: a consumer must not take it for a number.
    """

    value: Value
    datatype: DataType
    time_ms: int
    name: str | None = None
    alias: int | None = None
    historical: bool = False
    quality: str | None = None
    unit: str | None = None


@dataclass(frozen=True)
class Payload:
    """One message: time_ms since the epoch, seq 0..255 (None in death certificates), its metrics."""

    time_ms: int
    metrics: tuple[Metric, ...]
    seq: int | None = None


def encode(payload: Payload) -> bytes:
    """The payload as bytes, the same for the same payload."""
    told = _class("Payload")()
    told.timestamp = payload.time_ms
    if payload.seq is not None:
        told.seq = payload.seq
    for metric in payload.metrics:
        _fill(told.metrics.add(), metric)
    raw: bytes = told.SerializeToString(deterministic=True)
    return raw


def decode(raw: bytes) -> Payload:
    """A payload from bytes of anybody. Raises ValueError when they are none."""
    told = _class("Payload")()
    try:
        told.ParseFromString(raw)
    except message.DecodeError as error:
        raise ValueError(f"not a Sparkplug B payload: {error}") from error
    return Payload(
        int(told.timestamp),
        tuple(found for found in map(_read, told.metrics) if found is not None),
        int(told.seq) if told.HasField("seq") else None,
    )


def _fill(told: Any, metric: Metric) -> None:
    if metric.name is not None:
        told.name = metric.name
    if metric.alias is not None:
        told.alias = metric.alias
    told.timestamp, told.datatype = metric.time_ms, int(metric.datatype)
    if metric.historical:
        told.is_historical = True
    if metric.quality in QUALITY:
        told.properties.keys.append("Quality")
        told.properties.values.add(type=3, int_value=QUALITY[metric.quality])
    if metric.unit is not None:
        told.properties.keys.append("engUnit")
        told.properties.values.add(type=12, string_value=metric.unit)
    value = metric.value
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        told.is_null = True
    elif metric.datatype is DataType.DOUBLE:
        told.double_value = float(value)
    elif metric.datatype is DataType.BOOLEAN:
        told.boolean_value = bool(value)
    elif metric.datatype is DataType.STRING:
        told.string_value = str(value)
    else:
        told.long_value = int(value) % 2**64  # signed ones as two's complement (6.4.16)


def _read(told: Any) -> Metric | None:
    try:
        datatype = DataType(told.datatype)
    except ValueError:
        return None  # a type that we never use
    value: Value = None
    held = told.WhichOneof("value")
    if held is not None and not told.is_null:
        value = getattr(told, held)
        if isinstance(value, bytes):
            return None
        if datatype is DataType.INT64 and isinstance(value, int) and value >= 2**63:
            value -= 2**64
    found = dict(zip(told.properties.keys, told.properties.values, strict=False))
    quality = {number: word for word, number in QUALITY.items()}
    return Metric(
        value, datatype, int(told.timestamp), told.name if told.HasField("name") else None,
        int(told.alias) if told.HasField("alias") else None, bool(told.is_historical),
        quality.get(found["Quality"].int_value) if "Quality" in found else None,
        found["engUnit"].string_value if "engUnit" in found else None,
    )  # fmt: skip


@cache
def _class(name: str) -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="patloop/sparkplug.proto", package="patloop", syntax="proto2")
    scalars = {
        "PropertyValue": (("type", 1, _FIELD.TYPE_UINT32), ("is_null", 2, _FIELD.TYPE_BOOL)),
        "PropertySet": (),
        "Metric": (
            ("name", 1, _FIELD.TYPE_STRING), ("alias", 2, _FIELD.TYPE_UINT64), ("timestamp", 3, _FIELD.TYPE_UINT64),
            ("datatype", 4, _FIELD.TYPE_UINT32), ("is_historical", 5, _FIELD.TYPE_BOOL),
            ("is_transient", 6, _FIELD.TYPE_BOOL), ("is_null", 7, _FIELD.TYPE_BOOL),
        ),
        "Payload": (
            ("timestamp", 1, _FIELD.TYPE_UINT64), ("seq", 3, _FIELD.TYPE_UINT64), ("uuid", 4, _FIELD.TYPE_STRING),
            ("body", 5, _FIELD.TYPE_BYTES),
        ),
    }  # fmt: skip
    values = (
        ("int_value", _FIELD.TYPE_UINT32), ("long_value", _FIELD.TYPE_UINT64), ("float_value", _FIELD.TYPE_FLOAT),
        ("double_value", _FIELD.TYPE_DOUBLE), ("boolean_value", _FIELD.TYPE_BOOL), ("string_value", _FIELD.TYPE_STRING),
    )  # fmt: skip
    made = {one: file.message_type.add(name=one) for one in scalars}
    for one, fields in scalars.items():
        for field, number, kind in fields:
            made[one].field.add(name=field, number=number, type=kind, label=_FIELD.LABEL_OPTIONAL)
    made["PropertySet"].field.add(name="keys", number=1, type=_FIELD.TYPE_STRING, label=_FIELD.LABEL_REPEATED)
    for one, field, number, of, label in (
        ("PropertySet", "values", 2, "PropertyValue", _FIELD.LABEL_REPEATED),
        ("Metric", "properties", 9, "PropertySet", _FIELD.LABEL_OPTIONAL),
        ("Payload", "metrics", 2, "Metric", _FIELD.LABEL_REPEATED),
    ):
        told = made[one].field.add(name=field, number=number, type=_FIELD.TYPE_MESSAGE, label=label)
        told.type_name = f".patloop.{of}"
    for one, first in (("PropertyValue", 3), ("Metric", 10)):
        made[one].oneof_decl.add(name="value")
        for number, (field, kind) in enumerate(values, start=first):
            made[one].field.add(name=field, number=number, type=kind, label=_FIELD.LABEL_OPTIONAL, oneof_index=0)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"patloop.{name}"))
