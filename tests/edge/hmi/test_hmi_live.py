"""What the page shows is what the journal says, and what is old or abnormal is shown as such."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from control.signals import Mode
from edge.hmi.live import Follower, Lab, Point
from edge.hmi.screen import Screen, screen
from edge.hmi.trend import Trend, draw
from edge.record.canonical import encode
from edge.record.journal import Journal
from edge.signals import Alarm, Link
from soft_sensors.signals import Quality

Shift = Any  # the fixture of conftest.py


class Clock:
    now_s = 5000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def follower(shift: Shift, clock: Clock) -> Follower:
    return Follower(shift.journal, "CDC-REF-1", clock, lambda: shift.time_s)


@pytest.fixture
def look(follower: Follower) -> Callable[[], Screen]:
    return lambda: screen(follower.look())


def test_before_the_first_cycle_it_says_so(look: Callable[[], Screen]) -> None:
    shown = look()
    assert (shown.mode, shown.stale, shown.may_answer) == ("NO CYCLE YET", True, False)
    assert "service has not run" in shown.banner
    assert (shown.bigs, shown.trend, shown.clock) == ((), "", "–")


def test_the_newest_cycle_is_shown_with_units_and_uncertainty(shift: Shift, look: Callable[[], Screen]) -> None:
    shift.start()
    shift.loss_pct = 3.6
    shift.run(20)
    shown = look()
    sensor, fused, target = shown.bigs
    assert (shown.mode, shown.link_lost, shown.banner, shown.seq) == ("ADVISE", False, "", 22)
    assert (fused.value, fused.unit, fused.spread, fused.quality, fused.abnormal) == (
        "96.4", "% LC", "σ 0.35", "good", True,
    )  # fmt: skip
    assert sensor.spread.startswith("90 %: 9")
    assert target.spread == "10 % w/w at 20 kg/h, 250 mg"
    api, *others = shown.setpoints
    assert (api.name, api.now, api.wanted, api.change, api.unit, api.moves) == (
        "FeederApi", "2.000", "2.075", "+0.075", "kg/h", True,
    )  # fmt: skip
    assert [row.moves for row in others] == [False] * 4
    assert others[-1].now == "9.55"
    assert shown.reason.startswith("API 96.4±0.6 % LC")
    assert shown.may_answer
    assert shown.modes == ("monitor", "advise", "closed")


def test_within_the_limits_nothing_is_marked(shift: Shift, look: Callable[[], Screen]) -> None:
    shift.start()
    shift.run(1)
    assert [big.abnormal for big in look().bigs] == [False, False, False]


def test_a_bad_estimate_shows_no_number_but_the_reason(shift: Shift, look: Callable[[], Screen]) -> None:
    shift.start()
    shift.quality = Quality.BAD
    shift.run(1)
    sensor = look().bigs[0]
    assert (sensor.value, sensor.quality, sensor.reason, sensor.abnormal) == (
        "–", "bad", "no new spectrum for 15 s", True,
    )  # fmt: skip


def test_when_no_cycle_comes_it_is_old_and_cannot_be_answered(
    shift: Shift, look: Callable[[], Screen], clock: Clock
) -> None:
    shift.start()
    shift.run(1)
    assert not look().stale
    clock.now_s += 14
    assert not look().stale  # three cycles of 5 s
    clock.now_s += 2
    shown = look()
    assert (shown.stale, shown.may_answer) == (True, False)
    assert "No new cycle for 16 s" in shown.banner
    shift.run(1)
    assert not look().stale


def test_a_journal_that_stopped_before_the_page_began_is_old_at_once(shift: Shift, clock: Clock) -> None:
    shift.start()
    shift.run(1)
    late = Follower(shift.journal, "CDC-REF-1", clock, lambda: shift.time_s + 3600)
    shown = screen(late.look())
    assert shown.stale
    assert "3600 s" in shown.banner


def test_a_service_that_said_goodbye_is_old_at_once(shift: Shift, look: Callable[[], Screen]) -> None:
    shift.start()
    shift.run(1)
    assert not look().stale
    shift.journal.append("stop", shift.time_s, encode({"reason": "stopped"}))
    assert look().stale
    shift.run(1)
    assert not look().stale


def test_in_monitor_nothing_to_act_on_is_shown(shift: Shift, look: Callable[[], Screen]) -> None:
    shift.start(ceiling="monitor")
    shift.mode = Mode.MONITOR
    shift.loss_pct = 3.6
    shift.run(3)
    shown = look()
    assert shown.modes == ("monitor",)
    assert (shown.reason, shown.may_answer) == ("", False)
    assert {row.wanted for row in shown.setpoints} == {"–"}
    assert "with move" not in shown.trend
    assert "no move" in shown.trend


def test_closed_without_authority_and_holding_are_said(shift: Shift, look: Callable[[], Screen]) -> None:
    shift.start()
    shift.mode = Mode.CLOSED
    shift.run(1)
    assert look().mode_says == "not in control yet: advisory"
    shift.holding = True
    shift.run(1)
    shown = look()
    assert (shown.mode_says, shown.holding, shown.notes) == ("HOLDING: moves nothing", True, ("hold: Nir: stale",))
    assert not shown.may_answer


@pytest.mark.parametrize("mode", [Mode.MONITOR, Mode.ADVISE])
def test_what_the_data_do_not_tell_stands_on_the_page(shift: Shift, look: Callable[[], Screen], mode: Mode) -> None:
    shift.start()
    shift.mode, shift.notes = mode, ("without laboratory values the data do not tell the tablet weight",)
    shift.run(2)
    assert look().notes == shift.notes
    shift.notes = ()
    shift.run(1)
    assert look().notes == ()


def test_a_lost_link_and_alarms_are_shown(shift: Shift, look: Callable[[], Screen]) -> None:
    shift.start()
    shift.link = Link.LOST
    shift.alarms = (Alarm("hidden_loss", "FeederApi delivers less", 2, shift.time_s, shift.time_s),)
    shift.run(1)
    shown = look()
    assert shown.link_lost
    assert "LOST" in shown.link
    assert [(alarm.name, alarm.priority, alarm.text) for alarm in shown.alarms] == [
        ("hidden_loss", 2, "FeederApi delivers less")
    ]


def test_a_line_without_a_target_shows_its_estimate_as_it_is(shift: Shift, look: Callable[[], Screen]) -> None:
    shift.start()
    shift.with_target = False
    shift.run(3)
    (sensor,) = look().bigs
    assert sensor.unit == "%"
    assert float(sensor.value) == pytest.approx(10.0, abs=0.5)
    assert not sensor.abnormal


def test_requests_wait_until_the_service_took_them_up(shift: Shift, look: Callable[[], Screen]) -> None:
    shift.start()
    shift.run(1)
    for value in ("monitor", "advise", "closed", "advise"):
        shift.journal.append("request", 1.0, encode({"action": "mode", "value": value, "user": "maria"}))
    waiting = look().asked
    assert [(ask.text, ask.user, ask.taken_up) for ask in waiting] == [
        ("mode advise", "maria", False), ("mode closed", "maria", False), ("mode advise", "maria", False),
    ]  # fmt: skip
    shift.run(1)
    assert [ask.taken_up for ask in look().asked] == [True, True, True]


def test_the_trend_holds_one_hour_however_long_the_journal(shift: Shift, clock: Clock) -> None:
    shift.start()
    shift.run(1500)
    fresh = Follower(shift.journal, "CDC-REF-1", clock, lambda: shift.time_s).look()
    assert (len(fresh.points), fresh.points[-1].time_s - fresh.points[0].time_s) == (721, 3600.0)
    assert fresh.start["config"]["line"]["name"] == "CDC-REF-1"  # though it lies before the hour
    assert [round(lab.value) for lab in fresh.labs] == [100, 100, 100]
    shift.run(5)
    follower = Follower(shift.journal, "CDC-REF-1", clock, lambda: shift.time_s)
    assert len(follower.look().points) == 721


def test_when_the_lines_clock_is_set_back_the_trend_begins_anew(shift: Shift, follower: Follower) -> None:
    shift.start()
    shift.run(10)
    assert len(follower.look().points) == 10
    shift.time_s -= 1000
    shift.run(2)
    assert len(follower.look().points) == 2


def test_an_archived_journal_can_be_looked_at_too(shift: Shift, clock: Clock) -> None:
    shift.start()
    shift.run(2)
    with Journal.open_reader(shift.path) as reader:
        assert screen(Follower(reader, "CDC-REF-1", clock, lambda: shift.time_s).look()).seq == 4


def points(*values: float) -> tuple[Point, ...]:
    return tuple(Point(5.0 * i, v, v - 1, v + 1, v) for i, v in enumerate(values))


def drawing(*values: float, target: float | None = 100.0, labs: tuple[Lab, ...] = ()) -> ET.Element:
    trend = Trend(5.0 * len(values), points(*values), labs, target, (99.0, 100.0), (98.0, 98.0), 60.0)
    return ET.fromstring(draw(trend))


def count(svg: ET.Element, name: str) -> int:
    return len([part for part in svg.iter() if part.get("class") == name])


def test_the_drawing_has_every_part() -> None:
    svg = drawing(99.0, 99.5, 100.0, labs=(Lab(5.0, 99.0),))
    assert {n: count(svg, n) for n in ("band", "estimate", "belief", "target", "limit", "move", "held", "lab")} == {
        "band": 1, "estimate": 1, "belief": 1, "target": 1, "limit": 2, "move": 1, "held": 1, "lab": 1,
    }  # fmt: skip
    assert not [part for part in svg.iter() if part.get("style")]


def test_a_gap_breaks_the_line_and_a_single_bad_scan_does_not() -> None:
    assert count(drawing(99.0, 99.0, math.nan, 99.0, 99.0), "estimate") == 1
    assert count(drawing(99.0, 99.0, *[math.nan] * 6, 99.0, 99.0), "estimate") == 2


@pytest.mark.parametrize("values", [(), (math.nan,), (0.0,), (5.0, 5.0), (1e6, -1e6), (math.inf, 1.0)])
@pytest.mark.parametrize("target", [100.0, None])
def test_whatever_comes_can_be_drawn(values: tuple[float, ...], target: float | None) -> None:
    svg = drawing(*values, target=target)
    text = ET.tostring(svg, encoding="unicode")
    assert "nan" not in text.lower()
    assert "inf" not in text.lower().replace("information", "")


def test_no_label_covers_another() -> None:
    svg = ET.fromstring(draw(Trend(0.0, (), (), 100.0, (100.0,), (100.0,), 60.0)))
    heights = sorted(float(t.get("y", "0")) for t in svg.iter() if (t.get("class") or "").startswith("name "))
    assert len(heights) == 5
    assert all(b - a >= 12 for a, b in pairwise(heights))
