"""a new session -> what one epoch needs of the PLC: node ids, which tags there are, and the types of those we write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from asyncua import ua

from edge.acquire.names import node_ids
from edge.acquire.session import Session
from edge.acquire.tags import required, wanted, written
from edge.acquire.types import kind_of
from edge.config import LineConfig
from edge.errors import ConfigError

GONE = (ua.StatusCodes.BadNodeIdUnknown, ua.StatusCodes.BadNodeIdInvalid)


@dataclass(frozen=True)
class Learned:
    """The PLC as one epoch knows it.

    nodes: of every tag there is; read: what is read each cycle, in order; types: of what is written; absent: tags that
    the line file asks for and the server does not have (none that is needed).
    """

    nodes: Mapping[str, ua.NodeId]
    read: tuple[str, ...]
    types: Mapping[str, ua.VariantType]
    absent: tuple[str, ...]


async def learn_line(session: Session, config: LineConfig, extra: tuple[str, ...] = ()) -> Learned:
    """Resolve every name anew: after a restart a server's namespaces may stand in another order.

    extra: further tags that have to be there. Raises ConfigError naming all that is needed and missing, LinkLost when
    the session fails.
    """
    table = config.opcua
    assert table is not None, "checked where the line was made"
    namespaces = await session.within(session.client.get_namespace_array())
    put, read = written(config), wanted(config)
    tags = tuple(dict.fromkeys([*read, *put, *extra]))
    nodes = node_ids(tags, table.namespace, table.tags, namespaces)
    values = dict(zip(tags, await session.read([nodes[t] for t in tags]), strict=True))
    gone = {tag for tag in tags if values[tag].StatusCode is not None and values[tag].StatusCode.value in GONE}
    needed = [tag for tag in dict.fromkeys([*required(config), *extra]) if tag in gone]
    if needed:
        raise ConfigError(
            f"the server {table.url} has no {', '.join(needed)} ({len(needed)} missing in all): "
            "mend [opcua] tags or handshake in the line file, or the PLC's program"
        )
    asked = ua.AttributeIds.DataType
    told = await session.within(session.client.uaclient.read_attributes([nodes[t] for t in put], asked))
    kinds = {tag: kind_of(kind, values[tag]) for tag, kind in zip(put, told, strict=True)}
    untyped = [tag for tag, kind in kinds.items() if kind is None and tag not in gone]
    if untyped:
        raise ConfigError(f"the server {table.url} gives no numeric type for {', '.join(untyped)}: nothing fits there")
    return Learned(
        {tag: nodes[tag] for tag in tags if tag not in gone},
        tuple(tag for tag in read if tag not in gone),
        {tag: kind for tag, kind in kinds.items() if kind is not None and tag not in gone},
        tuple(tag for tag in tags if tag in gone),
    )
