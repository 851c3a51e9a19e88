"""The handshake with the PLC as a pure state machine: who may move the plant, and what is written to keep it so.

The PLC's RemoteActive, read in this session, is the only truth about authority. After a shed the request is dropped
and made again only when the PLC, reset by its operator, shows no shed reason. The first cycle with authority moves
nothing: the setpoints that the PLC works with are read first.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from control.guard import Permission
from control.signals import Mode, Quality, Reading
from edge.acquire.protections import OPTIONAL

MODE_REQUEST = {Mode.MONITOR: 0, Mode.ADVISE: 1, Mode.CLOSED: 2}
SHED = 3
SPOKEN = frozenset(OPTIONAL)  # of the handshake's optional tags, a PLC that has them all
SILENT_CYCLES = 3  # cycles without a new PLC heartbeat before the PLC counts as silent
UNECHOED_CYCLES = 2  # cycles an accepted sequence number may be missing in the echo


class Phase(StrEnum):
    """How far the handshake has come in this session."""

    OFF = "off"
    ADVISORY = "advisory"
    REQUESTED = "requested"
    REMOTE = "remote"
    SHED = "shed"


@dataclass(frozen=True)
class Handshake:
    """State handed from cycle to cycle."""

    session_id: int = 0
    phase: Phase = Phase.OFF
    heartbeat: int = 0
    sequence: int = 0
    awaiting_echo: int = 0
    unechoed: int = 0
    plc_heartbeat: float = -1.0
    silent: int = 0
    names: tuple[str, ...] = field(default_factory=tuple)


def advance(
    state: Handshake,
    mode: Mode,
    readings: Mapping[str, Reading],
    session_id: int,
    release: Permission,
    spoken: Collection[str] = SPOKEN,
) -> tuple[Handshake, Permission]:
    """One cycle of the handshake: the next state, and whether there is authority to move the plant now.

    release given: the loop has been holding too long and gives the plant back in good order; spoken: which of the
    optional tags this PLC has.
    """
    if session_id == 0:
        return Handshake(names=state.names), Permission(given=False, reason="no connection")
    if session_id != state.session_id:
        state = Handshake(session_id=session_id, names=state.names)
    state = replace(_listen(state, readings, spoken), heartbeat=state.heartbeat + 1)
    if mode is not Mode.CLOSED:
        phase = Phase.ADVISORY if mode is Mode.ADVISE else Phase.OFF
        return replace(state, phase=phase), Permission(given=False, reason=f"mode is {mode.value}")
    if release.given:
        return replace(state, phase=Phase.ADVISORY), Permission(given=False, reason=release.reason)
    obstacle = _obstacle(state, readings)
    if obstacle:
        return replace(state, phase=Phase.SHED), Permission(given=False, reason=obstacle)
    remote = _flag(readings, "Apc.RemoteActive")
    if state.phase in (Phase.OFF, Phase.SHED):
        # At least one cycle in which the PLC sees Request low, so that the next request is a fresh one.
        return replace(state, phase=Phase.ADVISORY), Permission(given=False, reason="preparing a fresh request")
    if state.phase is Phase.ADVISORY:
        if remote or not _flag(readings, "Apc.Permit"):
            reason = "the PLC is still remote from before" if remote else "the PLC does not permit remote"
            return replace(state, phase=Phase.ADVISORY), Permission(given=False, reason=reason)
        return replace(state, phase=Phase.REQUESTED), Permission(given=False, reason="remote requested")
    if not remote:
        if state.phase is Phase.REMOTE:
            return replace(state, phase=Phase.SHED), Permission(given=False, reason="the PLC went local")
        return state, Permission(given=False, reason="waiting for the PLC to go remote")
    if state.phase is Phase.REQUESTED:
        return replace(state, phase=Phase.REMOTE), Permission(given=False, reason="remote: first cycle moves nothing")
    return state, Permission(given=True)


def wire(
    state: Handshake, mode: Mode, writes: Mapping[str, float], divert: Permission, spoken: Collection[str] = SPOKEN,
    refill: str = "",
) -> tuple[Handshake, tuple[tuple[str, float], ...]]:  # fmt: skip
    """What goes to the PLC this cycle, in order, and the state that remembers it; setpoints before their numbers.

    refill: the feeder that is asked to refill, with setpoints only; the PLC lets the request fall back by itself.
    """
    if state.session_id == 0 or mode is Mode.MONITOR:
        return state, ()
    asked = state.phase in (Phase.REQUESTED, Phase.REMOTE)
    rows: list[tuple[str, float]] = [
        ("Apc.SessionId", state.session_id),
        ("Apc.ModeRequest", MODE_REQUEST[mode]),
        ("Apc.Request", float(asked)),
        ("Apc.DivertRequest", float(divert.given)),
    ]
    if writes:
        state = replace(state, sequence=state.sequence + 1, awaiting_echo=state.sequence + 1, names=tuple(writes))
        for name, value in writes.items():
            rows.append((f"{name}.SP_Remote", value))
            rows.append((f"{name}.SP_RemoteSeq", state.sequence))
        if refill:
            rows.append((f"{refill}.RefillRequest", 1.0))
    rows.append(("Apc.HeartbeatIn", state.heartbeat))
    return state, tuple((tag, value) for tag, value in rows if _said(tag, spoken))


def _said(tag: str, spoken: Collection[str]) -> bool:
    name = tag.rpartition(".")[2]
    return name not in OPTIONAL or name in spoken


def _listen(state: Handshake, readings: Mapping[str, Reading], spoken: Collection[str]) -> Handshake:
    beat = readings.get("Apc.HeartbeatOut")
    beats = beat is not None and beat.quality is not Quality.BAD and beat.value != state.plc_heartbeat
    alive = beats or "HeartbeatOut" not in spoken
    silent = 0 if alive else state.silent + 1
    beaten = beat.value if beat is not None and alive else state.plc_heartbeat
    echoes = [readings[f"{n}.SP_SeqEcho"].value for n in state.names if f"{n}.SP_SeqEcho" in readings]
    behind = state.phase is Phase.REMOTE and any(echo != state.awaiting_echo for echo in echoes)
    unechoed = state.unechoed + 1 if behind else 0
    return replace(state, silent=silent, plc_heartbeat=beaten, unechoed=unechoed)


def _obstacle(state: Handshake, readings: Mapping[str, Reading]) -> str:
    if state.silent >= SILENT_CYCLES:
        return "the PLC heartbeat stands still"
    if state.unechoed > UNECHOED_CYCLES:
        return "the PLC does not confirm our setpoints"
    reason = readings.get("Apc.ShedReason")
    mode = readings.get("Apc.Mode")
    if (mode is not None and mode.value == SHED) or (reason is not None and reason.value != 0):
        return f"the PLC has shed (reason {0 if reason is None else reason.value:.0f}): operator reset needed"
    owner = readings.get("Apc.SessionId")
    if state.phase in (Phase.REQUESTED, Phase.REMOTE) and owner is not None and owner.value != state.session_id:
        return "the PLC follows another session"
    return ""


def _flag(readings: Mapping[str, Reading], name: str) -> bool:
    reading = readings.get(name)
    return reading is not None and reading.quality is not Quality.BAD and reading.value != 0
