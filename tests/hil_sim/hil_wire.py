"""A served rig and secured clients for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from asyncua import Client, ua
from asyncua.crypto.cert_gen import dump_private_key_as_pem, generate_private_key, generate_self_signed_app_certificate
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from hil_sim.credentials import ServerCredentials, server_credentials
from hil_sim.endpoint import Endpoint
from hil_sim.pace import Pace
from hil_sim.rig import Rig
from hil_sim.server import LineServer

CLIENT_URI = "urn:patloop:test:client"


def make_client_certificate(folder: Path) -> tuple[Path, Path]:
    """Certificate (.der) and key (.pem) of a client."""
    folder.mkdir(parents=True, exist_ok=True)
    key = generate_private_key()
    made = generate_self_signed_app_certificate(
        key, "test client", {}, [x509.UniformResourceIdentifier(CLIENT_URI)], [ExtendedKeyUsageOID.CLIENT_AUTH]
    )
    certificate, private = folder / "client.der", folder / "client-key.pem"
    certificate.write_bytes(made.public_bytes(Encoding.DER))
    private.write_bytes(dump_private_key_as_pem(key))
    return certificate, private


class Served:
    """What a test needs of a served rig."""

    def __init__(self, server: LineServer, credentials: ServerCredentials, client: tuple[Path, Path]) -> None:
        self.server = server
        self.rig = server.rig
        self.credentials = credentials
        self._client = client

    async def client(self, user: str | None, password: str | None = None, timeout: float = 4.0) -> Client:
        """An unconnected client over the encrypted channel; user None: anonymous."""
        client = Client(self.server.url, timeout=timeout)
        client.application_uri = CLIENT_URI
        if user is not None:
            client.set_user(user)
            client.set_password(self.credentials.passwords.get(user, "") if password is None else password)
        await client.set_security(
            SecurityPolicyBasic256Sha256,
            certificate=str(self._client[0]),
            private_key=str(self._client[1]),
            server_certificate=str(self.credentials.certificate),
            mode=ua.MessageSecurityMode.SignAndEncrypt,
        )
        return client


@contextlib.asynccontextmanager
async def served(rig: Rig, folder: Path, *, trust: str = "yes", patience_s: float = 0.2) -> AsyncIterator[Served]:
    """A bound server on a free port; the test plays line time itself or runs `server.run`."""
    credentials = server_credentials(folder / "state")
    client = make_client_certificate(folder / "client")
    if trust == "yes":
        (credentials.trusted / "client.der").write_bytes(client[0].read_bytes())
    server = LineServer(rig, Endpoint("opc.tcp://127.0.0.1:0"), credentials, Pace(200.0, patience_s=patience_s))
    await server.start()
    try:
        yield Served(server, credentials, client)
    finally:
        await server.close()


async def write(client: Client, rows: list[tuple[str, object, ua.VariantType]]) -> list[str]:
    """Write tags in one call and in order; names of the status codes."""
    index = await client.get_namespace_index("urn:patloop:cdc-ref-1")
    nodes = [ua.NodeId(tag, index) for tag, _, _ in rows]
    values = [ua.DataValue(ua.Variant(value, kind)) for _, value, kind in rows]
    codes = await client.uaclient.write_attributes(nodes, values, ua.AttributeIds.Value)
    return [code.name for code in codes]


async def read(client: Client, *tags: str) -> list[ua.DataValue]:
    """Read tags in one call."""
    index = await client.get_namespace_index("urn:patloop:cdc-ref-1")
    return await client.uaclient.read_attributes([ua.NodeId(tag, index) for tag in tags], ua.AttributeIds.Value)


def play(coroutine: object) -> None:
    """Run a test's coroutine."""
    asyncio.run(coroutine)  # type: ignore[arg-type]
