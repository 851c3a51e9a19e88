"""A hand-driven controller for a rig: does the handshake step by step."""

from __future__ import annotations

from hil_sim.rig import Rig
from hil_sim.scenario import OperatorAct, Scenario

MVS = ("FeederApi", "FeederMcc", "FeederLac", "FeederMgst", "MainForce")
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
