"""The line under the soft sensor's number: what it may be used for, in one glance, and only what matters now."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from edge.hmi.live import Live
from edge.hmi.screen import screen
from edge.hmi.sensor import sensor_line
from edge.record.canonical import decode, encode
from edge.signals import Licence, Verification
from soft_sensors.signals import Estimate, Outcome, Quality

T0, DAY_S = 1_772_323_200.0, 86400.0  # 2026-03-01
LICENCE = Licence("bundle", "effective", T0 + 400 * DAY_S)
PASSED = Verification("NIR-1", T0 - DAY_S, T0 + 60 * DAY_S, "0" * 64)
ESTIMATE = Estimate(
    10.0, 0.1, 9.8, 10.2, 3.0, 20.0, 0.1, 1.0, Quality.GOOD, "", 7, T0, outcome=Outcome.WITHIN
)  # fmt: skip


def live(
    licence: Licence | None = LICENCE, verification: Verification | None = PASSED, asked: bool = True,
    estimate: Estimate = ESTIMATE, **thought: Any,
) -> Live:  # fmt: skip
    thought = {
        "mode": "advise", "target": {"api_pct": 10.0, "throughput_kg_h": 20.0, "tablet_weight_mg": 250.0},
        "estimate": decode(encode(estimate)), "interval_factor": 1.0, "unverified": "", "unlicensed": "", **thought,
    }  # fmt: skip
    sample = {"licence": licence and decode(encode(licence)), "verification": verification
              and decode(encode(verification))}  # fmt: skip
    config = {"sensor": {"model": "cdc_api_nir"}, "analyser": {"verification": "nir.json" if asked else None}}
    return Live("L", 1, T0, 1.0, False, thought, sample, {"config": config}, (), (), ())


def line(**changes: Any) -> str:
    now = live(**changes)
    assert now.thought is not None
    return sensor_line(now, now.thought)


def test_all_is_well() -> None:
    assert line() == "within limits · cdc_api_nir, effective · verified"


def test_a_line_that_asks_for_no_verification_and_a_card_without_limits_say_less() -> None:
    decided = replace(ESTIMATE, outcome=Outcome.DECIDED)
    assert line(asked=False, verification=None, estimate=decided) == "cdc_api_nir, effective"


@pytest.mark.parametrize(
    ("outcome", "short", "said"),
    [
        (Outcome.OUTSIDE, "", "OUTSIDE limits"),
        (Outcome.UNDECIDED, "the estimate is uncertain", "undecided"),
        (Outcome.UNDECIDED, "beyond the calibrated range 6 to 13", "undecided: beyond the calibrated range 6 to 13"),
    ],
)
def test_the_outcome_and_what_is_short(outcome: Outcome, short: str, said: str) -> None:
    assert line(estimate=replace(ESTIMATE, outcome=outcome, undecided=short)).split(" · ")[0] == said


@pytest.mark.parametrize(
    ("licence", "thought", "said"),
    [
        (replace(LICENCE, valid_until_s=T0 + 13 * DAY_S), {}, "cdc_api_nir, effective, expires 2026-03-14"),
        (replace(LICENCE, valid_until_s=T0 + 15 * DAY_S), {}, "cdc_api_nir, effective"),
        (replace(LICENCE, valid_until_s=T0 - DAY_S), {"unlicensed": "x"}, "cdc_api_nir, EXPIRED 2026-02-28"),
        (replace(LICENCE, state="approved"), {"unlicensed": "x"}, "cdc_api_nir, approved, NOT FIT for closed loop"),
        (replace(LICENCE, state="ungoverned", valid_until_s=0.0), {"unlicensed": "x"}, "cdc_api_nir, not governed"),
        (None, {}, "cdc_api_nir, no licence"),
    ],
)
def test_the_models_standing(licence: Licence | None, thought: dict[str, str], said: str) -> None:
    assert line(licence=licence, **thought).split(" · ")[1] == said


@pytest.mark.parametrize(
    ("verification", "unverified", "said"),
    [
        (replace(PASSED, valid_until_s=T0 + 2 * DAY_S), "", "verified until 2026-03-03"),
        (replace(PASSED, failed="axis"), "axis", "instrument FAILED verification"),
        (replace(PASSED, missing="none"), "none", "instrument NOT VERIFIED"),
        (replace(PASSED, valid_until_s=T0 - DAY_S), "overdue", "instrument NOT VERIFIED"),
        (None, "never", "instrument NOT VERIFIED"),
        (None, "", "instrument NOT VERIFIED"),
    ],
)
def test_the_instruments_standing(verification: Verification | None, unverified: str, said: str) -> None:
    assert line(verification=verification, unverified=unverified).split(" · ")[2] == said


def test_the_widening_stands_behind_the_interval() -> None:
    plain, wide = (screen(live(interval_factor=f)).bigs[0] for f in (1.0, 1.31))
    assert plain.spread == "90 %: 98.0 to 102.0"
    assert wide.spread == "90 %: 98.0 to 102.0, widened ×1.31"
    assert (plain.abnormal, wide.abnormal) == (False, False)


def test_outside_the_limits_is_abnormal_whatever_the_action_limit() -> None:
    assert screen(live(estimate=replace(ESTIMATE, outcome=Outcome.OUTSIDE))).bigs[0].abnormal


def test_a_record_of_an_older_version_is_shown() -> None:
    old = live()
    thought = dict(old.thought or {})
    for key in ("interval_factor", "unverified", "unlicensed"):
        del thought[key]
    shown = screen(replace(old, thought=thought, start={})).bigs[0]
    assert shown.source == "within limits · model, effective"
    assert math.isclose(float(shown.value), 100.0)
