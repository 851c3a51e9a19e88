"""Every rule of the PLC's handshake and setpoint checks."""

from __future__ import annotations

import math

import pytest
from hil_hand import (
    ADVISORY,
    DEVIATION,
    INTERLOCK,
    INVALID,
    LOCAL,
    MVS,
    OPERATOR,
    REMOTE,
    SESSION,
    SHED,
    WATCHDOG,
    Hand,
    quiet_rig,
)


@pytest.fixture
def hand():
    driver = Hand(quiet_rig())
    driver.go_remote()
    return driver


def shed_state(hand):
    return hand.value("Apc.Mode"), hand.value("Apc.ShedReason"), hand.value("Apc.RemoteActive")


def test_advisory_needs_a_heartbeat_and_a_mode_request():
    hand = Hand(quiet_rig())
    hand.put("Apc.SessionId", 5)
    hand.put("Apc.ModeRequest", 1)
    hand.run(1)
    assert hand.value("Apc.Mode") == LOCAL
    hand.cycle(1)
    assert hand.value("Apc.Mode") == ADVISORY
    assert hand.value("Apc.WatchdogOk") is True
    hand.run(21)
    assert hand.value("Apc.Mode") == LOCAL
    assert hand.value("Apc.WatchdogOk") is False


def test_heartbeat_zero_is_dead():
    hand = Hand(quiet_rig())
    hand.cycle()
    hand.put("Apc.HeartbeatIn", 0)
    hand.run(1)
    assert hand.value("Apc.WatchdogOk") is False


def test_plc_heartbeat_counts_seconds():
    hand = Hand(quiet_rig())
    hand.run(10)
    before = hand.value("Apc.HeartbeatOut")
    hand.run(7)
    assert hand.value("Apc.HeartbeatOut") == before + 7


@pytest.mark.parametrize("missing", ["enable", "request", "mode", "heartbeat"])
def test_remote_needs_enable_request_mode_and_heartbeat(missing):
    hand = Hand(quiet_rig(operator=()) if missing == "enable" else quiet_rig())
    hand.put("Apc.SessionId", 5)
    hand.put("Apc.ModeRequest", 1 if missing == "mode" else 2)
    hand.run(1)
    if missing != "heartbeat":
        hand.cycle(1)
    if missing != "request":
        hand.put("Apc.Request", True)
    hand.run(2)
    assert hand.value("Apc.RemoteActive") is False


def test_remote_starts_bumpless(hand):
    for mv in MVS:
        assert hand.value(f"{mv}.SP_Remote") == hand.value(f"{mv}.SP_Working") == hand.value(f"{mv}.BkCal")
        assert hand.value(f"{mv}.LimitFlags") & 1


def test_setpoint_without_remote_is_refused():
    hand = Hand(quiet_rig())
    assert hand.put("FeederApi.SP_Remote", 2.1) == "bad_invalid_state"
    assert hand.put("FeederApi.SP_RemoteSeq", 1) == "bad_invalid_state"
    assert hand.value("FeederApi.LimitFlags") & 16


def test_accepted_setpoint_is_echoed_and_rate_limited(hand):
    assert hand.move("FeederApi", 2.4) == "good"
    assert hand.value("FeederApi.SP_Working") == pytest.approx(2.0)
    hand.run(1)
    assert hand.value("FeederApi.SP_SeqEcho") == 1
    assert hand.value("FeederApi.SP_Working") == pytest.approx(2.0 + 0.04)
    assert hand.value("FeederApi.LimitFlags") == 1 + 8
    hand.cycle()
    hand.cycle()
    assert hand.value("FeederApi.SP_Working") == pytest.approx(2.4)
    assert hand.value("FeederApi.LimitFlags") == 1


def test_setpoint_alone_moves_nothing_before_its_number(hand):
    hand.put("FeederApi.SP_Remote", 2.3)
    hand.cycle()
    assert hand.value("FeederApi.SP_Working") == pytest.approx(2.0)


@pytest.mark.parametrize("sequence", [0, 5, 26, 4_000_000_000])
def test_sequence_must_increase_within_the_window(hand, sequence):
    hand.move("FeederApi", 2.05, 5)
    hand.cycle()
    assert hand.value("FeederApi.SP_SeqEcho") == 5
    hand.move("FeederApi", 2.2, sequence)
    hand.cycle()
    assert hand.value("FeederApi.SP_SeqEcho") == 5
    assert hand.value("FeederApi.SP_Working") == pytest.approx(2.05)
    assert hand.value("Apc.Mode") == REMOTE


def test_clamp_to_the_live_limits(hand):
    assert hand.rig.write("FeederApi.SP_HiLim", 2.1, user="operator") == "good"
    assert hand.move("FeederApi", 2.5) == "clamped"
    hand.cycle()
    assert hand.value("FeederApi.SP_Working") == pytest.approx(2.1)
    assert hand.value("FeederApi.LimitFlags") & 2
    hand.rig.write("FeederApi.SP_LoLim", 2.05, user="operator")
    hand.move("FeederApi", 1.9)
    hand.cycle()
    assert hand.value("FeederApi.SP_Working") == pytest.approx(2.05)
    assert hand.value("FeederApi.LimitFlags") & 4


def test_limits_tightened_under_a_setpoint_pull_it_in(hand):
    hand.move("FeederApi", 2.4)
    hand.cycle(15)
    hand.rig.write("FeederApi.SP_HiLim", 2.2, user="operator")
    hand.cycle(10)
    assert hand.value("FeederApi.SP_Working") == pytest.approx(2.2)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.1, 6.01])
def test_invalid_setpoints_are_refused_and_shed_after_three(hand, value):
    for i in range(3):
        assert hand.move("FeederApi", value) == "bad_out_of_range"
        assert hand.value("Apc.RemoteActive") is True, i
        hand.cycle()
    assert shed_state(hand) == (SHED, INVALID, False)
    assert hand.value("FeederApi.SP_Working") == pytest.approx(2.0)
    assert hand.value("FeederApi.SP_SeqEcho") == 0


def test_a_number_after_a_refused_setpoint_does_not_revive_the_old_one(hand):
    hand.put("FeederApi.SP_Remote", 2.3)
    hand.put("FeederApi.SP_Remote", math.nan)
    hand.put("FeederApi.SP_RemoteSeq", 1)
    hand.cycle()
    assert hand.value("FeederApi.SP_SeqEcho") == 0
    assert hand.value("FeederApi.SP_Working") == pytest.approx(2.0)


def test_a_good_setpoint_forgives_earlier_refusals(hand):
    for _ in range(4):
        hand.move("FeederApi", math.nan, 1)
        hand.cycle()
        hand.move("FeederApi", 2.0, hand.value("FeederApi.SP_SeqEcho") + 1)
        hand.cycle()
    assert hand.value("Apc.Mode") == REMOTE


def test_too_distant_setpoints_are_refused_and_shed_after_three(hand):
    for _ in range(3):
        hand.move("FeederApi", 2.9, 1)
        hand.cycle()
    assert shed_state(hand) == (SHED, DEVIATION, False)
    assert hand.value("FeederApi.SP_Working") == pytest.approx(2.0)


def test_unavailable_mv_takes_no_setpoint(hand):
    hand.rig.plc.slots["FeederMcc"].available = False
    hand.move("FeederMcc", 11.0)
    hand.cycle()
    assert hand.value("FeederMcc.SP_SeqEcho") == 0
    assert hand.value("FeederMcc.Available") is False


def test_watchdog_sheds_on_line_time_and_holds(hand):
    hand.move("FeederApi", 2.4)
    hand.cycle(2)
    hand.run(19)
    assert shed_state(hand) == (SHED, WATCHDOG, False)
    held = hand.value("FeederApi.SP_Working")
    assert hand.value("Apc.ShedTime") == pytest.approx(hand.rig.time_s - 0.5, abs=1.0)
    hand.run(60)
    assert hand.value("FeederApi.SP_Working") == held
    assert hand.value("FeederApi.SP_Local") == held
    assert hand.move("FeederApi", 2.0) == "bad_invalid_state"


def test_operator_takes_control_back(hand):
    hand.rig.write("Apc.OperatorEnable", False, user="operator")
    hand.cycle()
    assert shed_state(hand) == (SHED, OPERATOR, False)


def test_new_session_while_remote_sheds_and_takes_nothing_written_with_it(hand):
    hand.move("FeederApi", 2.1)
    hand.cycle()
    hand.put("Apc.SessionId", 1234)
    hand.move("FeederApi", 2.3, 1)
    hand.cycle()
    assert shed_state(hand) == (SHED, SESSION, False)
    assert hand.value("FeederApi.SP_Working") == pytest.approx(2.1)


def test_same_session_written_again_changes_nothing(hand):
    hand.move("FeederApi", 2.1)
    hand.cycle()
    hand.put("Apc.SessionId", hand.session)
    hand.cycle()
    assert hand.value("Apc.Mode") == REMOTE
    assert hand.value("FeederApi.SP_SeqEcho") == 1


def test_interlock_force_trip_sheds(hand):
    hand.rig.line.press.min_thickness_mm = 2.0
    hand.cycle()
    hand.cycle()
    hand.cycle()
    assert shed_state(hand) == (SHED, INTERLOCK, False)
    assert hand.value("Apc.Permit") is False


def test_interlock_low_hopper_stops_the_turret(hand):
    hand.rig.line.chute.powder.pull(0.32)
    hand.cycle()
    assert shed_state(hand) == (SHED, INTERLOCK, False)
    assert hand.value("Press.HopperLevelPct") > 0.5


@pytest.mark.parametrize("how", ["request", "mode"])
def test_giving_control_back_in_order_needs_no_reset(hand, how):
    hand.move("FeederApi", 2.1)
    hand.cycle()
    if how == "request":
        hand.put("Apc.Request", False)
    else:
        hand.put("Apc.ModeRequest", 1)
    hand.cycle()
    assert hand.value("Apc.Mode") == ADVISORY
    assert hand.value("Apc.ShedReason") == 0
    assert hand.value("FeederApi.SP_Working") == pytest.approx(2.1)
    hand.put("Apc.ModeRequest", 2)
    if how == "mode":
        hand.cycle()
        assert hand.value("Apc.Mode") == ADVISORY, "a request that was never dropped is not fresh"
        hand.put("Apc.Request", False)
        hand.cycle()
    hand.put("Apc.Request", True)
    hand.cycle()
    assert hand.value("Apc.Mode") == REMOTE


def test_shed_is_latched_until_request_drops_and_operator_resets(hand):
    hand.run(25)
    assert hand.value("Apc.Mode") == SHED
    hand.cycle()
    assert hand.value("Apc.Mode") == SHED, "a heartbeat alone does not bring remote back"
    hand.rig.write("Apc.Reset", True, user="operator")
    hand.cycle()
    assert hand.value("Apc.Mode") == SHED, "reset with the request still up"
    assert hand.value("Apc.Reset") is False
    hand.put("Apc.Request", False)
    hand.cycle()
    assert hand.value("Apc.Mode") == SHED, "no reset"
    hand.rig.write("Apc.Reset", True, user="operator")
    hand.cycle()
    assert (hand.value("Apc.Mode"), hand.value("Apc.ShedReason")) == (ADVISORY, 0)
    hand.put("Apc.Request", True)
    hand.cycle()
    assert hand.value("Apc.Mode") == REMOTE


def test_scripted_operator_resets_a_shed_once_the_request_is_down():
    hand = Hand(quiet_rig(reset_after_s=60.0))
    hand.go_remote()
    hand.run(25)
    assert hand.value("Apc.Mode") == SHED
    hand.run(120)
    assert hand.value("Apc.Mode") == SHED
    hand.put("Apc.Request", False)
    hand.run(2)
    assert hand.value("Apc.Mode") == LOCAL


def test_local_follows_the_operator_and_the_recipe_but_not_in_remote(hand):
    assert hand.rig.write("FeederApi.SP_Local", 2.2, user="operator") == "bad_invalid_state"
    hand.rig.write("Recipe.ApiPct", 12.0, user="operator")
    hand.cycle()
    assert hand.value("FeederApi.SP_Working") == pytest.approx(2.0)
    hand.put("Apc.Request", False)
    hand.cycle()
    hand.rig.write("Recipe.ApiPct", 11.0, user="operator")
    hand.cycle(10)
    assert hand.value("FeederApi.SP_Working") == pytest.approx(2.2)
    assert hand.value("FeederMcc.SP_Working") == pytest.approx(20 * 0.88 * 54 / 89)
    assert hand.rig.write("FeederApi.SP_Local", 2.1, user="operator") == "good"
    hand.cycle(5)
    assert hand.value("FeederApi.SP_Working") == pytest.approx(2.1)
    assert hand.rig.write("FeederApi.SP_Local", 5.5, user="operator") == "bad_out_of_range"


def test_limits_only_move_inside_the_engineering_limits(hand):
    for tag, value in (("SP_LoLim", 0.1), ("SP_HiLim", 5.5), ("SP_LoLim", 5.2), ("SP_HiLim", 0.5)):
        assert hand.rig.write(f"FeederApi.{tag}", value, user="operator") == "bad_out_of_range"


def test_divert_request_survives_a_dead_controller(hand):
    hand.put("Apc.DivertRequest", True)
    hand.cycle()
    assert hand.value("Gate.Diverting") is True
    hand.run(30)
    assert hand.value("Apc.Mode") == SHED
    assert hand.value("Gate.Diverting") is True


def test_a_dead_controller_alone_does_not_divert(hand):
    hand.run(30)
    assert hand.value("Apc.Mode") == SHED
    assert hand.value("Gate.Diverting") is False


def test_saturated_feeder_is_flagged(hand):
    hand.rig.line.feeders["api"].saturated = True
    orders = hand.rig.plc.scan(hand.rig.time_s, 0.5, hand.rig.line)
    assert hand.rig.plc.slots["FeederApi"].flags & 32
    assert orders.feeds_kg_h[0] == pytest.approx(2.0)
