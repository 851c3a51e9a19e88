"""Target: the bytes of a server's answer to a read, through the stack's decoder and the whole look at the line."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
from asyncua import Client, ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary

from deploy.fuzz.files import LINE_FILE
from deploy.fuzz.target import Broken, Once, Target
from edge.acquire.connection import Connection
from edge.acquire.learn import Learned
from edge.acquire.look import Question, answered
from edge.acquire.opcua import OpcUaLine
from edge.acquire.raw import Raw, made, plain
from edge.acquire.session import Endpoint, Session
from edge.acquire.station import Station
from edge.acquire.stream import flat
from edge.acquire.tags import wanted
from edge.config import LineConfig, read_config
from edge.errors import ConfigError, DeviceError
from edge.pki import ClientCredentials, make_certificate
from edge.record.canonical import encode
from edge.signals import Scan

HEALTHY: Mapping[str, Any] = {"Apc.RemoteActive": True, "Nir.IsActive": True, "Nir.ExecutionCycle": 16,
                              "Nir.AcquisitionResultStatus": 1, "Nir.AcquisitionCounter": 7}  # fmt: skip


def targets() -> tuple[Target, ...]:
    """The answer to a read, through the whole look; and what the stack makes of the same bytes."""
    watched = ("edge/acquire",)
    return (
        Target("opcua_answer", _seeds, _prepare, (ConfigError,), watched, most=20000),
        Target("opcua_values", _values, _prepare_values, (), watched, most=4000),
    )


def _answer(tags: Sequence[str]) -> bytes:
    """A healthy answer, as a server encodes it."""
    response = ua.ReadResponse()
    for tag in tags:
        value: Any = HEALTHY.get(tag, 1.25)
        if tag.endswith(".ScaledData"):
            value = [0.3 + 0.001 * k for k in range(125)]
        response.Results.append(ua.DataValue(ua.Variant(value)))
    packed: bytes = struct_to_binary(response)
    return packed


def _seeds() -> Sequence[bytes]:
    config, _ = read_config(LINE_FILE)
    tags = [*wanted(config), *_stream_tags(config)]
    short = _answer(tags[:3])
    refused = ua.ReadResponse()
    refused.ResponseHeader.ServiceResult = ua.StatusCode(ua.UInt32(ua.StatusCodes.BadSessionIdInvalid))
    return [_answer(tags), _answer([]), short, struct_to_binary(refused)]


def _stream_tags(config: LineConfig) -> tuple[str, ...]:
    from edge.acquire.tags import STREAM

    return (*(f"{config.analyser.prefix}.{name}" for name in STREAM), f"{config.analyser.prefix}.AcquisitionCounter")


def _values() -> Sequence[bytes]:
    """Values of many types, kinds of status and times."""
    stamp = datetime(2026, 3, 1, 12, 0, 0, 123456, UTC)
    some: tuple[tuple[Any, ua.VariantType], ...] = (
        (1.5, ua.VariantType.Double), (math.nan, ua.VariantType.Double), (1.5, ua.VariantType.Float),
        (True, ua.VariantType.Boolean), (-3, ua.VariantType.Int32), (2**64 - 1, ua.VariantType.UInt64),
        (7, ua.VariantType.Byte), (-7, ua.VariantType.SByte), (7, ua.VariantType.UInt16),
        ("text", ua.VariantType.String), (None, ua.VariantType.String),
        (stamp, ua.VariantType.DateTime), ([0.1, 0.2], ua.VariantType.Double),
        ([1, 2], ua.VariantType.Int16), (ua.LocalizedText("x"), ua.VariantType.LocalizedText),
        (ua.NodeId(1, 2), ua.VariantType.NodeId), (b"ab", ua.VariantType.ByteString), (None, ua.VariantType.Null),
    )  # fmt: skip
    codes = (0, 0x40920000, 0x80340000)
    found = []
    for chosen in (some, some[:1], some[9:13]):
        answer = ua.ReadResponse()
        for k, (value, kind) in enumerate(chosen):
            times = {"SourceTimestamp": stamp} if k % 3 else {"SourceTimestamp": stamp, "ServerTimestamp": stamp}
            code = ua.StatusCode(ua.UInt32(codes[k % 3]))
            answer.Results.append(ua.DataValue(ua.Variant(value, kind), code, **times))
        found.append(struct_to_binary(answer))
    return found


def _prepare_values(_folder: Path) -> Once:
    return _both_ways


def _both_ways(raw: bytes) -> object:
    """What our decoder reads is what the stack's reads. It may refuse more: to the stack, a length of -9 goes back."""
    try:
        ours = answered(Buffer(raw), 5.0)
        response = struct_from_binary(ua.ReadResponse, Buffer(raw))
        response.ResponseHeader.ServiceResult.check()
    except Exception:  # noqa: BLE001 - the session takes any error for a lost link; the stack reads what follows, too
        return None
    results = response.Results or []  # to the stack, an array of length -1 is none
    # The finer parts of the times are elsewhere for the stack than in the standard.
    finer = any(value.SourcePicoseconds is not None for value in results)
    theirs = [_by_stack(value) for value in results]
    if not finer and repr(ours) != repr(theirs):
        apart = next(((a, b) for a, b in zip(ours, theirs, strict=False) if repr(a) != repr(b)), "their number")
        raise Broken(f"ours and the stack's: {apart}"[:300])
    return len(ours)


def _by_stack(value: ua.DataValue) -> Raw:
    times = [None if t is None else cast(float, plain(t)) for t in (value.SourceTimestamp, value.ServerTimestamp)]
    return made(plain(value.Value.Value), value.StatusCode or ua.StatusCode(), times[0], times[1], 5.0)


class Answering:
    """Stands for the stack's client: every read is answered with the bytes of the moment."""

    raw = b""

    def __init__(self) -> None:
        self.uaclient = self.protocol = self

    async def send_request(self, _asked: Question) -> Buffer:
        """A message body."""
        return Buffer(self.raw)


class Open:
    """Stands for a station that is connected."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.connection = Connection(epoch=1)

    async def ready(self) -> Session:
        """The session."""
        return self._session

    async def fail(self, error: DeviceError) -> None:
        """Nothing to throw away."""

    def moves(self, *, again: bool) -> None:
        """Nothing to note."""


def _prepare(folder: Path) -> Once:
    own = make_certificate(folder)
    keys = ClientCredentials("urn:fuzz", own, folder / "edge_key.pem", own, "")
    config, _ = read_config(LINE_FILE)
    answering = Answering()
    nodes = {tag: ua.NodeId(tag, 2) for tag in (*wanted(config), *_stream_tags(config))}

    def once(raw: bytes) -> object:
        line = OpcUaLine(config, keys)
        session = Session(cast(Client, answering), Endpoint("opc.tcp://x:1", "x", 60.0))
        # A line as it is once its server was learned: what follows is every look at it.
        line._plc = cast(Station, Open(session))
        line._known = Learned(nodes, wanted(config), {}, ())
        line._analyser._place = flat(nodes, config.analyser.prefix, np.linspace(908.0, 1676.0, 125), "nm")
        answering.raw = raw
        scan = asyncio.run(_two_looks(line))
        encode([scan.readings, scan.lab, scan.reason])
        return scan

    return once


async def _two_looks(line: OpcUaLine) -> Scan:
    first, second = await line.scan(), await line.scan()
    if first.link is not second.link and second.spectrum is not None and first.spectrum is None:
        raise Broken("the same bytes were a line first and none then")
    return second
