"""The PLC's press loops: fill depth by force, turret by level, and whose each of the press's three handles is."""

from __future__ import annotations

from hil_sim.handshake import PlcMode
from hil_sim.line.parameters import LineParameters
from hil_sim.setpoints import SetpointSlot
from hil_sim.tags import PRESS_MVS

LEVEL_LOW_PCT, LEVEL_HIGH_PCT = 5.0, 95.0  # below the low one the turret stands, whoever has it
FORCE_GAIN_KN_MM = 8.5  # slope of the reference tablet's force over fill depth; the loop only needs its order
FORCE_INTEGRAL_S = 10.0
LEVEL_GAIN_RPM_PCT = 0.5
LEVEL_INTEGRAL_S = 240.0
FILL_DEPTH, THICKNESS, TURRET_SPEED = (mv.name for mv in PRESS_MVS)
LOOP_DRIVEN = (FILL_DEPTH, TURRET_SPEED)
"""Handles that a loop of the PLC has whenever no remote setpoint has them."""


class PressLoops:
    """The three handles and what they are ordered to; step() runs one PLC scan.

    A handle follows its remote setpoint from the first one accepted in a remote period to the end of that period.
    Otherwise the PLC has it, and its setpoints show what is in force: FillDepth is the force loop's, TurretSpeed the
    level loop's; Thickness stays, and in local and advisory follows its local setpoint once an operator moved that.
    The loop of a remote handle stands by, integrates nothing, and takes over from where the handle then is; what force
    is wanted stays MainForce's setpoint all the while. LimitFlags of a handle: 1 while it follows its remote setpoint,
    0 while it is invited and still the PLC's, 16 otherwise.
    thickness_mm is None until somebody moves it: the punches stay as they were set up, on or off the drive's steps.
    """

    def __init__(self, parameters: LineParameters) -> None:
        press = self._p = parameters.press
        self._level_wanted_pct = parameters.chute.level_pct
        start = {
            FILL_DEPTH: press.fill_depth_mm, THICKNESS: press.min_thickness_mm, TURRET_SPEED: press.turret_rpm,
        }  # fmt: skip
        self.slots = {mv.name: SetpointSlot(mv, start[mv.name]) for mv in PRESS_MVS}
        self.fill_depth_mm = press.fill_depth_mm
        self.turret_rpm = self._turret_bias = press.turret_rpm
        self.thickness_mm: float | None = None
        self._bias_room = (0.0, press.turret_max_rpm)
        self._remote: set[str] = set()

    def accept(self, name: str) -> None:
        """A remote setpoint of this handle was accepted: from now on it is followed."""
        self._remote.add(name)

    def release(self, level_pct: float) -> None:
        """All handles are the PLC's again, without a bump: the loops go on from what is in force.

        But with the hopper at a limit the level loop goes on from its own last speed at once: from the one that brought
        it there, the hopper would run over, or the turret stop and start for minutes.
        """
        if TURRET_SPEED in self._remote and LEVEL_LOW_PCT < level_pct < LEVEL_HIGH_PCT:
            # So that bias and level together ask for the speed it has, even where the bias alone would be out of range.
            bias = self._turret_bias = self.turret_rpm - LEVEL_GAIN_RPM_PCT * (level_pct - self._level_wanted_pct)
            self._bias_room = (min(0.0, bias), max(self._p.turret_max_rpm, bias))
        self._remote.clear()

    def step(self, dt_s: float, mode: PlcMode, *, force_short_kn: float, level_pct: float) -> None:
        """One scan; force_short_kn: by how much the force is below its setpoint; level_pct: of the press hopper."""
        invited = mode is PlcMode.REMOTE
        if self._remote and not invited:
            self.release(level_pct)
        self._drive_depth(dt_s, force_short_kn, invited)
        self._drive_turret(dt_s, level_pct, invited)
        self._drive_thickness(dt_s, mode)

    def _drive_depth(self, dt_s: float, force_short_kn: float, invited: bool) -> None:
        slot, press = self.slots[FILL_DEPTH], self._p
        if FILL_DEPTH in self._remote:
            slot.follow_remote(dt_s)
            self.fill_depth_mm = slot.working
            return
        # Slew-limited so that an empty die (no force) does not run the cam to its stop in seconds.
        move = max(-0.05, min(0.05, force_short_kn * dt_s / (FORCE_GAIN_KN_MM * FORCE_INTEGRAL_S)))
        self.fill_depth_mm = min(press.fill_max_mm, max(press.fill_min_mm, self.fill_depth_mm + move))
        slot.stand_by(self.fill_depth_mm, invited=invited)

    def _drive_turret(self, dt_s: float, level_pct: float, invited: bool) -> None:
        slot, top = self.slots[TURRET_SPEED], self._p.turret_max_rpm
        if TURRET_SPEED in self._remote:
            slot.follow_remote(dt_s)
            wanted = slot.working
        else:
            high = level_pct - self._level_wanted_pct
            bias = self._turret_bias + LEVEL_GAIN_RPM_PCT * high * dt_s / LEVEL_INTEGRAL_S
            self._turret_bias = min(self._bias_room[1], max(self._bias_room[0], bias))
            wanted = self._turret_bias + LEVEL_GAIN_RPM_PCT * high
        self.turret_rpm = 0.0 if level_pct < LEVEL_LOW_PCT else min(top, max(0.0, wanted))
        if TURRET_SPEED not in self._remote:
            slot.stand_by(self.turret_rpm, invited=invited)

    def _drive_thickness(self, dt_s: float, mode: PlcMode) -> None:
        slot = self.slots[THICKNESS]
        if THICKNESS in self._remote:
            slot.follow_remote(dt_s)
        elif mode is PlcMode.REMOTE:
            slot.stand_by(slot.working, invited=True)
        else:
            as_set_up = self.thickness_mm is None and slot.local == slot.working  # then no limit moves it either
            if as_set_up or mode is PlcMode.SHED:
                slot.hold()
            else:
                slot.follow_local(dt_s)
            slot.remote = slot.working
        if self.thickness_mm is not None or slot.working != self._p.min_thickness_mm:
            self.thickness_mm = slot.working
