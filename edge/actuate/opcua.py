"""ACTUATE over OPC UA: one write a cycle, its fate named; read-back is the next scan's business."""

from __future__ import annotations

import math

from edge.acquire.opcua import OpcUaLine
from edge.actuate.verified import Step
from edge.errors import LinkLost, WriteRefused, WriteUnknown
from edge.signals import Acted

GOOD_BUT = ("GoodClamped", "GoodCompletesAsynchronously")


class OpcUaActuator:
    """Writes what the guard let through over the session that the scan was read on."""

    def __init__(self, line: OpcUaLine) -> None:
        self._line = line

    async def write(self, wire: tuple[tuple[str, float], ...], epoch: int | None = None) -> Acted:
        """good, refused (by which step, and its words) or unknown; nothing that is not finite leaves the box."""
        wrong = [tag for tag, value in wire if not math.isfinite(value)]
        if wrong:
            return Acted("refused", dict.fromkeys(wrong, "not finite, not sent"), Step.VERIFY)
        try:
            codes = await self._line.send(list(wire), epoch)
        except WriteUnknown as error:
            return Acted("unknown", {"link": str(error)})
        except WriteRefused as error:
            return Acted("refused", error.why, Step.MAP)
        except LinkLost as error:
            return Acted("refused", {"link": str(error)}, Step.AUTHORISE)
        if any(code not in GOOD_BUT for code in codes.values()):
            return Acted("refused", codes, Step.ACCEPT)
        return Acted("good", codes)
