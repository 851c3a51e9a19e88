"""journal -> OPC UA server: a reader of the record that shows it on the plant network and appends requests to it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from asyncua import Server, ua
from asyncua.server.user_managers import User, UserRole

from edge.config import LineConfig
from edge.errors import ConfigError, RecorderError
from edge.hmi.live import Follower
from edge.people.accounts import Accounts
from edge.pki import make_server_certificate
from edge.publish.models import Model, model
from edge.publish.opcua_server_alarms import Conditions
from edge.publish.opcua_server_asks import Asks, verbs
from edge.publish.opcua_server_content import Entry, entries
from edge.publish.opcua_server_door import Doorkeeper, House, TrustedFolder
from edge.publish.opcua_server_look import View, Watcher
from edge.publish.opcua_server_tree import WAITING, Tree
from edge.publish.settings import OpcUaServerTable
from edge.record.journal import Journal

APPLICATION_URI = "urn:patloop:edge:opcua"
STEM = "opcua_server"
TRUSTED = "opcua_trusted"
LOOK_S = 0.5
LONGEST_MESSAGE = 1024 * 1024
LONGEST_BUFFER = 65535
TOP = "Patloop"
POLICIES = (
    ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
    ua.SecurityPolicyType.Aes128Sha256RsaOaep_SignAndEncrypt,
    ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
)


@dataclass(frozen=True)
class Place:
    """Where the server's files are: the state folder's journal, accounts, certificate and trusted clients."""

    state: Path

    @property
    def journal(self) -> Path:
        """The line's record."""
        return self.state / "journal.sqlite"

    @property
    def people(self) -> Path:
        """The line's accounts."""
        return self.state / "people.db"

    @property
    def pki(self) -> Path:
        """Where the server's certificate and key are."""
        return self.state / "pki"

    @property
    def trusted(self) -> Path:
        """The folder of client certificates (*.der) that are let in."""
        return self.pki / TRUSTED


class PublishServer:
    """The server of one line: `start()`, then `run()` until stopped, then `close()`.

    Raises PatloopError from the constructor when a file cannot be used, ConfigError from start() when the port cannot.
    """

    def __init__(self, config: LineConfig, table: OpcUaServerTable, place: Place) -> None:
        self._config, self._table, self._place = config, table, place
        place.trusted.mkdir(parents=True, exist_ok=True)
        self.certificate = make_server_certificate(place.pki, STEM, APPLICATION_URI, (table.host, *table.names))
        self._journal = Journal.open(place.journal, config.line.name)
        self._accounts = Accounts(place.people, self._journal)
        self._trusted = TrustedFolder(place.trusted)
        self.house = House(Doorkeeper(self._accounts, self._trusted), self._trusted, table.sessions)
        self._server = Server(iserver=self.house)
        self._tree = Tree(self._server)
        self._root = f"{TOP}/{config.line.name}"
        self._entries: tuple[Entry, ...] = ()
        self._watcher = Watcher(self._journal, Follower(self._journal, config.line.name, time.monotonic, time.time))
        self._asks = Asks(self._journal, self._accounts, self._watcher.look)
        self._conditions = Conditions(self._server, self._tree, self._root, config.line.name)
        self.trouble = ""

    @property
    def port(self) -> int:
        """The port that was really bound."""
        if self._server.bserver is None:
            raise RuntimeError("the server is not started")
        return int(self._server.bserver.port)

    async def start(self) -> None:
        """Build the address space, show the record as it is, and begin to answer. Raises ConfigError."""
        server = self._server
        with _nothing_collected():
            await server.init()
            await self._tree.begin()
            await self._build()
        server.set_endpoint(f"opc.tcp://{self._table.host}:{self._table.port}")
        await server.set_application_uri(APPLICATION_URI)
        server.set_server_name("patloop")
        server.product_uri = "urn:patloop"
        server.application_type = ua.ApplicationType.Server
        made = datetime.fromtimestamp(0, UTC)
        await server.set_build_info("urn:patloop", "patloop", "patloop", version("patloop"), "", made)
        server.set_security_policy(list(POLICIES))
        server.set_identity_tokens([ua.UserNameIdentityToken])
        server.limits.max_message_size = LONGEST_MESSAGE
        server.limits.max_chunk_count = LONGEST_MESSAGE // LONGEST_BUFFER + 1
        await server.load_certificate(self.certificate)
        await server.load_private_key(self._place.pki / f"{STEM}_key.pem")
        self.house.judge = self._asks
        await self.look()
        server.socket_address = (self._table.host, self._table.port)
        try:
            await server.start()
        except (OSError, socket.gaierror) as error:
            text = f"cannot listen on {self._table.host} port {self._table.port} ({error.strerror or error})"
            raise ConfigError(f"{text}; choose another --port, or mend [opcua_server] host") from error

    async def run(self, stop: asyncio.Event, on_look: Callable[[PublishServer], None] | None = None) -> None:
        """Look again and again until stopped."""
        while not stop.is_set():
            await self.look()
            if on_look is not None:
                on_look(self)
            try:
                await asyncio.wait_for(stop.wait(), LOOK_S)
            except TimeoutError:
                continue

    async def close(self) -> None:
        """Drop every client and let the files go."""
        if self._server.bserver is not None:
            await self._server.stop()
        self._accounts.close()
        self._journal.close()

    async def look(self) -> None:
        """Show what is on the record now, tell of alarms, and send away who is no longer welcome.

        A journal that cannot be read is shown as such: every value waits, and `trouble` says why.
        """
        try:
            view = self._watcher.look()
        except RecorderError as error:
            self.trouble = str(error)
            for entry in self._entries:
                await self._tree.show(entry.path, None, WAITING)
            return
        self.trouble = ""
        for entry in self._entries:
            await self._tree.show(entry.path, *entry.told(view))
        self._asks.event_ids = await self._conditions.tell(view)
        await self._send_away()

    async def _build(self) -> None:
        chemometric: Model = model(self._root, self._config)
        self._entries = (*entries(self._root, self._config), *chemometric.entries)
        offered = verbs(self._root, answers=bool(self._config.mv))
        folders = {TOP: ""}
        for path in (*(entry.path for entry in self._entries), *(verb.path for verb in offered)):
            self._folders(path, folders)
        variables = {entry.path for entry in self._entries}
        for path, parent in folders.items():
            if path not in variables:
                await self._tree.object(path, parent)
        for entry in self._entries:
            await self._tree.variable(entry.path, entry.shape, entry.parent)
        for source, reference, target in chemometric.references:
            await self._tree.refer(source, reference, target)
        for verb in offered:
            await self._tree.method(verb.path, verb.arguments, "number of the request's record")
        self._asks.begin(offered, self._tree.id_of)
        await self._conditions.begin()

    @staticmethod
    def _folders(path: str, folders: dict[str, str]) -> None:
        """Every object on the way to a path, from the top down."""
        steps = path.split("/")[:-1]
        for depth in range(1, len(steps)):
            folders.setdefault("/".join(steps[: depth + 1]), "/".join(steps[:depth]))

    async def _send_away(self) -> None:
        """End the sessions of accounts that were disabled and of certificates that are trusted no more."""
        for guest in self.house.guests():
            if not guest.is_activated():
                continue
            account = self._accounts.get(guest.user.name)
            if account is None or account.disabled or not self._trusted.holds(guest.certificate):
                guest.user = User(role=UserRole.Anonymous)
                await guest.close_session()


@contextlib.contextmanager
def _nothing_collected() -> Iterator[None]:
    """No search for garbage while an address space is built that stays for good: it would take a third of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()


__all__ = ["APPLICATION_URI", "Place", "PublishServer", "View"]
