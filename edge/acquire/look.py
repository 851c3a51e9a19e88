"""One read of many values, look after look: asked for in bytes that are made once, answered straight into Raw.

A look is half of a cycle, and the five objects that the stack makes of each value are most of a look. Numbers, truth
values, times and texts are read here (OPC 10000-6, 5.2.2); whatever else a value may be is left to the stack's own
decoder. What cannot be read ends in an error of the stack or of `struct`: the session takes any for a lost link.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua import ua_binary

from control.signals import Quality
from edge.acquire.raw import Raw, made, plain, stamp_s
from edge.acquire.stack import Written

VALUE, STATUS, SOURCE, SERVER, SOURCE_FINER, SERVER_FINER = (1 << bit for bit in range(6))  # 5.2.2.17
ARRAY = 0x80  # 5.2.2.16, as the numbers of the built-in types
BOOLEAN, DOUBLE, STRING, DATE_TIME = 1, 11, 12, 13
READ = ua.FourByteNodeId(ua.ObjectIds.ReadRequest_Encoding_DefaultBinary)
ANSWER = ua.FourByteNodeId(ua.ObjectIds.ReadResponse_Encoding_DefaultBinary)
_NUMBERS = {kind: struct.Struct(f"<{code}") for kind, code in zip(range(2, 11), "bBhHiIqQf", strict=True)}
_FLOAT, _LENGTH, _CODE, _TICKS = (struct.Struct(f"<{code}") for code in "diIq")


@dataclass(kw_only=True)
class Question:
    """A read request with what is asked for in bytes: to the stack a structure like its own, field by field."""

    TypeId: ua.NodeId = READ
    RequestHeader: ua.RequestHeader = field(default_factory=ua.RequestHeader)
    Parameters: Written


def question(nodes: Sequence[ua.NodeId]) -> Question:
    """The request for the values of these nodes with both of their times; it may be sent any number of times."""
    asked = [ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds.Value) for node in nodes]
    what = ua.ReadParameters(TimestampsToReturn=ua.TimestampsToReturn.Both, NodesToRead=asked)
    return Question(Parameters=Written(ua_binary.struct_to_binary(what)))


def answered(answer: Buffer, received_s: float) -> list[Raw]:
    """The values in the bytes of a read response; received_s: when they came (s, epoch, UTC).

    Raises UaError for a service fault or another response, struct.error, IndexError or UaError for bytes that are
    none.
    """
    if ua_binary.nodeid_from_binary(answer) != ANSWER:
        raise ua.UaError("the answer to a read is no read response")
    ua_binary.struct_from_binary(ua.ResponseHeader, answer).ServiceResult.check()
    data = answer.read(len(answer))
    (count,) = _LENGTH.unpack_from(data)
    found, at = [], 4
    for _ in range(count):  # each takes a byte at least: no number of them outlasts the bytes
        raw, at = _value(data, at, received_s)
        found.append(raw)
    return found


def _value(data: bytes, at: int, received_s: float) -> tuple[Raw, int]:
    """The DataValue that begins at a byte, and where the next one does."""
    mask, at, value, code = data[at], at + 1, None, 0
    source_s = server_s = None
    if mask & VALUE:
        value, at = _variant(data, at)
    if mask & STATUS:
        (code,), at = _CODE.unpack_from(data, at), at + 4
    if mask & SOURCE:
        source_s, at = stamp_s(_TICKS.unpack_from(data, at)[0]), at + 8
    if mask & SOURCE_FINER:  # finer than 100 ns: nobody here asks for it, but it stands between the two times
        at += 2
    if mask & SERVER:
        server_s, at = stamp_s(_TICKS.unpack_from(data, at)[0]), at + 8
    if mask & SERVER_FINER:
        at += 2
    if at > len(data):
        raise ua.UaError("the answer ends within a value")
    if code == 0 and value is not None:
        stamped = source_s if source_s is not None else server_s if server_s is not None else received_s
        return Raw(value, Quality.GOOD, "", stamped, source_s, server_s), at
    return made(value, ua.StatusCode(code), source_s, server_s, received_s), at


def _variant(data: bytes, at: int) -> tuple[object, int]:
    kind, first = data[at], at + 1
    if kind == DOUBLE:
        return _FLOAT.unpack_from(data, first)[0], first + 8
    if kind in _NUMBERS:
        form = _NUMBERS[kind]
        return form.unpack_from(data, first)[0], first + form.size
    if kind == BOOLEAN:
        return data[first] != 0, first + 1
    if kind == DATE_TIME:
        return stamp_s(_TICKS.unpack_from(data, first)[0]), first + 8
    if kind in (STRING, ARRAY | DOUBLE):
        (length,), first = _LENGTH.unpack_from(data, first), first + 4
        if length == -1:
            return None, first
        if kind == STRING and 0 <= length <= len(data) - first:
            return data[first : first + length].decode("utf-8", "surrogateescape"), first + length
        if kind != STRING and length >= 0:
            return list(struct.unpack_from(f"<{length}d", data, first)), first + 8 * length
        raise ua.UaError(f"a value of length {length}")
    rest = Buffer(data, at)
    found = ua_binary.variant_from_binary(rest).Value
    if rest.cur_pos < first:  # to the stack a text or an array of length -9 lies before itself
        raise ua.UaError("a value of negative length")
    return plain(found), rest.cur_pos
