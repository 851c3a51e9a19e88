"""The handshake: authority only after a fresh request, given up on any doubt, never resumed by itself after a shed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from control.guard import Permission
from control.signals import Mode, Reading
from edge.actuate.handshake import Handshake, Phase, advance, wire

STAY = Permission(given=False)


def plc(beat: int, **tags: float) -> dict[str, Reading]:
    values = {"Permit": 1.0, "RemoteActive": 0.0, "Mode": 1.0, "ShedReason": 0.0, "SessionId": 42.0, **tags}
    readings = {f"Apc.{n}": Reading(v, 0.0) for n, v in values.items() if not n.startswith("A_")}
    readings["Apc.HeartbeatOut"] = Reading(float(beat), 0.0)
    readings["A.SP_SeqEcho"] = Reading(values.get("A_echo", 0.0), 0.0)
    return readings


def to_remote() -> Handshake:
    state = Handshake()
    for beat, tags in enumerate([{}, {}, {"RemoteActive": 1.0, "Mode": 2.0}]):
        state, authority = advance(state, Mode.CLOSED, plc(beat, **tags), 42, STAY)
        assert not authority.given, "the first cycles move nothing"
    assert state.phase is Phase.REMOTE
    return state


def test_the_way_to_remote_is_low_request_remote_and_one_quiet_cycle() -> None:
    state, _ = advance(Handshake(), Mode.CLOSED, plc(0), 42, STAY)
    assert state.phase is Phase.ADVISORY
    _, rows = wire(state, Mode.CLOSED, {}, STAY)
    assert dict(rows)["Apc.Request"] == 0.0, "the PLC sees the request low first"
    state, _ = advance(state, Mode.CLOSED, plc(1), 42, STAY)
    _, rows = wire(state, Mode.CLOSED, {}, STAY)
    assert state.phase is Phase.REQUESTED
    assert dict(rows)["Apc.Request"] == 1.0
    state = to_remote()
    state, authority = advance(state, Mode.CLOSED, plc(9, RemoteActive=1.0, Mode=2.0), 42, STAY)
    assert authority.given


def test_no_permit_no_request() -> None:
    state, _ = advance(Handshake(), Mode.CLOSED, plc(0, Permit=0.0), 42, STAY)
    state, authority = advance(state, Mode.CLOSED, plc(1, Permit=0.0), 42, STAY)
    assert state.phase is Phase.ADVISORY
    assert "does not permit" in authority.reason


@pytest.mark.parametrize(
    ("tags", "word"),
    [
        ({"Mode": 3.0, "ShedReason": 1.0, "RemoteActive": 0.0}, "shed (reason 1)"),
        ({"RemoteActive": 0.0, "Mode": 0.0}, "went local"),
        ({"SessionId": 7.0, "RemoteActive": 1.0, "Mode": 2.0}, "another session"),
    ],
)
def test_authority_ends_with_the_plc_s_word(tags: dict[str, float], word: str) -> None:
    state, authority = advance(to_remote(), Mode.CLOSED, plc(9, **tags), 42, STAY)
    assert not authority.given
    assert word in authority.reason
    assert dict(wire(state, Mode.CLOSED, {}, STAY)[1])["Apc.Request"] == 0.0


def test_after_a_shed_only_a_reset_and_a_fresh_request_lead_back() -> None:
    state, _ = advance(to_remote(), Mode.CLOSED, plc(9, Mode=3.0, ShedReason=1.0), 42, STAY)
    for beat in range(10, 15):
        state, authority = advance(state, Mode.CLOSED, plc(beat, Mode=3.0, ShedReason=1.0), 42, STAY)
        assert state.phase is Phase.SHED
        assert not authority.given
    state, _ = advance(state, Mode.CLOSED, plc(20), 42, STAY)
    assert state.phase is Phase.ADVISORY, "request stays low for a cycle after the reset"
    state, _ = advance(state, Mode.CLOSED, plc(21), 42, STAY)
    assert state.phase is Phase.REQUESTED


def test_a_silent_plc_is_not_trusted() -> None:
    state = to_remote()
    for _ in range(3):
        state, authority = advance(state, Mode.CLOSED, plc(2, RemoteActive=1.0, Mode=2.0), 42, STAY)
    assert not authority.given
    assert "heartbeat stands still" in authority.reason


def test_unconfirmed_setpoints_stop_the_moves() -> None:
    state = to_remote()
    beat, authority = 10, STAY
    for _ in range(4):
        state, authority = advance(state, Mode.CLOSED, plc(beat, RemoteActive=1.0, Mode=2.0), 42, STAY)
        state, _ = wire(state, Mode.CLOSED, {"A": 1.0} if authority.given else {}, STAY)
        beat += 1
    assert "does not confirm" in authority.reason


def test_a_new_session_starts_from_nothing() -> None:
    state, authority = advance(to_remote(), Mode.CLOSED, plc(9, RemoteActive=1.0, Mode=2.0), 43, STAY)
    assert state.session_id == 43
    assert state.sequence == 0
    assert state.phase is Phase.ADVISORY
    assert not authority.given
    state, authority = advance(state, Mode.CLOSED, plc(10, RemoteActive=1.0, Mode=2.0), 43, STAY)
    assert "remote from before" in authority.reason


def test_no_connection_no_authority_and_nothing_to_send() -> None:
    state, authority = advance(to_remote(), Mode.CLOSED, {}, 0, STAY)
    assert not authority.given
    assert wire(state, Mode.CLOSED, {"A": 1.0}, STAY)[1] == ()


def test_a_long_hold_gives_the_plant_back() -> None:
    release = Permission(given=True, reason="held for 130 s")
    state, authority = advance(to_remote(), Mode.CLOSED, plc(9, RemoteActive=1.0, Mode=2.0), 42, release)
    assert not authority.given
    assert dict(wire(state, Mode.CLOSED, {}, STAY)[1])["Apc.Request"] == 0.0


def test_setpoints_go_before_their_numbers_and_the_heartbeat_last() -> None:
    state = replace(to_remote(), heartbeat=5)
    state, rows = wire(state, Mode.CLOSED, {"A": 1.5, "B": 2.5}, Permission(given=True))
    names = [name for name, _ in rows]
    assert names.index("A.SP_Remote") < names.index("A.SP_RemoteSeq")
    assert names[-1] == "Apc.HeartbeatIn"
    assert dict(rows)["B.SP_RemoteSeq"] == state.sequence == 1
    assert dict(rows)["Apc.DivertRequest"] == 1.0


def test_monitor_writes_nothing_at_all_and_advice_no_setpoint() -> None:
    state, _ = advance(Handshake(), Mode.MONITOR, plc(0), 42, STAY)
    assert wire(state, Mode.MONITOR, {}, STAY)[1] == ()
    state, _ = advance(Handshake(), Mode.ADVISE, plc(0), 42, STAY)
    names = [name for name, _ in wire(state, Mode.ADVISE, {}, STAY)[1]]
    assert not any("SP_" in name for name in names)
    assert dict(wire(state, Mode.ADVISE, {}, STAY)[1])["Apc.ModeRequest"] == 1
