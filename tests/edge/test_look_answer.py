"""The bytes of a look: the question is the stack's own, the answer's values are those that the stack reads from it."""

from __future__ import annotations

import math
import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary
from hypothesis import given
from hypothesis import strategies as st

from control.signals import Quality
from deploy.fuzz.wire import _both_ways, _values
from edge.acquire.look import answered, question
from edge.acquire.raw import Raw

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, UTC)
NOON_S = 1772366400.123456
NOON_TICKS = (NOON - datetime(1601, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 10


def answer(*values: ua.DataValue) -> bytes:
    response = ua.ReadResponse()
    response.Results = list(values)
    packed: bytes = struct_to_binary(response)
    return packed


def bare(*values: bytes) -> bytes:
    """A response with values that are in bytes already."""
    empty = answer()
    assert empty[-8:] == bytes(8), "no values and no diagnostics"
    return empty[:-8] + struct.pack("<i", len(values)) + b"".join(values) + bytes(4)


def read(raw: bytes) -> list[Raw]:
    return answered(Buffer(raw), 5.0)


def test_the_question_is_the_one_that_the_stack_would_ask() -> None:
    nodes = [ua.NodeId("FeederApi.PV", 2), ua.NodeId(2258), ua.NodeId(70000, 300)]
    asked = [ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds.Value) for node in nodes]
    theirs = ua.ReadRequest()
    theirs.Parameters = ua.ReadParameters(TimestampsToReturn=ua.TimestampsToReturn.Both, NodesToRead=asked)
    ours = question(nodes)
    for handle in (1, 2):  # sent twice, it is the same but for its header
        ours.RequestHeader.RequestHandle = theirs.RequestHeader.RequestHandle = handle
        theirs.RequestHeader.Timestamp = ours.RequestHeader.Timestamp
        assert struct_to_binary(ours) == struct_to_binary(theirs)
    again = struct_from_binary(ua.ReadRequest, Buffer(struct_to_binary(ours)))
    assert [r.NodeId for r in again.Parameters.NodesToRead] == nodes


@pytest.mark.parametrize("raw", _values(), ids=("many types", "one", "texts and times"))
def test_values_of_every_type_are_what_the_stack_reads(raw: bytes) -> None:
    assert _both_ways(raw), "and not refused"


def test_value_status_and_both_times_travel_together() -> None:
    later = NOON + timedelta(seconds=1)
    [one] = read(answer(ua.DataValue(
        ua.Variant(1.5, ua.VariantType.Double), ua.StatusCode(ua.UInt32(0x40920000)), NOON, later
    )))  # fmt: skip
    assert one == Raw(1.5, Quality.UNCERTAIN, "UncertainInitialValue", NOON_S, NOON_S, NOON_S + 1)


def test_the_time_is_the_sources_or_the_servers_or_the_receipts() -> None:
    value = ua.Variant(1.0, ua.VariantType.Double)
    found = read(answer(
        ua.DataValue(value, SourceTimestamp=NOON), ua.DataValue(value, ServerTimestamp=NOON), ua.DataValue(value)
    ))  # fmt: skip
    assert [(r.time_s, r.source_s, r.server_s) for r in found] == [
        (NOON_S, NOON_S, None), (NOON_S, None, NOON_S), (5.0, None, None),
    ]  # fmt: skip


def test_no_value_is_bad_whatever_its_status_says() -> None:
    [none, bad] = read(answer(ua.DataValue(), ua.DataValue(None, ua.StatusCode(ua.UInt32(0x80340000)))))
    assert (none.quality, none.reason) == (Quality.BAD, "no value")
    assert (bad.quality, bad.reason) == (Quality.BAD, "BadNodeIdUnknown")


def test_the_finer_parts_of_times_are_where_the_standard_has_them() -> None:
    """OPC 10000-6, 5.2.2.17: after the time that each belongs to; the stack looks for both at the end."""
    stamps = struct.pack("<qHqH", NOON_TICKS, 7, NOON_TICKS + 10_000_000, 9)
    found = read(bare(b"\x3d\x0b" + struct.pack("<d", 2.5) + stamps, b"\x01\x01\x01"))
    assert found[0] == Raw(2.5, Quality.GOOD, "", NOON_S, NOON_S, NOON_S + 1)
    assert found[1].value is True


@pytest.mark.parametrize(("ticks", "time_s"), [(-5, -11644473600.0), (0, -11644473600.0), (2**63 - 1, 253402300799.0)])
def test_times_out_of_all_bounds_are_the_first_or_the_last(ticks: int, time_s: float) -> None:
    [one] = read(bare(b"\x05\x0b" + struct.pack("<dq", 1.0, ticks)))
    assert one.time_s == time_s


def test_an_answer_that_ends_too_early_is_none() -> None:
    whole = answer(
        ua.DataValue(ua.Variant(1.5, ua.VariantType.Double), SourceTimestamp=NOON),
        ua.DataValue(ua.Variant("text", ua.VariantType.String), SourceTimestamp=NOON),
        ua.DataValue(ua.Variant([1.0, 2.0], ua.VariantType.Double), SourceTimestamp=NOON),
    )
    for end in range(len(whole) - 4):  # the last four say that no diagnostics follow: nobody reads them
        with pytest.raises((ua.UaError, struct.error, IndexError)):
            read(whole[:end])


@pytest.mark.parametrize("value", [
    b"\x01\x0c" + struct.pack("<i", -9) + bytes(20), b"\x01\x8b" + struct.pack("<i", -9) + bytes(20),
    b"\x01\x0f" + struct.pack("<i", -9) + bytes(20), b"\x01\x8b" + struct.pack("<i", 2**31 - 1) + bytes(20),
    b"\x01\x0c" + struct.pack("<i", 2**31 - 1) + bytes(20), b"\x01\x80" + struct.pack("<i", 2**31 - 1),
])  # fmt: skip
def test_lengths_that_cannot_be_are_refused_at_once(value: bytes) -> None:
    with pytest.raises((ua.UaError, struct.error)):
        read(bare(value))


def test_more_values_than_bytes_are_refused_at_once() -> None:
    with pytest.raises((IndexError, ua.UaError)):
        read(answer()[:-8] + struct.pack("<i", 2**31 - 1) + bytes(4))


def test_a_refusal_and_another_response_are_no_answer() -> None:
    refused = ua.ReadResponse()
    refused.ResponseHeader.ServiceResult = ua.StatusCode(ua.UInt32(ua.StatusCodes.BadSessionIdInvalid))
    with pytest.raises(ua.UaError, match="BadSessionIdInvalid"):
        read(struct_to_binary(refused))
    with pytest.raises(ua.UaError, match="no read response"):
        read(struct_to_binary(ua.WriteResponse()))


NUMBERS: dict[ua.VariantType, st.SearchStrategy[Any]] = {
    ua.VariantType.Double: st.floats(), ua.VariantType.Float: st.floats(width=32),
    ua.VariantType.Int32: st.integers(-(2**31), 2**31 - 1), ua.VariantType.UInt64: st.integers(0, 2**64 - 1),
    ua.VariantType.Int16: st.integers(-(2**15), 2**15 - 1), ua.VariantType.Boolean: st.booleans(),
    ua.VariantType.String: st.none() | st.text(),
}  # fmt: skip


@given(st.data())
def test_whatever_is_sent_is_read(data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(list(NUMBERS)), max_size=8))
    values = [data.draw(NUMBERS[kind]) for kind in kinds]
    found = read(answer(*(ua.DataValue(ua.Variant(v, k)) for v, k in zip(values, kinds, strict=True))))
    for value, one in zip(values, found, strict=True):
        same = one.value == value or (isinstance(value, float) and math.isnan(value) and math.isnan(one.value))  # type: ignore[arg-type]
        assert same
        assert (one.quality is Quality.BAD) is (value is None)
