"""Which refill is brought forward, and when: never two, never on what is not sure, never sooner than needed."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from control.commands import read_settings
from control.decide.refill_plan import refill_now
from control.settings import ControlSettings, RefillLevels, RefillSettings
from control.signals import FeederReading, Quality, Reading

LINE = read_settings(Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml")
API, MCC, LAC, MGST = ABLE = ("FeederApi", "FeederMcc", "FeederLac", "FeederMgst")
LEVELS = {
    API: RefillLevels(low_kg=0.9, high_kg=2.4, early_kg=1.65, blind_s=45),
    MCC: RefillLevels(low_kg=1.5, high_kg=4.56, early_kg=3.0, blind_s=48),
    LAC: RefillLevels(low_kg=2.5, high_kg=7.5, early_kg=5.0, blind_s=53),
    MGST: RefillLevels(low_kg=0.1, high_kg=0.3, early_kg=0.2, blind_s=41),
}
FLOWS = {API: 2.0, MCC: 10.8, LAC: 7.0, MGST: 0.2}
MARGIN_S, CYCLE_S = 30.0, 5.0


def on(table: RefillSettings | None) -> ControlSettings:
    return LINE.model_copy(update={"controller": LINE.controller.model_copy(update={"refills": table})})


ON, OFF = on(RefillSettings(levels=LEVELS)), on(None)


def seen(in_s: dict[str, float], flows: dict[str, float] = FLOWS) -> dict[str, FeederReading]:
    """Hoppers that will be low in so many seconds."""
    return {
        n: FeederReading(
            Reading(flows[n], 0.0), Reading(LEVELS[n].low_kg + flows[n] * s / 3600, 0.0), Reading(10.0, 0.0), False
        )
        for n, s in in_s.items()
    }  # fmt: skip


def asked(in_s: dict[str, float], settings: ControlSettings = ON) -> str:
    found = refill_now(settings, seen(in_s), ABLE, ())
    return "" if found is None else found.feeder


APART = {API: 2000.0, MCC: 600.0, LAC: 1500.0, MGST: 3000.0}
MEET = {API: 100.0, MCC: 95.0, LAC: 1500.0, MGST: 3000.0}


def test_refills_that_are_apart_are_left_alone() -> None:
    assert asked(APART) == ""
    assert asked(APART | {LAC: 600.0 + 48 + MARGIN_S / 2 + 1}) == "", "half a margin is enough when nobody asks"


def test_what_would_meet_is_brought_forward_at_the_last_moment() -> None:
    for minutes in (12, 8, 4, 2):
        assert asked({n: s + 60 * minutes for n, s in MEET.items()}) == ""
    assert asked(MEET) == "", "another 17 s until it has to be"
    found = refill_now(ON, seen({n: s - 13 for n, s in MEET.items()}), ABLE, ())
    assert found is not None
    assert found.reason.startswith("it would have met Feeder")


def test_the_one_that_gives_away_less_of_its_filling_is_chosen() -> None:
    """At 78 s before, the API gives away 1/35 of a filling twice counted, lactose 1/33 once, cellulose 1/13."""
    assert asked({API: 78.0, LAC: 83.0, MCC: 900.0, MGST: 3000.0}) == LAC
    assert asked({API: 2000.0, LAC: 83.0, MCC: 80.0, MGST: 3000.0}) == LAC
    assert asked({API: 81.0, LAC: 2000.0, MCC: 80.0, MGST: 3000.0}) == API


def test_three_that_meet_are_begun_in_time_for_the_third() -> None:
    three = {API: 170.0, MCC: 165.0, LAC: 160.0, MGST: 3000.0}
    first = asked(three)
    assert first != ""
    others = sorted(set(three) - {first, MGST})
    assert asked(dict.fromkeys(others, 170.0) | {first: 2000.0, MGST: 3000.0}) == "", "two of them could have waited"


def test_another_refill_that_stands_in_the_way_is_begun_before() -> None:
    """Lubricant refills from 60 to 101 s: what has to be moved is moved before it, or not at all."""
    assert asked({API: 140.0, LAC: 138.0, MCC: 1000.0, MGST: 85.0}) != ""
    assert asked({API: 140.0, LAC: 138.0, MCC: 1000.0, MGST: 30.0}) == ""


def test_only_what_the_plc_takes_is_asked_for() -> None:
    now = {API: 78.0, LAC: 83.0, MCC: 900.0, MGST: 3000.0}
    for able in ((), (API,), (LAC,), (MCC,), (API, LAC)):
        found = refill_now(ON, seen(now), able, ())
        assert (found is None) == (not set(able) & {API, LAC})
        assert found is None or found.feeder in able


def test_a_full_feeder_is_not_asked() -> None:
    short = on(RefillSettings(levels=LEVELS | {n: LEVELS[n].model_copy(update={"early_kg": LEVELS[n].low_kg + 1e-6})
                                               for n in (API, LAC)}))  # fmt: skip
    now = {API: 78.0, LAC: 83.0, MCC: 900.0, MGST: 3000.0}
    assert asked(now) == LAC
    assert asked(now, short) == ""


def test_too_late_is_left_to_the_plc() -> None:
    assert asked({API: 50.0, LAC: 55.0, MCC: 900.0, MGST: 3000.0}) == ""


def test_the_reason_names_the_other_and_the_time() -> None:
    found = refill_now(ON, seen({API: 78.0, LAC: 83.0, MCC: 900.0, MGST: 3000.0}), ABLE, ())
    assert found is not None
    assert found.reason == "it would have met FeederApi's in 83 s"
    slow = on(RefillSettings(levels=LEVELS, margin_s=150.0))
    later = refill_now(slow, seen({API: 200.0, LAC: 203.0, MCC: 900.0, MGST: 3000.0}), ABLE, ())
    assert later is not None
    assert later.reason == "it would have met FeederApi's in 3 min"


levels_s = st.fixed_dictionaries({n: st.floats(0.0, 900.0) for n in ABLE})


@given(levels_s, st.sampled_from(ABLE), st.sampled_from(["hopper_kg", "flow_kg_h"]),
       st.sampled_from([Reading(1.0, 0.0, Quality.BAD), Reading(1.0, 0.0, Quality.UNCERTAIN), Reading(math.nan, 0.0),
                        Reading(math.inf, 0.0), Reading(-1.0, 0.0)]))  # fmt: skip
def test_never_on_a_reading_that_is_not_good(in_s: dict[str, float], name: str, part: str, reading: Reading) -> None:
    there = seen(in_s)
    there[name] = replace(there[name], **{part: reading})
    assert refill_now(ON, there, ABLE, ()) is None


@given(levels_s, st.sampled_from(ABLE))
def test_never_off_nor_blind_nor_unsettled(in_s: dict[str, float], name: str) -> None:
    there = seen(in_s)
    assert refill_now(OFF, there, ABLE, ()) is None
    assert refill_now(ON, there, ABLE, ["a change of the recipe"]) is None
    assert refill_now(ON, there | {name: replace(there[name], volumetric=True)}, ABLE, ()) is None
    two = on(RefillSettings(levels={n: LEVELS[n] for n in (API, MCC)}))
    blind = there | {LAC: replace(there[LAC], volumetric=True)}
    assert refill_now(two, blind, ABLE, ()) is None, "also of a feeder that is not planned"


def meetings(starts: dict[str, float]) -> float:
    """How long two are blind at once, s, counted second by second."""
    at = [sum(s <= t < s + LEVELS[n].blind_s for n, s in starts.items()) for t in range(1200)]
    return float(sum(count > 1 for count in at))


@given(levels_s)
def test_what_is_asked_meets_less_than_what_would_come(in_s: dict[str, float]) -> None:
    name = asked(in_s)
    if name:
        assert in_s[name] <= (LEVELS[name].early_kg - LEVELS[name].low_kg) / FLOWS[name] * 3600 + 1e-6
        others = {n: s for n, s in in_s.items() if n != name}
        gaps = [s for s in others.values() if s < LEVELS[name].blind_s + MARGIN_S / 2 - 1e-6]
        assert not gaps, "the refill that is asked for meets none"
        assert meetings(others | {name: 0.0}) <= meetings(in_s) + 1


@hypothesis_settings(max_examples=40, deadline=None)
@given(st.fixed_dictionaries({n: st.floats(0.15, 0.95) for n in ABLE}), st.floats(0.7, 1.3))
def test_in_an_ideal_line_two_are_never_blind_after_the_start(share: dict[str, float], pace: float) -> None:
    """Four hours: hoppers that empty evenly, a PLC that refills at the low level and takes what is asked."""
    flows = {n: f * pace for n, f in FLOWS.items()}
    kg = {n: LEVELS[n].low_kg + share[n] * (LEVELS[n].high_kg - LEVELS[n].low_kg) for n in ABLE}
    blind_to = dict.fromkeys(ABLE, -1.0)
    refills, forward = 0, 0
    for i in range(int(4 * 3600 / CYCLE_S)):
        now = i * CYCLE_S
        there = seen({n: (kg[n] - LEVELS[n].low_kg) / flows[n] * 3600 for n in ABLE}, flows)
        there = {n: replace(f, volumetric=blind_to[n] > now) for n, f in there.items()}
        found = refill_now(ON, there, ABLE, ())
        assert found is None or all(t <= now for t in blind_to.values())
        for n in ABLE:
            kg[n] -= flows[n] * CYCLE_S / 3600
            early = found is not None and found.feeder == n
            if blind_to[n] <= now and (early or kg[n] < LEVELS[n].low_kg):
                refills, forward = refills + 1, forward + early
                kg[n], blind_to[n] = LEVELS[n].high_kg, now + LEVELS[n].blind_s
        if now > 1200:
            assert sum(t > now for t in blind_to.values()) <= 1, now
    assert forward < refills


@pytest.mark.parametrize(
    "wrong",
    [{API: {"low_kg": 1.0, "high_kg": 2.0, "early_kg": 0.9, "blind_s": 40.0}, MCC: LEVELS[MCC].model_dump()},
     {API: LEVELS[API].model_dump()}],
)  # fmt: skip
def test_levels_that_make_no_sense_are_refused(wrong: dict[str, dict[str, float]]) -> None:
    with pytest.raises(ValidationError):
        RefillSettings.model_validate({"levels": wrong})


def test_a_feeder_that_the_line_has_not_is_refused() -> None:
    strange = RefillSettings(levels={API: LEVELS[API], "FeederSugar": LEVELS[MCC]})
    tables = LINE.model_dump() | {"controller": {**LINE.controller.model_dump(), "refills": strange.model_dump()}}
    with pytest.raises(ValidationError, match="FeederSugar"):
        ControlSettings.model_validate(tables)
