"""The physics behind the scenarios: what a lot, a span, a drifting cell, placebo and a pause do to the true line."""

from __future__ import annotations

import pytest

from hil_sim.faults import conditions
from hil_sim.line.feeder import LossInWeightFeeder
from hil_sim.line.line import Line, Orders
from hil_sim.line.parameters import ParameterError, load_parameters, scaled
from hil_sim.rig import Rig
from hil_sim.scenario import Scenario, ScenarioError, load_scenario

PARAMETERS = load_parameters()
FEEDS = (2.0, 10.8, 7.0, 0.2)
STOOD = (0.0, 0.0, 0.0, 0.0)


def scenario(**changes: object) -> Scenario:
    return Scenario.model_validate({"name": "x", "description": "A scenario for tests.", "hours": 2.0, **changes})


def played(given: Scenario, minutes: float, seed: int = 1) -> Rig:
    rig = Rig(given, seed)
    for _ in range(round(minutes * 120)):
        rig.step(0.5)
    return rig


def mean_delivered(feeder: LossInWeightFeeder, setpoint: float, seconds: float) -> float:
    kg = sum(sum(feeder.step(0.5, setpoint)[:5]) for _ in range(round(2 * seconds)))
    return 3600.0 * kg / seconds


def test_a_new_lot_comes_with_a_refill_and_the_weighing_makes_up_for_it() -> None:
    feeder = LossInWeightFeeder(PARAMETERS.feeders["api"], 0, 2.0, "lot")
    feeder.lot_density = 0.9
    feeder.hopper_kg = 0.93
    mean_delivered(feeder, 2.0, 40.0)
    assert feeder.density == 1.0, "nothing changes before the refill"
    mean_delivered(feeder, 2.0, 240.0)
    old_kg, new_kg = 0.9, 1.5
    assert feeder.density == pytest.approx((old_kg + new_kg) / (old_kg + new_kg / 0.9), abs=0.003)
    assert mean_delivered(feeder, 2.0, 900.0) == pytest.approx(2.0, rel=0.01)


def test_a_lighter_lot_makes_lighter_tablets_at_the_same_fill_depth() -> None:
    weights = []
    for density in (1.0, 0.9):
        line = Line(PARAMETERS, FEEDS, 5)
        line.feeders["mcc"].density = line.feeders["mcc"].lot_density = density
        found = []
        for _ in range(2400):
            line.step(0.5, Orders(FEEDS, 37.0, 7.86))
            found.append(line.tablets.weight_mg)
        weights.append(sum(found[-600:]) / 600)
    # The filler takes 63 % of the bulk volume: a tenth less of its density is 7 % more volume.
    assert weights[1] / weights[0] == pytest.approx(1 / (1 + 0.63 * (1 / 0.9 - 1)), abs=0.01)


def test_a_load_cell_that_bears_less_makes_the_feeder_deliver_more() -> None:
    feeder = LossInWeightFeeder(PARAMETERS.feeders["mgst"], 3, 0.2, "span")
    mean_delivered(feeder, 0.2, 300.0)
    before = feeder.weight_kg
    feeder.weighed_share = 1 / 1.5
    feeder.step(0.5, 0.2)
    assert feeder.weight_kg == pytest.approx(before, abs=0.0003), "the weight itself does not jump"
    mean_delivered(feeder, 0.2, 300.0)
    assert mean_delivered(feeder, 0.2, 1200.0) == pytest.approx(0.3, rel=0.04)
    assert feeder.measured_kg_h == pytest.approx(0.2, rel=0.1)


def test_a_setpoint_span_is_right_where_it_began() -> None:
    feeder = LossInWeightFeeder(PARAMETERS.feeders["api"], 0, 2.0, "sp")
    mean_delivered(feeder, 2.0, 300.0)
    feeder.setpoint_span = 0.8
    assert mean_delivered(feeder, 2.0, 900.0) == pytest.approx(2.0, rel=0.01)
    mean_delivered(feeder, 2.1, 200.0)
    assert mean_delivered(feeder, 2.1, 900.0) == pytest.approx(2.08, rel=0.007)


def test_a_drifting_force_cell_makes_lighter_tablets_that_it_does_not_see() -> None:
    steady, drifting = (
        played(scenario(fault=faults), 60.0, seed=3)
        for faults in ((), ({"kind": "force_cell_drift", "at_min": 1, "rate_pct_per_h": 20.0},))
    )
    assert drifting.plc.force_kn == pytest.approx(steady.plc.force_kn, rel=0.03)
    assert drifting.truth().force_kn < 0.9 * steady.truth().force_kn
    assert drifting.truth().tablet_weight_mg < steady.truth().tablet_weight_mg - 3.0


def test_lubricant_in_excess_softens_tablets() -> None:
    healthy = played(scenario(), 75.0)
    lubricated = played(load_scenario("lubricant_overfeed"), 75.0)
    assert lubricated.line.fractions[3] > 1.4 * healthy.line.fractions[3]
    assert lubricated.truth().hardness_n < healthy.truth().hardness_n - 1.0


def test_a_line_full_of_placebo_washes_out() -> None:
    rig = Rig(load_scenario("start_up"), 1)
    assert rig.truth().api_pct == 0.0
    assert rig.truth().throughput_kg_h == pytest.approx(20.0, rel=0.01)
    for _ in range(25 * 120):
        rig.step(0.5)
    assert rig.truth().api_lc_pct == pytest.approx(100.0, abs=2.0)


def test_a_pause_keeps_the_powder_and_goes_on_without_a_bump() -> None:
    rig = played(load_scenario("pause"), 41.0)
    assert rig.truth().throughput_kg_h == pytest.approx(0.0, abs=1e-6)
    assert rig.read()["Line.State"].value == 11
    held = rig.line.holdup
    for _ in range(8 * 120):
        rig.step(0.5)
    assert rig.line.holdup == pytest.approx(held, abs=1e-9)
    flows = []
    for _ in range(8 * 120):
        rig.step(0.5)
        flows.append(rig.line.feed_kg_h)
    assert rig.read()["Line.State"].value == 6
    running = flows[3 * 120 :]
    assert sum(running) / len(running) == pytest.approx(20.0, rel=0.03)
    assert rig.truth().api_lc_pct == pytest.approx(100.0, abs=2.0)
    assert 30.0 < rig.plc.level_pct < 70.0


def test_laboratory_samples_come_as_often_as_the_scenario_says() -> None:
    rig = played(scenario(lab_every_min=4.0), 13.5)
    assert rig.laboratory.result.counter == 2
    assert rig.laboratory.result.sample_time_s == rig.start_time_s + 480.0


def test_scaled_parameters_and_their_refusal() -> None:
    assert scaled(PARAMETERS, {"blender.holdup_kg": 1.2}).blender.holdup_kg == pytest.approx(0.78)
    assert scaled(PARAMETERS, {"feeder.api.gain": 2.0}).feeders["api"].gain == pytest.approx(0.3)
    for wrong in ("blender.color", "feeder.sugar.gain", "blender", "feeders"):
        with pytest.raises(ParameterError, match=wrong):
            scaled(PARAMETERS, {wrong: 1.1})
    with pytest.raises(ScenarioError, match=r"scale.*mixer"):
        Rig(scenario(scale={"mixer.speed": 2.0}), 1)


def test_spans_and_drifts_as_conditions() -> None:
    rows = scenario(
        fault=(
            {"kind": "lot", "at_min": 5, "feeder": "api", "density": 0.9},
            {"kind": "lot", "at_min": 15, "feeder": "api", "density": 0.5001},
            {"kind": "load_cell_span", "at_min": 5, "feeder": "mgst", "delivered": 1.5},
            {"kind": "setpoint_span", "at_min": 5, "feeder": "api", "span": 0.8},
            {"kind": "force_cell_drift", "at_min": 5, "rate_pct_per_h": 2.0},
        )
    ).fault
    assert conditions(rows, 4.9).lot_densities == {}
    now = conditions(rows, 65.0)
    assert now.lot_densities["api"] == pytest.approx(0.45009)
    assert now.weighed_shares == {"mgst": pytest.approx(1 / 1.5)}
    assert now.setpoint_spans == {"api": 0.8}
    assert now.force_gain == pytest.approx(1.02)
