"""Names and values -> nodes: a small, read-only address space whose variables are shown anew when they change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from asyncua import Server, ua
from asyncua.common.xmlimporter import XmlImporter

from edge.units import UNECE_NAMESPACE, engineering_unit

NAMESPACE = "urn:patloop:opcua"
ADI = "http://opcfoundation.org/UA/ADI/"
NODESETS = ("Opc.Ua.Di.NodeSet2.xml", "Opc.Ua.Adi.NodeSet2.xml")  # OPC Foundation, MIT License 1.00, unchanged
GOOD, UNCERTAIN, BAD = "Good", "Uncertain", "Bad"
NOTHING, WAITING, OLD = "BadNoData", "BadWaitingForInitialData", "UncertainLastUsableValue"


@dataclass(frozen=True)
class Shape:
    """What a variable is: its type, unit and range; kind: of OPC UA; array: one-dimensional.

    type_id: variable type in the ADI namespace; reference: reference type in it; None: the plain ones of OPC UA;
    space: the namespace of its browse name.
    """

    kind: Any
    unit: str = ""
    low: float = math.nan
    high: float = math.nan
    array: bool = False
    type_id: int | None = None
    reference: int | None = None
    prop: bool = False
    space: Literal["ours", "adi", "ua"] = "ours"
    data_type: Any = None


DOUBLE = Shape(ua.VariantType.Double)
TEXT = Shape(ua.VariantType.String)
TEXTS = Shape(ua.VariantType.String, array=True)
FLAG = Shape(ua.VariantType.Boolean)
COUNT = Shape(ua.VariantType.UInt64)
MOMENT = Shape(ua.VariantType.DateTime)


class Tree:
    """The nodes of one line; every node id is a path of names below the namespace NAMESPACE."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._index, self._adi = 0, 0
        self._kinds: dict[str, Shape] = {}
        self._shown: dict[str, tuple[Any, str, float]] = {}

    async def begin(self) -> None:
        """Load the companion nodesets and register our namespace."""
        for name in NODESETS:
            # Not strict: nine functional groups of DI that nothing refers to have no parent in the file.
            importer = XmlImporter(self._server, strict_mode=False)
            await importer.import_xml(str(Path(__file__).parent / "nodesets" / name))
        self._adi = await self._server.get_namespace_index(ADI)
        self._index = await self._server.register_namespace(NAMESPACE)

    def id_of(self, path: str) -> Any:
        """The node id of a path."""
        return ua.NodeId(path, self._index)

    def adi(self, number: int) -> Any:
        """A node id of the ADI nodeset."""
        return ua.NodeId(number, self._adi)

    async def object(self, path: str, parent: str = "") -> None:
        """An object below its parent, or below Objects."""
        above = self._server.get_node(self.id_of(parent)) if parent else self._server.nodes.objects
        await above.add_object(self.id_of(path), ua.QualifiedName(_leaf(path), self._index))

    async def variable(self, path: str, shape: Shape, parent: str | None = None) -> None:
        """A variable below its parent (the path up to its last slash), without a value until one is shown."""
        above = self.id_of(path.rpartition("/")[0] if parent is None else parent)
        spaces = {"ours": self._index, "adi": self._adi, "ua": 0}
        name = ua.QualifiedName(_leaf(path), spaces[shape.space])
        await self._add(above, self.id_of(path), name, shape)
        self._kinds[path] = shape
        if not math.isnan(shape.low):
            await self._fixed(path, "EURange", ua.Range(shape.low, shape.high))
        if shape.unit:
            await self._fixed(path, "EngineeringUnits", unit_information(shape.unit))
        await self.show(path, None, WAITING)

    async def method(self, path: str, arguments: Sequence[tuple[str, Any, str]], result: str) -> None:
        """A method; whoever calls it is answered by the session, so no code hangs on the node itself."""
        told = [ua.Argument(name, ua.NodeId(kind.value), -1, [], ua.LocalizedText(words))
                for name, kind, words in arguments]  # fmt: skip
        back = [ua.Argument("record", ua.NodeId(ua.VariantType.UInt64.value), -1, [], ua.LocalizedText(result))]
        above = self._server.get_node(self.id_of(path.rpartition("/")[0]))
        await above.add_method(
            self.id_of(path), ua.QualifiedName(_leaf(path), self._index), _never, told, back
        )  # fmt: skip

    async def refer(self, source: str, reference: int, target: str) -> None:
        """An ADI reference between two of our nodes."""
        await self._server.get_node(self.id_of(source)).add_reference(self.id_of(target), self.adi(reference))

    async def show(self, path: str, value: Any, status: str = GOOD, time_s: float = math.nan) -> None:
        """Show a value with status and source time (s, NaN: now); what has not changed is not written again.

        A number that is not finite has no value: it is shown as none, with a bad status.
        """
        if isinstance(value, float) and not math.isfinite(value):
            value, status = None, status if status.startswith("Bad") else NOTHING
        if value is None and not status.startswith("Bad"):
            status = NOTHING
        if self._shown.get(path) == (value, status, time_s) or (math.isnan(time_s) and self._same(path, value, status)):
            return
        self._shown[path] = (value, status, time_s)
        stamp = datetime.now(UTC) if math.isnan(time_s) else datetime.fromtimestamp(time_s, UTC)
        shape = self._kinds[path]
        shown = ua.DataValue(
            _variant(value, shape),
            ua.StatusCode(ua.UInt32(getattr(ua.StatusCodes, status))),
            SourceTimestamp=stamp,
            ServerTimestamp=datetime.now(UTC),
        )
        await self._server.write_attribute_value(self.id_of(path), shown)

    def _same(self, path: str, value: Any, status: str) -> bool:
        return self._shown.get(path, (object(), "", 0.0))[:2] == (value, status)

    async def _fixed(self, path: str, name: str, value: Any) -> None:
        node = self._server.get_node(self.id_of(path))
        await node.add_property(self.id_of(f"{path}/{name}"), ua.QualifiedName(name, 0), value)

    async def _add(self, above: Any, node: Any, name: Any, shape: Shape) -> None:
        plain_type = ua.ObjectIds.PropertyType if shape.prop else ua.ObjectIds.BaseDataVariableType
        plain_reference = ua.ObjectIds.HasProperty if shape.prop else ua.ObjectIds.HasComponent
        attributes = ua.VariableAttributes(
            DisplayName=ua.LocalizedText(name.Name),
            Value=ua.Variant(None, ua.VariantType.Null),
            DataType=shape.data_type or ua.NodeId(shape.kind.value),
            ValueRank=ua.ValueRank.OneDimension if shape.array else ua.ValueRank.Scalar,
            ArrayDimensions=[0] if shape.array else [],
            AccessLevel=ua.AccessLevel.CurrentRead.mask,
            UserAccessLevel=ua.AccessLevel.CurrentRead.mask,
        )
        item = ua.AddNodesItem(
            ParentNodeId=above,
            ReferenceTypeId=ua.NodeId(plain_reference) if shape.reference is None else self.adi(shape.reference),
            RequestedNewNodeId=node,
            BrowseName=name,
            NodeClass=ua.NodeClass.Variable,
            TypeDefinition=ua.NodeId(plain_type) if shape.type_id is None else self.adi(shape.type_id),
            NodeAttributes=attributes,
        )
        for result in await self._server.iserver.isession.add_nodes([item]):
            result.StatusCode.check()


def unit_information(unit: str) -> Any:
    """OPC UA's description of a unit, with its UNECE code where there is one. Raises UnitError."""
    number, shown, words = engineering_unit(unit)
    return ua.EUInformation(UNECE_NAMESPACE, number, ua.LocalizedText(shown), ua.LocalizedText(words))


def _leaf(path: str) -> str:
    return path.rpartition("/")[2]


def _variant(value: Any, shape: Shape) -> Any:
    if value is None:
        return ua.Variant(None, ua.VariantType.Null)
    each = [_plain(item, shape.kind) for item in value] if shape.array else _plain(value, shape.kind)
    return ua.Variant(each, shape.kind, is_array=shape.array)


def _plain(value: Any, kind: Any) -> Any:
    if kind is ua.VariantType.DateTime:
        return datetime.fromtimestamp(value, UTC)
    return ua.LocalizedText(value) if kind is ua.VariantType.LocalizedText else value


def _never(*_: Any) -> Any:
    return ua.StatusCode(ua.UInt32(ua.StatusCodes.BadMethodInvalid))
