"""The controller that never moves without a move it can defend: prepared or not the same bits, and rungs below it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

import numpy as np
import pytest

from control.authority import caps
from control.bundle import ControllerBundle
from control.decide.ladder import PLAN_AGE_CYCLES, REST_AFTER_LATE, MpcMemory
from control.decide.mpc import Mpc
from control.decide.ratio import Ratio, ratio_setpoints
from control.guard import Permission, Room, guard
from control.observe import Observation, Observer, observe
from control.qp import Program, Solution, solve
from control.rti import Rti
from control.settings import ControlSettings
from control.signals import Authority, Decision, Envelope, Estimate, Mode, Quality, Situation, Target

TARGET = Target(10.0, 20.0, 250.0)
GOOD = Estimate(10.0, 0.1, 9.84, 10.16, 1, 10, 1, 10, Quality.GOOD, "", 1, 395.0)


class Stage:
    """A line whose belief is played by the controller's own model, with a loss that the controller knows of."""

    def __init__(self, settings: ControlSettings, bundle: ControllerBundle, observer: Observer) -> None:
        self.settings, self.bundle, self.ratio = settings, bundle, ratio_setpoints(settings, TARGET)
        values = {f"y_flow_{n}": (v, 0.01 * v) for n, v in self.ratio.items() if n != "MainForce"}
        memory = None
        for k in range(20):
            seen = Observation(5.0 * k, {**values, "y_force": (9.55, 0.1), "y_nir": (10.0, 0.1)}, self.ratio, TARGET)
            self.belief, memory = observe(observer, memory, seen)
        self.envelopes = {mv.name: Envelope(mv.low, mv.high, mv.rate_per_s) for mv in settings.mv}

    @cached_property
    def situation(self) -> Situation:
        state = list(self.belief.state)
        state[self.bundle.state("api_gain")] = 0.97
        factors = {name: 1.0 for name in self.ratio if name != "MainForce"}
        return Situation(
            100.0, 5.0, TARGET, replace(self.belief, state=tuple(state), api_gain=0.97), GOOD, dict(self.ratio),
            self.envelopes, factors, self.ratio, caps(self.settings, Authority(), 0.0),
        )  # fmt: skip

    def after(self, now: Situation, decision: Decision) -> Situation:
        """The next cycle: the model's own state a step later, what was asked for worked with."""
        u = np.array([decision.setpoints[n] for n in self.bundle.inputs])
        x = self.bundle.call("predict", np.array(now.belief.state), u, self.bundle.targets(TARGET)[:, 0])[0][:, 0]
        belief = replace(now.belief, state=tuple(float(v) for v in x))
        return replace(now, time_s=now.time_s + 5.0, belief=belief, working=dict(decision.setpoints), late=False)


@pytest.fixture
def stage(settings: ControlSettings, bundle: ControllerBundle, observer: Observer) -> Stage:
    return Stage(settings, bundle, observer)


def spoilt(situation: Situation) -> Situation:
    state = (float("nan"), *situation.belief.state[1:])
    return replace(situation, belief=replace(situation.belief, state=state))


def raising(_: Program) -> Solution:
    raise ArithmeticError("no")


def limited(_: Program) -> Solution:
    return Solution(np.zeros(0), np.zeros(0), np.inf, 600, "QP not solved (flag -4 after 600 iterations)")


def off(program: Program) -> Solution:
    found = solve(program)
    return replace(found, z=found.z * 0.9 + 1e-4)


def perturbations(k: int, now: Situation) -> Situation:
    """What happens in 40 cycles: another target, a refill, a PLC that takes less than was asked, a starving feeder."""
    if 8 <= k < 20:
        aim = Target(11.0, 20.0, 250.0)
        now = replace(now, target=aim, ratio={**now.ratio, "FeederApi": 2.2, "FeederMcc": 10.67}, transition_s=300.0)
    if 22 <= k < 27:
        now = replace(now, refill_factor={**now.refill_factor, "FeederApi": 0.95})
    if k in (12, 30, 31):
        now = replace(now, working={**now.working, "FeederMcc": now.working["FeederMcc"] - 0.05})
    if 34 <= k < 36:
        now = spoilt(now)
    return now


def played(stage: Stage, mpc: Mpc, *, prepared: bool) -> list[Decision]:
    now, memory, found = stage.situation, None, []
    for k in range(40):
        decision, memory = mpc.decide(perturbations(k, now), memory)
        if prepared:
            memory = mpc.prepare(memory)
        found.append(decision)
        now = stage.after(now, decision)
    return found


def test_preparing_changes_no_decision_by_a_bit(
    settings: ControlSettings, bundle: ControllerBundle, stage: Stage
) -> None:
    mpc = Mpc(settings, bundle)
    with_it, without = (played(stage, mpc, prepared=p) for p in (True, False))
    assert with_it == without
    assert sum(d.fallback == "" for d in with_it) >= 38, "the controller itself decided"
    assert len({d.setpoints["FeederApi"] for d in with_it}) > 20, "and it did move"
    twice = mpc.prepare(mpc.prepare(mpc.decide(stage.situation, None)[1]))
    assert twice is not None
    assert twice.prepared is not None, "the work is done beforehand"


@pytest.mark.parametrize(("solver", "why"), [(raising, "ArithmeticError"), (limited, "flag -4"), (off, "not optimal")])
def test_the_rungs_come_in_their_order_and_say_so(
    settings: ControlSettings, bundle: ControllerBundle, stage: Stage, solver: Callable[[Program], Solution], why: str
) -> None:
    good, bad = Mpc(settings, bundle), Mpc(settings, bundle, Rti(bundle, solver))
    decision, memory = good.decide(stage.situation, None)
    now, rungs = stage.after(stage.situation, decision), []
    planned = memory.plan
    assert planned is not None
    for k in range(PLAN_AGE_CYCLES + 4):
        decision, memory = bad.decide(now, memory)
        rungs.append(decision.fallback.partition(":")[0])
        assert why in decision.fallback
        assert why in decision.reason
        assert len(decision.reason) <= 140
        if rungs[-1] == "plan":
            wanted = {n: planned.U[i, k + 1] for i, n in enumerate(bundle.inputs)}
            assert decision.setpoints == pytest.approx(wanted), "what was planned for now"
        now = stage.after(now, decision)
    assert rungs == ["plan"] * PLAN_AGE_CYCLES + ["pid"] * 4
    held, memory = bad.decide(replace(now, estimate=None), memory)
    assert held.fallback.startswith("hold: ")
    assert held.status != "ok"
    assert held.setpoints == now.working
    assert memory == MpcMemory(), "nothing of a failed solve is carried on"


@pytest.mark.parametrize("what", ["nan state", "bad belief", "unknown setpoint"])
def test_without_plan_and_nir_it_holds_rather_than_guess(
    settings: ControlSettings, bundle: ControllerBundle, stage: Stage, what: str
) -> None:
    now = replace(stage.situation, estimate=None)
    if what == "nan state":
        now = spoilt(now)
    elif what == "bad belief":
        now = replace(now, belief=replace(now.belief, quality=Quality.BAD, reason="lost"))
    else:
        now = replace(now, working={**now.working, "FeederApi": float("nan")})
    decision, memory = Mpc(settings, bundle).decide(now, None)
    assert decision.status != "ok"
    assert decision.reason.startswith("hold")
    assert decision.fallback.startswith("hold: ")
    assert memory.plan is None
    assert memory.prepared is None


def test_an_unknown_setpoint_ends_even_the_plan(
    settings: ControlSettings, bundle: ControllerBundle, stage: Stage
) -> None:
    mpc = Mpc(settings, bundle)
    _, memory = mpc.decide(stage.situation, None)
    unknown = replace(stage.situation, working={**stage.situation.working, "FeederApi": float("nan")}, estimate=None)
    assert mpc.decide(unknown, memory)[0].fallback.startswith("hold: a setpoint in force is unknown")


def test_a_late_move_rests_the_solver_and_the_plan_goes_on(
    settings: ControlSettings, bundle: ControllerBundle, stage: Stage
) -> None:
    calls = []

    def counted(program: Program) -> Solution:
        calls.append(program)
        return solve(program)

    mpc = Mpc(settings, bundle, Rti(bundle, counted))
    decision, memory = mpc.decide(stage.situation, None)
    calls.clear()
    now = replace(stage.after(stage.situation, decision), late=True)
    for _ in range(REST_AFTER_LATE):
        decision, memory = mpc.decide(now, memory)
        assert decision.fallback == "plan: the last move came too late"
        assert calls == []
        now = stage.after(now, decision)
    decision, memory = mpc.decide(now, memory)
    assert decision.fallback == ""
    assert calls


def test_a_start_outside_its_room_comes_back_at_its_rate(
    settings: ControlSettings, bundle: ControllerBundle, stage: Stage
) -> None:
    mpc, memory = Mpc(settings, bundle), None
    now = replace(stage.situation, working={**stage.situation.working, "FeederApi": 3.0})
    for _ in range(6):
        decision, memory = mpc.decide(now, memory)
        assert decision.status == "ok"
        last, value = now.working["FeederApi"], decision.setpoints["FeederApi"]
        assert 0 < last - value <= 0.25 + 1e-6 or value <= 2.1 + 1e-6
        now = stage.after(now, decision)
    assert decision.setpoints["FeederApi"] <= 2.1 + 1e-6


@pytest.mark.parametrize("faults", [1, PLAN_AGE_CYCLES, PLAN_AGE_CYCLES + 5])
def test_recovery_is_bumpless_and_no_warm_start_comes_from_a_failure(
    settings: ControlSettings, bundle: ControllerBundle, stage: Stage, faults: int
) -> None:
    good, bad = Mpc(settings, bundle), Mpc(settings, bundle, Rti(bundle, raising))
    now, memory = stage.situation, None
    for k in range(5 + faults):
        decision, memory = (good if k < 5 else bad).decide(now, memory)
        assert memory.plan is None or k < 5 + PLAN_AGE_CYCLES
        assert memory.age == max(0, k - 4) or memory.plan is None
        now = stage.after(now, decision)
    back, memory = good.decide(now, memory)
    fresh, _ = good.decide(now, None)
    assert back.fallback == ""
    assert memory.age == 0
    assert memory.pid is None
    for mv in settings.mv:
        move, anew = (abs(d.setpoints[mv.name] - now.working[mv.name]) for d in (back, fresh))
        assert move <= mv.rate_per_s * 5.0 + 1e-9
        assert move <= anew + 0.01 * now.working[mv.name], "no further than a controller that starts anew"


def test_after_a_failure_nothing_of_the_old_plan_is_built_on(
    settings: ControlSettings, bundle: ControllerBundle, stage: Stage
) -> None:
    mpc = Mpc(settings, bundle)
    _, memory = mpc.decide(stage.situation, None)
    assert memory.plan is not None
    nonsense = replace(memory, plan=replace(memory.plan, X=3 * memory.plan.X), age=1, prepared=None)
    assert mpc.decide(stage.situation, nonsense)[0] == mpc.decide(stage.situation, None)[0]


def test_every_move_explains_itself_and_names_what_limits_it(
    settings: ControlSettings, bundle: ControllerBundle, stage: Stage
) -> None:
    mpc, memory, now = Mpc(settings, bundle), None, stage.situation
    state = list(now.belief.state)
    state[bundle.state("api_gain")] = 0.90
    now = replace(now, belief=replace(now.belief, state=tuple(state), api_gain=0.90))
    known = {f"{n}{kind}" for n in bundle.inputs for kind in (" trim cap", " limit", " rate", "")} | {
        *bundle.card.limits
    }
    for _ in range(20):
        decision, memory = mpc.decide(now, memory)
        assert len(decision.reason) <= 140
        assert {a.name for a in decision.active} <= known
        assert all(a.multiplier > 0 and a.ahead_s >= 0 for a in decision.active)
        costs = [a.multiplier for a in decision.active]
        assert costs == sorted(costs, reverse=True)
        now = stage.after(now, decision)
    assert "FeederApi trim cap" in {a.name for a in decision.active}, "10 % of loss is more than the cap makes up for"
    assert "limit " in decision.reason
    assert decision.priority == 2, "and the API band is given up, which is said"
    assert decision.figures["over_api_lc_pct"] > 0
    assert set(decision.predicted) == {"api_lc_pct_with_move", "api_lc_pct_held"}


def test_without_evidence_it_is_ratio_control_to_the_last_bit(
    settings: ControlSettings, bundle: ControllerBundle, stage: Stage
) -> None:
    """60 cycles from a trimmed start, through the guard: the setpoints that ratio control would send."""
    none = Authority(0.0, 0.0, "no evidence")
    start = replace(
        stage.situation, caps_pct=caps(settings, none, 1.0), authority=none,
        working={**stage.situation.working, "FeederApi": 2.1, "FeederMcc": 10.74, "MainForce": 9.7},
    )  # fmt: skip
    yes, quiet = Permission(given=True), Permission(given=False)

    def run(chosen: Mpc | Ratio) -> list[dict[str, float]]:
        now, memory, found = start, None, []
        for k in range(60):
            now = replace(now, refill_factor={**now.refill_factor, "FeederMcc": 0.97 if 20 <= k < 30 else 1.0})
            decision, memory = chosen.decide(now, memory)  # type: ignore[arg-type]
            centre = {n: v * now.refill_factor.get(n, 1.0) for n, v in now.ratio.items()}
            room = Room(now.working, now.envelopes, centre, now.caps_pct, now.cycle_s)
            command = guard(Mode.CLOSED, decision, room, yes, yes, quiet)
            found.append(dict(command.writes))
            now = stage.after(now, replace(decision, setpoints=command.writes))
        return found

    ours, plain = run(Mpc(settings, bundle)), run(Ratio(settings))
    assert ours == plain
    assert ours[-1] == stage.ratio
