"""The guard's every branch: it clamps, it refuses, and it writes only when everything says so."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.guard import Permission, Room, guard, guard_refill
from control.signals import Decision, Envelope, Mode, Refill

YES, NO = Permission(given=True), Permission(given=False, reason="stale")
QUIET = Permission(given=False)
ROOM = Room(
    working={"A": 2.0, "F": 9.5},
    envelopes={"A": Envelope(1.0, 3.0, 0.1), "F": Envelope(7.0, 13.0, 0.05)},
    centre={"A": 2.0, "F": 9.5},
    trim_cap_pct={"A": 5.0},
    cycle_s=5.0,
)


def decision(**setpoints: float) -> Decision:
    return Decision("test", {"A": 2.0, "F": 9.5, **setpoints}, "because", "ok", 5.0, {}, {})


def test_an_allowed_move_is_written_in_closed_mode_only() -> None:
    wanted = decision(A=2.05)
    closed = guard(Mode.CLOSED, wanted, ROOM, YES, YES, QUIET)
    advise = guard(Mode.ADVISE, wanted, ROOM, YES, YES, QUIET)
    monitor = guard(Mode.MONITOR, wanted, ROOM, YES, YES, QUIET)
    assert closed.writes == {"A": 2.05, "F": 9.5}
    assert advise.writes == {}
    assert advise.recommended == closed.writes, "advice is what closed loop would have sent"
    assert monitor.recommended == {}
    assert monitor.writes == {}


def test_without_authority_nothing_is_written_and_it_says_why() -> None:
    command = guard(Mode.CLOSED, decision(A=2.05), ROOM, NO, YES, QUIET)
    assert command.writes == {}
    assert not command.holding
    assert "no authority: stale" in command.reasons


@pytest.mark.parametrize(
    ("wanted", "room", "fresh", "word"),
    [
        (decision(), ROOM, NO, "stale"),
        (decision(A=math.nan), ROOM, YES, "A has no finite setpoint"),
        (decision(F=math.inf), ROOM, YES, "F has no finite setpoint"),
        (replace(decision(), setpoints={"F": 9.5}), ROOM, YES, "A has no finite setpoint"),
        (replace(decision(), status="QP not solved"), ROOM, YES, "QP not solved"),
        (decision(), replace(ROOM, working={"A": math.nan, "F": 9.5}), YES, "working setpoint of A"),
    ],
)
def test_any_doubt_holds(wanted: Decision, room: Room, fresh: Permission, word: str) -> None:
    command = guard(Mode.CLOSED, wanted, room, YES, fresh, QUIET)
    assert command.holding
    assert command.writes == {}
    assert any(word in reason for reason in command.reasons)


def test_trim_cap_limit_and_rate_clamp_and_say_so() -> None:
    capped = guard(Mode.CLOSED, decision(A=2.3), ROOM, YES, YES, QUIET)
    assert capped.writes["A"] == pytest.approx(2.1)
    assert any("trim cap of 5 %" in r for r in capped.reasons)
    limited = guard(Mode.CLOSED, decision(F=20.0), replace(ROOM, working={"A": 2.0, "F": 12.9}), YES, YES, QUIET)
    assert limited.writes["F"] == pytest.approx(13.0)
    assert any("F at its limit 13" in r for r in limited.reasons)
    slow = guard(Mode.CLOSED, decision(F=10.5), ROOM, YES, YES, QUIET)
    assert slow.writes["F"] == pytest.approx(9.75)
    assert any("limited to 0.25 a cycle" in r for r in slow.reasons)


def test_an_unavailable_setpoint_stays_where_it_is() -> None:
    envelopes = {**ROOM.envelopes, "A": Envelope(1.0, 3.0, 0.1, available=False)}
    command = guard(Mode.CLOSED, decision(A=2.05), replace(ROOM, envelopes=envelopes), YES, YES, QUIET)
    assert command.writes["A"] == 2.0
    assert "A is not available to us" in command.reasons


FINE = replace(ROOM, envelopes={**ROOM.envelopes, "A": Envelope(1.0, 3.0, 0.1, resolution=0.02)})


@pytest.mark.parametrize(
    ("wanted", "now", "sent"),
    [
        (2.047, 2.0, 2.04),
        (2.051, 2.0, 2.06),
        (1.951, 2.0, 1.96),
        (2.0099, 2.0, 2.0),  # less than half a step is no move
        (2.0099, 2.003, 2.003),  # nor does it tidy up what the PLC works with
        (2.5, 2.0, 2.1),  # at the trim cap
        (2.097, 2.0, 2.1),
        (1.8, 1.993, 1.9),
        (2.0, 0.9, 1.4),  # from outside its limits: as far as rate and cap let it
    ],
)
def test_a_drive_gets_its_own_steps(wanted: float, now: float, sent: float) -> None:
    room = replace(FINE, working={"A": now, "F": 9.5})
    assert guard(Mode.CLOSED, decision(A=wanted), room, YES, YES, QUIET).writes["A"] == pytest.approx(sent)


@given(
    wanted=st.floats(min_value=0.5, max_value=3.5),
    now=st.floats(min_value=1.0, max_value=3.0),
    resolution=st.floats(min_value=1e-4, max_value=0.1),
    cap=st.floats(min_value=0.1, max_value=50.0),
)
def test_a_step_of_the_drive_stays_in_the_room_of_the_setpoint(
    wanted: float, now: float, resolution: float, cap: float
) -> None:
    room = Room({"A": now}, {"A": Envelope(1.2, 2.9, 0.02)}, {"A": 2.0}, {"A": cap}, 5.0)
    fine = replace(room, envelopes={"A": replace(room.envelopes["A"], resolution=resolution)})
    asked = Decision("test", {"A": wanted}, "", "ok", 5.0, {}, {})
    free = guard(Mode.CLOSED, asked, room, YES, YES, QUIET).writes["A"]
    stepped = guard(Mode.CLOSED, asked, fine, YES, YES, QUIET).writes["A"]
    again = guard(Mode.CLOSED, replace(asked, setpoints={"A": stepped}), room, YES, YES, QUIET).writes["A"]
    assert again == pytest.approx(stepped, abs=1e-9) or stepped == now, "within every limit that the setpoint had"
    if stepped == free:
        return  # a step by chance, or on its way back from outside its limits
    if stepped != now:
        assert abs(stepped - free) < resolution
        assert stepped / resolution == pytest.approx(round(stepped / resolution), abs=1e-6)
        assert (stepped - now) * (free - now) > 0, "never the other way"
    else:
        assert abs(free - now) < resolution, "held only where no step lies in reach"


def test_diversion_is_asked_for_in_closed_mode_and_told_in_all() -> None:
    off = Permission(given=True, reason="API 94.0 % of label claim")
    closed = guard(Mode.CLOSED, decision(), ROOM, YES, NO, off)
    advise = guard(Mode.ADVISE, decision(), ROOM, YES, YES, off)
    assert closed.divert, "material is diverted even while the setpoints hold"
    assert not advise.divert
    assert any("divert: API 94.0" in r for r in advise.reasons)


@given(
    wanted=st.floats(allow_nan=True, allow_infinity=True),
    now=st.floats(min_value=1.0, max_value=3.0),
    low=st.floats(min_value=1.0, max_value=1.9),
    high=st.floats(min_value=2.1, max_value=3.0),
)
def test_nothing_ever_leaves_limits_or_rate(wanted: float, now: float, low: float, high: float) -> None:
    room = Room({"A": now}, {"A": Envelope(low, high, 0.02)}, {"A": 2.0}, {"A": 5.0}, 5.0)
    asked = Decision("test", {"A": wanted}, "", "ok", 5.0, {}, {})
    command = guard(Mode.CLOSED, asked, room, YES, YES, QUIET)
    for value in command.writes.values():
        assert math.isfinite(value)
        assert abs(value - now) <= 0.1 + 1e-9
        assert min(low, now - 0.1) - 1e-9 <= value <= max(high, now + 0.1) + 1e-9


@pytest.mark.parametrize(
    ("mode", "authority", "fresh", "told"),
    [
        (Mode.CLOSED, YES, YES, "refill of A brought forward: it would have met B's in 4 min"),
        (Mode.ADVISE, YES, YES, "refill A now: it will meet B's in 4 min"),
        (Mode.MONITOR, YES, YES, ""),
        (Mode.CLOSED, NO, YES, ""),
        (Mode.CLOSED, YES, NO, ""),
        (Mode.ADVISE, YES, NO, ""),
    ],
)
def test_a_refill_is_asked_for_only_where_setpoints_go_out(
    mode: Mode, authority: Permission, fresh: Permission, told: str
) -> None:
    command = guard(mode, decision(), ROOM, authority, fresh, QUIET)
    assert guard_refill(command, None) is command
    with_it = guard_refill(command, Refill("A", "it would have met B's in 4 min"))
    assert with_it == (replace(command, reasons=(*command.reasons, told), refill="A") if told else command)
