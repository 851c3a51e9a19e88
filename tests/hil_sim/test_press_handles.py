"""The press's three handles: the PLC's own until a remote setpoint of theirs is accepted, then followed."""

from __future__ import annotations

import pytest
from hil_hand import (
    ADVISORY,
    DEPTH,
    DEVIATION,
    HANDLES,
    INVALID,
    LOCAL,
    PRESS,
    PRESS_MOVES,
    REMOTE,
    SHED,
    THICKNESS,
    TURRET,
    Hand,
    quiet_rig,
)  # fmt: skip

from hil_sim.plain import PLAIN_TAGS
from hil_sim.rig import Rig
from hil_sim.tags import TAGS

START = {DEPTH: 7.86, THICKNESS: 2.911, TURRET: 37.0}


@pytest.fixture
def hand():
    driver = Hand(quiet_rig())
    driver.go_remote()
    return driver


class LoopsAlone:
    """What the force and the level loop order by themselves, from what the PLC measured in the scan just done."""

    def __init__(self):
        self.depth, self.bias = 7.86, 37.0

    def scan(self, plc):
        error = plc.slots["MainForce"].working - plc.force_kn
        self.depth = min(10.0, max(6.0, self.depth + max(-0.05, min(0.05, error * 0.5 / (8.5 * 10.0)))))
        high = plc.level_pct - 50.0
        self.bias = min(60.0, max(0.0, self.bias + 0.5 * high * 0.5 / 240.0))
        return self.depth, min(60.0, max(0.0, self.bias + 0.5 * high))


def means(hand, seconds=60):
    """Mean of the tablets of a while: force, hardness, weight."""
    made = []
    for _ in range(seconds):
        hand.cycle(1)
        made.append(hand.rig.line.tablets)
    return tuple(sum(getattr(t, of) for t in made) / len(made) for of in ("force_kn", "hardness_n", "weight_mg"))


def test_untouched_handles_are_moved_by_force_and_level_alone():
    hand, alone = Hand(quiet_rig(reset_after_s=20.0)), LoopsAlone()
    seen, plc = set(), hand.rig.plc
    hand.put("Apc.SessionId", 77)
    hand.put("Apc.ModeRequest", 2)
    for step in range(2400):
        minute = step // 120
        if step % 10 == 0 and minute not in (8, 9):
            hand.put("Apc.HeartbeatIn", step + 1)
        hand.put("Apc.Request", minute not in (0, 1, 9, 10))
        if step % 120 == 0 and hand.value("Apc.Mode") == REMOTE:
            hand.move("MainForce", 9.0 + minute % 3)
            hand.put(f"{DEPTH}.SP_Remote", 8.4)  # without its number it is nothing
            hand.move(TURRET, 90.0)  # out of range
            hand.move(THICKNESS, 2.8, 4_000_000_000)  # out of sequence
        hand.rig.step(0.5)
        assert (plc.press.fill_depth_mm, plc.press.turret_rpm) == alone.scan(plc), step
        assert plc.press.thickness_mm is None
        seen.add(hand.value("Apc.Mode"))
    assert seen == {LOCAL, ADVISORY, REMOTE, SHED}
    assert hand.rig.line.press.min_thickness_mm == 2.911


@pytest.mark.parametrize("handle", HANDLES)
def test_read_back_is_what_is_in_force_until_the_first_setpoint(hand, handle):
    values = set()
    for _ in range(10):
        hand.cycle()
        press = hand.rig.plc.press
        order = {DEPTH: press.fill_depth_mm, THICKNESS: 2.911, TURRET: press.turret_rpm}[handle]
        for leaf in ("SP_Remote", "SP_Local", "SP_Working", "BkCal"):
            assert hand.value(f"{handle}.{leaf}") == order
        assert hand.value(f"{handle}.LimitFlags") == 0
        values.add(order)
    assert len(values) == (1 if handle == THICKNESS else 10)
    hand.shed()
    assert hand.value(f"{handle}.LimitFlags") == 16
    assert hand.value(f"{handle}.SP_Remote") == hand.value(f"{handle}.SP_Working")


@pytest.mark.parametrize("handle", HANDLES)
def test_a_written_handle_is_followed_at_its_rate(hand, handle):
    spec, before = PRESS[handle], hand.value(f"{handle}.SP_Working")
    target = before + 0.8 * spec.dev_limit
    assert hand.move(handle, target) == "good"
    assert hand.value(f"{handle}.SP_Working") == before
    hand.run(0.5)
    assert hand.value(f"{handle}.SP_SeqEcho") == hand.sequence
    assert hand.value(f"{handle}.SP_Working") == pytest.approx(before + 0.5 * spec.rate_per_s)
    assert hand.value(f"{handle}.LimitFlags") == 1 + 8
    for _ in range(6):
        hand.cycle()
    assert hand.value(f"{handle}.SP_Working") == hand.value(f"{handle}.SP_Local") == target
    assert hand.value(f"{handle}.LimitFlags") == 1
    assert hand.value(f"{handle}.PV") == pytest.approx(target, abs=0.006)
    assert {hand.value(f"{other}.LimitFlags") for other in HANDLES if other != handle} == {0}


@pytest.mark.parametrize(("handle", "leaf", "limit", "flag"), [
    (DEPTH, "SP_HiLim", 8.0, 2), (THICKNESS, "SP_LoLim", 2.85, 4), (TURRET, "SP_HiLim", 38.0, 2),
])  # fmt: skip
def test_live_limits_clamp_a_written_handle(hand, handle, leaf, limit, flag):
    assert hand.rig.write(f"{handle}.{leaf}", limit, user="operator") == "good"
    assert hand.move(handle, PRESS_MOVES[handle]) == "clamped"
    for _ in range(3):
        hand.cycle()
    assert hand.value(f"{handle}.SP_Working") == limit
    assert hand.value(f"{handle}.LimitFlags") == 1 + flag


def test_a_setpoint_waits_for_its_number_while_the_loop_goes_on(hand):
    hand.put(f"{DEPTH}.SP_Remote", 8.2)
    before = hand.value(f"{DEPTH}.SP_Working")
    hand.cycle()
    assert hand.value(f"{DEPTH}.SP_Remote") == 8.2
    assert hand.value(f"{DEPTH}.SP_Working") != before
    hand.put(f"{DEPTH}.SP_RemoteSeq", 1)
    hand.cycle()
    assert hand.value(f"{DEPTH}.SP_Working") == 8.2
    hand.shed()
    assert hand.value(f"{DEPTH}.SP_Remote") == hand.value(f"{DEPTH}.SP_Working") != 8.2


@pytest.mark.parametrize("handle", HANDLES)
def test_too_distant_setpoints_are_refused_and_shed_after_three(hand, handle):
    for refused in range(3):
        assert hand.value("Apc.Mode") == REMOTE, refused
        hand.move(handle, hand.value(f"{handle}.SP_Working") + 1.2 * PRESS[handle].dev_limit, 1)
        hand.cycle()
        assert hand.value(f"{handle}.SP_SeqEcho") == 0
    assert (hand.value("Apc.Mode"), hand.value("Apc.ShedReason")) == (SHED, DEVIATION)
    assert hand.value(f"{handle}.SP_Working") == pytest.approx(START[handle], rel=0.03)


def test_setpoints_outside_the_engineering_range_shed_as_well(hand):
    for _ in range(3):
        assert hand.move(THICKNESS, 5.1) == "bad_out_of_range"
        hand.cycle()
    assert (hand.value("Apc.Mode"), hand.value("Apc.ShedReason")) == (SHED, INVALID)


def test_thinner_is_harder_and_takes_more_force(hand):
    depth = hand.value(f"{DEPTH}.SP_Working")
    hand.go(DEPTH, depth + 0.001)
    force_kn, hardness_n, weight_mg = means(hand)
    hand.go(THICKNESS, 2.851)
    thin_kn, thin_n, thin_mg = means(hand)
    assert hand.value(f"{THICKNESS}.PV") == pytest.approx(2.85, abs=1e-6), "in steps of 0.01 mm"
    assert hand.value("Press.ThicknessMm") == pytest.approx(2.85 * 1.045)
    assert thin_mg == pytest.approx(weight_mg, rel=0.01)
    assert force_kn + 0.8 < thin_kn < force_kn + 3.0
    assert hardness_n + 5.0 < thin_n < hardness_n + 25.0
    hand.go(THICKNESS, 3.0)
    thick_kn, thick_n, _ = means(hand)
    assert (thick_kn < force_kn - 0.8, thick_n < hardness_n - 5.0) == (True, True)


def test_thickness_lags_its_order(hand):
    hand.move(THICKNESS, 2.811)
    hand.run(2)
    assert hand.value(f"{THICKNESS}.SP_Working") == pytest.approx(2.811)
    assert 2.825 < hand.value(f"{THICKNESS}.PV") < 2.885, "1.5 s behind"
    hand.run(10)
    assert hand.value(f"{THICKNESS}.PV") == pytest.approx(2.81, abs=1e-3)


def test_thickness_stays_after_remote_until_an_operator_moves_it(hand):
    hand.move(THICKNESS, 2.7)
    hand.run(2)
    hand.shed()
    held = hand.value(f"{THICKNESS}.SP_Working")
    assert 2.7 < held < 2.911
    hand.put("Apc.Request", False)
    hand.rig.write(f"{THICKNESS}.SP_Local", 3.0, user="operator")
    hand.run(60)
    assert hand.value(f"{THICKNESS}.SP_Working") == held, "stays in shed"
    hand.rig.write("Apc.Reset", True, user="operator")
    hand.run(60)
    assert hand.value("Apc.Mode") == LOCAL
    assert hand.value(f"{THICKNESS}.SP_Working") == hand.value(f"{THICKNESS}.SP_Local") == held, "and in local"
    assert hand.rig.write(f"{THICKNESS}.SP_Local", 2.9, user="operator") == "good"
    hand.run(1)
    assert hand.value(f"{THICKNESS}.SP_Working") == pytest.approx(held + 0.05)
    hand.run(10)
    assert hand.value(f"{THICKNESS}.SP_Working") == hand.value(f"{THICKNESS}.SP_Remote") == 2.9
    assert hand.value(f"{THICKNESS}.PV") == pytest.approx(2.9, abs=1e-3)


def test_a_limit_moves_no_thickness_that_nobody_has_set():
    hand = Hand(quiet_rig())
    for leaf, limit in (("SP_LoLim", 2.7), ("SP_HiLim", 2.8)):
        assert hand.rig.write(f"{THICKNESS}.{leaf}", limit, user="operator") == "good"
    hand.go_remote()
    assert hand.value(f"{THICKNESS}.SP_Working") == hand.value(f"{THICKNESS}.PV") == 2.911
    hand.move(THICKNESS, 2.9)
    hand.cycle()
    assert hand.value(f"{THICKNESS}.SP_Working") == 2.8


def test_local_setpoints_that_a_loop_or_remote_has_are_refused(hand):
    for handle, target in PRESS_MOVES.items():
        assert hand.rig.write(f"{handle}.SP_Local", target, user="operator") == "bad_invalid_state"
    local = Hand(quiet_rig())
    local.run(1)
    assert local.rig.write(f"{DEPTH}.SP_Local", 8.0, user="operator") == "bad_invalid_state"
    assert local.rig.write(f"{TURRET}.SP_Local", 37.0, user="operator") == "bad_invalid_state"
    assert local.rig.write(f"{THICKNESS}.SP_Local", 3.4, user="operator") == "bad_out_of_range"
    assert local.rig.write(f"{THICKNESS}.SP_Local", 3.0, user="operator") == "good"
    assert local.put(f"{DEPTH}.SP_Remote", 8.0) == "bad_invalid_state"


@pytest.mark.parametrize("handle", HANDLES)
def test_a_handle_has_the_tags_of_the_main_force_and_their_writers(handle):
    hand = Hand(quiet_rig())
    hand.run(30)
    shown = hand.rig.read()
    of_force = {name.partition(".")[2]: spec for name, spec in TAGS.items() if name.startswith("MainForce.")}
    assert {name.partition(".")[2] for name in shown if name.startswith(f"{handle}.")} == set(of_force)
    for leaf, spec in of_force.items():
        tag = f"{handle}.{leaf}"
        assert (TAGS[tag].kind, TAGS[tag].writer) == (spec.kind, spec.writer)
        assert (shown[tag].status, shown[tag].source_time_s) == ("good", hand.rig.time_s)
        stranger = "operator" if spec.writer == "edge" else "edge"
        refusal = "bad_user_access" if spec.writer else "bad_not_writable"
        assert hand.rig.write(tag, shown[tag].value, user=stranger) == refusal
    press, spec = hand.rig.line.press, PRESS[handle]
    at = {DEPTH: press.fill_depth_mm, THICKNESS: press.min_thickness_mm, TURRET: press.turret_rpm}[handle]
    assert shown[f"{handle}.PV"].value == at
    limits = [shown[f"{handle}.{leaf}"].value for leaf in ("SP_LoLim", "SP_HiLim", "SP_RateLim", "DevLimit")]
    assert limits == [spec.low, spec.high, spec.rate_per_s, spec.dev_limit]


def test_a_plain_plc_takes_the_handles_as_it_takes_the_force():
    for handle in HANDLES:
        assert {n.partition(".")[2] for n in PLAIN_TAGS if n.startswith(f"{handle}.")} == {
            "SP_Remote", "SP_Working", "SP_Local", "PV",
        }  # fmt: skip
    rig = Rig(quiet_rig().scenario, 1, plc="plain")
    hand = Hand(rig)
    for _ in range(2):
        hand.cycle()
        hand.put("Apc.Request", True)
    hand.cycle()
    for handle, target in PRESS_MOVES.items():
        assert hand.put(f"{handle}.SP_Remote", target) == "good"
    hand.cycle()
    assert {handle: hand.value(f"{handle}.SP_Working") for handle in HANDLES} == PRESS_MOVES
    hand.put("Apc.Request", False)
    hand.cycle(30)
    assert hand.value(f"{THICKNESS}.SP_Working") == 2.8
    assert hand.value(f"{DEPTH}.SP_Working") != 8.2
    assert hand.value(f"{TURRET}.SP_Working") != 40.0
