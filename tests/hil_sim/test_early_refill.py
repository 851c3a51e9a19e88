"""The PLC's side of an early refill: when it is taken, when not, and that the low level stays what it was."""

from __future__ import annotations

import pytest
from hil_hand import Hand, quiet_rig

from hil_sim.line.feeder import LossInWeightFeeder
from hil_sim.plc import REFILL_EARLY
from hil_sim.tags import FEEDER_MVS, TAGS

ASK = "FeederMcc.RefillRequest"


@pytest.fixture
def hand() -> Hand:
    driver = Hand(quiet_rig())
    for feeder in driver.rig.line.feeders.values():
        fill(feeder, 0.4)
    driver.go_remote()
    return driver


def fill(feeder: LossInWeightFeeder, share: float) -> None:
    """To a share of what a refill brings, above its low level."""
    p = feeder._p
    feeder.hopper_kg = feeder.weight_kg = feeder._weighed_kg = p.capacity_kg * (
        p.refill_low + share * (p.refill_high - p.refill_low)
    )
    feeder._forget_weights()


def refilling(hand: Hand) -> set[str]:
    return {name for name in FEEDER_MVS if hand.value(f"{name}.Refilling")}


def test_every_feeder_has_the_tag_and_the_press_has_not() -> None:
    there = {name for name in TAGS if name.endswith(".RefillRequest")}
    assert there == {f"{name}.RefillRequest" for name in FEEDER_MVS}
    assert all(TAGS[name].writer == "edge" for name in there)


def test_an_early_refill_is_taken_once_and_the_request_falls_back(hand: Hand) -> None:
    level = float(hand.value("FeederMcc.HopperKg"))  # type: ignore[arg-type]
    assert hand.put(ASK, True) == "good"
    assert hand.value(ASK) is True
    hand.run(1)
    assert refilling(hand) == {"FeederMcc"}
    assert hand.value(ASK) is False
    for _ in range(14):
        hand.cycle()
    assert float(hand.value("FeederMcc.HopperKg")) > level + 1.0  # type: ignore[arg-type]
    assert hand.value("FeederMcc.Volumetric") is False
    assert hand.rig.line.feeders["mcc"].refilled_kg < 3.06, "only what was missing was filled in"


def test_nothing_else_changes_when_nobody_asks() -> None:
    one, other = quiet_rig(), quiet_rig()
    for rig in (one, other):
        for _ in range(1200):
            rig.step(0.5)
            if rig is other:
                rig.write(ASK, False, user="edge")
    assert one.truth() == other.truth()


def test_it_is_refused_before_remote_and_forgotten(hand: Hand) -> None:
    local = Hand(quiet_rig())
    assert local.put(ASK, True) == "bad_invalid_state"
    assert local.put(ASK, False) == "good"
    local.run(2)
    assert not refilling(local)
    hand.put(ASK, True)
    hand.put("Apc.Request", False)  # in the same scan
    hand.cycle()
    assert not refilling(hand)
    assert hand.value(ASK) is False


def test_taken_back_before_the_scan_it_is_as_if_never_asked(hand: Hand) -> None:
    hand.put(ASK, True)
    hand.put(ASK, False)
    hand.run(2)
    assert not refilling(hand)


@pytest.mark.parametrize(("share", "taken"), [(REFILL_EARLY - 0.05, True), (REFILL_EARLY + 0.05, False)])
def test_a_feeder_that_still_holds_much_is_not_refilled(hand: Hand, share: float, taken: bool) -> None:
    fill(hand.rig.line.feeders["mcc"], share)
    hand.rig.line.feeders["mcc"].phase = "gravimetric"
    hand.put(ASK, True)
    hand.run(1)
    assert refilling(hand) == ({"FeederMcc"} if taken else set())
    assert hand.value(ASK) is False


def test_one_at_a_time_also_when_two_are_asked_at_once(hand: Hand) -> None:
    hand.put("FeederLac.RefillRequest", True)
    hand.put(ASK, True)
    hand.run(1)
    assert refilling(hand) == {"FeederMcc"}
    hand.put("FeederLac.RefillRequest", True)
    hand.run(1)
    assert refilling(hand) == {"FeederMcc"}, "while one is blind no other is refilled early"
    for _ in range(12):
        hand.cycle()
    hand.put("FeederLac.RefillRequest", True)
    hand.run(1)
    assert refilling(hand) == {"FeederLac"}


def test_a_standing_line_refills_nothing_early(hand: Hand) -> None:
    hand.rig.plc.held = True
    hand.put(ASK, True)
    hand.run(2)
    assert not refilling(hand)


def test_the_low_level_refills_whoever_else_does(hand: Hand) -> None:
    fill(hand.rig.line.feeders["lac"], 0.0005)
    hand.put(ASK, True)
    hand.run(5)
    assert refilling(hand) == {"FeederMcc", "FeederLac"}
