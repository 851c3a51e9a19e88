"""What one client may hold of the box's OPC UA server, what is left of a dead one, and the command that serves."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import math
import shutil
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from asyncua import Client, ua
from click.testing import CliRunner

from edge.people import passwords
from edge.pki import make_certificate
from edge.publish import opcua_server_door as door
from edge.publish.opcua_commands import opcua

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


def test_a_client_holds_no_more_than_its_share(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path, sessions=4) as here:
            maria, erik = await here.client("maria"), await here.client("erik")
            ask = ua.CreateSubscriptionParameters(
                RequestedPublishingInterval=math.nan, RequestedLifetimeCount=2**31, RequestedMaxKeepAliveCount=2**31
            )
            got = await maria.uaclient.create_subscription(ask, None)
            life_ms = got.RevisedLifetimeCount * got.RevisedPublishingInterval
            assert life_ms <= door.LIFETIME_COUNT * door.SLOWEST_MS
            assert got.RevisedPublishingInterval >= door.FASTEST_MS
            for _ in range(door.MOST_SUBSCRIPTIONS - 1):
                await maria.uaclient.create_subscription(ua.CreateSubscriptionParameters(), None)
            assert await _code(maria.uaclient.create_subscription(ua.CreateSubscriptionParameters(), None)) == (
                "BadTooManySubscriptions"
            )
            others = await erik.uaclient.delete_subscriptions([got.SubscriptionId])
            assert [c.name for c in others] == ["BadSubscriptionIdInvalid"], "another's subscription"
            taken = ua.TransferSubscriptionsParameters([got.SubscriptionId], SendInitialValues=True)
            assert await _fails(lambda: erik.uaclient.transfer_subscriptions(taken))
            time_node = ua.NodeId(ua.ObjectIds.Server_ServerStatus_CurrentTime)
            item = ua.MonitoredItemCreateRequest(ItemToMonitor=ua.ReadValueId(NodeId=time_node, AttributeId=13))
            many = ua.CreateMonitoredItemsParameters(got.SubscriptionId, ItemsToCreate=[item] * (door.MOST_ITEMS + 1))
            assert await _code(maria.uaclient.create_monitored_items(many)) == "BadTooManyMonitoredItems"
            reading = maria.uaclient.read_attributes([time_node] * (door.MOST_NODES + 1), ua.AttributeIds.Value)
            assert await _code(reading) == "BadTooManyOperations"
            huge = ua.DataValue(ua.Variant([1.0] * 300_000, ua.VariantType.Double))
            assert await _fails(lambda: erik.uaclient.write_attributes([time_node], [huge], ua.AttributeIds.Value))
            crowd = [await asyncio.open_connection("127.0.0.1", here.server.port) for _ in range(6)]
            await asyncio.sleep(0.2)
            assert len(here.server.house.asyncio_transports) <= 4
            for _, writer in crowd:
                writer.close()

    asyncio.run(story())


def test_bytes_that_are_no_opc_ua_end_their_own_connection_only(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as here:
            quinn = await here.client("quinn")
            huge = struct.pack("<3scI", b"HEL", b"F", 2**31 - 1)
            hello = struct.pack("<3scIIIIIIi", b"HEL", b"F", 32, 0, 65535, 65535, 0, 0, -1)
            channel = struct.pack("<3scII", b"OPN", b"F", 60, 0) + bytes(range(48))
            for rubbish in (b"GET / HTTP/1.1\r\n\r\n", bytes(1000), huge + bytes(5000), hello + channel, b"\xff" * 64):
                reader, writer = await asyncio.open_connection("127.0.0.1", here.server.port)
                writer.write(rubbish)
                with contextlib.suppress(ConnectionError, TimeoutError):
                    await writer.drain()
                    await asyncio.wait_for(reader.read(1), 0.2)
                writer.close()
            for _ in range(100):
                await asyncio.sleep(0.1)
                if len(here.server.house.asyncio_transports) == 1:
                    break
            assert len(here.server.house.asyncio_transports) == 1, "ours"
            assert (await values(quinn, "State/Mode"))["State/Mode"].StatusCode.is_good()

    asyncio.run(story())


def test_fifty_clients_that_die_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each had a subscription with items; its socket is reset in mid-air. Lifetimes are shortened for the test."""
    monkeypatch.setattr(door, "SESSION_MS", 5_000.0)
    monkeypatch.setattr(door, "LIFETIME_COUNT", 20)

    async def story() -> None:
        async with site(tmp_path, sessions=60) as here:
            house = here.server.house
            before = len(asyncio.all_tasks())
            for _ in range(50):
                client = await here.client("quinn", connect=False)
                await client.connect()
                subscription = await client.create_subscription(100, _Deaf())
                await subscription.subscribe_data_change(client.get_node(ua.NodeId(2258)))
                await _die(client)
            assert len(house.subscription_service.subscriptions) > 0, "they did hold something"
            for _ in range(120):
                await asyncio.sleep(0.1)
                left = len(house.subscription_service.subscriptions), len(house.guests()), len(house.asyncio_transports)
                if left == (0, 0, 0):
                    break
            assert left == (0, 0, 0)
            assert len(asyncio.all_tasks()) <= before + 3
            assert not house.aspace._handle_to_attribute_map, "nor a callback on a node"
            assert (await values(await here.client("quinn"), "State/Mode"))["State/Mode"].StatusCode.is_good()

    asyncio.run(story())


def test_a_journal_that_cannot_be_read_is_shown_as_waiting_and_told(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as here:
            quinn = await here.client("quinn")
            here.server._watcher.journal._connection.execute("PRAGMA busy_timeout=0")
            kept = here.server._watcher.look

            def broken() -> Any:
                from edge.errors import RecorderError

                raise RecorderError("journal cannot be read: disk I/O error")

            here.server._watcher.look = broken  # type: ignore[method-assign]
            await here.server.look()
            seen = await values(quinn, "State/Mode", "Record/HeadSeq", "SoftSensors/cdc_api_nir/Prediction")
            assert {v.StatusCode.name for v in seen.values()} == {"BadWaitingForInitialData"}
            assert here.server.trouble == "journal cannot be read: disk I/O error"
            here.server._watcher.look = kept  # type: ignore[method-assign]
            await here.server.look()
            assert (await values(quinn, "State/Mode"))["State/Mode"].StatusCode.is_good()
            assert here.server.trouble == ""

    asyncio.run(story())


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    line = tmp_path / "line.toml"
    line.write_text(hand.LINE_FILE.read_text().replace("../models", str(hand.BUNDLE.parent)))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(opcua, [str(line), "--state", str(tmp_path / "state"), "--port", port])
    assert result.exit_code == 2
    assert result.output.strip().splitlines()[-1].startswith(f"Error: cannot listen on 127.0.0.1 port {port}")
    assert "--port" in result.output


def test_the_command_serves_until_it_is_stopped(tmp_path: Path) -> None:
    async def story() -> None:
        state = tmp_path / "state"
        make_certificate(tmp_path / "client")
        (state / "pki" / "opcua_trusted").mkdir(parents=True)
        shutil.copy(tmp_path / "client" / "edge_cert.der", state / "pki" / "opcua_trusted" / "c.der")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        asked = ("publish", "opcua", str(hand.LINE_FILE), "--state", str(state), "--port", str(port))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "deploy.cli", *asked, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        said = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
        assert said.startswith(f"CDC-REF-1: opc.tcp://127.0.0.1:{port}")
        endpoints = await Client(f"opc.tcp://127.0.0.1:{port}").connect_and_get_server_endpoints()
        assert len(endpoints) == 3
        process.terminate()
        rest = (await asyncio.wait_for(process.communicate(), 20))[0].decode()
        assert rest.strip().endswith("stopped in good order")
        assert process.returncode == 0

    asyncio.run(story())


class _Deaf:
    def datachange_notification(self, *_: Any) -> None:
        """Nothing is done with it."""


async def _fails(service: Callable[[], Awaitable[Any]]) -> bool:
    with contextlib.suppress(ua.UaError, ConnectionError, TimeoutError, asyncio.CancelledError):
        await service()
        return False
    return True


async def _code(service: Awaitable[Any]) -> str:
    try:
        await service
    except ua.UaStatusCodeError as error:
        return type(error).__name__
    return "Good"


async def _die(client: Client) -> None:
    """Reset the connection without a word, as a pulled plug behind a switch does not even do."""
    transport = client.uaclient.protocol.transport
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    with contextlib.suppress(Exception):
        await asyncio.wait_for(client.disconnect(), 0.3)
