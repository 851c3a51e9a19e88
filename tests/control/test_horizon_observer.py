"""Moving-horizon estimation as the line's observer: what the Kalman observer does, and gross errors besides."""

from __future__ import annotations

import numpy as np
import pytest

from control.bundle import ControllerBundle
from control.native import cache_folder, native
from control.observe import Memory, Observation, Observer, observe
from control.settings import ControlSettings
from control.signals import Belief, LabResult, Target

TARGET = Target(10.0, 20.0, 250.0)
SETPOINTS = {"FeederApi": 2.0, "FeederMcc": 10.8, "FeederLac": 7.0, "FeederMgst": 0.2, "MainForce": 9.55}
FLOWS = {f"y_flow_{n}": (v, 0.015 * v) for n, v in SETPOINTS.items() if n != "MainForce"}
CYCLE_S = 5.0


@pytest.fixture(scope="module")
def horizon(settings: ControlSettings, bundle: ControllerBundle) -> Observer:
    table = settings.observer.model_copy(update={"name": "mhe", "horizon_steps": 72})
    # In machine code where there is a compiler, as the service runs it: the same bits, and the tests take seconds.
    return Observer(native(bundle, cache_folder()), settings.model_copy(update={"observer": table}))


def run(observer: Observer, nir: np.ndarray, lab: dict[int, LabResult] | None = None) -> tuple[list[Belief], Memory]:
    memory, beliefs = None, []
    for k, value in enumerate(nir):
        late = (lab or {}).get(k)
        values = {**FLOWS, "y_force": (9.55, 0.15), "y_nir": (float(value), 0.12)}
        seen = Observation(k * CYCLE_S, values, SETPOINTS, TARGET, () if late is None else (late,))
        belief, memory = observe(observer, memory, seen)
        beliefs.append(belief)
    assert memory is not None
    return beliefs, memory


def test_on_a_quiet_line_both_observers_believe_the_same(horizon: Observer, observer: Observer) -> None:
    nir = 10.0 + 0.12 * np.random.default_rng(5).standard_normal(150)
    ours, light = run(horizon, nir)[0][-1], run(observer, nir)[0][-1]
    assert ours.api_pct == pytest.approx(light.api_pct, abs=0.02)
    assert ours.api_gain == pytest.approx(light.api_gain, abs=0.003)
    assert ours.nir_bias_pct == pytest.approx(light.nir_bias_pct, abs=0.03)
    assert ours.api_sigma_pct == pytest.approx(light.api_sigma_pct, rel=0.3)


def test_gross_errors_move_it_less_than_the_filter(horizon: Observer, observer: Observer) -> None:
    random = np.random.default_rng(8)
    nir = 10.0 + 0.12 * random.standard_normal(120)
    struck = nir.copy()
    struck[40:120:8] += 1.2  # ten sigmas, one in eight
    moved = abs(run(horizon, struck)[0][-1].nir_bias_pct - run(horizon, nir)[0][-1].nir_bias_pct)
    filtered = abs(run(observer, struck)[0][-1].nir_bias_pct - run(observer, nir)[0][-1].nir_bias_pct)
    assert moved < 0.5 * filtered


def test_a_late_value_counts_at_its_sample_time(horizon: Observer) -> None:
    nir = np.full(100, 9.8)
    low = LabResult(1, 50 * CYCLE_S, 99 * CYCLE_S, 9.8, 250.0, 80.0)
    with_it, without = run(horizon, nir, {99: low})[0][-1], run(horizon, nir)[0][-1]
    assert with_it.api_gain < without.api_gain - 0.002
    assert with_it.api_gain_sigma < without.api_gain_sigma
    assert any("laboratory sample 1" in note for note in with_it.notes)


def test_a_sample_from_before_the_window_is_named_and_dropped(horizon: Observer) -> None:
    old = LabResult(1, 5 * CYCLE_S, 119 * CYCLE_S, 5.0, 250.0, 80.0)
    belief = run(horizon, np.full(120, 10.0), {119: old})[0][-1]
    assert belief.api_pct == pytest.approx(10.0, abs=0.1)
    assert any("outside the window" in note for note in belief.notes)


def test_it_is_pure(horizon: Observer) -> None:
    _, memory = run(horizon, np.full(30, 10.0))
    seen = Observation(30 * CYCLE_S, {**FLOWS, "y_nir": (9.9, 0.12)}, SETPOINTS, TARGET)
    assert observe(horizon, memory, seen)[0] == observe(horizon, memory, seen)[0]
