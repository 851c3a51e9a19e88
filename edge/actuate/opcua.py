"""ACTUATE over OPC UA: one write a cycle, its fate named; read-back is the next scan's business."""

from __future__ import annotations

import math

from edge.acquire.opcua import OpcUaLine
from edge.errors import LinkLost, WriteUnknown
from edge.signals import Acted

GOOD_BUT = ("GoodClamped", "GoodCompletesAsynchronously")


class OpcUaActuator:
    """Writes what the guard let through over the session that the scan was read on."""

    def __init__(self, line: OpcUaLine) -> None:
        self._line = line

    async def write(self, wire: tuple[tuple[str, float], ...]) -> Acted:
        """good, refused (with the PLC's codes) or unknown; nothing that is not finite leaves the box."""
        wrong = [tag for tag, value in wire if not math.isfinite(value)]
        if wrong:
            return Acted("refused", dict.fromkeys(wrong, "not finite, not sent"))
        try:
            codes = await self._line.send(list(wire))
        except WriteUnknown as error:
            return Acted("unknown", {"link": str(error)})
        except LinkLost as error:
            return Acted("refused", {"link": str(error)})
        refused = any(code not in GOOD_BUT for code in codes.values())
        return Acted("refused" if refused else "good", codes)
