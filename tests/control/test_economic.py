"""More throughput only while quality backs it: up slowly, down twice as fast, within recipe and registered range."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from control.decide.economic import Economy, aimed, judged
from control.decide.ratio import ratio_setpoints
from control.settings import ControlSettings, EconomicSettings
from control.signals import Authority, Belief, Command, Envelope, Mode, Quality, Situation, Target

RECIPE = Target(10.0, 20.0, 250.0)
TABLE = EconomicSettings(throughput_most_kg_h=22.0, ramp_kg_h_min=0.6)
RUNS = Command(Mode.CLOSED, {}, {}, holding=False, divert=False, reasons=())
SURE = Belief(0.0, 10.0, 0.05, 1.0, 0.005, 0.0, 0.05, 250.0, 0.0, Quality.GOOD, "")


@pytest.fixture
def raising(settings: ControlSettings) -> ControlSettings:
    return settings.model_copy(update={"controller": settings.controller.model_copy(update={"economic": TABLE})})


def seen(settings: ControlSettings, target: Target, belief: Belief = SURE, **more: object) -> Situation:
    rooms = {mv.name: Envelope(mv.low, mv.high, mv.rate_per_s) for mv in settings.mv}
    ratio = ratio_setpoints(settings, target)
    made = Situation(0.0, settings.cycle_s, target, belief, None, ratio, rooms, {}, ratio)
    return replace(made, **more)  # type: ignore[arg-type]


def test_without_a_range_the_recipe_is_the_target(settings: ControlSettings) -> None:
    target, economy = aimed(settings, RECIPE, Economy())
    assert target is RECIPE
    assert judged(settings, economy, seen(settings, target), RUNS, diverting=False) is economy


def test_it_rises_to_the_end_of_the_range_and_stays(raising: ControlSettings) -> None:
    economy, run = Economy(), []
    for _ in range(80):
        target, economy = aimed(raising, RECIPE, economy)
        economy = judged(raising, economy, seen(raising, target), RUNS, diverting=False)
        run.append(target.throughput_kg_h)
    assert run[0] == 20.0
    assert max(b - a for a, b in pairwise(run)) == pytest.approx(0.05)
    assert run[-1] == 22.0
    assert economy.reason == "at the end of the registered range"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"belief": replace(SURE, api_pct=10.16)}, "API 1.6 % off"),
        ({"belief": replace(SURE, api_sigma_pct=0.11)}, "3.3 %"),
        ({"belief": replace(SURE, quality=Quality.UNCERTAIN)}, "belief is uncertain"),
        ({"belief": replace(SURE, loss_probability=0.6)}, "jump"),
        ({"authority": Authority(pat=0.8, reason="no laboratory")}, "no laboratory"),
        ({"transition_s": 5.0}, "change of the recipe"),
    ],
)
def test_whatever_is_amiss_brings_it_down_twice_as_fast(
    raising: ControlSettings, change: dict[str, object], word: str
) -> None:
    at = Economy(RECIPE, 21.5, rising=True)
    target, economy = aimed(raising, RECIPE, at)
    economy = judged(raising, economy, seen(raising, target, **change), RUNS, diverting=False)  # type: ignore[arg-type]
    assert word in economy.reason
    lower, _ = aimed(raising, RECIPE, economy)
    assert lower.throughput_kg_h == pytest.approx(target.throughput_kg_h - 0.1)


def test_holding_and_diverting_are_amiss_and_a_feeder_s_reserve_is_left_alone(raising: ControlSettings) -> None:
    at = Economy(RECIPE, 21.5, rising=True)
    here = seen(raising, replace(RECIPE, throughput_kg_h=21.5))
    assert judged(raising, at, here, replace(RUNS, holding=True), diverting=False).reason == "the loop holds"
    assert "diverted" in judged(raising, at, here, RUNS, diverting=True).reason
    api = raising.named("api")
    tight = replace(here, envelopes={**here.envelopes, api: Envelope(0.5, 2.2, 0.05)})
    assert api in judged(raising, at, tight, RUNS, diverting=False).reason


def test_a_new_recipe_begins_at_its_own_throughput(raising: ControlSettings) -> None:
    other = Target(10.0, 18.0, 250.0)
    target, economy = aimed(raising, other, Economy(RECIPE, 21.5, rising=True))
    assert target == other
    assert economy == Economy(other, 18.0)


def test_never_below_the_recipe_or_beyond_the_range(raising: ControlSettings) -> None:
    economy, random = Economy(), np.random.default_rng(3)
    for _ in range(400):
        target, economy = aimed(raising, RECIPE, economy)
        assert 20.0 <= target.throughput_kg_h <= 22.0
        told = seen(raising, target, replace(SURE, api_pct=float(random.uniform(9.8, 10.2))))
        economy = judged(raising, economy, told, RUNS, diverting=bool(random.random() < 0.05))
