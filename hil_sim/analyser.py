"""The line's NIR once more as an ADI device (OPC 10020): the types at their ids, one device, channel and stream.

The same values as the flat tags Nir.*, for clients that find an analyser by what it is.
"""

from __future__ import annotations

from collections.abc import Mapping

from asyncua import Node, Server, ua

UA, DI, ADI = "http://opcfoundation.org/UA/", "http://opcfoundation.org/UA/DI/", "http://opcfoundation.org/UA/ADI/"
DEVICE_SET = 5001
# Type ids of the ADI namespace: name, id, and the id of what it is derived from (0: BaseObjectType).
TYPES = (
    ("AnalyserDeviceType", 1001, 0), ("AnalyserChannelType", 1003, 0), ("StreamType", 1010, 0),
    ("SpectrometerDeviceType", 1011, 1001), ("SpectrometerDeviceStreamType", 1030, 1010),
)  # fmt: skip
DEVICE, CHANNEL, STREAM, SERIAL = "NIR", "Channel1", "FeedFrame", "CDC-NIR-0001"
GROUPS: Mapping[str, tuple[str, ...]] = {
    "AcquisitionData": ("AcquisitionCounter", "AcquisitionResultStatus", "AcquisitionEndTime", "ScaledData"),
    "AcquisitionStatus": ("ExecutionCycle", "IsActive"),
    "Status": ("DiagnosticStatus",),
}


class AnalyserTree:
    """The device in a server's address space; show() keeps it in step with the flat tags."""

    def __init__(self, server: Server, axis_nm: tuple[float, ...]) -> None:
        self._server, self._axis = server, axis_nm
        self._nodes: dict[str, ua.NodeId] = {}

    async def build(self, first: Mapping[str, ua.DataValue]) -> None:
        """Make types, device, channel and stream; first: values by flat tag name (Nir.*)."""
        self._di, self._adi = [await self._server.register_namespace(uri) for uri in (DI, ADI)]
        kinds: dict[int, Node] = {0: self._server.nodes.base_object_type}
        for name, number, base in TYPES:
            kinds[number] = await kinds[base].add_object_type(ua.NodeId(number, self._adi), f"{self._adi}:{name}")
        objects = self._server.nodes.objects
        devices = await objects.add_object(ua.NodeId(DEVICE_SET, self._di), f"{self._di}:DeviceSet")
        device = await self._object(devices, DEVICE, kinds[1011])
        serial = ua.Variant(SERIAL, ua.VariantType.String)
        await device.add_property(ua.NodeId(f"{DEVICE}.SerialNumber", self._adi), f"{self._di}:SerialNumber", serial)
        channel = await self._object(device, CHANNEL, kinds[1003])
        stream = await self._object(channel, STREAM, kinds[1030])
        health = ua.Variant(0, ua.VariantType.Int32)
        await self._parameter(device, "DiagnosticStatus", health)
        await self._parameter(channel, "DiagnosticStatus", health)
        active = await self._parameter(channel, "ActiveStream", ua.Variant(STREAM, ua.VariantType.String))
        self._nodes["ActiveStream"] = active.nodeid
        self._nodes["DeviceState"] = await self._state(device, "AnalyserStateMachine")
        self._nodes["ChannelState"] = await self._state(channel, "ChannelStateMachine")
        for group, names in GROUPS.items():
            place = await self._object(stream, group)
            for name in names:
                await self._variable(stream, place, name, first[f"Nir.{name}"])

    async def show(self, tag: str, value: ua.DataValue) -> None:
        """Show a flat tag's value at the device, where it has a place there; also DeviceState and the like."""
        node = self._nodes.get(tag)
        if node is not None:
            await self._server.write_attribute_value(node, value)

    async def _object(self, parent: Node, name: str, kind: Node | None = None) -> Node:
        node_id = ua.NodeId(f"{parent.nodeid.Identifier}/{name}", self._adi)
        made = None if kind is None else kind.nodeid
        return await parent.add_object(node_id, f"{self._adi}:{name}", objecttype=made)

    async def _parameter(self, owner: Node, name: str, value: ua.Variant) -> Node:
        node_id = ua.NodeId(f"{owner.nodeid.Identifier}/ParameterSet", self._adi)
        try:
            parameters = await owner.get_child(f"{self._di}:ParameterSet")
        except ua.uaerrors.BadNoMatch:
            parameters = await owner.add_object(node_id, f"{self._di}:ParameterSet")
        at = ua.NodeId(f"{node_id.Identifier}/{name}", self._adi)
        return await parameters.add_variable(at, f"{self._adi}:{name}", value)

    async def _state(self, owner: Node, machine: str) -> ua.NodeId:
        place = await self._object(owner, machine)
        operating = ua.Variant(ua.LocalizedText("Operating"), ua.VariantType.LocalizedText)
        node = await place.add_variable(
            ua.NodeId(f"{place.nodeid.Identifier}/CurrentState", self._adi), "0:CurrentState", operating
        )
        return node.nodeid

    async def _variable(self, stream: Node, group: Node, name: str, first: ua.DataValue) -> None:
        """A component of the stream's ParameterSet, organised by its functional group, as ADI has it."""
        node = await self._parameter(stream, name, first.Value)
        await group.add_reference(node, ua.ObjectIds.Organizes)
        if name == "ScaledData":
            await node.write_attribute(ua.AttributeIds.ValueRank, ua.DataValue(ua.Variant(1, ua.VariantType.Int32)))
            sizes = ua.Variant([len(self._axis)], ua.VariantType.UInt32)
            await node.write_attribute(ua.AttributeIds.ArrayDimensions, ua.DataValue(sizes))
            axis = ua.AxisInformation(
                EngineeringUnits=ua.EUInformation(UnitId=int.from_bytes(b"C45"), DisplayName=ua.LocalizedText("nm")),
                EURange=ua.Range(self._axis[0], self._axis[-1]), Title=ua.LocalizedText("Wavelength"),
                AxisScaleType=ua.AxisScaleEnumeration.Linear, AxisSteps=list(self._axis),
            )  # fmt: skip
            await node.add_property(ua.NodeId("Nir/XAxisDefinition", self._adi), "0:XAxisDefinition", axis)
        self._nodes[f"Nir.{name}"] = node.nodeid
        await self._server.write_attribute_value(node.nodeid, first)
