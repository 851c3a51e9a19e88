"""A laboratory sample taken on a change that nobody saw, or whose estimate lagged behind: it is no fault of the NIR."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from control.native import cache_folder, native
from control.observe import Observation, Observer, observe
from control.observe.seen import prior
from control.settings import ControlSettings
from control.signals import Belief, LabResult, Target
from control.track import Tracker, TrackSettings
from control.track import tracker as compose
from tests.control.track_toy import CYCLE_S, Player, Toy

TARGET = Target(10.0, 20.0, 250.0)
SETPOINTS = {"FeederApi": 2.0, "FeederMcc": 10.8, "FeederLac": 7.0, "FeederMgst": 0.2, "MainForce": 9.55}
FLOWS = {f"y_flow_{n}": (v, 0.015 * v) for n, v in SETPOINTS.items() if n != "MainForce"}
LOSS_CYCLE, BLIND, SAMPLED, REPORTED, END = 120, range(140, 157), 149, 208, 240


@pytest.fixture(scope="module")
def fixed(settings: ControlSettings) -> Tracker:
    return compose(settings, TrackSettings(stations=36), 5.0, 2.0)


def bias_after(fixed: Tracker, blind: range, sampled: int, seed: int) -> tuple[float, float]:
    """The NIR's bias that tracking believes in after a result from a falling line, and the truth of the sample."""
    player = Player(Toy(seed=seed), fixed)
    player.run(180)
    player.toy.hidden = 0.15
    lab = None
    for cycle in range(sampled + 80):
        if cycle in blind:
            player.toy.step()
        else:
            player.run(1, lab=lab)
        if cycle == sampled:
            sampled_s, truth_pct = player.toy.time_s, player.toy.gate_pct
        if cycle == sampled + 60:
            lab = LabResult(1, sampled_s, player.toy.time_s, truth_pct, math.nan, math.nan)
    assert player.memory is not None
    return float(player.memory.gap.mean[2]), truth_pct


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("blind", [range(30, 47), range(0)], ids=["unseen", "seen"])
def test_the_nir_is_not_blamed_for_a_sample_from_the_slope(fixed: Tracker, blind: range, seed: int) -> None:
    bias_pct, truth_pct = bias_after(fixed, blind, 39, seed)
    assert 8.9 < truth_pct < 9.7, "the sample is from the slope"
    assert abs(bias_pct) < 0.1, "of a slope of 1.5"


@pytest.mark.parametrize("name", ["kalman", "mhe"])
def test_the_belief_meets_a_sample_from_a_gap_where_it_was_taken(observer: Observer, name: str) -> None:
    belief, truth_pct = after_a_gap(observer, name, sampled=True)
    assert abs(belief.nir_bias_pct) < 0.25
    assert belief.api_pct == pytest.approx(truth_pct, abs=0.2)
    without, _ = after_a_gap(observer, name, sampled=False)
    assert belief.nir_bias_sigma_pct < without.nir_bias_sigma_pct, "the sample taught something"


def after_a_gap(observer: Observer, name: str, *, sampled: bool) -> tuple[Belief, float]:
    """The belief, and the truth at the press, long after a loss of 13 % behind whose front nobody looked for 85 s."""
    noise = observer.settings.observer.model_copy(update={"name": name})
    settings = observer.settings.model_copy(update={"observer": noise})
    watching = Observer(native(observer.bundle, cache_folder()), settings)
    bundle, random, memory, belief = watching.bundle, np.random.default_rng(3), None, None
    first = Observation(0.0, {"y_nir": (10.0, 0.12)}, SETPOINTS, TARGET)
    x, p = prior(watching, first)[0], bundle.targets(TARGET)[:, 0]
    u = np.array([SETPOINTS[mv] for mv in bundle.inputs])
    frame, nir = bundle.state("feed_frame_api_pct"), bundle.measurements.index("y_nir")
    sample_pct = math.nan
    for cycle in range(END):
        if cycle == LOSS_CYCLE:
            x[bundle.state("api_gain")] = 0.87
        x = bundle.call("predict", x, u, p)[0][:, 0]
        if cycle == SAMPLED:
            sample_pct = float(x[frame])
        if cycle in BLIND:
            continue
        seen_pct = float(bundle.call("measure", x, u, p)[0][nir, 0]) + 0.11 * random.standard_normal()
        values = {**FLOWS, "y_force": (9.55, 0.15), "y_nir": (seen_pct, 0.12)}
        seen = Observation(cycle * CYCLE_S, values, SETPOINTS, TARGET)
        if cycle == REPORTED and sampled:
            lab = LabResult(1, SAMPLED * CYCLE_S, cycle * CYCLE_S, sample_pct, math.nan, math.nan)
            seen = replace(seen, lab=(lab,))
        belief, memory = observe(watching, memory, seen)
    assert belief is not None
    return belief, float(x[frame])
