"""Results of process analysers found by type (OPC 30081, PA-DIM): each analytical signal an extra reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from asyncua import ua

from edge.acquire.adi import DEVICE_SET, DI
from edge.acquire.names import index_of
from edge.acquire.session import Session
from edge.acquire.typed import Path, resolve, subtypes, walk
from edge.config import AnalyserTable
from edge.errors import ConfigError

PADIM = "http://opcfoundation.org/UA/PADIM/"
ANALYTICAL_SIGNAL_TYPE = 1065
VALUE: Mapping[str, Sequence[Path]] = {"value": [((PADIM, "AnalogSignal"),)]}


@dataclass(frozen=True)
class Signal:
    """An analytical signal: the tag it becomes (Padim.NAME), and the node of its value."""

    tag: str
    node: ua.NodeId


async def find_signals(session: Session, table: AnalyserTable) -> tuple[Signal, ...]:
    """The signals that the line file names, all where it names none.

    Raises ConfigError naming what is not there.
    """
    namespaces: list[str] = await session.within(session.client.get_namespace_array())
    kinds = await subtypes(session, ua.NodeId(ANALYTICAL_SIGNAL_TYPE, index_of(PADIM, namespaces)))
    starts = [ua.NodeId(DEVICE_SET, index_of(DI, namespaces)), ua.NodeId(ua.ObjectIds.ObjectsFolder)]
    found: dict[str, ua.NodeId] = {}
    for start in starts:
        for signal in await walk(session, [start], kinds):
            if table.device is not None and table.device not in [step.name for step in signal.way]:
                continue
            place = await resolve(session, signal.at.node, VALUE, namespaces)
            if "value" in place:
                found.setdefault(signal.at.name, place["value"])
    wanted = table.signals or tuple(found)
    lacking = [name for name in wanted if name not in found]
    if lacking or not wanted:
        there = ", ".join(found) or "none"
        raise ConfigError(f"the analyser has no signal {', '.join(lacking) or 'at all'} (there: {there})")
    return tuple(Signal(f"Padim.{name}", found[name]) for name in wanted)
