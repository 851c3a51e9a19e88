"""The rig over a real encrypted connection: who gets in, who may write what, what is shown."""

from __future__ import annotations

import asyncio
import math
import stat
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from asyncua import Client, ua
from hil_wire import make_client_certificate, play, read, served, write

from hil_sim.credentials import server_credentials
from hil_sim.endpoint import EndpointError, load_endpoint
from hil_sim.pace import Pace
from hil_sim.rig import Rig
from hil_sim.scenario import Scenario, load_scenario
from hil_sim.tags import TAGS

V = ua.VariantType


def nominal():
    return Rig(load_scenario("nominal"), 1)


def test_accounts_certificates_and_policies_are_enforced(tmp_path):
    async def story():
        async with served(nominal(), tmp_path) as line:
            for user, password in ((None, None), ("admin", "admin"), ("edge", "wrong"), ("edge", ""), ("", "")):
                client = await line.client(user, password)
                with pytest.raises(ua.UaStatusCodeError) as caught:
                    await client.connect()
                assert caught.value.code in (
                    ua.StatusCodes.BadIdentityTokenRejected,
                    ua.StatusCodes.BadUserAccessDenied,
                )
            plain = Client(line.server.url)
            plain.set_user("edge")
            plain.set_password(line.credentials.passwords["edge"])
            with pytest.raises(ua.UaError, match="No matching endpoints"):
                await plain.connect()
            endpoints = await Client(line.server.url).connect_and_get_server_endpoints()
            assert [e.SecurityMode for e in endpoints] == [ua.MessageSecurityMode.SignAndEncrypt]
            assert "Basic256Sha256" in endpoints[0].SecurityPolicyUri
            for user in ("edge", "operator"):
                async with await line.client(user) as client:
                    assert (await read(client, "Line.State"))[0].Value.Value == 6

    play(story())


def test_a_channel_without_security_gets_no_session(tmp_path):
    async def story():
        async with served(nominal(), tmp_path) as line:
            client = Client(line.server.url)
            client.set_user("edge")
            client.set_password(line.credentials.passwords["edge"])
            await client.connect_socket()
            await client.send_hello()
            await client.open_secure_channel()
            made = ua.CreateSessionParameters()
            made.ClientDescription.ApplicationUri = "urn:patloop:test:client"
            made.ClientNonce = b"0" * 32
            made.RequestedSessionTimeout = 10_000
            await client.uaclient.create_session(made)
            with pytest.raises(ua.UaError):
                await read_raw(client)
            activate = ua.ActivateSessionParameters()
            token = ua.UserNameIdentityToken()
            token.UserName = "edge"
            token.Password = line.credentials.passwords["edge"].encode()
            token.PolicyId = "username"
            activate.UserIdentityToken = token
            with pytest.raises(ua.UaError):
                await client.uaclient.activate_session(activate)
            client.disconnect_socket()

    async def read_raw(client):
        values = await client.uaclient.read_attributes([ua.NodeId("Line.State", 2)], ua.AttributeIds.Value)
        if values[0].Value is None or values[0].Value.Value is None:
            raise ua.UaError("nothing to be seen")

    play(story())


def test_a_session_cannot_be_taken_over_from_another_channel(tmp_path):
    """The stack's tokens can be guessed, and its ActivateSession would bind a session to whoever named it."""

    async def story():
        async with served(nominal(), tmp_path) as line, await line.client("operator") as victim:
            token = victim.uaclient.protocol.authentication_token
            thief = Client(line.server.url)
            await thief.connect_socket()
            await thief.send_hello()
            await thief.open_secure_channel()
            thief.uaclient.protocol.authentication_token = token
            with pytest.raises(ua.UaError):
                await thief.uaclient.activate_session(ua.ActivateSessionParameters())
            with pytest.raises((ua.UaError, TimeoutError, ConnectionError)):  # noqa: PT012 - sent or answered: refused
                taken = await thief.uaclient.write_attributes(
                    [ua.NodeId("Apc.OperatorEnable", 2)], [ua.DataValue(ua.Variant(True, V.Boolean))],
                    ua.AttributeIds.Value,
                )  # fmt: skip
                taken[0].check()
            assert line.rig.plc.authority.operator_enable is False
            thief.disconnect_socket()
            assert (await read(victim, "Line.State"))[0].Value.Value == 6, "the session's owner goes on"

    play(story())


def test_an_untrusted_certificate_is_refused_until_it_is_trusted(tmp_path):
    async def story():
        async with served(nominal(), tmp_path, trust="no") as line:
            client = await line.client("edge")
            with pytest.raises(ua.UaStatusCodeError) as caught:
                await client.connect()
            assert caught.value.code == ua.StatusCodes.BadCertificateUntrusted
            (line.credentials.trusted / "now.der").write_bytes((tmp_path / "client" / "client.der").read_bytes())
            async with await line.client("edge") as client:
                assert (await read(client, "Line.State"))[0].Value.Value == 6

    play(story())


def test_write_rights_types_and_ranges_per_tag(tmp_path):
    async def story():
        rig = nominal()
        async with served(rig, tmp_path) as line, await line.client("edge") as edge:
            assert await write(edge, [
                ("Apc.SessionId", 9, V.UInt32),
                ("Apc.OperatorEnable", True, V.Boolean),
                ("FeederApi.PV", 1.0, V.Double),
                ("Apc.HeartbeatIn", 1.0, V.Double),
                ("Apc.ModeRequest", 9, V.UInt16),
                ("FeederApi.SP_Remote", 2.0, V.Double),
                ("FeederApi.SP_Remote", math.nan, V.Double),
                ("Apc.Nothing", 1.0, V.Double),
            ]) == [
                "Good", "BadUserAccessDenied", "BadNotWritable", "BadTypeMismatch", "BadOutOfRange",
                "BadInvalidState", "BadInvalidState", "BadUserAccessDenied",
            ]  # fmt: skip
            assert rig.plc.authority.session_id == 9
            assert (await read(edge, "Apc.SessionId"))[0].Value.Value == 9
            async with await line.client("operator") as operator:
                assert await write(operator, [
                    ("Apc.OperatorEnable", True, V.Boolean),
                    ("Apc.HeartbeatIn", 5, V.UInt32),
                    ("Recipe.ApiPct", math.nan, V.Double),
                    ("Recipe.ApiPct", 12.0, V.Double),
                ]) == ["Good", "BadUserAccessDenied", "BadOutOfRange", "Good"]  # fmt: skip
            assert rig.plc.recipe.api_pct == 12.0

    play(story())


def test_nan_and_clamp_are_answered_in_remote(tmp_path):
    async def story():
        rig = nominal()
        rig.plc.authority.operator_enable = True
        async with served(rig, tmp_path) as line, await line.client("edge") as edge:
            await go_remote(line, edge)
            assert await write(edge, [("FeederApi.SP_Remote", math.nan, V.Double)]) == ["BadOutOfRange"]
            assert await write(edge, [("FeederApi.SP_Remote", 0.5, V.Double)]) == ["GoodClamped"]
            rows = [("FeederApi.SP_Remote", 2.02, V.Double), ("FeederApi.SP_RemoteSeq", 1, V.UInt32)]
            assert await write(edge, rows) == ["Good", "Good"]
            await tick(line, 3)
            echo, working = await read(edge, "FeederApi.SP_SeqEcho", "FeederApi.SP_Working")
            assert (echo.Value.Value, working.Value.Value) == (1, pytest.approx(2.02))

    play(story())


def test_what_is_shown_agrees_with_the_rig(tmp_path):
    async def story():
        rig = Rig(load_scenario("nominal"), 1)
        async with served(rig, tmp_path) as line, await line.client("edge") as edge:
            before = await read(edge, "Nir.ScaledData", "Lab.AssayPct")
            assert [v.StatusCode.is_bad() for v in before] == [True, True]
            await tick(line, 26 * 60)
            tags = rig.read()
            shown = dict(zip(TAGS, await read(edge, *TAGS), strict=True))
            for name, tag in tags.items():
                value = shown[name].Value.Value
                if TAGS[name].kind == "datetime" and tag.status == "good":
                    assert value == datetime.fromtimestamp(tag.value, UTC), name
                elif TAGS[name].kind == "doubles":
                    assert value == list(tag.value), name
                elif tag.status != "bad":
                    assert value == tag.value, name
                assert shown[name].StatusCode.is_good() == (tag.status == "good"), name
            assert shown["FeederApi.PV"].SourceTimestamp == datetime.fromtimestamp(rig.time_s, UTC)
            node = edge.get_node(ua.NodeId("FeederApi.SP_Remote", 2))
            limits = await (await node.get_child("0:EURange")).read_value()
            assert (limits.Low, limits.High) == (0.0, 6.0)
            unit = await (await node.get_child("0:EngineeringUnits")).read_value()
            assert unit.DisplayName.Text == "kg/h"

    play(story())


def test_an_open_write_in_a_cut_link_arrives_late_and_moves_nothing(tmp_path):
    async def story():
        fault = {"kind": "lost_connection", "at_min": 1.0, "duration_s": 30.0}
        scenario = Scenario.model_validate(
            {"name": "cut", "description": "The link is cut early.", "hours": 1.0, "fault": (fault,)}
        )
        rig = Rig(scenario, 1)
        rig.plc.authority.operator_enable = True
        async with served(rig, tmp_path) as line:
            edge = await line.client("edge", timeout=0.3)
            await edge.connect()
            await go_remote(line, edge)
            for beat in range(3, 8):
                await write(edge, [("Apc.HeartbeatIn", beat, V.UInt32)])
                await tick(line, 10)
            await tick(line, 2)
            assert rig.link_up is False
            assert rig.plc.authority.remote_active
            rows = [("FeederApi.SP_Remote", 2.4, V.Double), ("FeederApi.SP_RemoteSeq", 1, V.UInt32)]
            with pytest.raises((TimeoutError, ConnectionError)):
                await write_by_id(edge, rows)
            await tick(line, 24)
            assert int(rig.plc.authority.mode) == 3
            arrived = []
            original = rig.write

            def noted(tag, value, *, user):
                arrived.append((tag, original(tag, value, user=user)))
                return arrived[-1][1]

            rig.write = noted
            edge.disconnect_socket()
            await tick(line, 6)
            assert rig.link_up is True
            for _ in range(100):
                await asyncio.sleep(0.02)
                if len(arrived) == 2:
                    break
            assert [status for _, status in arrived] == ["bad_invalid_state", "bad_invalid_state"]
            await tick(line, 30)
            assert rig.plc.slots["FeederApi"].working == pytest.approx(2.0)

    play(story())


def test_line_waits_for_a_live_controller_but_not_for_a_dead_one(tmp_path):
    async def story():
        rig = nominal()
        async with served(rig, tmp_path, patience_s=0.5) as line, await line.client("edge") as edge:
            line.server.pace.speed = 1e6
            stop = asyncio.Event()
            await write(edge, [("Apc.ModeRequest", 1, V.UInt16), ("Apc.HeartbeatIn", 1, V.UInt32)])
            running = asyncio.create_task(line.server.run(stop))
            reached = []
            for beat in range(2, 6):
                await asyncio.sleep(0.1)
                reached.append(rig.elapsed_s)
                await write(edge, [("Apc.HeartbeatIn", beat, V.UInt32)])
            # The line stands at most a control period beyond each heartbeat, however fast it may run.
            assert all(late - early <= 5.0 for early, late in pairwise(reached))
            assert reached[-1] <= 25.0
            while rig.elapsed_s < 100.0:
                await asyncio.sleep(0.02)
            assert rig.plc.authority.watchdog_ok is False
            stop.set()
            await running

    play(story())


def test_line_time_stands_still_for_a_first_heartbeat(tmp_path):
    async def story():
        rig = nominal()
        async with served(rig, tmp_path) as line, await line.client("edge") as edge:
            waiting = asyncio.create_task(line.server.pace.first_beat(60.0))
            await write(edge, [("Apc.ModeRequest", 1, V.UInt16)])
            assert waiting.done() is False
            await write(edge, [("Apc.HeartbeatIn", 1, V.UInt32)])
            await asyncio.wait_for(waiting, 5.0)
            await line.server.pace.first_beat(60.0)
        pace = Pace(1.0)
        await pace.first_beat(0.01)

    play(story())


def test_secrets_are_private_and_kept(tmp_path):
    one = server_credentials(tmp_path)
    two = server_credentials(tmp_path)
    assert one == two
    assert one.passwords["edge"] != one.passwords["operator"]
    for name in ("server-key.pem", "edge.password", "operator.password"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    certificate, _ = make_client_certificate(tmp_path / "c")
    assert one.trusts(certificate.read_bytes()) is False
    assert one.knows("edge", "") is False


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read"),
        ("[opcua", "is not TOML"),
        ("[line]\n", r"\[opcua\] is missing"),
        ('[opcua]\nurl = "http://x:1"\n', "is not opc.tcp"),
        ('[opcua]\nurl = "opc.tcp://x:abc"\n', "no valid port"),
    ],
)
def test_a_wrong_line_file_is_named(tmp_path, text, said):
    path = tmp_path / "line.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(EndpointError, match=said):
        load_endpoint(path)


async def tick(line, seconds):
    """Play line seconds and show them, without pacing."""
    for _ in range(seconds):
        line.rig.step(0.5)
        line.rig.step(0.5)
        if line.rig.link_up:
            line.server.link.mend()
        else:
            line.server.link.cut()
        await line.server.publish()


async def go_remote(line, edge):
    await write(edge, [
        ("Apc.SessionId", 4, V.UInt32), ("Apc.ModeRequest", 2, V.UInt16), ("Apc.HeartbeatIn", 1, V.UInt32),
    ])  # fmt: skip
    await tick(line, 5)
    await write(edge, [("Apc.Request", True, V.Boolean), ("Apc.HeartbeatIn", 2, V.UInt32)])
    await tick(line, 5)
    assert (await read(edge, "Apc.RemoteActive"))[0].Value.Value is True


async def write_by_id(client, rows):
    """Write without any look-up before it, in one call."""
    nodes = [ua.NodeId(tag, 2) for tag, _, _ in rows]
    values = [ua.DataValue(ua.Variant(value, kind)) for _, value, kind in rows]
    await client.uaclient.write_attributes(nodes, values, ua.AttributeIds.Value)
