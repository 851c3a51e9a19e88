"""The observer tells a loss from a drift, and lets late laboratory values in where they belong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from control.observe import Memory, Observation, Observer, observe
from control.signals import Belief, LabResult, Quality, Target

TARGET = Target(10.0, 20.0, 250.0)
SETPOINTS = {"FeederApi": 2.0, "FeederMcc": 10.8, "FeederLac": 7.0, "FeederMgst": 0.2, "MainForce": 9.55}
FLOWS = {f"y_flow_{n}": (v, 0.015 * v) for n, v in SETPOINTS.items() if n != "MainForce"}
CYCLE_S = 5.0


class Plant:
    """A plain delayed first-order line, deliberately not the observer's own model."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.gains: list[float] = []
        self.api = 10.0

    def step(self, gain: float) -> float:
        self.gains.append(10.0 * gain)
        delayed = self.gains[max(0, len(self.gains) - 25)]
        self.api += CYCLE_S / 90.0 * (delayed - self.api)
        return self.api


def run(
    observer: Observer, minutes: float, *, gain_after: float = 1.0, drift_per_h: float = 0.0, lab_min: float = 20.0
) -> tuple[list[Belief], list[float]]:
    plant, memory, beliefs, truth = Plant(3), None, [], []
    samples: list[tuple[float, float]] = []
    n = int(minutes * 60 / CYCLE_S)
    for k in range(n):
        t = k * CYCLE_S
        api = plant.step(gain_after if t >= 1800 else 1.0)
        truth.append(api)
        nir = api + drift_per_h * max(0.0, t - 600) / 3600 + 0.12 * plant.random.standard_normal()
        lab: tuple[LabResult, ...] = ()
        if k and t % (lab_min * 60) == 0:
            samples.append((t, api * (1 + 0.005 * plant.random.standard_normal())))
        if samples and t == samples[0][0] + 300:
            at, value = samples.pop(0)
            lab = (LabResult(int(at), at, t, value, 250.0, 80.0),)
        values = {**FLOWS, "y_force": (9.55, 0.15), "y_nir": (nir, 0.12)}
        belief, memory = observe(observer, memory, Observation(t, values, SETPOINTS, TARGET, lab))
        beliefs.append(belief)
    return beliefs, truth


def jumps(beliefs: list[Belief]) -> list[str]:
    """What is told to have jumped, in the order of telling."""
    kinds = ("delivered API", "the NIR jumped")
    return [kind for b in beliefs for note in b.notes for kind in kinds if note.startswith(kind)]


def test_hidden_loss_goes_to_the_gain_within_minutes(observer: Observer) -> None:
    beliefs, truth = run(observer, 45, gain_after=0.96)
    late = beliefs[int(40 * 60 / CYCLE_S)]
    assert late.api_gain == pytest.approx(0.96, abs=0.015)
    assert late.api_pct == pytest.approx(truth[int(40 * 60 / CYCLE_S)], abs=0.12)
    assert jumps(beliefs) == ["delivered API"]


def test_slow_drift_goes_to_the_nir_not_to_the_product(observer: Observer) -> None:
    beliefs, _ = run(observer, 90, drift_per_h=0.3)
    assert beliefs[-1].nir_bias_pct == pytest.approx(0.4, abs=0.12)
    assert beliefs[-1].api_gain == pytest.approx(1.0, abs=0.008)
    assert jumps(beliefs) == []


def test_nothing_wrong_means_nothing_found(observer: Observer) -> None:
    beliefs, _ = run(observer, 60)
    assert beliefs[-1].api_gain == pytest.approx(1.0, abs=0.006)
    assert jumps(beliefs) == []


def test_a_late_result_counts_at_its_sample_time(observer: Observer) -> None:
    """A sample taken before a change must not be held against the belief after it."""
    memory: Memory | None = None
    for k in range(180):
        flow = 2.0 if k < 60 else 2.2
        values = {**FLOWS, "y_flow_FeederApi": (flow, 0.03), "y_force": (9.55, 0.15)}
        _, memory = observe(observer, memory, Observation(k * CYCLE_S, values, SETPOINTS, TARGET))
    assert memory is not None
    before = memory
    old = LabResult(1, 55 * CYCLE_S, 180 * CYCLE_S, 10.0, 250.0, 80.0)
    seen = Observation(180 * CYCLE_S, {**FLOWS, "y_flow_FeederApi": (2.2, 0.03)}, SETPOINTS, TARGET, (old,))
    with_lab, _ = observe(observer, before, seen)
    without, _ = observe(observer, before, replace(seen, lab=()))
    assert with_lab.api_pct == pytest.approx(without.api_pct, abs=0.02), "10.0 was true when it was taken"
    assert with_lab.api_gain_sigma < without.api_gain_sigma, "and it taught something"
    naive = LabResult(1, 179 * CYCLE_S, 180 * CYCLE_S, 10.0, 250.0, 80.0)
    wrong, _ = observe(observer, before, replace(seen, lab=(naive,)))
    assert wrong.api_pct < without.api_pct - 0.1, "the same value at the wrong time would have misled"


def test_a_result_is_met_again_when_an_earlier_sample_makes_the_filter_run_anew(observer: Observer) -> None:
    memory: Memory | None = None
    for k in range(100):
        _, memory = observe(observer, memory, Observation(k * CYCLE_S, FLOWS, SETPOINTS, TARGET))
    later, earlier = (LabResult(n, at * CYCLE_S, 500.0, 9.93, 250.0, 80.0) for n, at in ((1, 80), (2, 40)))
    seen = Observation(500.0, FLOWS, SETPOINTS, TARGET)
    both, _ = observe(observer, memory, replace(seen, lab=(later, earlier)))
    swapped, _ = observe(observer, memory, replace(seen, lab=(earlier, later)))
    alone, _ = observe(observer, memory, replace(seen, lab=(earlier,)))
    assert both.api_gain == pytest.approx(swapped.api_gain, rel=1e-6), "out of order or in order: the same belief"
    assert both.api_gain < alone.api_gain - 1e-4


def test_a_sample_older_than_the_memory_is_named_and_not_used(observer: Observer) -> None:
    values = {**FLOWS, "y_nir": (10.0, 0.12)}
    _, memory = observe(observer, None, Observation(10_000.0, values, SETPOINTS, TARGET))
    old = LabResult(7, 10.0, 10_005.0, 5.0, 250.0, 80.0)
    belief, _ = observe(observer, memory, Observation(10_005.0, values, SETPOINTS, TARGET, (old,)))
    assert belief.api_pct == pytest.approx(10.0, abs=0.2)
    assert any("sample 7 is older" in note for note in belief.notes)


def test_missing_nir_only_widens(observer: Observer) -> None:
    values = {**FLOWS, "y_nir": (10.0, 0.12)}
    belief, memory = observe(observer, None, Observation(0.0, values, SETPOINTS, TARGET))
    for k in range(1, 60):
        blind, memory = observe(observer, memory, Observation(k * CYCLE_S, FLOWS, SETPOINTS, TARGET))
    assert np.isfinite(blind.api_pct)
    assert blind.nir_bias_sigma_pct > belief.nir_bias_sigma_pct


def test_observe_is_pure(observer: Observer) -> None:
    values = {**FLOWS, "y_nir": (9.9, 0.12)}
    first, memory = observe(observer, None, Observation(0.0, values, SETPOINTS, TARGET))
    seen = Observation(5.0, values, SETPOINTS, TARGET)
    assert observe(observer, memory, seen)[0] == observe(observer, memory, seen)[0]
    assert first.state


@pytest.mark.parametrize(("nir_pct", "quality"), [(np.nan, Quality.BAD), (1e7, Quality.GOOD)])
def test_a_belief_that_no_powder_can_be_is_begun_anew(observer: Observer, nir_pct: float, quality: Quality) -> None:
    values = {**FLOWS, "y_nir": (9.9, 0.12)}
    _, memory = observe(observer, None, Observation(0.0, values, SETPOINTS, TARGET))
    broken, memory = observe(observer, memory, Observation(5.0, {"y_nir": (nir_pct, 0.1)}, SETPOINTS, TARGET))
    assert broken.quality is quality
    whole, _ = observe(observer, memory, Observation(10.0, values, SETPOINTS, TARGET))
    assert whole.quality is Quality.GOOD
    assert np.all(np.isfinite(whole.state))
    assert whole.api_pct == pytest.approx(10.0, abs=0.5)
