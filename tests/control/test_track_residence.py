"""Residence in the mass coordinate, parcels by hopper weight, the gate: against numbers by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import expm

from control.settings import ControlSettings
from control.signals import Target
from control.track import FeederSeen, TrackSettings
from control.track.feeding import begin, feed
from control.track.gate import feed_side, outside
from control.track.residence import Residence, _advance, residence

TARGET = Target(10.0, 20.0, 250.0)


@pytest.fixture(scope="module")
def line(settings: ControlSettings) -> Residence:
    return residence(settings.plant)


def test_one_tank_leaves_as_an_exponential(settings: ControlSettings) -> None:
    one = settings.plant.model_copy(
        update={
            "blender_kg": 1e-6,
            "blender_tanks": 1,
            "transport_kg": 1e-6,
            "transport_tanks": 1,
            "feed_frame_kg": 0.5,
        }
    )
    found = residence(one)
    assert np.interp(0.5, found.mass_kg, found.left) == pytest.approx(1 - math.exp(-1), abs=1e-4)
    assert found.quantile_kg(0.5) == pytest.approx(0.5 * math.log(2), rel=1e-3)


def test_the_mean_is_the_sum_of_the_hold_ups(settings: ControlSettings, line: Residence) -> None:
    plant = settings.plant
    assert line.mean_kg == pytest.approx(plant.blender_kg + plant.transport_kg + plant.feed_frame_kg, rel=1e-3)
    assert 1.0 - line.left[-1] < 1e-5


def test_shares_of_parcels_and_of_what_was_there_before_make_one(line: Residence) -> None:
    edges = np.array([0.0, 0.3, 0.8, 2.0])
    for at_kg in (2.0, 2.4):
        shares, before = line.shares(edges, at_kg, 1.1)
        assert float(shares.sum()) + before == pytest.approx(1.0, abs=1e-12)
        assert (shares >= 0).all()


def test_larger_hold_ups_leave_later(line: Residence) -> None:
    edges = np.array([0.0, 2.0])
    before = [line.shares(edges, 2.0, scale)[1] for scale in (0.9, 1.0, 1.1)]
    assert before == sorted(before)
    assert before[2] > before[0]


def weighed(kg: float, flow: float = math.nan, *, refilling: bool = False) -> FeederSeen:
    return FeederSeen(kg, flow, refilling)


def test_a_parcel_is_what_the_hoppers_lost() -> None:
    parcels = begin(0.0, {"api": weighed(2.0), "filler": weighed(5.0)})
    parcels = feed(parcels, 5.0, {"api": weighed(1.998), "filler": weighed(4.982)}, "api", 6.0)
    assert parcels.now_kg == pytest.approx(0.020)
    assert float(parcels.api_pct[-1]) == pytest.approx(10.0)
    assert parcels.rate_kg_s == pytest.approx(0.004)
    assert parcels.blind_kg == 0.0


def test_while_a_hopper_is_refilled_its_flow_stands_in_and_counts_as_not_weighed() -> None:
    parcels = begin(0.0, {"api": weighed(1.0, 1.8), "filler": weighed(5.0, 16.2)})
    seen = {"api": weighed(1.3, 1.8, refilling=True), "filler": weighed(4.9775, 16.2)}
    parcels = feed(parcels, 5.0, seen, "api", 6.0)
    assert parcels.now_kg == pytest.approx(0.0025 + 0.0225)
    assert parcels.blind_kg == pytest.approx(0.0025)
    risen = feed(parcels, 10.0, {"api": weighed(1.5, 1.8), "filler": weighed(4.955, 16.2)}, "api", 6.0)
    assert risen.blind_kg == pytest.approx(0.005), "a weight that rose says nothing either"


def test_what_cannot_be_told_now_is_added_when_it_can() -> None:
    parcels = begin(0.0, {"api": weighed(2.0), "filler": weighed(5.0)})
    blind = feed(parcels, 5.0, {"api": weighed(math.nan), "filler": weighed(4.98)}, "api", 6.0)
    assert blind.now_kg == 0.0
    found = feed(blind, 10.0, {"api": weighed(1.996), "filler": weighed(4.964)}, "api", 6.0)
    assert found.now_kg == pytest.approx(0.040)
    assert float(found.edges_s[-1] - found.edges_s[-2]) == 10.0


def test_old_parcels_are_dropped_but_not_what_was_fed() -> None:
    parcels = begin(0.0, {"api": weighed(100.0)})
    for i in range(1, 101):
        parcels = feed(parcels, float(i), {"api": weighed(100.0 - 0.1 * i)}, "api", 2.0)
    assert parcels.fed_kg == pytest.approx(10.0)
    assert 20 <= len(parcels.api_pct) <= 23


def test_a_step_of_the_feed_reaches_the_gate_as_the_residence_says(settings: ControlSettings, line: Residence) -> None:
    parcels = begin(0.0, {"api": weighed(100.0), "filler": weighed(900.0)})
    kg = 0.0
    while kg < 1.29 - 1e-9:
        kg += 0.01
        seen = {"api": weighed(100.0 - 0.2 * kg), "filler": weighed(900.0 - 0.8 * kg)}
        parcels = feed(parcels, 1.8 * kg / 0.01, seen, "api", line.reach_kg)
    found = feed_side(parcels, line, TARGET, TrackSettings(holdup_rel=0.1), 7.5)
    left = float(np.interp(1.29, line.mass_kg, line.left))
    assert found.now_pct[1] == pytest.approx(10.0 + 10.0 * left, abs=0.01), "20 % fed where 10 % had been"
    assert found.now_pct[0] > found.now_pct[1] > found.now_pct[2], "smaller hold-ups let it through sooner"
    assert found.ahead_pct[1] > found.now_pct[1]
    slowest = float(np.interp(1.29 / 1.1, line.mass_kg, line.left))
    assert found.unknown == pytest.approx(1.0 - slowest, abs=1e-3)


def test_probability_outside_is_the_normal_tail() -> None:
    assert outside(100.0, 2.5, 95.0, 105.0) == pytest.approx(0.0455, abs=1e-4)
    assert outside(95.0, 1e-6, 95.0, 105.0) == pytest.approx(0.5)
    assert outside(90.0, 1.0, 95.0, 105.0) == pytest.approx(1.0, abs=1e-5)


@given(
    st.lists(st.floats(0.001, 2.0), min_size=1, max_size=8),
    st.floats(1e-5, 5.0),
)
def test_a_step_through_the_tanks_is_the_matrix_exponential(tanks_kg: list[float], mass_kg: float) -> None:
    rate = np.diag([-1.0 / kg for kg in tanks_kg]) + np.diag([1.0 / kg for kg in tanks_kg[1:]], k=-1)
    assert _advance(rate, mass_kg) == pytest.approx(expm(rate * mass_kg), abs=1e-11)
