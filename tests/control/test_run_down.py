"""A run-down keeps ratio, limits and the pace of the slowest feeder, waits for the line, and can be called off."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest

from control.decide.ratio import ratio_setpoints
from control.decide.run_down import RunDown, answered, lowered
from control.settings import ControlSettings
from control.signals import Envelope, FeederReading, Quality, Reading, Target

RECIPE = Target(10.0, 20.0, 250.0)
ASKED = answered(RunDown(), "start")


def rooms(settings: ControlSettings) -> dict[str, Envelope]:
    return {mv.name: Envelope(mv.low, mv.high, mv.rate_per_s) for mv in settings.mv}


def giving(flows: dict[str, float], quality: Quality = Quality.GOOD) -> dict[str, FeederReading]:
    still = Reading(0.0, 0.0)
    return {n: FeederReading(Reading(v, 0.0, quality), still, still, volumetric=False) for n, v in flows.items()}


def gone_down(settings: ControlSettings, cycles: int = 12) -> tuple[list[Target], RunDown]:
    """A line that follows each setpoint within its cycle."""
    run, aims, setpoints = ASKED, list[Target](), ratio_setpoints(settings, RECIPE)
    for _ in range(cycles):
        aim, run = lowered(settings, RECIPE, run, setpoints, rooms(settings), giving(setpoints))
        aims.append(aim)
        setpoints = ratio_setpoints(settings, aim)
    return aims, run


def test_every_feeder_can_follow_and_none_leaves_its_limits(settings: ControlSettings) -> None:
    aims, run = gone_down(settings)
    path = [ratio_setpoints(settings, aim) for aim in (RECIPE, *aims)]
    used = {
        mv.name: max(a[mv.name] - b[mv.name] for a, b in pairwise(path)) / mv.rate_per_s
        for mv in settings.mv if mv.role != "force"
    }  # fmt: skip
    assert max(used.values()) == pytest.approx(settings.cycle_s), "the slowest goes at its own rate, no other faster"
    assert all(mv.low <= setpoints[mv.name] for setpoints in path for mv in settings.mv)
    assert all(aim.api_pct == RECIPE.api_pct and aim.tablet_weight_mg == RECIPE.tablet_weight_mg for aim in aims)
    last = path[-1]
    room = min(last[mv.name] / mv.low / (1 + (mv.trim_cap_pct or 0) / 100) for mv in settings.mv if mv.role != "force")
    assert room == pytest.approx(1.0), "the lowest: one feeder has no more than the room of its trim left"
    assert run.ready
    assert run.sentence == "ready to stop: stop the feeders together"


def test_it_waits_for_a_line_that_does_not_follow(settings: ControlSettings) -> None:
    run, setpoints, step = ASKED, ratio_setpoints(settings, RECIPE), None
    for _ in range(5):
        aim, run = lowered(settings, RECIPE, run, setpoints, rooms(settings), giving(setpoints))
        step = step or RECIPE.throughput_kg_h - aim.throughput_kg_h
        assert aim.throughput_kg_h == pytest.approx(RECIPE.throughput_kg_h - step)
    assert not run.ready
    assert run.sentence.startswith("running down in ratio to ")


def test_the_plc_limits_count_as_ours_do(settings: ControlSettings) -> None:
    tight = rooms(settings)
    tight["FeederApi"] = replace(tight["FeederApi"], low=1.5)
    run, setpoints = ASKED, ratio_setpoints(settings, replace(RECIPE, throughput_kg_h=16.0))
    for _ in range(12):
        aim, run = lowered(settings, RECIPE, run, setpoints, tight, giving(setpoints))
    assert aim.throughput_kg_h == pytest.approx(15.0 * 1.05)


def test_what_is_not_known_is_not_run_down_further(settings: ControlSettings) -> None:
    unknown = {**ratio_setpoints(settings, RECIPE), "FeederMcc": math.nan}
    at = replace(ASKED, throughput_kg_h=15.0)
    aim, run = lowered(settings, RECIPE, at, unknown, rooms(settings), giving(unknown))
    assert aim.throughput_kg_h == run.throughput_kg_h == 15.0
    assert not run.ready


def test_called_off_it_goes_back_at_the_same_pace_from_where_it_is(settings: ControlSettings) -> None:
    aims, down = gone_down(settings, 4)
    run, back = answered(down, "cancel"), list[float]()
    assert not run.ready
    while run.under_way:
        setpoints = ratio_setpoints(settings, aims[-1])
        aim, run = lowered(settings, RECIPE, run, setpoints, rooms(settings), giving(setpoints))
        back.append(aim.throughput_kg_h)
    step = RECIPE.throughput_kg_h - aims[0].throughput_kg_h
    assert back[0] == pytest.approx(aims[-1].throughput_kg_h + step)
    assert max(b - a for a, b in pairwise(back)) == pytest.approx(step)
    assert (back[-1], run) == (RECIPE.throughput_kg_h, RunDown())


def test_a_new_recipe_that_is_lower_is_not_gone_above(settings: ControlSettings) -> None:
    low = replace(RECIPE, throughput_kg_h=8.0)
    setpoints = ratio_setpoints(settings, low)
    aim, _ = lowered(settings, low, replace(ASKED, throughput_kg_h=12.0), setpoints, rooms(settings), giving(setpoints))
    assert aim.throughput_kg_h <= 8.0


@pytest.mark.parametrize(
    ("share", "quality", "stopped"), [(0.0, Quality.GOOD, True), (0.5, Quality.GOOD, False), (0.0, Quality.BAD, False)]
)
def test_stopped_feeders_are_seen(settings: ControlSettings, share: float, quality: Quality, stopped: bool) -> None:
    aims, run = gone_down(settings)
    setpoints = ratio_setpoints(settings, aims[-1])
    flows = {name: share * value for name, value in setpoints.items()}
    _, run = lowered(settings, RECIPE, run, setpoints, rooms(settings), giving(flows, quality))
    assert run.stopped is stopped
    assert run.sentence.startswith("the feeders are stopped" if stopped else "ready to stop")


def test_only_start_and_cancel_are_wishes() -> None:
    assert answered(RunDown(), "faster") == RunDown()
    assert answered(ASKED, "start") == ASKED
    assert not answered(ASKED, "cancel").under_way
