"""The box's own OPC UA server over a real connection: what it shows, and what people may ask through it."""

from __future__ import annotations

import asyncio
import importlib.util
import math
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from asyncua import ua

from edge.config import read_config
from edge.people import passwords
from edge.publish.models import AlarmState, Limits
from edge.publish.opcua_server import Place, PublishServer
from edge.publish.settings import OpcUaServerTable
from edge.record.checkpoint import read_anchor, signer
from edge.record.verify import verify
from soft_sensors.signals import Quality

_spec = importlib.util.spec_from_file_location("opcua_server_hand", Path(__file__).with_name("opcua_server_hand.py"))
assert _spec is not None
assert _spec.loader is not None
hand = importlib.util.module_from_spec(_spec)
sys.modules["opcua_server_hand"] = hand
_spec.loader.exec_module(hand)
call, count, site, text, values = hand.call, hand.count, hand.site, hand.text, hand.values

ADI = "http://opcfoundation.org/UA/ADI/"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing at its cheapest: these tests are about the server."""
    monkeypatch.setattr(passwords, "PasswordHasher", lambda: PasswordHasher(1, 8, 1))


def good(value: ua.DataValue) -> Any:
    assert value.StatusCode.is_good(), value
    return value.Value.Value


def test_state_recommendation_and_record_are_shown_and_grow_old(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as here:
            shift = here.shift
            shift.loss_pct = 3.0
            await here.cycle()
            client = await here.client("quinn")
            await here.server.look()
            paths = (
                "State/Mode", "State/ModesAllowed", "State/Holding", "State/Reasons", "State/Stale", "State/Link",
                "Recommendation/FeederApi/Current", "Recommendation/FeederApi/Recommended",
                "Recommendation/FeederApi/Written", "Recommendation/Reason", "Record/HeadSeq", "Record/HeadHash",
            )  # fmt: skip
            seen = await values(client, *paths)
            assert good(seen["State/Mode"]) == "advise"
            assert good(seen["State/ModesAllowed"]) == ["monitor", "advise", "closed"]
            assert good(seen["State/Holding"]) is False
            assert good(seen["State/Reasons"]) == []
            assert good(seen["State/Stale"]) is False
            assert good(seen["State/Link"]) == "online"
            assert good(seen["Recommendation/FeederApi/Current"]) == 2.0
            assert good(seen["Recommendation/FeederApi/Recommended"]) == pytest.approx(2.0 / 0.97)
            assert seen["Recommendation/FeederApi/Written"].StatusCode.name == "BadNoData", "advice writes nothing"
            assert "FeederApi" in good(seen["Recommendation/Reason"])
            newest = shift.journal.last()
            assert good(seen["Record/HeadSeq"]) == newest.seq
            assert good(seen["Record/HeadHash"]) == newest.hash.hex()
            shown = seen["Recommendation/FeederApi/Current"].SourceTimestamp.timestamp()
            assert shown == pytest.approx(shift.time_s, abs=1e-3), "the reading's own time"
            node = client.get_node(ua.NodeId(f"{hand.LINE}/Recommendation/FeederApi/Current", await _index(client)))
            unit = await (await node.get_child("0:EngineeringUnits")).read_value()
            assert (unit.DisplayName.Text, unit.UnitId) == ("kg/h", int.from_bytes(b"E93"))
            limits = await (await node.get_child("0:EURange")).read_value()
            assert (limits.Low, limits.High) == (0.5, 4.5)
            shift.recorder.stop(shift.time_s, "stopped")
            await here.server.look()
            old = await values(client, "State/Stale", "State/Mode", "Recommendation/MayAnswer", "Record/HeadSeq")
            assert good(old["State/Stale"]) is True
            assert old["State/Mode"].StatusCode.name == "UncertainLastUsableValue"
            assert old["Recommendation/MayAnswer"].Value.Value is False
            assert good(old["Record/HeadSeq"]) == newest.seq + 1

    asyncio.run(story())


def test_the_newest_signed_head_is_there_to_be_kept_elsewhere(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as here:
            quinn = await here.client("quinn")
            paths = ("Record/CheckpointSeq", "Record/CheckpointHash", "Record/CheckpointKey", "Record/Anchor")
            none = await values(quinn, *paths)
            assert {v.StatusCode.name for v in none.values()} == {"BadNoData"}
            for _ in range(2):  # the second look has seen a first one before
                signed = signer(tmp_path / "signer").checkpoint(here.shift.journal, here.shift.time_s)
                await here.cycle()
                seen = await values(quinn, *paths)
                assert good(seen["Record/CheckpointSeq"]) == signed.content()["seq"]
                assert good(seen["Record/CheckpointHash"]) == signed.content()["hash"]
                anchor = read_anchor(good(seen["Record/Anchor"]))
                assert anchor.fits(signed.hash)
                assert verify(here.place.journal, anchors=(anchor.text(),)).ok

    asyncio.run(story())


def test_in_monitor_there_is_nothing_to_act_on(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path, cycles=0) as here:
            client = await here.client("quinn")
            before = await values(client, "State/Mode", "Recommendation/FeederApi/Recommended")
            assert {v.StatusCode.name for v in before.values()} == {"BadWaitingForInitialData"}
            here.shift.mode = "monitor"
            await here.cycle()
            seen = await values(client, "State/Mode", "Recommendation/FeederApi/Recommended", "Recommendation/Reason")
            assert good(seen.pop("State/Mode")) == "monitor"
            assert {v.StatusCode.name for v in seen.values()} == {"BadNoData"}

    asyncio.run(story())


def test_the_soft_sensor_is_a_chemometric_model_of_adi(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path, cycles=0) as here:
            here.shift.start_hash = "ab" * 32
            await _licensed_cycle(here)
            client = await here.client("quinn")
            adi, index = await client.get_namespace_index(ADI), await _index(client)
            model = client.get_node(ua.NodeId(hand.SENSOR, index))
            assert await model.read_type_definition() == ua.NodeId(2009, adi), "MVAModelType"
            assert (await model.read_value()) == bytes.fromhex("ab" * 32)
            name = await (await model.get_child(f"{adi}:Name")).read_value()
            assert name.Text == "cdc_api_nir"
            words = (await (await model.get_child(f"{adi}:ModelDescription")).read_value()).Text
            assert "125 channels from 908.1 to 1676.2 nm" in words
            assert "240 samples" in words
            assert (await (await model.get_child(f"{adi}:MainDataIndex")).read_value()) == 0
            outputs = await model.get_referenced_nodes(ua.NodeId(4003, adi))
            assert [n.nodeid.Identifier for n in outputs] == [f"{hand.SENSOR}/Prediction"]
            assert await outputs[0].read_type_definition() == ua.NodeId(2010, adi), "MVAOutputParameterType"
            inputs = await model.get_referenced_nodes(ua.NodeId(4002, adi))
            spectrum = await inputs[0].read_value()
            assert spectrum == pytest.approx([0.908 + i * 0.768 / 124 for i in range(125)], rel=1e-3)
            assert len(await (await inputs[0].get_child(f"{index}:Axis")).read_value()) == 125
            variable = client.get_node(ua.NodeId(f"{hand.LINE}/ProcessVariables/cdc_api_nir", index))
            assert await variable.read_type_definition() == ua.NodeId(2008, adi), "ProcessVariableType"
            source = await variable.get_referenced_nodes(ua.NodeId(4001, adi))
            assert [n.nodeid for n in source] == [outputs[0].nodeid], "HasDataSource"
            alarm = await (await outputs[0].get_child(f"{adi}:AlarmLimits")).read_value()
            assert (alarm.Low, alarm.High) == pytest.approx((9.5, 10.5))
            unit = await (await outputs[0].get_child("0:EngineeringUnits")).read_value()
            assert unit.DisplayName.Text == "% w/w"
            t2 = await outputs[0].get_child(f"{index}:T2")
            assert await t2.read_value() == 3.0
            warning = await (await t2.get_child(f"{adi}:WarningLimits")).read_value()
            assert (warning.Low, warning.High) == (0.0, 20.0)
            state = await outputs[0].get_child(f"{adi}:AlarmState")
            assert await state.read_value() == AlarmState.NORMAL
            here.shift.loss_pct = 8.0
            await here.cycle()
            assert await state.read_value() == AlarmState.ALARM_LOW
            here.shift.quality = Quality.BAD
            await here.cycle()
            prediction = await outputs[0].read_data_value(raise_on_bad_status=False)
            assert prediction.StatusCode.is_bad()
            assert prediction.Value.Value is None, "a bad estimate has no number to act on"
            assert await state.read_value() == AlarmState.ALARM
            why = await (await outputs[0].get_child(f"{adi}:VendorSpecificError")).read_value()
            assert why == "no new spectrum for 15 s"

    asyncio.run(story())


def test_a_line_that_is_only_watched_has_its_model_and_nothing_to_answer(tmp_path: Path) -> None:
    async def story() -> None:
        text_of = hand.LINE_FILE.with_name("fermentation.toml").read_text()
        (tmp_path / "line.toml").write_text(text_of)
        config, _ = read_config(tmp_path / "line.toml")
        server = PublishServer(config, OpcUaServerTable(port=0), Place(tmp_path / "state"))
        await server.start()
        try:
            tree = [str(node.Identifier) for node in tuple(server.house.aspace.keys())]
            assert "Patloop/fermentation/SoftSensors/glucose/Prediction/T2" in tree
            assert "Patloop/fermentation/State/RequestMode" in tree
            assert not any("Recommendation" in path for path in tree)
        finally:
            await server.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("value", "quality", "state"),
    [
        (10.0, "good", AlarmState.NORMAL),
        (10.0, "uncertain", AlarmState.WARNING),
        (10.4, "uncertain", AlarmState.WARNING_HIGH),
        (9.6, "good", AlarmState.WARNING_LOW),
        (9.4, "good", AlarmState.ALARM_LOW),
        (10.6, "good", AlarmState.ALARM_HIGH),
        (10.0, "bad", AlarmState.ALARM),
        (math.nan, "good", AlarmState.ALARM),
    ],
)
def test_alarm_states_of_a_parameter(value: float, quality: str, state: AlarmState) -> None:
    assert Limits(9.7, 10.3, 9.5, 10.5).state(value, quality) is state


def test_starting_and_looking_cost_little(tmp_path: Path) -> None:
    """Processor time, so that other work on the machine does not count."""

    async def story() -> None:
        began_s = time.process_time()
        async with site(tmp_path) as here:
            assert time.process_time() - began_s < 6.0, "three seconds, and as much again for a slow machine"
            here.shift.run(50)
            began_s = time.process_time()
            for _ in range(20):
                await here.server.look()
            assert time.process_time() - began_s < 2.0

    asyncio.run(story())


async def _index(client: Any) -> int:
    return int(await client.get_namespace_index(hand.NAMESPACE))


async def _licensed_cycle(here: Any) -> None:
    """A start that names the bundle whose artefact is on the record, and a cycle after it."""
    from edge.record.canonical import encode

    start = here.shift.journal.last("start").content()
    here.shift.journal.append("start", here.shift.time_s, encode({**start, "sensor_hash": "ab" * 32}))
    await here.cycle()
