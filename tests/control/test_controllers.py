"""The controllers behind one protocol: ratio, PID, MPC, and the refill feed-forward they share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from control.authority import caps
from control.bundle import ControllerBundle
from control.decide import controller
from control.decide.mpc import Mpc
from control.decide.pid import Pid
from control.decide.ratio import Ratio, ratio_setpoints
from control.decide.refill import Blind, feed_factor_g_rev, follow_refills
from control.observe import Observation, Observer, observe
from control.settings import ControlSettings
from control.signals import Authority, Belief, Envelope, Estimate, FeederReading, Quality, Reading, Situation, Target

TARGET = Target(10.0, 20.0, 250.0)


@pytest.fixture
def situation(settings: ControlSettings, observer: Observer) -> Situation:
    ratio = ratio_setpoints(settings, TARGET)
    values = {f"y_flow_{n}": (v, 0.01 * v) for n, v in ratio.items() if n != "MainForce"}
    memory, belief = None, None
    for k in range(80):
        seen = Observation(5.0 * k, {**values, "y_force": (9.55, 0.1), "y_nir": (10.0, 0.1)}, ratio, TARGET)
        belief, memory = observe(observer, memory, seen)
    assert belief is not None
    rooms = {mv.name: Envelope(mv.low, mv.high, mv.rate_per_s) for mv in settings.mv}
    factors = {name: 1.0 for name in ratio if name != "MainForce"}
    good = Estimate(10.0, 0.1, 9.84, 10.16, 1, 10, 1, 10, Quality.GOOD, "", 1, 395.0)
    room = caps(settings, Authority(), 0.0)
    return Situation(400.0, 5.0, TARGET, belief, good, dict(ratio), rooms, factors, ratio, room)


def believing(situation: Situation, bundle: ControllerBundle, **states: float) -> Situation:
    state = list(situation.belief.state)
    for name, value in states.items():
        state[bundle.state(name)] = value
    belief: Belief = replace(situation.belief, state=tuple(state), api_gain=states.get("api_gain", 1.0))
    return replace(situation, belief=belief)


def test_ratio_adds_up_to_the_recipe(settings: ControlSettings) -> None:
    setpoints = ratio_setpoints(settings, TARGET)
    flows = [v for n, v in setpoints.items() if n != "MainForce"]
    assert sum(flows) == pytest.approx(20.0)
    assert setpoints["FeederApi"] == pytest.approx(2.0)
    assert setpoints["FeederMgst"] == pytest.approx(0.2)


def test_mpc_leaves_a_line_on_target_alone(
    settings: ControlSettings, bundle: ControllerBundle, situation: Situation
) -> None:
    decision, memory = Mpc(settings, bundle).decide(situation, None)
    assert decision.status == "ok"
    assert memory is not None
    for name, value in situation.ratio.items():
        assert decision.setpoints[name] == pytest.approx(value, rel=0.004)


def test_mpc_makes_up_for_a_loss_and_keeps_the_throughput(
    settings: ControlSettings, bundle: ControllerBundle, situation: Situation
) -> None:
    lossy, memory = believing(situation, bundle, api_gain=0.97), None
    mpc = Mpc(settings, bundle)
    for _ in range(12):
        decision, memory = mpc.decide(lossy, memory)
        lossy = replace(lossy, working=decision.setpoints)
    assert decision.setpoints["FeederApi"] == pytest.approx(2.0 / 0.97, rel=0.01)
    assert sum(v for n, v in decision.setpoints.items() if n != "MainForce") == pytest.approx(20.0, rel=0.005)
    held, moved = decision.predicted["api_lc_pct_held"], decision.predicted["api_lc_pct_with_move"]
    assert abs(moved[-1] - 100) < 1.0
    assert len(held) == len(moved)
    assert len(decision.reason) <= 140


def test_mpc_stays_inside_cap_limits_and_rate(
    settings: ControlSettings, bundle: ControllerBundle, situation: Situation
) -> None:
    lossy, memory = believing(situation, bundle, api_gain=0.80), None
    mpc = Mpc(settings, bundle)
    for _ in range(12):
        decision, memory = mpc.decide(lossy, memory)
        step = {n: abs(decision.setpoints[n] - v) for n, v in lossy.working.items()}
        for mv in settings.mv:
            assert step[mv.name] <= mv.rate_per_s * 5.0 + 1e-6
        lossy = replace(lossy, working=decision.setpoints)
    assert decision.setpoints["FeederApi"] <= 2.0 * 1.05 + 1e-6


def test_mpc_equals_the_nonlinear_optimum_near_target(
    settings: ControlSettings, bundle: ControllerBundle, situation: Situation
) -> None:
    """One Gauss-Newton step against scipy's own least squares on the bundle's residuals, same blocks, no limits hit."""
    from scipy.optimize import least_squares

    mpc = Mpc(settings, bundle)
    lossy = believing(situation, bundle, api_gain=0.99)
    decision, _ = mpc.decide(lossy, None)
    x0, N = np.array(lossy.belief.state), bundle.horizon_steps
    before = np.array([lossy.working[n] for n in bundle.inputs])
    P = bundle.targets(TARGET, N + 1)
    span = np.array([(mv.low + mv.high) / 2 for mv in settings.mv])
    blocks = np.array(bundle.card.blocks)

    def residuals(flat: np.ndarray) -> np.ndarray:
        moves = flat.reshape(len(blocks), -1) * span
        U = np.repeat(moves, blocks, axis=0).T
        X = np.hstack([x0[:, None], bundle.call("rollout", x0, U, P[:, :N])[0]])
        R, E = bundle.call("cost", X[:, :N], U, P[:, :N])
        assert np.all(np.array(bundle.card.limit_high)[:, None] >= E), "the premise: no soft limit is hit"
        change = np.diff(np.vstack([before, moves]), axis=0) * np.sqrt(bundle.card.move_weight)
        return np.concatenate([R.T.ravel(), change.ravel()])

    start = np.tile(before / span, len(blocks))
    best = least_squares(residuals, start, method="trf", max_nfev=15).x.reshape(len(blocks), -1)[0] * span
    ours = np.array([decision.setpoints[n] for n in bundle.inputs])
    assert np.allclose(ours, best, rtol=2e-3)
    assert abs(ours[0] - before[0]) > 0.005, "and it did move"


def test_pid_moves_against_the_error_and_stops_at_the_cap(settings: ControlSettings, situation: Situation) -> None:
    assert situation.estimate is not None
    low = replace(situation, estimate=replace(situation.estimate, value=9.75))
    pid, memory = Pid(settings), None
    trims = []
    for _ in range(400):
        decision, memory = pid.decide(low, memory)
        low = replace(low, working=decision.setpoints)
        trims.append(decision.figures["trim_pct"])
    assert trims[0] > 0
    assert trims[-1] == pytest.approx(5.0)
    assert sum(v for n, v in decision.setpoints.items() if n != "MainForce") == pytest.approx(20.0)


def test_pid_leaves_a_line_that_is_still_filling_alone(settings: ControlSettings, situation: Situation) -> None:
    assert situation.estimate is not None
    filling = replace(situation, estimate=replace(situation.estimate, value=6.0))
    decision, memory = Pid(settings).decide(filling, None)
    assert decision.figures["trim_pct"] == 0.0
    for _ in range(200):
        decision, memory = Pid(settings).decide(filling, memory)
    assert decision.figures["trim_pct"] > 0.0, "but not for ever"


def test_pid_does_not_move_on_a_bad_estimate(settings: ControlSettings, situation: Situation) -> None:
    assert situation.estimate is not None
    bad = replace(situation, estimate=replace(situation.estimate, value=float("nan"), quality=Quality.BAD))
    decision, _ = Pid(settings).decide(bad, None)
    assert decision.setpoints["FeederApi"] == pytest.approx(2.0)


def test_ratio_feeds_forward_through_a_refill(settings: ControlSettings, situation: Situation) -> None:
    blind = replace(situation, refill_factor={**situation.refill_factor, "FeederApi": 0.93})
    decision, _ = Ratio(settings).decide(blind, None)
    assert decision.setpoints["FeederApi"] == pytest.approx(1.86)
    assert "FeederApi in refill" in decision.reason


def test_refill_factor_keeps_the_delivered_flow(settings: ControlSettings) -> None:
    curve = next(mv.feed_factor for mv in settings.mv if mv.name == "FeederApi")
    assert curve is not None
    before = {"FeederApi": Blind(0.9, 2.0, 10.0)}
    now = Reading(0.0, 0.0)
    filling = FeederReading(replace(now, value=2.0), replace(now, value=2.4), replace(now, value=10.0), volumetric=True)
    factors, flows, memory = follow_refills(settings, {"FeederApi": filling}, before)
    ratio = feed_factor_g_rev(curve, 2.4) / feed_factor_g_rev(curve, 0.9)
    assert ratio > 1.05
    assert factors["FeederApi"] == pytest.approx(1 / ratio)
    assert flows["FeederApi"][0] == pytest.approx(2.0 * ratio)
    assert memory == before
    weighing = replace(filling, volumetric=False)
    assert follow_refills(settings, {"FeederApi": weighing}, before)[0]["FeederApi"] == 1.0


@pytest.mark.parametrize("name", ["ratio", "pid", "mpc"])
def test_every_controller_obeys_one_protocol(
    settings: ControlSettings, bundle: ControllerBundle, situation: Situation, name: str
) -> None:
    chosen = settings.model_copy(update={"controller": settings.controller.model_copy(update={"name": name})})
    decision, _ = controller(chosen, bundle).decide(situation, None)
    assert decision.controller == name
    assert set(decision.setpoints) == set(situation.working)
    again, _ = controller(chosen, bundle).decide(situation, None)
    assert again == decision, "the same situation gives the same decision"
