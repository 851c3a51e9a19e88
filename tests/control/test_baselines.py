"""The rivals: PI, Smith predictor and linear MPC, on a line of dead time and tanks that they do not know exactly."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from control.decide import controller
from control.decide.delay import arrived, feed, steady, way
from control.decide.hybrid import Hybrid
from control.decide.linear import BLOCKS, condense
from control.decide.ratio import ratio_setpoints
from control.settings import ControlSettings
from control.signals import Belief, Envelope, Estimate, Quality, Situation, Target

TARGET = Target(10.0, 20.0, 250.0)
NAMES = ("pid", "smith", "hybrid")
CYCLE_S = 5.0


def named(settings: ControlSettings, name: str) -> ControlSettings:
    return settings.model_copy(update={"controller": settings.controller.model_copy(update={"name": name})})


def nir(value: float, quality: Quality = Quality.GOOD) -> Estimate:
    return Estimate(value, 0.1, value - 0.16, value + 0.16, 1, 10, 1, 10, quality, "", 1, 0.0)


def situation(settings: ControlSettings, target: Target = TARGET) -> Situation:
    ratio = ratio_setpoints(settings, target)
    rooms = {mv.name: Envelope(mv.low, mv.high, mv.rate_per_s) for mv in settings.mv}
    caps = {mv.name: mv.trim_cap_pct for mv in settings.mv if mv.trim_cap_pct is not None}
    factors = {name: 1.0 for name in ratio if name != "MainForce"}
    belief = Belief(0.0, 10.0, 0.1, 1.0, 0.01, 0.0, 0.1, 250.0, 0.0, Quality.GOOD, "")
    return Situation(0.0, CYCLE_S, target, belief, nir(10.0), dict(ratio), rooms, factors, ratio, caps)


class ToyLine:
    """Inlet composition through 150 s of dead time and two tanks of 45 s; gain: delivered over weighed API."""

    def __init__(self, target: Target = TARGET) -> None:
        self.gain = 1.0
        self.pipe = deque([target.api_pct] * 30, maxlen=31)
        self.tanks = [target.api_pct] * 2

    def step(self, setpoints: dict[str, float]) -> float:
        flows = {n: v for n, v in setpoints.items() if n != "MainForce"}
        self.pipe.append(100 * self.gain * flows["FeederApi"] / sum(flows.values()))
        share = 1 - math.exp(-CYCLE_S / 45)
        self.tanks[0] += share * (self.pipe[0] - self.tanks[0])
        self.tanks[1] += share * (self.tanks[0] - self.tanks[1])
        return self.tanks[1]


def closed_loop(
    settings: ControlSettings, name: str, line: ToyLine, cycles: int, target: Target = TARGET, start: Target = TARGET
) -> list[float]:
    """API at the probe, cycle by cycle; the loop is settled at `start` first."""
    decider, memory = controller(named(settings, name), None), None  # type: ignore[arg-type]
    now, api = situation(settings, start), []
    for k in range(-80, cycles):
        aim = start if k < 0 else target
        now = replace(situation(settings, aim), working=now.working, estimate=nir(line.tanks[1]))
        decision, memory = decider.decide(now, memory)
        now = replace(now, working=ramped(settings, now.working, decision.setpoints))
        api.append(line.step(dict(now.working)))
    return api[80:]


def ramped(settings: ControlSettings, working: Mapping[str, float], wanted: Mapping[str, float]) -> dict[str, float]:
    """What the PLC works with a cycle later: it moves no faster than its rate."""
    most = {mv.name: 0.8 * mv.rate_per_s * CYCLE_S for mv in settings.mv}
    return {n: min(v + most[n], max(v - most[n], wanted[n])) for n, v in working.items()}


def test_dead_time_and_lag_keep_mean_and_variance_of_the_residence_time(settings: ControlSettings) -> None:
    plant, passed = settings.plant, way(settings.plant, 20.0)
    flow = 20 / 3600
    held = plant.blender_kg + plant.transport_kg + plant.feed_frame_kg
    assert passed.dead_s + passed.lag_s == pytest.approx(held / flow + plant.feeder_lag_s)
    assert passed.lag_s**2 == pytest.approx(
        12.0**2 + (0.62 / flow) ** 2 / 3 + (0.41 / flow) ** 2 / 6 + (0.26 / flow) ** 2
    )
    assert way(settings.plant, 10.0).dead_s > 1.9 * passed.dead_s


def test_what_is_fed_in_arrives_after_dead_time_and_lag(settings: ControlSettings) -> None:
    passed, on = way(settings.plant, 20.0), steady(0.0)
    seen = []
    for _ in range(120):
        on = feed(on, 1.0, passed, CYCLE_S)
        seen.append(arrived(on, passed, CYCLE_S))
    dead = round(passed.dead_s / CYCLE_S)
    assert max(seen[: dead]) == 0.0
    reached = next(i for i, v in enumerate(seen) if v >= 1 - math.exp(-1))
    assert (reached + 1 - dead) * CYCLE_S == pytest.approx(passed.lag_s, abs=CYCLE_S)


def test_pid_defaults_are_simc_of_the_model(settings: ControlSettings) -> None:
    tuning, passed = settings.controller.pid, way(settings.plant, 20.0)
    dead_s = passed.dead_s + tuning.filter_s
    assert tuning.gain == pytest.approx(passed.lag_s / (2 * dead_s), abs=0.002)
    assert tuning.integral_s == pytest.approx(min(passed.lag_s, 8 * dead_s), abs=0.5)


@pytest.mark.parametrize("name", NAMES)
def test_a_hidden_loss_is_made_up_for_without_offset_or_swing(settings: ControlSettings, name: str) -> None:
    line = ToyLine()
    line.gain = 0.96
    api = closed_loop(settings, name, line, 500)
    assert api[-1] == pytest.approx(10.0, abs=0.01)
    assert max(api) < 10.08
    within = next(i for i in range(500) if all(abs(v - 10) < 0.1 for v in api[i:]))
    assert within * CYCLE_S < 15 * 60


@pytest.mark.parametrize("name", NAMES)
def test_a_grade_change_is_left_to_the_ratio(settings: ControlSettings, name: str) -> None:
    api = closed_loop(settings, name, ToyLine(), 400, target=Target(12.0, 20.0, 250.0))
    assert max(api) < 12.12, "the feedback does not push on top of the ratio"
    assert min(api[90:]) > 11.85, "nor does it take the ramp for a trim, or pull while the line still fills"
    assert api[-1] == pytest.approx(12.0, abs=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_a_throughput_change_moves_no_composition(settings: ControlSettings, name: str) -> None:
    api = closed_loop(settings, name, ToyLine(), 300, target=Target(10.0, 25.0, 250.0))
    assert max(abs(v - 10.0) for v in api) < 0.1


@pytest.mark.parametrize("name", NAMES)
def test_nothing_moves_on_a_bad_estimate_and_no_cap_is_passed(settings: ControlSettings, name: str) -> None:
    decider = controller(named(settings, name), None)  # type: ignore[arg-type]
    blind = replace(situation(settings), estimate=nir(math.nan, Quality.BAD))
    decision, memory = decider.decide(blind, None)
    for setpoint, value in blind.ratio.items():
        assert decision.setpoints[setpoint] == pytest.approx(value, rel=1e-6)
    now = replace(situation(settings), estimate=nir(8.0))
    for _ in range(200):
        decision, memory = decider.decide(now, memory)
        now = replace(now, working=decision.setpoints)
    assert decision.setpoints["FeederApi"] == pytest.approx(2.1, rel=1e-6)
    total = sum(v for n, v in decision.setpoints.items() if n != "MainForce")
    assert total == pytest.approx(20.0, rel=0.03), "the hybrid may give fillers up for the API at its cap"


@pytest.mark.parametrize("name", NAMES)
def test_with_no_room_every_rival_is_ratio_control(settings: ControlSettings, name: str) -> None:
    decider, memory = controller(named(settings, name), None), None  # type: ignore[arg-type]
    now = replace(situation(settings), estimate=nir(9.0), caps_pct=dict.fromkeys(situation(settings).caps_pct, 0.0))
    for _ in range(30):
        decision, memory = decider.decide(now, memory)
        for setpoint, value in now.ratio.items():
            assert decision.setpoints[setpoint] == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_a_refill_is_fed_forward(settings: ControlSettings, name: str) -> None:
    decider = controller(named(settings, name), None)  # type: ignore[arg-type]
    calm = situation(settings)
    filling = {**calm.refill_factor, "FeederApi": 0.93}
    _, memory = decider.decide(calm, None)
    decision, memory = decider.decide(replace(calm, refill_factor=filling), memory)
    assert decision.setpoints["FeederApi"] == pytest.approx(1.86, rel=1e-6)
    decision, _ = decider.decide(replace(calm, refill_factor=filling, working=decision.setpoints), memory)
    assert decision.setpoints["FeederApi"] == pytest.approx(1.86, rel=1e-6)


def test_hybrid_keeps_fillers_and_lubricant_in_their_ratio(settings: ControlSettings) -> None:
    decider, memory, now = Hybrid(settings), None, replace(situation(settings), estimate=nir(9.8))
    for _ in range(60):
        decision, memory = decider.decide(now, memory)
        now = replace(now, working=decision.setpoints)
    assert decision.setpoints["FeederApi"] > 2.01
    split = decision.setpoints["FeederMcc"] / decision.setpoints["FeederLac"]
    assert split == pytest.approx(now.ratio["FeederMcc"] / now.ratio["FeederLac"], rel=0.003)
    assert decision.setpoints["FeederMgst"] == pytest.approx(0.2, rel=0.003)


def test_hybrid_holds_when_a_setpoint_is_not_known(settings: ControlSettings) -> None:
    lost = replace(situation(settings), working={**situation(settings).working, "FeederLac": math.nan})
    decision, memory = Hybrid(settings).decide(lost, None)
    assert decision.status != "ok"
    assert memory is None


def test_the_condensed_prediction_is_the_model_stepped(settings: ControlSettings) -> None:
    model, random = condense(settings), np.random.default_rng(1)
    state, moves = random.normal(size=len(model.A)), random.normal(size=model.B.shape[1] * len(BLOCKS))
    found = model.free @ state + model.forced @ moves
    stepped = []
    for k, block in enumerate(np.repeat(np.arange(len(BLOCKS)), BLOCKS)):
        state = model.A @ state + model.B @ moves.reshape(len(BLOCKS), -1)[block]
        if (k + 1) % 4 == 0:
            stepped.append(model.C @ state / (0.01, 0.005))
    assert np.allclose(found, np.concatenate(stepped))


def test_smith_and_pid_hold_a_steady_line_still(settings: ControlSettings) -> None:
    for name in ("smith", "pid"):
        decider, memory = controller(named(settings, name), None), None  # type: ignore[arg-type]
        now = situation(settings)
        for _ in range(20):
            decision, memory = decider.decide(now, memory)
            assert decision.figures["trim_pct"] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_feedback_waits_while_the_line_fills_but_not_for_ever(settings: ControlSettings, name: str) -> None:
    decider, memory = controller(named(settings, name), None), None  # type: ignore[arg-type]
    now, first = replace(situation(settings), estimate=nir(9.2)), None
    for k in range(150):
        decision, memory = decider.decide(now, memory)
        now = replace(now, working=decision.setpoints)
        if first is None and abs(decision.setpoints["FeederApi"] - 2.0) > 1e-6:
            first = k * CYCLE_S
    passed = way(settings.plant, 20.0)
    assert first == pytest.approx(2 * (passed.dead_s + passed.lag_s), abs=2 * CYCLE_S)
