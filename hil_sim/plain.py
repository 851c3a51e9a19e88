"""A plainer PLC, as many sites have it: request, permit, heartbeat, setpoint, and the setpoint it works with.

It has no session, no sequence numbers and a slow watchdog, so it takes a setpoint whenever it comes: what a controller
must do against a late write, it must do alone.
"""

from __future__ import annotations

from hil_sim.handshake import PlcMode
from hil_sim.line.line import Line, Orders
from hil_sim.line.parameters import LineParameters
from hil_sim.plc import Plc
from hil_sim.setpoints import SetpointSlot
from hil_sim.tags import TAGS, TagSpec

WATCHDOG_MS = 10_000
_APC = ("Apc.Request", "Apc.Permit", "Apc.HeartbeatIn", "Apc.OperatorEnable")
_LOOP = ("SP_Remote", "SP_Working", "SP_Local", "PV", "HopperKg", "ScrewRpm", "Refilling", "Volumetric")


def _has(name: str) -> bool:
    place, _, leaf = name.partition(".")
    if place == "Apc":
        return name in _APC
    return leaf in _LOOP if f"{place}.SP_Remote" in TAGS else True


PLAIN_TAGS: dict[str, TagSpec] = {name: spec for name, spec in TAGS.items() if _has(name)}


class PlainPlc(Plc):
    """The line's PLC with the plain handshake; whoever drops Request takes nothing with it: it goes local by itself."""

    def __init__(self, parameters: LineParameters, start_time_s: float, *, reject_when_silent: bool = False) -> None:
        super().__init__(parameters, start_time_s, reject_when_silent=reject_when_silent)
        self.authority.watchdog_timeout_ms = WATCHDOG_MS

    def scan(self, time_s: float, dt_s: float, line: Line) -> Orders:
        """One scan; there is no mode request and no reset: Request is all that is asked, and dropping it re-arms."""
        authority = self.authority
        authority.mode_request = 2 if authority.request else 1
        authority.reset = authority.mode is PlcMode.SHED and not authority.request
        return super().scan(time_s, dt_s, line)

    def _write_slot(self, slot: SetpointSlot, part: str, value: float | int | bool | str) -> str:
        """A remote setpoint counts as it comes, and is answered with good whether the PLC is remote or not."""
        if part != "SP_Remote":
            return super()._write_slot(slot, part, value)
        if not self.authority.remote_active:
            return "good"
        status = slot.write_remote(float(value))
        slot.write_sequence(slot.echo + 1)
        return status
