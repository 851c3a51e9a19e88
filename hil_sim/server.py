"""The rig over OPC UA: encrypted, two users, write rights per tag, a link that can be cut, elastic pacing."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from asyncua import Server, ua
from asyncua.server.address_space import AttributeService
from asyncua.server.user_managers import User, UserRole

from hil_sim.address import STATUS, TagTree, variant
from hil_sim.credentials import APPLICATION_URI, ServerCredentials, server_credentials
from hil_sim.endpoint import Endpoint
from hil_sim.gatekeeper import Accounts, ClosedServices, TrustedClients
from hil_sim.link import Link
from hil_sim.pace import Pace
from hil_sim.rig import Rig
from hil_sim.tags import TagValue

TICK_S = 1.0
STEP_S = 0.5


class TagAttributes:
    """Attribute service whose writes from outside go to the rig, one status a tag; all else is the stack's own.

    The stack's pre-write callback can only refuse a whole call; a PLC answers tag by tag (and says "clamped").
    """

    def __init__(self, inner: AttributeService, line: LineServer) -> None:
        self._inner = inner
        self._line = line
        self.read = inner.read

    async def write(self, params: ua.WriteParameters, user: User) -> list[ua.StatusCode]:
        """Writes of the server itself pass; those of a client are judged tag by tag, in their order."""
        if user.role is UserRole.Admin:
            own: list[ua.StatusCode] = await self._inner.write(params, user)
            return own
        return [await self._line.take(item, user.name or "") for item in params.NodesToWrite]


class LineServer:
    """One rig on the wire.

    `start()` binds (OSError when the port is taken), `run()` plays line time until `stop` is set or the scenario is
    over, `close()` lets everything go. `url` is where clients connect; namespaces: those that the server knows before
    that of the tags, as after a change of its configuration.
    """

    def __init__(
        self, rig: Rig, endpoint: Endpoint, credentials: ServerCredentials, pace: Pace,
        namespaces: tuple[str, ...] = (),
    ) -> None:
        self.rig = rig
        self.endpoint = endpoint
        self.credentials = credentials
        self.pace = pace
        self.link = Link()
        self._server = Server(iserver=ClosedServices(user_manager=Accounts(credentials)))
        self.tree = TagTree(self._server, endpoint.namespace, rig.tags, rig.axis, namespaces)
        self._shown: dict[str, TagValue] = {}

    @property
    def url(self) -> str:
        """The public address, with the port that was really bound."""
        return f"opc.tcp://{self.endpoint.host}:{self.link.port}"

    async def start(self) -> None:
        """Load the address space, bind the public port and begin to answer."""
        server = self._server
        await server.init()
        server.set_endpoint(self.endpoint.url)
        await server.set_application_uri(APPLICATION_URI)
        server.set_server_name("patloop simulated line")
        server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
        server.set_identity_tokens([ua.UserNameIdentityToken])
        server.allow_remote_admin(False)
        server.set_certificate_validator(TrustedClients(self.credentials))
        await server.load_certificate(self.credentials.certificate)
        await server.load_private_key(self.credentials.private_key)
        _lower_limits(server)
        self._shown = dict(self.rig.read())
        await self.tree.build(self._shown)
        server.iserver.attribute_service = TagAttributes(server.iserver.attribute_service, self)
        server.socket_address = ("127.0.0.1", 0)  # only the relay is public
        await server.start()
        if server.bserver is None:
            raise RuntimeError("the OPC UA server did not bind")
        try:
            await self.link.start(self.endpoint.host, self.endpoint.port, ("127.0.0.1", server.bserver.port))
        except OSError:
            await server.stop()
            raise

    async def close(self) -> None:
        """Drop every connection and stop answering."""
        await self.link.stop()
        await self._server.stop()

    async def run(self, stop: asyncio.Event, on_tick: Callable[[Rig], None] | None = None) -> None:
        """Play line time at the pace; on_tick is called after every published tick."""
        clock = asyncio.get_running_loop().time
        while not stop.is_set() and not self.rig.finished:
            await self.pace.turn(self.rig, TICK_S, clock)
            for _ in range(round(TICK_S / STEP_S)):
                self.rig.step(STEP_S)
            if self.rig.link_up:
                self.link.mend()
            else:
                self.link.cut()
            await self.publish()
            if on_tick is not None:
                on_tick(self.rig)

    async def publish(self) -> None:
        """Show what changed; measured flows are shown each time, so that their age tells of a stopped line."""
        for name, value in self.rig.read().items():
            old = self._shown[name]
            if name.endswith(".PV") or _differs(old, value):
                self._shown[name] = value
                await self.tree.show(name, value)

    async def take(self, item: ua.WriteValue, user: str) -> ua.StatusCode:
        """Judge and do one write of a client."""
        name = self.tree.name_of(item.NodeId)
        if name is None or item.AttributeId != ua.AttributeIds.Value:
            return ua.StatusCode(ua.UInt32(ua.StatusCodes.BadUserAccessDenied))
        sent = item.Value.Value
        spec = self.rig.tags[name]
        if sent is None or sent.is_array or (spec.writer and sent.VariantType is not variant(spec.kind)):
            return ua.StatusCode(ua.UInt32(ua.StatusCodes.BadTypeMismatch))
        status = self.rig.write(name, sent.Value, user=user)
        if not status.startswith("bad"):
            self.pace.note_write(self.rig)
            self._shown[name] = dataclasses.replace(self._shown[name], value=sent.Value)
            shown = ua.DataValue(sent, SourceTimestamp=datetime.fromtimestamp(self.rig.time_s, UTC))
            await self._server.write_attribute_value(item.NodeId, shown)
        return ua.StatusCode(ua.UInt32(STATUS[status]))


async def serve_rig(
    rig: Rig,
    endpoint: Endpoint,
    state: Path,
    *,
    ready: asyncio.Event,
    stop: asyncio.Event,
    speed: float = 1.0,
    patience_s: float = 1.0,
    await_controller_s: float = 0.0,
    on_tick: Callable[[Rig], None] | None = None,
) -> None:
    """Serve a rig until `stop` is set or its scenario is over; `ready` is set once clients can connect.

    state: folder of certificates and accounts (made on first run, see credentials); await_controller_s: how long line
    time stands still, wall seconds, for a first controller heartbeat. Raises OSError when the port is taken.
    """
    server = LineServer(rig, endpoint, server_credentials(state, endpoint.host), Pace(speed, patience_s=patience_s))
    await server.start()
    try:
        ready.set()
        await server.pace.first_beat(await_controller_s)
        await server.run(stop, on_tick)
    finally:
        await server.close()


def _differs(old: TagValue, new: TagValue) -> bool:
    # NaN is unequal to itself: a bad value that stays bad is not news.
    return old.status != new.status or (new.status != "bad" and old.value != new.value)


def _lower_limits(server: Server) -> None:
    inner = server.iserver
    inner.max_connections = 16
    inner.max_subscriptions = 32
    inner.max_lifetime_count = 300
    inner.max_keep_alive_count = 100
    inner.max_session_timeout_ms = 60_000
    inner.max_pending_activation_seconds = 10.0
    inner.max_pending_messages_per_connection = 100
