"""How fast line time runs against the wall: at `speed`, but never past a controller that is still thinking."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from hil_sim.rig import Rig


class Pace:
    """Elastic pacing of a rig.

    speed: line seconds a wall second. While a controller is alive (advisory or remote, heartbeat not older than the
    watchdog) the line runs at most control_period_s beyond the line time of its last heartbeat, unless patience_s of
    wall time passed waiting: a slow machine only slows the line, and a dead controller still meets the watchdog.
    """

    def __init__(self, speed: float, control_period_s: float = 5.0, patience_s: float = 1.0) -> None:
        self.speed = speed
        self.control_period_s = control_period_s
        self.patience_s = patience_s
        self._beat = asyncio.Event()
        self._beat_time_s = -1e18
        self._last_beat = 0
        self._gave_up = False
        self._due = 0.0

    def note_write(self, rig: Rig) -> None:
        """Call after every accepted write: a new heartbeat lets the line go on."""
        beat = rig.plc.authority.heartbeat_in
        if beat != self._last_beat:
            self._last_beat = beat
            self._beat_time_s = rig.time_s
            self._gave_up = False
            self._beat.set()

    async def first_beat(self, patience_s: float) -> None:
        """Stand still until a controller's first heartbeat, at most patience_s of wall time."""
        if self._last_beat > 0 or patience_s <= 0.0:
            return
        self._beat.clear()
        with contextlib.suppress(TimeoutError):  # nobody came: the line runs without a controller
            await asyncio.wait_for(self._beat.wait(), patience_s)

    async def turn(self, rig: Rig, tick_s: float, clock: Callable[[], float]) -> None:
        """Wait until the next tick of tick_s may run; clock: monotonic wall seconds."""
        await self._for_controller(rig)
        now = clock()
        self._due = max(self._due + tick_s / self.speed, now - tick_s / self.speed)
        await asyncio.sleep(max(0.0, self._due - now))

    async def _for_controller(self, rig: Rig) -> None:
        authority = rig.plc.authority
        ahead_s = rig.time_s - self._beat_time_s
        expected = rig.link_up and authority.mode_request >= 1 and authority.watchdog_ok and not self._gave_up
        if not expected or ahead_s < self.control_period_s:
            return
        self._beat.clear()
        try:
            await asyncio.wait_for(self._beat.wait(), self.patience_s)
        except TimeoutError:
            self._gave_up = True
