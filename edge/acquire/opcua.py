"""ACQUIRE over OPC UA: one connection a life, made anew after every loss; values with status and times.

A connection that failed is thrown away and a new one made (its client, session and subscriptions with it); each new
one is a new epoch with a new session number. Writes have a deadline and are never repeated: a failed write is
'unknown', and the plant is read before the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import socket
import struct
import time
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

from control.signals import Quality
from edge.acquire.tags import STREAM_AXIS, Raw, to_scan, wanted
from edge.config import LineConfig
from edge.errors import ConfigError, LinkLost, SecurityError, WriteUnknown
from edge.pki import ClientCredentials
from edge.signals import Link, Scan

T = TypeVar("T")

INTEGER_TYPES = {
    ua.VariantType.UInt16, ua.VariantType.UInt32, ua.VariantType.Int32, ua.VariantType.Int16, ua.VariantType.UInt64,
    ua.VariantType.Int64, ua.VariantType.Byte,
}  # fmt: skip
RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0)  # back-off between attempts to connect, wall seconds


class OpcUaLine:
    """The line's PLC and analyser behind one secured OPC UA session; a Source."""

    def __init__(self, config: LineConfig, credentials: ClientCredentials) -> None:
        if config.opcua is None:
            raise ConfigError("the line file has no table [opcua]")
        self._config, self._table, self._credentials = config, config.opcua, credentials
        self._client: Client | None = None
        self._nodes: dict[str, ua.NodeId] = {}
        self._types: dict[str, ua.VariantType] = {}
        self._axis: tuple[np.ndarray, str] | None = None
        self._tags = wanted(config)
        self._epoch, self._session_id = 0, 0
        self._attempts, self._retry_at = 0, 0.0
        self.told = (0.0, time.monotonic())  # the line's time as last told, and when (monotonic)
        self.trouble = ""

    async def scan(self) -> Scan:
        """Read everything in one call; connect first if need be. A lost link is a scan with link LOST."""
        try:
            await self._connected()
            values = await self._deadline(self._read(self._tags))
        except (LinkLost, SecurityError) as error:
            await self._drop(str(error))
            return Scan(self._lost_time_s(), Link.LOST, self._epoch, 0, {}, reason=str(error))
        raw = {tag: _raw(value) for tag, value in zip(self._tags, values, strict=True)}
        clock = self._table.clock_tag
        told = raw[clock].value if clock in raw else time.time()
        now_s = float(told) if isinstance(told, int | float) and math.isfinite(told) else time.time()
        self.told = (now_s, time.monotonic())
        return to_scan(self._config, raw, self._axis, now_s=now_s, epoch=self._epoch, session_id=self._session_id)

    async def send(self, rows: list[tuple[str, float]]) -> dict[str, str]:
        """Write in one call and in order, by the PLC's own types, without timestamps; the code names that are not Good.

        Raises WriteUnknown when the answer did not come: the connection is then aborted and made anew. Never repeated.
        """
        client = self._client
        if client is None:
            raise LinkLost("no connection")
        nodes = [self._nodes[tag] for tag, _ in rows]
        values = [ua.DataValue(_variant(value, self._types[tag])) for tag, value in rows]
        try:
            codes = await self._deadline(client.uaclient.write_attributes(nodes, values, ua.AttributeIds.Value))
        except LinkLost as error:
            await self._drop(str(error))
            raise WriteUnknown(str(error)) from error
        return {tag: code.name for (tag, _), code in zip(rows, codes, strict=True) if code.value != 0}

    async def line_time_s(self) -> float | None:
        """The line's own clock, or None while there is no connection (or no such tag)."""
        if self._client is None or self._table.clock_tag is None:
            return None
        try:
            value = (await self._deadline(self._read((self._table.clock_tag,))))[0]
        except LinkLost as error:
            await self._drop(str(error))
            return None
        if value.Value is None or not isinstance(value.Value.Value, int | float):
            return None
        told_s = float(value.Value.Value)
        if told_s != self.told[0]:
            self.told = (told_s, time.monotonic())
        return told_s

    def _lost_time_s(self) -> float:
        told_s, told_at = self.told
        return time.time() if told_s == 0.0 else told_s + (time.monotonic() - told_at)

    async def units(self) -> dict[str, str]:
        """The engineering unit that the server declares for each setpoint, where it does (display name, Part 8)."""
        found: dict[str, str] = {}
        for mv in self._config.mv:
            if self._client is None:
                break
            node = self._client.get_node(self._nodes[f"{mv.name}.SP_Remote"])
            with contextlib.suppress(ua.UaError):  # no such property: the server does not say
                unit = await self._deadline(_engineering_unit(node))
                found[mv.name] = unit
        return found

    async def close(self) -> None:
        """End the session in good order, within the deadline."""
        client, self._client, self._session_id = self._client, None, 0
        if client is not None:
            with contextlib.suppress(Exception):  # the line may be gone: there is nothing left to lose here
                await asyncio.wait_for(client.disconnect(), self._table.timeout_s)

    async def _connected(self) -> None:
        if self._client is not None:
            return
        if time.monotonic() < self._retry_at:
            raise LinkLost(self.trouble or "waiting before the next attempt")
        self._retry_at = time.monotonic() + RETRY_S[min(self._attempts, len(RETRY_S) - 1)]
        self._attempts += 1
        client = Client(self._table.url, timeout=self._table.timeout_s)
        client.name = client.description = "patloop edge"
        client.application_uri = self._credentials.application_uri
        client.session_timeout = 30_000
        client.set_user(self._table.user)
        client.set_password(self._credentials.password)
        try:
            await client.set_security(
                SecurityPolicyBasic256Sha256,
                certificate=str(self._credentials.certificate),
                private_key=str(self._credentials.private_key),
                server_certificate=str(self._credentials.server_certificate),
                mode=ua.MessageSecurityMode.SignAndEncrypt,
            )
            await asyncio.wait_for(client.connect(), 4 * self._table.timeout_s)
            self._client = client
            await self._synchronise(client)
        except ConfigError:
            await self._drop("configuration")
            raise
        except Exception as error:
            self._client = None
            with contextlib.suppress(Exception):  # a half-open client: its socket goes, whatever it says
                client.disconnect_socket()
            raise _named(error, self._table.url) from error
        self._attempts = 0
        self._epoch += 1
        self._session_id = secrets.randbelow(2**31 - 1) + 1

    async def _synchronise(self, client: Client) -> None:
        """Resolve namespace and node ids, learn the PLC's types, read the axis: nothing is kept from before."""
        index = await client.get_namespace_index(self._table.namespace)
        written = ["Apc.SessionId", "Apc.ModeRequest", "Apc.Request", "Apc.DivertRequest", "Apc.HeartbeatIn"]
        written += [f"{mv.name}.{t}" for mv in self._config.mv for t in ("SP_Remote", "SP_RemoteSeq")]
        axis = [f"{self._config.analyser.prefix}.{t}" for t in STREAM_AXIS]
        tags = [*self._tags, *written, *(axis if self._config.analyser.kind == "opcua" else [])]
        self._nodes = {tag: ua.NodeId(tag, index) for tag in tags}
        values = dict(zip(tags, await self._read(tuple(tags)), strict=True))
        unknown = [t for t in tags if values[t].StatusCode.value == ua.StatusCodes.BadNodeIdUnknown]
        if unknown:
            raise ConfigError(f"the server {self._table.url} has no tag {unknown[0]} ({len(unknown)} missing in all)")
        self._types = {t: values[t].Value.VariantType for t in written if values[t].Value is not None}
        if self._config.analyser.kind == "opcua":
            steps, unit = values[axis[0]].Value, values[axis[1]].Value
            if steps is None or unit is None:
                raise ConfigError(f"the analyser gives no axis ({axis[0]}, {axis[1]})")
            self._axis = (np.asarray(steps.Value, dtype=np.float64), str(unit.Value))

    async def _read(self, tags: tuple[str, ...]) -> list[ua.DataValue]:
        client = self._client
        if client is None:
            raise LinkLost("no connection")
        nodes = [self._nodes[tag] for tag in tags]
        values: list[ua.DataValue] = await client.uaclient.read_attributes(nodes, ua.AttributeIds.Value)
        return values

    async def _deadline(self, work: Coroutine[Any, Any, T]) -> T:
        """The result within the deadline; every way in which the stack says 'gone' becomes LinkLost."""
        try:
            return await asyncio.wait_for(work, self._table.timeout_s)
        except (ConnectionError, TimeoutError, asyncio.CancelledError, ua.UaError, OSError) as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise  # we are being stopped, not the link
            raise LinkLost(f"{type(error).__name__}: {error}".rstrip(": ")) from error

    async def _drop(self, why: str) -> None:
        """Abort the connection: the socket first, so that nothing that waits in it is sent later."""
        self.trouble = why
        client, self._client, self._session_id = self._client, None, 0
        if client is None:
            return
        _abort(client)
        with contextlib.suppress(Exception):  # only clears the dead client's tasks
            await asyncio.wait_for(client.disconnect(), 0.2)


async def _engineering_unit(node: Any) -> str:
    prop = await node.get_child("0:EngineeringUnits")
    return str((await prop.read_value()).DisplayName.Text)


def _abort(client: Client) -> None:
    """Reset the connection (RST), so that bytes still in flight are thrown away, not delivered late."""
    protocol = client.uaclient.protocol
    transport = getattr(protocol, "transport", None)
    if transport is None:
        return
    raw = transport.get_extra_info("socket")
    if raw is not None:
        with contextlib.suppress(OSError):  # already closed
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _named(error: Exception, url: str) -> LinkLost | SecurityError:
    """Security refusals apart from transport trouble: they need a person, not a retry."""
    text = f"{type(error).__name__}: {error}".rstrip(": ")
    names = ("Security", "Certificate", "Identity", "UserAccess", "BadTcpInternalError", "AssertionError")
    if isinstance(error, AssertionError) or any(name in text for name in names):
        return SecurityError(f"{url} refuses us or is not who it was: {text}; check certificates and password")
    return LinkLost(f"{url} cannot be reached: {text}")


def _raw(value: ua.DataValue) -> Raw:
    """Value, quality class and source time of a DataValue, whatever it holds."""
    stamp = value.SourceTimestamp or value.ServerTimestamp
    time_s = stamp.replace(tzinfo=UTC).timestamp() if stamp is not None else time.time()
    code = value.StatusCode
    found = value.Value.Value if value.Value is not None else None
    if isinstance(found, datetime):
        found = found.replace(tzinfo=UTC).timestamp()
    if code is None or code.is_good():
        quality, reason = Quality.GOOD, ""
    elif code.is_uncertain():
        quality, reason = Quality.UNCERTAIN, code.name
    else:
        quality, reason = Quality.BAD, code.name
    if found is None and quality is not Quality.BAD:
        quality, reason = Quality.BAD, "no value"
    return Raw(found, quality, reason, time_s)


def _variant(value: float, kind: ua.VariantType) -> ua.Variant:
    if kind is ua.VariantType.Boolean:
        return ua.Variant(bool(value), kind)
    return ua.Variant(int(value) if kind in INTEGER_TYPES else float(value), kind)
