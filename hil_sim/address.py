"""Tags -> OPC UA nodes: one folder an object, node ids `ns=<namespace>;s=<tag>`, ranges and units where known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime

from asyncua import Server, ua

from hil_sim.analyser import AnalyserTree
from hil_sim.tags import Kind, TagSpec, TagValue

ROOT = "CDC-REF-1"
_VARIANTS: Mapping[Kind, ua.VariantType] = {
    "double": ua.VariantType.Double,
    "doubles": ua.VariantType.Double,
    "uint32": ua.VariantType.UInt32,
    "uint16": ua.VariantType.UInt16,
    "int32": ua.VariantType.Int32,
    "bool": ua.VariantType.Boolean,
    "string": ua.VariantType.String,
    "datetime": ua.VariantType.DateTime,
}
STATUS: Mapping[str, int] = {
    "good": ua.StatusCodes.Good,
    "clamped": ua.StatusCodes.GoodClamped,
    "bad_node_unknown": ua.StatusCodes.BadNodeIdUnknown,
    "bad_not_writable": ua.StatusCodes.BadNotWritable,
    "bad_user_access": ua.StatusCodes.BadUserAccessDenied,
    "bad_type": ua.StatusCodes.BadTypeMismatch,
    "bad_out_of_range": ua.StatusCodes.BadOutOfRange,
    "bad_invalid_state": ua.StatusCodes.BadInvalidState,
    "bad_communication_error": ua.StatusCodes.BadCommunicationError,
}
_QUALITY: Mapping[str, int] = {
    "good": ua.StatusCodes.Good,
    "uncertain": ua.StatusCodes.UncertainLastUsableValue,
    "bad": ua.StatusCodes.BadWaitingForInitialData,
}


def variant(kind: Kind) -> ua.VariantType:
    """OPC UA type of a tag kind."""
    return _VARIANTS[kind]


class TagTree:
    """The tags in a server's address space: in folders, and those of the analyser once more as an ADI device.

    tags: which there are; before: namespaces that the server knows before that of the tags.
    """

    def __init__(
        self, server: Server, namespace: str, tags: Mapping[str, TagSpec], axis_nm: tuple[float, ...],
        before: tuple[str, ...] = (),
    ) -> None:
        self._server = server
        self._namespace, self._before = namespace, before
        self._tags = tags
        self.analyser = AnalyserTree(server, axis_nm)
        self._nodes: dict[str, ua.NodeId] = {}
        self._names: dict[ua.NodeId, str] = {}

    def name_of(self, node: ua.NodeId) -> str | None:
        """Tag of a node id, None for any other node."""
        return self._names.get(node)

    async def build(self, values: Mapping[str, TagValue]) -> None:
        """Create folders and variables for all tags with their first values."""
        for uri in self._before:
            await self._server.register_namespace(uri)
        index = await self._server.register_namespace(self._namespace)
        root = await self._server.nodes.objects.add_folder(ua.NodeId(ROOT, index), f"{index}:{ROOT}")
        folders = {}
        for name, spec in self._tags.items():
            place, _, leaf = name.partition(".")
            if place not in folders:
                folders[place] = await root.add_folder(ua.NodeId(place, index), f"{index}:{place}")
            node_id = ua.NodeId(name, index)
            node = await folders[place].add_variable(
                node_id, f"{index}:{leaf}", _plain(spec, values[name]), varianttype=variant(spec.kind)
            )
            if spec.writer:
                await node.set_writable()
            if not math.isnan(spec.low):
                await node.add_property(ua.NodeId(f"{name}.EURange", index), "0:EURange", ua.Range(spec.low, spec.high))
            if spec.unit:
                unit = ua.EUInformation(DisplayName=ua.LocalizedText(spec.unit))
                await node.add_property(ua.NodeId(f"{name}.EngineeringUnits", index), "0:EngineeringUnits", unit)
            self._nodes[name] = node_id
            self._names[node_id] = name
        await self.analyser.build({name: shown(self._tags[name], values[name]) for name in values})
        for name in self._tags:
            await self.show(name, values[name])

    async def show(self, name: str, value: TagValue) -> None:
        """Write one tag's value, status and source time into the address space."""
        await self.put(name, shown(self._tags[name], value))

    async def put(self, name: str, value: ua.DataValue) -> None:
        """Show a value just as it is given."""
        await self._server.write_attribute_value(self._nodes[name], value)
        await self.analyser.show(name, value)


def shown(spec: TagSpec, value: TagValue) -> ua.DataValue:
    """A tag's value as a server shows it."""
    return ua.DataValue(
        ua.Variant(_plain(spec, value), variant(spec.kind)),
        ua.StatusCode(ua.UInt32(_QUALITY[value.status])),
        SourceTimestamp=datetime.fromtimestamp(value.source_time_s, UTC),
        ServerTimestamp=datetime.now(UTC),
    )


def _plain(spec: TagSpec, value: TagValue) -> object:
    if spec.kind == "doubles":
        return list(value.value) if isinstance(value.value, tuple) else []
    if spec.kind == "datetime":
        return datetime.fromtimestamp(float(value.value), UTC) if isinstance(value.value, int | float) else None
    return value.value
