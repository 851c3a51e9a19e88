"""A hand-driven controller for a rig: does the handshake step by step."""

from __future__ import annotations

from hil_sim.rig import Rig
from hil_sim.scenario import OperatorAct, Scenario
from hil_sim.tags import PRESS_MVS

MVS = ("FeederApi", "FeederMcc", "FeederLac", "FeederMgst", "MainForce")
HANDLES = DEPTH, THICKNESS, TURRET = tuple(mv.name for mv in PRESS_MVS)
PRESS = {mv.name: mv for mv in PRESS_MVS}
PRESS_MOVES = {DEPTH: 8.2, THICKNESS: 2.8, TURRET: 40.0}
LOCAL, ADVISORY, REMOTE, SHED = 0, 1, 2, 3
NONE, WATCHDOG, OPERATOR, QUALITY, INVALID, INTERLOCK, DEVIATION, SESSION = range(8)


def quiet_rig(**changes: object) -> Rig:
    """A rig whose operator enables at once and never resets by himself."""
    settings = {
        "name": "quiet",
        "description": "For tests of the handshake.",
        "hours": 10.0,
        "operator": (OperatorAct(at_min=0.0, action="enable"),),
        "reset_after_s": None,
        **changes,
    }
    return Rig(Scenario.model_validate(settings), 1)


class Hand:
    """Writes as the edge would; `cycle` is one control period with a heartbeat."""

    def __init__(self, rig: Rig, session: int = 77) -> None:
        self.rig = rig
        self.session = session
        self.beat = 0
        self.sequence = 0

    def put(self, tag: str, value: object) -> str:
        return self.rig.write(tag, value, user="edge")  # type: ignore[arg-type]

    def value(self, tag: str) -> object:
        return self.rig.read()[tag].value

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.5)):
            self.rig.step(0.5)

    def cycle(self, seconds: float = 5.0) -> None:
        self.beat += 1
        self.put("Apc.HeartbeatIn", self.beat)
        self.run(seconds)

    def move(self, tag: str, value: float, sequence: int | None = None) -> str:
        """Setpoint, then its number (the next one unless given)."""
        status = self.put(f"{tag}.SP_Remote", value)
        self.sequence = self.sequence + 1 if sequence is None else sequence
        self.put(f"{tag}.SP_RemoteSeq", self.sequence)
        return status

    def go_remote(self) -> None:
        self.put("Apc.SessionId", self.session)
        self.put("Apc.ModeRequest", 2)
        self.cycle()
        self.put("Apc.Request", True)
        self.cycle()
        assert self.value("Apc.RemoteActive") is True

    def go(self, handle: str, target: float) -> None:
        """Move a handle of the press further than one setpoint may, or until remote ends."""
        reach = 0.9 * PRESS[handle].dev_limit
        for _ in range(60):
            now = self.rig.plc.slots[handle].working
            if abs(now - target) < 1e-9 or self.value("Apc.Mode") != REMOTE:
                return
            self.move(handle, now + min(reach, max(-reach, target - now)))
            self.cycle()
        raise AssertionError(f"{handle} is at {now}, not at {target}")

    def shed(self) -> None:
        """The operator takes control back; one scan later."""
        self.rig.write("Apc.OperatorEnable", False, user="operator")
        self.run(0.5)
        assert (self.value("Apc.Mode"), self.value("Apc.ShedReason")) == (SHED, OPERATOR)
