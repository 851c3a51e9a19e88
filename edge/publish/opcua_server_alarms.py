"""standing alarms -> conditions of Part 9: an event when one comes, one when it goes; both reach whoever listens."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from asyncua import Server, ua

from edge.publish.opcua_server_look import View
from edge.publish.opcua_server_tree import Tree

SEVERITY = {1: 800, 2: 500, 3: 200}  # of priorities 1 to 3, most urgent first, on the scale 1 to 1000 of Part 5


class Conditions:
    """The alarms of one line as AlarmConditionType events on the Server object."""

    def __init__(self, server: Server, tree: Tree, root: str, line: str) -> None:
        self._server, self._tree, self._root, self._line = server, tree, root, line
        self._standing: dict[str, Any] = {}

    async def begin(self) -> None:
        """Let the Server object announce alarms before the first one comes."""
        await self._server.get_event_generator(ua.ObjectIds.AlarmConditionType)

    async def tell(self, view: View) -> dict[Any, tuple[str, bytes]]:
        """Send an event for what came and what went; the standing ones: condition id -> name, id of the last event.

        While no cycle comes in nothing is known to have gone: what stood, stands.
        """
        if not view.live.stale:
            now = {alarm["name"]: alarm for alarm in view.thought.get("alarms") or ()}
            for name in [n for n in self._standing if n not in now]:
                await self._send(self._standing.pop(name), active=False, time_s=view.live.time_s)
            for name, alarm in now.items():
                if name not in self._standing:
                    self._standing[name] = await self._generator(alarm)
                    await self._send(self._standing[name], active=True, time_s=alarm["since_s"])
        return {g.event.NodeId: (name, _bytes(g.event.EventId)) for name, g in self._standing.items()}

    async def _generator(self, alarm: Mapping[str, Any]) -> Any:
        made = await self._server.get_event_generator(ua.ObjectIds.AlarmConditionType)
        event = made.event
        event.NodeId = self._tree.id_of(f"{self._root}/Alarms/{alarm['name']}")
        event.SourceNode = self._tree.id_of(f"{self._root}/Alarms")
        event.SourceName = self._line
        event.ConditionName = alarm["name"]
        event.ConditionClassId = ua.NodeId(ua.ObjectIds.ProcessConditionClassType)
        event.ConditionClassName = ua.LocalizedText("ProcessConditionClass")
        event.Severity = SEVERITY.get(int(alarm["priority"]), 500)
        event.Message = ua.LocalizedText(str(alarm["text"]))
        event.EnabledState = ua.LocalizedText("Enabled")
        event.add_property("EnabledState/Id", True, ua.VariantType.Boolean)
        event.Quality = ua.StatusCode()
        event.InputNode = ua.NodeId()
        return made

    async def _send(self, generator: Any, *, active: bool, time_s: float) -> None:
        event = generator.event
        event.Retain = active
        event.ActiveState = ua.LocalizedText("Active" if active else "Inactive")
        event.AckedState = ua.LocalizedText("Unacknowledged" if active else "Acknowledged")
        setattr(event, "ActiveState/Id", active)
        setattr(event, "AckedState/Id", not active)
        await generator.trigger(time_attr=datetime.fromtimestamp(time_s, UTC))


def _bytes(event_id: Any) -> bytes:
    return bytes(getattr(event_id, "Value", event_id))
