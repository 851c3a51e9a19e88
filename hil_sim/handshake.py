"""The PLC's side of the remote handshake: who is in control, and when control is taken back.

Modes 0 LOCAL, 1 ADVISORY, 2 REMOTE, 3 SHED. A shed holds and stays until Request is 0 and the operator resets;
remote is only ever entered on a fresh request (level that was seen low), with permit and a live heartbeat.
"""

from __future__ import annotations

from enum import IntEnum


class PlcMode(IntEnum):
    """Who is in control."""

    LOCAL = 0
    ADVISORY = 1
    REMOTE = 2
    SHED = 3


class Shed(IntEnum):
    """Why the PLC took control back."""

    NONE = 0
    WATCHDOG = 1
    OPERATOR = 2
    QUALITY = 3
    SETPOINT_INVALID = 4
    INTERLOCK = 5
    DEVIATION = 6
    SESSION = 7


class Authority:
    """State machine of the handshake; inputs are plain attributes, step() runs one PLC scan.

    Inputs: heartbeat_in, mode_request, request, operator_enable, reset, config_hash, model_version.
    Outputs: mode, permit, watchdog_ok, shed_reason, shed_time_s, heartbeat_out.
    """

    def __init__(self, start_time_s: float, watchdog_timeout_ms: int = 20_000) -> None:
        self.watchdog_timeout_ms = watchdog_timeout_ms
        self.heartbeat_in = 0
        self.heartbeat_out = 0
        self.session_id = 0
        self.mode_request = 0
        self.request = False
        self.operator_enable = False
        self.reset = False
        self.config_hash = ""
        self.model_version = ""
        self.mode = PlcMode.LOCAL
        self.permit = False
        self.watchdog_ok = False
        self.shed_reason = Shed.NONE
        self.shed_time_s = 0.0
        self._armed = True
        self._session_changed = False
        self._last_heartbeat = 0
        self._heartbeat_time_s = -1e18
        self._start_time_s = start_time_s

    @property
    def remote_active(self) -> bool:
        """True only while the PLC follows remote setpoints."""
        return self.mode is PlcMode.REMOTE

    def start_session(self, session_id: int) -> None:
        """A controller (re)started: its heartbeat counts anew, and remote cannot outlive the old session."""
        if session_id == self.session_id:
            return
        self.session_id = session_id
        self._session_changed = True
        self._last_heartbeat = self.heartbeat_in
        self._heartbeat_time_s = -1e18

    def step(self, time_s: float, *, interlocks_ok: bool) -> None:
        """One scan at line time time_s."""
        self.heartbeat_out = int(time_s - self._start_time_s) % 2**32
        self._watch(time_s)
        self.permit = self.operator_enable and interlocks_ok and self.mode is not PlcMode.SHED
        if not self.request:
            self._armed = True
        session_changed, self._session_changed = self._session_changed, False
        if self.mode is PlcMode.REMOTE:
            self._keep_remote(time_s, session_changed=session_changed, interlocks_ok=interlocks_ok)
        elif self.mode is PlcMode.SHED:
            if self.reset and not self.request:
                self.mode = PlcMode.LOCAL
                self.shed_reason = Shed.NONE
        else:
            self._offer_remote()
        self.reset = False

    def shed(self, reason: Shed, time_s: float) -> None:
        """Take control back and latch why."""
        if self.mode is PlcMode.SHED:
            return
        self.mode = PlcMode.SHED
        self.shed_reason = reason
        self.shed_time_s = time_s
        self.permit = False
        self._armed = False

    def _watch(self, time_s: float) -> None:
        if self.heartbeat_in != self._last_heartbeat:
            self._last_heartbeat = self.heartbeat_in
            self._heartbeat_time_s = time_s
        age_s = time_s - self._heartbeat_time_s
        self.watchdog_ok = self.heartbeat_in != 0 and 1000.0 * age_s <= self.watchdog_timeout_ms

    def _keep_remote(self, time_s: float, *, session_changed: bool, interlocks_ok: bool) -> None:
        if session_changed:
            self.shed(Shed.SESSION, time_s)
        elif not self.watchdog_ok:
            self.shed(Shed.WATCHDOG, time_s)
        elif not self.operator_enable:
            self.shed(Shed.OPERATOR, time_s)
        elif not interlocks_ok:
            self.shed(Shed.INTERLOCK, time_s)
        elif not self.request or self.mode_request != 2:
            # The controller gave control back in order: nothing to reset, but remote needs a new request.
            self.mode = PlcMode.ADVISORY
            self._armed = not self.request

    def _offer_remote(self) -> None:
        alive = self.watchdog_ok and self.mode_request >= 1
        self.mode = PlcMode.ADVISORY if alive else PlcMode.LOCAL
        if alive and self.request and self._armed and self.permit and self.mode_request == 2:
            self.mode = PlcMode.REMOTE
            self._armed = False
