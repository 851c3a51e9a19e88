"""Who takes the press's handles back, and how: without a bump, but an interlock at once."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hil_hand import ADVISORY, DEPTH, INTERLOCK, PRESS_MOVES, REMOTE, SHED, THICKNESS, TURRET, Hand, quiet_rig

FORCE_KN_S_MM = 8.5 * 10.0  # what the force loop's integral moves: this much force a second short for a millimetre


@pytest.fixture
def hand():
    driver = Hand(quiet_rig())
    driver.go_remote()
    return driver


def test_the_force_loop_stands_by_and_takes_over_without_a_bump(hand):
    hand.go(DEPTH, 8.2)
    for _ in range(24):
        hand.cycle()
    assert hand.rig.plc.force_kn > 11.0
    assert hand.value("MainForce.SP_Working") == pytest.approx(9.55), "nothing moved what force is wanted"
    assert hand.value(f"{DEPTH}.SP_Working") == 8.2, "two minutes of too much force move nothing"
    hand.shed()
    plc = hand.rig.plc
    moved = (plc.slots["MainForce"].working - plc.force_kn) * 0.5 / FORCE_KN_S_MM
    assert hand.value(f"{DEPTH}.SP_Working") == pytest.approx(8.2 + moved)
    assert -0.03 < moved < -0.005, "a scan's worth of what is too much, and nothing of what it was before"
    hand.run(120)
    assert hand.rig.plc.force_kn == pytest.approx(9.55, abs=0.4)


@pytest.mark.parametrize(("target", "until_pct"), [(45.0, 20.0), (15.5, 88.0)])
def test_the_level_loop_stands_by_and_takes_over_without_a_bump(hand, target, until_pct):
    hand.go(TURRET, target)
    rising = until_pct > 50.0
    while (hand.rig.line.chute.level_pct < until_pct) is rising:
        hand.cycle()
        assert hand.value(f"{TURRET}.SP_Working") == target
    hand.shed()
    assert hand.value(f"{TURRET}.SP_Working") == pytest.approx(target, abs=0.1)
    hand.run(1200)
    assert hand.rig.line.chute.level_pct == pytest.approx(50.0, abs=6.0)


@pytest.mark.parametrize("how", ["request", "mode"])
def test_control_given_back_in_order_is_taken_without_a_bump_too(hand, how):
    for handle, target in PRESS_MOVES.items():
        hand.go(handle, target)
    hand.put(*(("Apc.Request", False) if how == "request" else ("Apc.ModeRequest", 1)))
    hand.run(0.5)
    assert hand.value("Apc.Mode") == ADVISORY
    for handle, target in PRESS_MOVES.items():
        assert hand.value(f"{handle}.SP_Working") == pytest.approx(target, rel=0.01)
    hand.cycle(60)
    assert hand.value(f"{THICKNESS}.SP_Working") == 2.8
    assert hand.value(f"{DEPTH}.SP_Working") != pytest.approx(8.2, rel=0.01)
    assert hand.value(f"{TURRET}.SP_Working") != pytest.approx(40.0, rel=0.01)


def test_each_remote_period_begins_with_the_loops_also_within_a_pause(hand):
    hand.go(DEPTH, 8.2)
    hand.put(f"{TURRET}.SP_Remote", 41.0)  # and never its number
    hand.rig.plc.held = True
    for wanted in (False, True):
        hand.put("Apc.Request", wanted)
        hand.cycle()
    assert hand.value("Apc.Mode") == REMOTE
    assert hand.value(f"{DEPTH}.SP_Working") == 8.2
    hand.rig.plc.held = False
    hand.cycle()
    assert hand.value(f"{DEPTH}.LimitFlags") == 0
    assert hand.value(f"{DEPTH}.SP_Working") < 8.2
    assert hand.value(f"{TURRET}.SP_Remote") == hand.value(f"{TURRET}.SP_Working") != 41.0


def test_the_force_trip_wins_over_a_remote_fill_depth(hand):
    hand.go(DEPTH, 9.4)
    hand.cycle()
    hand.cycle()
    assert (hand.value("Apc.Mode"), hand.value("Apc.ShedReason")) == (SHED, INTERLOCK)
    hand.run(60)
    assert hand.value(f"{DEPTH}.SP_Working") < 8.1
    assert hand.rig.plc.force_kn < 11.0


@pytest.mark.parametrize(("target", "inside"), [(15.0, (40.0, 96.0)), (60.0, (4.0, 60.0))])
def test_the_level_limits_win_over_a_remote_turret(hand, target, inside):
    hand.go(TURRET, target)
    while hand.value("Apc.Mode") == REMOTE:
        hand.cycle()
    assert (hand.value("Apc.Mode"), hand.value("Apc.ShedReason")) == (SHED, INTERLOCK)
    levels, turns = [], []
    for _ in range(600):
        hand.run(0.5)
        levels.append(hand.rig.line.chute.level_pct)
        turns.append(hand.value(f"{TURRET}.SP_Working"))
    assert inside[0] < min(levels)
    assert max(levels) < inside[1], "the hopper neither runs empty nor over"
    starts = sum(after > 5.0 > before for before, after in pairwise(turns))
    assert starts <= 1, "the turret does not stop and start"


def test_an_empty_hopper_stops_a_remote_turret(hand):
    hand.go(TURRET, 40.0)
    hand.rig.line.chute.powder.pull(0.33)
    hand.run(0.5)
    assert hand.rig.plc.level_pct < 5.0
    assert hand.value(f"{TURRET}.SP_Working") == 0.0
    hand.run(10)
    assert hand.value(f"{TURRET}.PV") < 37.0
