"""The truth physics: mass balance, feeder, press, parameters."""

from __future__ import annotations

import math
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil_sim.line.feeder import LossInWeightFeeder
from hil_sim.line.line import Line, Orders
from hil_sim.line.material import Plug, Tank
from hil_sim.line.parameters import REFERENCE_LINE, ParameterError, load_parameters
from hil_sim.line.press import Press
from hil_sim.probe.nir import REFERENCE_PROBE

PARAMETERS = load_parameters()
FEEDS = (2.0, 10.8, 7.0, 0.2)


@given(
    seed=st.integers(0, 10_000),
    scale=st.floats(0.3, 1.5),
    turret=st.floats(0.0, 60.0),
    gain=st.floats(0.5, 1.0),
    dt_s=st.sampled_from([0.1, 0.5, 1.0]),
)
@settings(max_examples=12, deadline=None)
def test_mass_balance_closes_for_every_component(seed, scale, turret, gain, dt_s):
    line = Line(PARAMETERS, FEEDS, seed)
    line.api_gain = gain
    line.feeders["mcc"].hopper_kg = 1.52  # a refill within the run
    start = line.holdup
    orders = Orders(tuple(f * scale for f in FEEDS), turret, 7.9)
    for _ in range(300):
        line.step(dt_s, orders)
    ledger = line.ledger
    throughput = sum(ledger.fed)
    for i, held in enumerate(line.holdup):
        gap = ledger.fed[i] - ledger.lost[i] - ledger.tablets[i] - (held - start[i])
        assert abs(gap) <= 1e-9 * throughput


def test_hoppers_balance_with_refills():
    feeder = LossInWeightFeeder(PARAMETERS.feeders["mcc"], 1, 10.8, "x")
    start, fed = feeder.hopper_kg, 0.0
    for _ in range(7200):
        fed += sum(feeder.step(0.5, 10.8))
    assert feeder.refilled_kg > 3.0
    assert feeder.hopper_kg == pytest.approx(start - fed + feeder.refilled_kg, abs=1e-9)


def test_a_feeder_holds_its_flow_and_overfeeds_when_refilled_at_frozen_speed():
    feeder = LossInWeightFeeder(PARAMETERS.feeders["api"], 0, 2.0, "y")
    gravimetric, volumetric = [], []
    for _ in range(14_400):
        flow = sum(feeder.step(0.5, 2.0)) * 7200.0
        (volumetric if feeder.volumetric else gravimetric).append(flow)
    assert sum(gravimetric) / len(gravimetric) == pytest.approx(2.0, rel=0.005)
    assert 1.02 < sum(volumetric) / len(volumetric) / 2.0 < 1.15


def test_a_supervisor_can_slow_a_refilling_feeder():
    feeder = LossInWeightFeeder(PARAMETERS.feeders["api"], 0, 2.0, "z")
    while not feeder.volumetric:
        feeder.step(0.5, 2.0)
    frozen = feeder.screw_rpm
    feeder.step(0.5, 1.8)
    assert feeder.screw_rpm == pytest.approx(0.9 * frozen)


def test_tank_and_plug_move_mass_without_making_any():
    tank = Tank([1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    out = tank.exchange([0.0, 1.0, 0.0, 0.0, 0.0, 0.4], 0.5)
    assert out == pytest.approx([0.25, 0.25, 0, 0, 0, 0.1]), "bulk volume goes with the powder and weighs nothing"
    assert tank.exchange([0.0] * 6, 9.0) == pytest.approx([0.75, 0.75, 0, 0, 0, 0.3])
    plug = Plug([[1.0, 0, 0, 0, 0, 0.2]])
    plug.push([0, 2.0, 0, 0, 0, 0])
    assert plug.pull(1.5) == pytest.approx([1.0, 0.5, 0, 0, 0, 0.2])
    assert plug.total_kg == pytest.approx(1.5)
    assert plug.pull(9.0) == pytest.approx([0, 1.5, 0, 0, 0, 0])
    assert plug.pull(1.0) == [0.0] * 6


def test_blender_delays_and_spreads_a_step_as_its_hold_up_says():
    line = Line(PARAMETERS, FEEDS, 3)
    before = line.fractions[0]
    line.api_gain = 0.5
    orders = Orders(FEEDS, 37.0, 7.86)
    seconds_to_half = 0.0
    while line.fractions[0] > 0.76 * before:
        line.step(0.5, orders)
        seconds_to_half += 0.5
    # Dead time 12 s, tanks 105 s, chute 60 s, feed frame 45 s: half of the step after about 200 s.
    assert 150.0 < seconds_to_half < 260.0


@pytest.mark.parametrize(("weight", "force", "hardness"), [(240, 7.36, 63), (250, 9.55, 86), (260, 12.9, 118)])
def test_reference_tablet(weight, force, hardness):
    press = Press(PARAMETERS.press, 10.0, "p")
    assert press.force_kn(weight) == pytest.approx(force, rel=0.01)
    assert press.hardness_n(weight) == pytest.approx(hardness, rel=0.02)


def test_reference_fill_depth_gives_the_reference_weight_and_speed_costs_weight():
    press = Press(PARAMETERS.press, 10.0, "p")
    weight = press.die_weight_mg(1.0, 45.0)
    assert weight == pytest.approx(250.0, rel=0.002)
    press.turret_rpm = 60.0
    assert press.die_weight_mg(1.0, 45.0) < weight


def test_a_starved_feed_frame_gives_light_tablets():
    line = Line(PARAMETERS, FEEDS, 5)
    stopped = Orders((0.0, 0.0, 0.0, 0.0), 60.0, 7.86)
    for _ in range(600):
        line.step(0.5, stopped)
    assert line.tablets.weight_mg < 20.0
    assert math.isfinite(line.tablets.force_kn)


def entries(table, path=""):
    for key, value in table.items():
        if isinstance(value, dict) and "value" in value:
            yield f"{path}.{key}", value
        elif isinstance(value, dict):
            yield from entries(value, f"{path}.{key}")


@pytest.mark.parametrize("path", [REFERENCE_LINE, REFERENCE_PROBE])
def test_every_parameter_has_a_unit_and_a_source(path):
    found = list(entries(tomllib.loads(path.read_text())))
    assert len(found) > 20
    for name, entry in found:
        assert set(entry) == {"value", "unit", "source"}, name
        assert entry["unit"].strip(), name
        assert entry["source"].strip(), name


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("tanks = ", "pots = ", "unknown parameter 'pots'"),
        ('rpm = { value = 250.0, unit = "1/min", source = "our choice (CDC-REF-1)" }', "", "'rpm' is missing"),
        ("holdup_kg = { value = 0.65", 'holdup_kg = { value = "much"', "is not a number"),
        ('[blender]\nholdup_kg = { value = 0.65, unit = "kg", ', "[blender]\nholdup_kg = { value = 0.65, ", "must be"),
        ("[chute]", "[shoot]", "'chute' is missing"),
        ("[chute]", "[chute", "cannot be read as TOML"),
    ],
)
def test_a_wrong_parameter_file_is_named(tmp_path, old, new, said):
    text = REFERENCE_LINE.read_text()
    assert old in text
    path = tmp_path / "line.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(ParameterError, match=said):
        load_parameters(path)
