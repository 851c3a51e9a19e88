"""A line's record that grows, its OPC UA server on a real port, and secured clients for it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import shutil
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

from edge.config import LineConfig, read_config
from edge.people.accounts import Accounts, Role
from edge.pki import APPLICATION_URI as CLIENT_URI
from edge.pki import make_certificate
from edge.publish.opcua_server import Place, PublishServer
from edge.publish.opcua_server_tree import NAMESPACE
from edge.publish.settings import OpcUaServerTable

LINE_FILE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml"
BUNDLE = Path(__file__).parents[2] / "deploy" / "models" / "cdc_api_nir"
PASSWORD = "walnut-harbour-7"
LINE = "Patloop/CDC-REF-1"
SENSOR = f"{LINE}/SoftSensors/cdc_api_nir"
PEOPLE = {"maria": Role.OPERATOR, "erik": Role.ENGINEER, "quinn": Role.QA}

logging.getLogger("asyncua").setLevel(logging.CRITICAL)


def shift_of(folder: Path) -> Any:
    """The hand that writes cycles, shared with the tests of the operator's page."""
    spec = importlib.util.spec_from_file_location("hmi_hand", Path(__file__).with_name("hmi") / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["hmi_hand"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module.Shift(folder / "journal.sqlite", time_s=time.time() - 60.0)


@dataclass
class Site:
    """The server, the record beside it, and who may come in."""

    server: PublishServer
    shift: Any
    place: Place
    client_pki: Path
    clients: list[Client] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.server.port}"

    def accounts(self) -> Any:
        return contextlib.closing(Accounts(self.place.people))

    async def client(
        self, user: str | None = "maria", password: str = PASSWORD, *, connect: bool = True, pki: Path | None = None,
        policy: Any = SecurityPolicyBasic256Sha256, mode: Any = ua.MessageSecurityMode.SignAndEncrypt,
    ) -> Client:  # fmt: skip
        """A client; user None: anonymous."""
        folder = pki or self.client_pki
        client = Client(self.url, timeout=5.0)
        client.application_uri = CLIENT_URI
        client.session_timeout = 30_000
        if user is not None:
            client.set_user(user)
            client.set_password(password)
        await client.set_security(
            policy,
            certificate=str(folder / "edge_cert.der"),
            private_key=str(folder / "edge_key.pem"),
            server_certificate=str(self.server.certificate),
            mode=mode,
        )
        if connect:
            await client.connect()
            self.clients.append(client)
        return client

    def requests(self) -> list[dict[str, Any]]:
        return [row.content() for row in self.shift.journal.rows(kind="request")]

    async def cycle(self, n: int = 1) -> None:
        """Write cycles and show them."""
        self.shift.run(n)
        await self.server.look()


@contextlib.asynccontextmanager
async def site(folder: Path, *, cycles: int = 3, **table: Any) -> AsyncIterator[Site]:
    """A served line; the test writes cycles and lets the server look, or runs `server.run` itself."""
    place = Place(folder / "state")
    place.state.mkdir()
    shift = shift_of(place.state)
    with contextlib.closing(Accounts(place.people, shift.journal)) as accounts:
        for name, role in PEOPLE.items():
            first = accounts.add(name, role, "test")
            assert accounts.change_password(name, first, PASSWORD) is None
    shift.start()
    shift.recorder.artefact(shift.time_s, "sensor", "ab" * 32, BUNDLE)
    client_pki = folder / "client"
    place.trusted.mkdir(parents=True)
    shutil.copy(make_certificate(client_pki), place.trusted / "scada.der")
    server = PublishServer(config(), OpcUaServerTable(port=0, **table), place)
    await server.start()
    there = Site(server, shift, place, client_pki)
    try:
        if cycles:
            await there.cycle(cycles)
        yield there
    finally:
        for client in there.clients:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(client.disconnect(), 5)
        await server.close()
        shift.journal.close()


def config() -> LineConfig:
    found, _ = read_config(LINE_FILE)
    return found


async def values(client: Client, *paths: str) -> dict[str, ua.DataValue]:
    """Read variables below the line in one call."""
    index = await client.get_namespace_index(NAMESPACE)
    nodes = [ua.NodeId(f"{LINE}/{path}", index) for path in paths]
    read = await client.uaclient.read_attributes(nodes, ua.AttributeIds.Value)
    return dict(zip(paths, read, strict=True))


async def call(client: Client, path: str, *arguments: ua.Variant) -> ua.CallMethodResult:
    """Call a method below the line."""
    index = await client.get_namespace_index(NAMESPACE)
    asked = ua.CallMethodRequest(
        ObjectId=ua.NodeId(f"{LINE}/{path.rpartition('/')[0]}", index),
        MethodId=ua.NodeId(f"{LINE}/{path}", index),
        InputArguments=list(arguments),
    )
    return (await client.uaclient.call([asked]))[0]


def text(value: str) -> ua.Variant:
    return ua.Variant(value, ua.VariantType.String)


def count(value: int) -> ua.Variant:
    return ua.Variant(value, ua.VariantType.UInt64)
