"""The guard's every branch: it clamps, it refuses, and it writes only when everything says so."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.guard import Permission, Room, guard
from control.signals import Decision, Envelope, Mode

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
