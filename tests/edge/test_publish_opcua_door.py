"""Nothing open: who is let in to the box's OPC UA server, what one client may hold, and what is left of a dead one."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import math
import stat
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from asyncua import Client, ua
from asyncua.crypto.security_policies import (
    SecurityPolicyAes128Sha256RsaOaep,
    SecurityPolicyAes256Sha256RsaPss,
    SecurityPolicyBasic256Sha256,
)

from edge.people import passwords
from edge.pki import make_certificate
from edge.publish.opcua_server_door import Brake

_spec = importlib.util.spec_from_file_location("opcua_server_hand", Path(__file__).with_name("opcua_server_hand.py"))
assert _spec is not None
assert _spec.loader is not None
hand = importlib.util.module_from_spec(_spec)
sys.modules["opcua_server_hand"] = hand
_spec.loader.exec_module(hand)
call, site, text, values = hand.call, hand.site, hand.text, hand.values


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing at its cheapest: these tests are about the door."""
    monkeypatch.setattr(passwords, "PasswordHasher", lambda: PasswordHasher(1, 8, 1))


def test_only_trusted_certificates_known_people_and_encrypted_channels_come_in(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as here:

            async def refused(**how: Any) -> str:
                try:
                    client = await here.client(**how)
                except (ua.UaError, ConnectionError, TimeoutError) as error:
                    return type(error).__name__
                await client.disconnect()
                return ""

            assert await refused() == ""
            for policy in (SecurityPolicyAes128Sha256RsaOaep, SecurityPolicyAes256Sha256RsaPss):
                assert await refused(policy=policy) == "", policy.__name__
            sign = ua.MessageSecurityMode.Sign
            assert await refused(policy=SecurityPolicyBasic256Sha256, mode=sign) != "", "signed only"
            assert await refused(user=None) == "BadIdentityTokenRejected", "nobody in particular"
            assert await refused(password="wrong-password-1") == "BadUserAccessDenied"
            for name in ("admin", "Admin", "root", "operator", ""):
                assert await refused(user=name, password="admin") != "", name
                assert await refused(user=name, password="") != "", name
            make_certificate(tmp_path / "stranger")
            assert await refused(pki=tmp_path / "stranger") == "BadCertificateUntrusted"
            with here.accounts() as accounts:
                first = accounts.add("nora", hand.Role.OPERATOR, "test")
            assert await refused(user="nora", password=first) == "BadUserAccessDenied", "a one-time password"
            plain = Client(here.url, timeout=3)
            plain.set_user("maria")
            plain.set_password(hand.PASSWORD)
            with pytest.raises(ua.UaError):
                await plain.connect()
            events = [row.content()["event"] for row in here.shift.journal.rows(kind="people")]
            assert events.count("login_refused") >= 1, "a wrong password is on the record"

    asyncio.run(story())


def test_wrong_passwords_lock_the_account_and_then_brake_the_place(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as here:
            for _ in range(5):
                with pytest.raises(ua.UaError):
                    await here.client(password="wrong-password-1")
            with pytest.raises(ua.UaError):
                await here.client()  # the right password, but locked
            with here.accounts() as accounts:
                assert accounts.get("maria").locked_until_s > 0
            assert (await here.client("erik")).uaclient is not None, "others still come in"

    asyncio.run(story())


def test_a_brake_holds_after_too_many_and_lets_go_in_time() -> None:
    now = [0.0]
    brake = Brake(3, 60.0, lambda: now[0])
    for _ in range(3):
        assert not brake.held("a")
        brake.count("a")
        now[0] += 1.0
    assert brake.held("a")
    assert not brake.held("b")
    now[0] = 60.5
    assert not brake.held("a")


def test_a_session_cannot_be_taken_over_through_an_unsecured_channel(tmp_path: Path) -> None:
    """The stack binds any connection to the session whose token it names, before it asks who that is."""

    async def story() -> None:
        async with site(tmp_path) as here:
            victim = await here.client("maria")
            token = victim.uaclient.protocol.authentication_token
            assert isinstance(token.Identifier, bytes), "not a number that counts up"
            assert len(token.Identifier) == 32
            thief = await _unsecured(here.url)
            thief.uaclient.protocol.authentication_token = token  # even one who knows it
            activate = ua.ActivateSessionParameters()
            activate.UserIdentityToken = ua.AnonymousIdentityToken()
            assert await _fails(lambda: thief.uaclient.activate_session(activate))
            index = await victim.get_namespace_index(hand.NAMESPACE)
            node = ua.NodeId(f"{hand.LINE}/State/Mode", index)
            assert await _fails(lambda: thief.uaclient.read_attributes([node], ua.AttributeIds.Value))
            assert await _fails(lambda: call_by_id(thief, index))
            assert here.requests() == []
            thief.disconnect_socket()

    asyncio.run(story())


def test_without_a_log_in_a_client_learns_the_endpoint_and_nothing_else(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as here:
            passer_by = await _unsecured(here.url)
            endpoints = await passer_by.get_endpoints()
            assert {e.SecurityMode for e in endpoints} == {ua.MessageSecurityMode.SignAndEncrypt}
            assert {e.SecurityPolicyUri.rpartition("#")[2] for e in endpoints} == {
                "Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss",
            }  # fmt: skip
            tokens = {token.TokenType for e in endpoints for token in e.UserIdentityTokens}
            assert tokens == {ua.UserTokenType.UserName}
            server = ua.RegisteredServer(ServerUri="urn:evil", ServerNames=[ua.LocalizedText("evil")])
            assert await _fails(lambda: passer_by.uaclient.register_server(server))
            found = await passer_by.find_servers()
            assert [s.ApplicationUri for s in found] == ["urn:patloop:edge:opcua"]
            assert "CDC" not in str(endpoints) + str(found), "the line is nobody's business at the door"
            for service in (
                lambda: passer_by.uaclient.browse(ua.BrowseParameters()),
                lambda: passer_by.uaclient.read(ua.ReadParameters()),
                lambda: passer_by.uaclient.create_subscription(ua.CreateSubscriptionParameters(), None),
                lambda: passer_by.uaclient.add_nodes([]),
            ):
                assert await _fails(service)
            passer_by.disconnect_socket()

    asyncio.run(story())


def test_nothing_is_written_and_nobody_changes_the_address_space(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as here:
            maria = await here.client("maria")
            index = await maria.get_namespace_index(hand.NAMESPACE)
            node = maria.get_node(ua.NodeId(f"{hand.LINE}/Recommendation/FeederApi/Recommended", index))
            for value in (2.0, math.nan, math.inf):
                codes = await maria.uaclient.write_attributes(
                    [node.nodeid], [ua.DataValue(ua.Variant(value))], ua.AttributeIds.Value
                )
                assert [c.name for c in codes] == ["BadNotWritable"]
            with pytest.raises(ua.UaStatusCodeError):
                await maria.nodes.objects.add_object(index, "mine")
            with pytest.raises(ua.UaStatusCodeError):
                await maria.delete_nodes([node])
            access = await node.read_attribute(ua.AttributeIds.UserAccessLevel)
            assert access.Value.Value == ua.AccessLevel.CurrentRead.mask

    asyncio.run(story())


def test_who_is_no_longer_welcome_is_sent_away(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as here:
            maria, erik = await here.client("maria"), await here.client("erik")
            with here.accounts() as accounts:
                accounts.disable("maria", "test")
            await here.server.look()
            assert await _fails(lambda: values(maria, "State/Mode"))
            assert (await values(erik, "State/Mode"))["State/Mode"].StatusCode.is_good()
            (here.place.trusted / "scada.der").unlink()
            await here.server.look()
            assert await _fails(lambda: values(erik, "State/Mode"))

    asyncio.run(story())


def test_the_servers_key_is_private_and_its_certificate_says_who_it_is(tmp_path: Path) -> None:
    from cryptography import x509

    async def story() -> None:
        async with site(tmp_path, names=("box7.example", "192.0.2.7")) as here:
            key = here.place.pki / "opcua_server_key.pem"
            assert stat.S_IMODE(key.stat().st_mode) == 0o600
            certificate = x509.load_der_x509_certificate(here.server.certificate.read_bytes())
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["urn:patloop:edge:opcua"]
            assert {"localhost", "box7.example"} <= set(names.get_values_for_type(x509.DNSName))
            assert {"127.0.0.1", "192.0.2.7"} == {str(a) for a in names.get_values_for_type(x509.IPAddress)}

    asyncio.run(story())


async def call_by_id(client: Client, index: int) -> Any:
    asked = ua.CallMethodRequest(
        ua.NodeId(f"{hand.LINE}/State", index),
        ua.NodeId(f"{hand.LINE}/State/RequestMode", index),
        [text("closed"), text("mine now")],
    )
    return await client.uaclient.call([asked])


async def _unsecured(url: str) -> Client:
    """A connection with an open, unsecured channel, as discovery uses it."""
    client = Client(url, timeout=2)
    await client.connect_socket()
    await client.send_hello()
    await client.open_secure_channel()
    return client


async def _fails(service: Callable[[], Awaitable[Any]]) -> bool:
    with contextlib.suppress(ua.UaError, ConnectionError, TimeoutError, asyncio.CancelledError):
        await service()
        return False
    return True
