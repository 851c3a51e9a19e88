"""What tracking keeps of each minute of material, and whether the masses add up."""

from __future__ import annotations

import math

import pytest
from track_toy import Player, Toy

from control.settings import ControlSettings
from control.track import Tracker, TrackSettings
from control.track import tracker as compose


@pytest.fixture
def fixed(settings: ControlSettings) -> Tracker:
    return compose(settings, TrackSettings(stations=36), 5.0, 2.0)


def test_a_minute_of_material_says_where_it_came_from_and_adds_up(fixed: Tracker) -> None:
    player = Player(Toy(), fixed)
    said = player.run(180, diverting=False)
    minutes = [t.minute for t in said if t.minute is not None]
    assert len(minutes) == 14 or len(minutes) == 15
    last = minutes[-1]
    assert last.end_s - last.start_s == pytest.approx(60.0)
    assert last.released_kg == pytest.approx(20.0 / 60.0, rel=0.01)
    assert last.diverted_kg == 0.0
    assert last.fed_from_s < last.fed_to_s < last.end_s
    mean_s = fixed.residence.mean_kg / (20.0 / 3600.0)
    assert last.fed_from_s < last.start_s - mean_s < last.fed_to_s
    assert last.api_pct == pytest.approx(10.0, abs=0.15)


def test_masses_add_up_and_a_leak_is_found(fixed: Tracker) -> None:
    player = Player(Toy(), fixed)
    balance = player.run(360)[-1].balance
    assert balance.missing == ""
    assert balance.fed_kg == pytest.approx(10.0, rel=0.01)
    assert abs(balance.residual_kg) < balance.sigma_kg
    assert not balance.beyond
    leak = player.run(720, turret_rpm=0.9 * 37.037)[-1].balance
    assert leak.beyond, "a tenth of the tablets is missing"
    assert leak.residual_kg == pytest.approx(0.1 * 20.0, rel=0.15)


def test_a_balance_that_cannot_be_struck_says_what_is_missing(settings: ControlSettings) -> None:
    player = Player(Toy(), compose(settings, TrackSettings(), 5.0, 2.0))
    balance = player.run(3, level_pct=math.nan)[-1].balance
    assert balance.missing == "stations in [track], press hopper level"
    assert math.isnan(balance.residual_kg)
    assert not balance.beyond
