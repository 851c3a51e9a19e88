"""The connection on the real wire: namespaces, certificates, renewals, names, types, what is absent, what stands."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from opcua_hand import OTHERS, configured, standing

from edge.acquire.connection import REFUSED_PAUSE_S, State
from edge.acquire.opcua import OpcUaLine
from edge.errors import ConfigError
from edge.line import Line
from edge.pki import credentials, make_certificate
from edge.signals import Link


def run(story: Coroutine[Any, Any, None], seconds: float = 60) -> None:
    asyncio.run(asyncio.wait_for(story, seconds))


def test_a_restart_with_another_namespace_order_changes_nothing(
    tmp_path: Path, reference_line: Line, secrets: Path
) -> None:
    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets, opcua={"timeout_s": 1.0}) as stand:
            await stand.close_loop()
            before = stand.remote._known.nodes["FeederApi.PV"]
            counter = stand.rig.acquisition.counter
            await stand.restart(OTHERS)
            await stand.tick(61.0)  # the line went on meanwhile: acquisitions were missed
            assert (await stand.think()).command.holding
            await stand.online()
            after = stand.remote._known.nodes["FeederApi.PV"]
            assert after.NamespaceIndex == before.NamespaceIndex + len(OTHERS)
            assert stand.scan.readings == {} or stand.scan.link is Link.LOST
            stand.rig.write("Apc.Reset", True, user="operator")
            await stand.turn()
            assert stand.scan.readings["FeederApi.PV"].value == pytest.approx(2.0, abs=0.4)
            missed = stand.rig.acquisition.counter - counter
            assert missed > 10, "the premise: a gap"
            stand.rig.write("Apc.Reset", True, user="operator")
            await stand.until(stand.moving)

    run(story())


def test_a_swapped_server_certificate_is_refused_with_its_own_alarm(
    tmp_path: Path, reference_line: Line, secrets: Path
) -> None:
    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets, opcua={"timeout_s": 1.0}) as stand:
            await stand.turn(2)
            await stand.restart(state="another_server")
            trusted = tmp_path / "another_server" / "trusted" / "edge.der"
            trusted.write_bytes((tmp_path / "pki" / "edge_cert.der").read_bytes())
            began = time.monotonic()
            for _ in range(60):
                await stand.turn()
                if "line_refused" in stand.told():
                    break
                await asyncio.sleep(0.05)
            assert "refuses us or is not who it was" in stand.told()["line_refused"]
            connection = stand.remote._plc.connection
            assert connection.state is State.LOST
            assert connection.refused
            assert connection.retry_at_s > began + 0.7 * REFUSED_PAUSE_S, "a refusal is not hammered"
            assert stand.scan.link is Link.LOST

    run(story())


def test_wrong_password_and_untrusted_certificate_are_refusals(
    tmp_path: Path, reference_line: Line, secrets: Path
) -> None:
    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets) as stand:
            right = credentials(tmp_path)
            line_config = stand.line.config
            pki = tmp_path / "strange"
            strange = replace(right, certificate=make_certificate(pki), private_key=pki / "edge_key.pem")
            for wrong in (replace(right, password="guessed"), strange):
                remote = OpcUaLine(line_config, wrong)
                await remote.settled()
                scan = await remote.scan()
                assert scan.link is Link.LOST
                assert "line_refused" in {f.name for f in scan.told}, scan.reason
                await remote.close()

    run(story())


def test_the_channel_is_renewed_under_load(tmp_path: Path, reference_line: Line, secrets: Path) -> None:
    """A life of 2 s, so a renewal every 1.5 s, for 20 s of reads and writes; the long form is make soak."""

    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets, opcua={"secure_channel_timeout_s": 2.0}) as stand:
            await stand.close_loop()
            session = stand.remote._plc.session_of(stand.remote.epoch)
            assert session is not None
            channel = session.client.uaclient.protocol._connection.security_token.TokenId
            ends, cycles = time.monotonic() + 20.0, 0
            while time.monotonic() < ends:
                thought = (await stand.turn())[0]
                assert stand.scan.link is Link.ONLINE
                assert thought.command.writes
                assert stand.acted.outcome == "good"
                cycles += 1
                await asyncio.sleep(0.05)
            renewed = session.client.uaclient.protocol._connection.security_token.TokenId
            assert renewed != channel, "the premise: renewals happened"
            assert stand.remote.epoch == 1
            assert cycles > 20

    run(story())


def test_names_are_the_line_file_s_and_types_the_server_s(tmp_path: Path, reference_line: Line, secrets: Path) -> None:
    """A name, a beginning and a whole NodeId are mapped; a write goes out in the node's type, without timestamps."""

    async def story() -> None:
        tags = {"Line.Time": "nsu=urn:patloop:cdc-ref-1;s=Line.Time", "Plc.": "Apc."}
        async with standing(tmp_path, reference_line, secrets, opcua={"tags": tags}) as stand:
            await stand.close_loop()
            session = stand.remote._plc.session_of(stand.remote.epoch)
            assert session is not None
            sent: list[Any] = []
            real = session.client.uaclient.write_attributes

            async def noted(nodes: Any, values: Any, attribute: Any) -> Any:
                sent.extend(values)
                return await real(nodes, values, attribute)

            session.client.uaclient.write_attributes = noted
            await stand.turn()
            assert sent
            for value in sent:
                assert (value.SourceTimestamp, value.ServerTimestamp) == (None, None), "S7 and others refuse them"
            kinds = {v.Value.VariantType for v in sent}
            assert kinds == {
                ua.VariantType.Double, ua.VariantType.UInt32, ua.VariantType.UInt16, ua.VariantType.Boolean,
            }  # fmt: skip

    run(story())


def test_what_is_needed_and_missing_is_named_all_at_once(tmp_path: Path, reference_line: Line, secrets: Path) -> None:
    async def story() -> None:
        wrong = {"Apc.Permit": "Apc.Erlaubnis", "FeederApi.PV": "FeederApi.Istwert", "Press.TurretRpm": "Press.Drehz"}
        async with standing(tmp_path, reference_line, secrets, opcua={"tags": wrong}) as stand:
            with pytest.raises(ConfigError, match=r"has no Apc\.Permit, FeederApi\.PV \(2 missing in all\)"):
                await stand.remote.scan()
            other = configured(stand.line, stand.port, {"tags": {"Press.TurretRpm": "Press.Drehz"}}, {})
            remote = OpcUaLine(other.config, credentials(tmp_path))
            scan = await remote.scan()
            assert scan.link is Link.ONLINE
            assert "Press.TurretRpm" not in scan.readings
            assert "does not have Press.TurretRpm" in {f.name: f.text for f in scan.told}["tags_absent"]
            await remote.close()
            unknown = configured(stand.line, stand.port, {"namespace": "urn:not:there"}, {})
            remote = OpcUaLine(unknown.config, credentials(tmp_path))
            with pytest.raises(ConfigError, match="no namespace 'urn:not:there'"):
                await remote.scan()
            await remote.close()

    run(story())


def test_a_plain_plc_read_as_a_full_one_names_what_it_lacks(
    tmp_path: Path, reference_line: Line, secrets: Path
) -> None:
    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets, plc="plain") as stand:
            with pytest.raises(ConfigError, match=r"Apc\.SessionId.*FeederApi\.SP_SeqEcho.*missing in all"):
                await stand.remote.scan()

    run(story())


def test_a_server_that_answers_while_nothing_moves_is_stale(
    tmp_path: Path, reference_line: Line, secrets: Path
) -> None:
    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets) as stand:
            await stand.close_loop()
            await stand.think()
            await stand.think()
            # From here on the server answers and shows the same. The test does not wait the time that takes to tell.
            stand.remote._moved = (stand.remote._moved[0], time.monotonic() - 60.0)
            thought = await stand.think()
            assert stand.scan.link is Link.STALE
            assert stand.remote._plc.connection.state is State.STALE
            assert thought.command.holding
            assert "nothing in it has moved for 60 s" in " ".join(thought.command.reasons)
            assert "Apc.HeartbeatIn" in dict(thought.wire), "the PLC is still told that we live"
            await stand.tick()
            await stand.think()
            assert stand.scan.link is Link.ONLINE
            assert stand.remote.epoch == 1, "no new connection for that"

    run(story())


def test_certificates_are_told_thirty_days_before_they_end(tmp_path: Path, reference_line: Line, secrets: Path) -> None:
    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets) as stand:
            await stand.turn()
            assert not any(name.startswith("certificate") for name in stand.told())
            expiry = stand.remote._expiries[0]
            ends = {name: end for name, _, end, _ in expiry._ends}
            told = {f.name: f for f in expiry.findings(ends["certificate_server"] - 29 * 86400.0)}
            assert set(told) == {"certificate_server"}, "ours lasts longer"
            assert "in 29 days" in told["certificate_server"].text
            assert told["certificate_server"].priority == 3
            told = {f.name: f for f in expiry.findings(ends["certificate_ours_server"] + 1.0)}
            assert {f.priority for f in told.values()} == {2}
            assert "expired on" in told["certificate_ours_server"].text

    run(story())


def test_connecting_never_holds_up_a_look(tmp_path: Path, reference_line: Line, secrets: Path) -> None:
    """A first connection is waited for as long as a call may take; after that a look without one is told at once."""

    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets, opcua={"timeout_s": 0.4}) as stand:
            await stand.turn()
            stand.server.link.cut()
            await stand.think()
            await asyncio.sleep(0.2)
            began = time.monotonic()
            for _ in range(20):
                assert (await stand.remote.scan()).link is Link.LOST
            assert time.monotonic() - began < 0.4 * 3, "twenty looks cost less than a few deadlines"
            tasks = len(asyncio.all_tasks())
            for _ in range(10):
                await stand.remote.scan()
                await asyncio.sleep(0.1)
            assert len(asyncio.all_tasks()) <= tasks + 8, "attempts in vain leave nothing behind"

    run(story())
