"""An analyser found by type (OPC 10020, ADI): the stream of the right device and channel, its variables, its axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from asyncua import ua

from edge.acquire.names import index_of
from edge.acquire.session import Session
from edge.acquire.stream import ARRAY, StreamMap
from edge.acquire.tags import STREAM
from edge.acquire.typed import Found, Path, Step, resolve, subtypes, walk
from edge.config import AnalyserTable
from edge.errors import ConfigError
from soft_sensors.signals import FloatArray

UA, DI, ADI = "http://opcfoundation.org/UA/", "http://opcfoundation.org/UA/DI/", "http://opcfoundation.org/UA/ADI/"
DEVICE_SET, DEVICE_TYPE, CHANNEL_TYPE, STREAM_TYPE = 5001, 1001, 1003, 1010
GROUP = {
    "AcquisitionCounter": "AcquisitionData", "AcquisitionResultStatus": "AcquisitionData",
    "AcquisitionEndTime": "AcquisitionData", "ScaledData": "AcquisitionData", "ExecutionCycle": "AcquisitionStatus",
    "IsActive": "AcquisitionStatus", "DiagnosticStatus": "Status",
}  # fmt: skip
# The parameter set is optional (DI): without it parameters hang under their functional groups alone.
HEALTH_PATHS: Sequence[Path] = [
    ((DI, "ParameterSet"), (ADI, "DiagnosticStatus")), ((ADI, "Status"), (ADI, "DiagnosticStatus")),
]  # fmt: skip
CHANNEL: Mapping[str, Sequence[Path]] = {
    "ActiveStream": [((DI, "ParameterSet"), (ADI, "ActiveStream")), ((ADI, "Status"), (ADI, "ActiveStream"))],
    "ChannelDiagnostic": HEALTH_PATHS,
    "ChannelState": [((ADI, "ChannelStateMachine"), (UA, "CurrentState"))],
}
DEVICE: Mapping[str, Sequence[Path]] = {
    "DeviceDiagnostic": HEALTH_PATHS,
    "DeviceState": [((ADI, "AnalyserStateMachine"), (UA, "CurrentState"))],
}
SERIAL: Sequence[Path] = [((DI, "SerialNumber"),), ((DI, "Identification"), (DI, "SerialNumber"))]
# Unit of the axis by UNECE code (Part 8: the three characters as bytes of a number), and as people write it.
UNIT_IDS = {int.from_bytes(b"C45"): "nm", int.from_bytes(b"E90"): "cm-1"}
UNIT_NAMES = {"nm": "nm", "nanometre": "nm", "nanometer": "nm", "cm-1": "cm-1", "1/cm": "cm-1", "cm^-1": "cm-1",
              "cm\u207b\u00b9": "cm-1"}  # fmt: skip


async def find_stream(session: Session, table: AnalyserTable) -> StreamMap:
    """The one stream that the line file means; without names in it, the only one that there is.

    Raises ConfigError when there is none, more than one, or one without variables that ADI makes mandatory or an axis.
    """
    namespaces: list[str] = await session.within(session.client.get_namespace_array())
    adi, di = index_of(ADI, namespaces), index_of(DI, namespaces)
    kinds = [await subtypes(session, ua.NodeId(kind, adi)) for kind in (STREAM_TYPE, CHANNEL_TYPE, DEVICE_TYPE)]
    streams = await walk(session, [ua.NodeId(DEVICE_SET, di)], kinds[0])
    if not streams:
        streams = await walk(session, [ua.NodeId(ua.ObjectIds.ObjectsFolder)], kinds[0])
    placed = [_Placed(found, _last(found, kinds[1]), _last(found, kinds[2])) for found in streams]
    chosen = await _chosen(session, table, placed, namespaces)
    paths = {n: [((ADI, GROUP[n]), (ADI, n)), ((DI, "ParameterSet"), (ADI, n))] for n in STREAM}
    nodes = await resolve(session, chosen.stream.node, paths, namespaces)
    lacking = [name for name in STREAM if name not in nodes]
    if lacking:
        raise ConfigError(f"the analyser's stream {chosen.name} has no {', '.join(lacking)}, which ADI makes mandatory")
    if chosen.channel is not None:
        nodes |= await resolve(session, chosen.channel.node, CHANNEL, namespaces)
    if chosen.device is not None:
        nodes |= await resolve(session, chosen.device.node, DEVICE, namespaces)
    axis, unit = await _axis(session, nodes[ARRAY], namespaces, table)
    told = {"StreamName": chosen.stream.name} if "ActiveStream" in nodes else {}
    return StreamMap(nodes, axis, unit, told)


class _Placed:
    """A stream with its channel and its device, where they are known."""

    def __init__(self, found: Found, channel: Step | None, device: Step | None) -> None:
        self.stream, self.channel, self.device = found.at, channel, device
        self.name = "/".join(step.name for step in (*found.way, found.at))


def _last(found: Found, kinds: frozenset[ua.NodeId]) -> Step | None:
    return next((step for step in reversed(found.way) if step.type in kinds), None)


async def _chosen(
    session: Session, table: AnalyserTable, placed: Sequence[_Placed], namespaces: Sequence[str]
) -> _Placed:
    fitting = [p for p in placed if table.stream in (None, p.stream.name)]
    fitting = [p for p in fitting if table.channel is None or (p.channel and p.channel.name == table.channel)]
    if table.device is not None:
        fitting = [p for p in fitting if p.device and table.device in await _called(session, p.device, namespaces)]
    if len(fitting) == 1:
        return fitting[0]
    there = ", ".join(p.name for p in placed) or "none"
    what = "no stream" if not fitting else f"{len(fitting)} streams"
    raise ConfigError(
        f"{what} of an analyser fit the line file (there: {there}); name 'device', 'channel', 'stream' in [analyser]"
    )


async def _called(session: Session, device: Step, namespaces: Sequence[str]) -> tuple[str, ...]:
    """What a device is known by: its browse name, and its serial number where it tells one."""
    found = await resolve(session, device.node, {"serial": SERIAL}, namespaces)
    if not found:
        return (device.name,)
    value = (await session.read([found["serial"]]))[0].Value
    return (device.name,) if value is None else (device.name, str(value.Value))


async def _axis(
    session: Session, array: ua.NodeId, namespaces: Sequence[str], table: AnalyserTable
) -> tuple[FloatArray, str]:
    found = await resolve(session, array, {"axis": [((UA, "XAxisDefinition"),)]}, namespaces)
    dimensions = await session.within(
        session.client.uaclient.read_attributes([array], ua.AttributeIds.ArrayDimensions)
    )  # fmt: skip
    told = (await session.read([found["axis"]]))[0].Value if found else None
    info = None if told is None else told.Value
    points = await _points(session, array, dimensions[0])
    if isinstance(info, ua.AxisInformation):
        return _steps(info, points), _unit(info.EngineeringUnits)
    if table.axis is None:
        raise ConfigError(
            "the analyser tells no axis (XAxisDefinition): name it: [analyser] axis = {low, high, unit}"
        )
    return np.linspace(table.axis.low, table.axis.high, points), table.axis.unit


async def _points(session: Session, array: ua.NodeId, dimensions: ua.DataValue) -> int:
    """How many points a spectrum has: by its declared dimensions, or else by the one that is there."""
    declared = None if dimensions.Value is None else dimensions.Value.Value
    if declared and declared[-1] > 0:
        return int(declared[-1])
    value = (await session.read([array]))[0].Value
    present = None if value is None else value.Value
    if not isinstance(present, list) or not present:
        raise ConfigError("the analyser declares no array dimension and has no spectrum yet: give it a first one")
    return len(present[0]) if isinstance(present[0], list) else len(present)


def _steps(info: ua.AxisInformation, points: int) -> FloatArray:
    if info.AxisSteps:
        return np.asarray(info.AxisSteps, dtype=np.float64)
    if info.AxisScaleType != ua.AxisScaleEnumeration.Linear or info.EURange is None:
        raise ConfigError("the analyser's axis has no steps and is not linear over a range: nothing to compute it from")
    return np.linspace(float(info.EURange.Low), float(info.EURange.High), points)


def _unit(unit: ua.EUInformation | None) -> str:
    """The axis unit as the models name it; a server's own word where we do not know it, so that check can tell."""
    if unit is None:
        return ""
    text = str(unit.DisplayName.Text or "").strip()
    return UNIT_IDS.get(unit.UnitId) or UNIT_NAMES.get(text.lower(), text)
