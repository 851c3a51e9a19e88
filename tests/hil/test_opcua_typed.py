"""Analysers found by what they are, over a real connection: ADI streams on either server, PA-DIM results."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asyncua import Node, ua
from opcua_hand import OTHERS, Stand, configured, standing

from control.signals import Quality
from edge.acquire.opcua import OpcUaLine
from edge.errors import ConfigError
from edge.line import Line
from edge.pki import credentials
from edge.signals import Link
from hil_sim.analyser import ADI, CHANNEL, DEVICE, DI, SERIAL, STREAM

ADI_FIND = {"find": "adi"}
PADIM = "http://opcfoundation.org/UA/PADIM/"


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 60))


async def adi_index(stand: Stand) -> int:
    return int(await stand.server._server.get_namespace_index(ADI))


async def node(stand: Stand, path: str) -> Node:
    """A node of the simulated analyser by its identifier."""
    return stand.server._server.get_node(ua.NodeId(path, await adi_index(stand)))


DATA = f"5001/{DEVICE}/{CHANNEL}/{STREAM}/ParameterSet/ScaledData"


async def look(stand: Stand, **analyser: Any) -> Any:
    """One look by a client of its own, with these settings of the analyser."""
    line = configured(stand.line, stand.port, {}, analyser)
    remote = OpcUaLine(line.config, credentials(stand.folder))
    try:
        await remote.settled()
        return await remote.scan()
    finally:
        await remote.close()


def test_the_loop_runs_on_a_stream_found_by_type(tmp_path: Path, reference_line: Line, secrets: Path) -> None:
    """Whatever namespaces stand before it; and after a restart with others in front of them."""

    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets, analyser=ADI_FIND, namespaces=OTHERS) as stand:
            await stand.close_loop()
            thoughts = await stand.turn(3)
            for thought in thoughts:
                assert thought.estimate is not None
                assert thought.estimate.quality is Quality.GOOD
            assert stand.scan.spectrum is not None
            np.testing.assert_allclose(stand.scan.spectrum.axis, stand.rig.axis)
            assert stand.scan.spectrum.axis_unit == "nm"
            assert stand.scan.spectrum.counter == thoughts[-1].estimate.counter
            await stand.restart()
            await stand.think()
            await stand.online()
            stand.rig.write("Apc.Reset", True, user="operator")
            thoughts = await stand.turn(3)
            assert thoughts[-1].estimate.quality is Quality.GOOD

    run(story())


def test_an_analyser_on_a_server_of_its_own_has_a_connection_of_its_own(
    tmp_path: Path, reference_line: Line, secrets: Path
) -> None:
    """Its loss costs spectra, not the loop; it comes back by itself."""

    async def story() -> None:
        far = {"find": "adi", "url": "opc.tcp://127.0.0.1:{port}", "user": "edge"}
        async with standing(
            tmp_path, reference_line, secrets, analyser=far, opcua={"timeout_s": 1.0}
        ) as stand:
            await stand.close_loop()
            station = stand.remote._analyser.station
            assert station is not None
            assert (await stand.turn())[0].estimate.quality is Quality.GOOD
            epoch = station.connection.epoch
            session = station.session_of(epoch)
            assert session is not None
            session.client.uaclient.protocol.transport.abort()
            thought = await stand.think()
            assert "no spectra" in stand.told()["analyser_lost"]
            assert stand.scan.link is Link.ONLINE
            assert thought.command.writes, "the plant is still steered, on what is known"
            for _ in range(100):
                await asyncio.sleep(0.05)
                if station.connection.up:
                    break
                await stand.think()
            assert station.connection.epoch == epoch + 1
            assert stand.remote.epoch == 1, "the PLC's connection was not touched"
            await stand.tick()
            assert (await stand.turn())[0].estimate.quality is Quality.GOOD

    run(story())


@pytest.mark.parametrize(
    ("gate", "value", "word"),
    [
        ("ActiveStream", "Reference", "active stream is 'Reference', not 'FeedFrame'"),
        ("DeviceState", ua.LocalizedText("Maintenance"), "device is in 'Maintenance'"),
        ("ChannelState", ua.LocalizedText("Local"), "channel is in 'Local'"),
    ],
)
def test_nothing_is_predicted_but_from_the_active_stream_of_an_operating_device(
    tmp_path: Path, reference_line: Line, secrets: Path, gate: str, value: Any, word: str
) -> None:
    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets, analyser=ADI_FIND) as stand:
            assert (await stand.turn(2))[-1].estimate.quality is Quality.GOOD
            await stand.server.tree.analyser.show(gate, ua.DataValue(ua.Variant(value)))
            await stand.tick()
            found = (await stand.turn())[0].estimate
            assert found.quality is Quality.BAD
            assert word in found.reason

    run(story())


@pytest.mark.parametrize(
    ("health", "quality"), [(0, "good"), (1, "bad"), (2, "bad"), (3, "uncertain"), (4, "uncertain")]
)
def test_the_device_s_own_health_is_the_spectrum_s_quality(
    tmp_path: Path, reference_line: Line, secrets: Path, health: int, quality: str
) -> None:
    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets, analyser=ADI_FIND) as stand:
            device = await node(stand, f"5001/{DEVICE}/ParameterSet/DiagnosticStatus")
            await device.write_value(ua.Variant(health, ua.VariantType.Int32))
            scan = await look(stand, **ADI_FIND)
            assert scan.spectrum.quality.value == quality
            if quality != "good":
                assert "DeviceDiagnostic" in scan.spectrum.reason
                assert "NE 107" in scan.spectrum.reason

    run(story())


def test_the_axis_comes_from_its_definition_or_its_range_or_the_line_file(
    tmp_path: Path, reference_line: Line, secrets: Path
) -> None:
    """Float and Double, one dimension and two, steps, range, wavenumbers, and none at all."""

    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets, analyser=ADI_FIND) as stand:
            data = await node(stand, DATA)
            axis = await node(stand, "Nir/XAxisDefinition")
            told = await axis.read_value()
            told.AxisSteps = []
            told.EngineeringUnits = ua.EUInformation(UnitId=-1, DisplayName=ua.LocalizedText("1/cm"))
            await axis.write_value(told)
            scan = await look(stand, **ADI_FIND)
            np.testing.assert_allclose(scan.spectrum.axis, np.linspace(stand.rig.axis[0], stand.rig.axis[-1], 125))
            assert scan.spectrum.axis_unit == "cm-1"
            floats = ua.Variant([list(stand.rig.acquisition.absorbance)], ua.VariantType.Float, Dimensions=[1, 125])
            server = stand.server._server
            for attribute, number in ((ua.AttributeIds.DataType, ua.NodeId(ua.ObjectIds.Float)),):
                await data.write_attribute(attribute, ua.DataValue(ua.Variant(number, ua.VariantType.NodeId)))
            await data.write_attribute(ua.AttributeIds.ValueRank, ua.DataValue(ua.Variant(2, ua.VariantType.Int32)))
            sizes = ua.Variant([1, 125], ua.VariantType.UInt32)
            await data.write_attribute(ua.AttributeIds.ArrayDimensions, ua.DataValue(sizes))
            stamp = (await data.read_data_value()).SourceTimestamp
            await server.write_attribute_value(data.nodeid, ua.DataValue(floats, SourceTimestamp=stamp))
            scan = await look(stand, **ADI_FIND)
            assert scan.spectrum.quality is Quality.GOOD
            np.testing.assert_allclose(scan.spectrum.values, stand.rig.acquisition.absorbance, rtol=1e-6)
            await server.delete_nodes([axis])
            with pytest.raises(ConfigError, match="tells no axis"):
                await look(stand, **ADI_FIND)
            given = {"low": 900.0, "high": 1700.0, "unit": "nm"}
            scan = await look(stand, **ADI_FIND, axis=given)
            np.testing.assert_allclose(scan.spectrum.axis, np.linspace(900.0, 1700.0, 125))

    run(story())


def test_a_spectrum_on_another_axis_than_the_model_s_is_refused(
    tmp_path: Path, reference_line: Line, secrets: Path
) -> None:
    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets, analyser=ADI_FIND) as stand:
            axis = await node(stand, "Nir/XAxisDefinition")
            told = await axis.read_value()
            told.AxisSteps = [x + 5.0 for x in told.AxisSteps]
            await axis.write_value(told)
            found = (await stand.turn(2))[-1].estimate
            assert found.quality is Quality.BAD
            assert "axis differs at channel 0" in found.reason

    run(story())


async def second(stand: Stand, device: str) -> None:
    """Another device of the same types beside the simulated one, bare but for its stream."""
    server, adi = stand.server._server, await adi_index(stand)
    di = await server.get_namespace_index(DI)
    devices = server.get_node(ua.NodeId(5001, di))
    parent = await devices.add_object(ua.NodeId(device, adi), f"{adi}:{device}", objecttype=ua.NodeId(1011, adi))
    channel = await parent.add_object(ua.NodeId(f"{device}/C", adi), f"{adi}:C", objecttype=ua.NodeId(1003, adi))
    # A vendor's own type, derived from the standard's: found all the same.
    base = server.get_node(ua.NodeId(1030, adi))
    kind = await base.add_object_type(ua.NodeId(f"{device}Type", adi), f"{adi}:{device}Type")
    await channel.add_object(ua.NodeId(f"{device}/C/Raman", adi), f"{adi}:Raman", objecttype=kind.nodeid)


def test_of_several_streams_the_line_file_names_one(tmp_path: Path, reference_line: Line, secrets: Path) -> None:
    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets, analyser=ADI_FIND) as stand:
            await second(stand, "Other")
            with pytest.raises(ConfigError, match=r"2 streams .* NIR/Channel1/FeedFrame, Other/C/Raman"):
                await look(stand, **ADI_FIND)
            for chosen in ({"device": DEVICE}, {"device": SERIAL}, {"channel": CHANNEL}, {"stream": STREAM}):
                scan = await look(stand, **ADI_FIND, **chosen)
                assert scan.spectrum.quality is Quality.GOOD, chosen
            with pytest.raises(ConfigError, match=r"no stream .*there: NIR"):
                await look(stand, **ADI_FIND, device="CDC-NIR-0002")
            with pytest.raises(ConfigError, match="Other/C/Raman has no AcquisitionCounter"):
                await look(stand, **ADI_FIND, device="Other")

    run(story())


def test_results_of_a_process_analyser_are_readings(tmp_path: Path, reference_line: Line, secrets: Path) -> None:
    """PA-DIM: the analytical signals below its type and below those derived from it, with quality."""

    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets) as stand:
            with pytest.raises(ConfigError, match=r"no namespace .*PADIM"):
                await look(stand, signals=["Moisture"])
            server, di = stand.server._server, await stand.server._server.get_namespace_index(DI)
            padim = await server.register_namespace(PADIM)
            kind = await server.nodes.base_object_type.add_object_type(
                ua.NodeId(1065, padim), f"{padim}:AnalyticalSignalType"
            )
            derived = await kind.add_object_type(ua.NodeId(1071, padim), f"{padim}:NonDispersiveInfraredSignalType")
            device = await server.get_node(ua.NodeId(5001, di)).add_object(ua.NodeId("G", padim), f"{padim}:Gas")
            shown = {}
            for name, made in (("Moisture", derived), ("Ethanol", kind)):
                at = await device.add_object(ua.NodeId(name, padim), f"{padim}:{name}", objecttype=made.nodeid)
                value = ua.Variant(1.25, ua.VariantType.Float)
                signal = ua.NodeId(f"{name}.AnalogSignal", padim)
                shown[name] = await at.add_variable(signal, f"{padim}:AnalogSignal", value)
            scan = await look(stand, signals=["Moisture"])
            assert scan.readings["Padim.Moisture"].value == 1.25
            assert "Padim.Ethanol" not in scan.readings
            assert scan.spectrum is not None, "beside the spectrum"
            scan = await look(stand, find="padim")
            assert {t for t in scan.readings if t.startswith("Padim.")} == {"Padim.Moisture", "Padim.Ethanol"}
            assert scan.spectrum is None
            unsure = ua.StatusCode(ua.UInt32(ua.StatusCodes.UncertainSensorNotAccurate))
            await shown["Ethanol"].write_value(ua.DataValue(ua.Variant(2.5, ua.VariantType.Float), unsure))
            scan = await look(stand, find="padim", device="Gas")
            assert scan.readings["Padim.Ethanol"].quality is Quality.UNCERTAIN
            with pytest.raises(ConfigError, match=r"no signal Methanol \(there: Moisture, Ethanol\)"):
                await look(stand, find="padim", signals=["Methanol"])

    run(story())
