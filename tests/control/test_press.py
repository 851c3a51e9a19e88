"""The press: one model for three handles, its limits in order, and weight and hardness apart on the true press."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from control.compile import compile_problem
from control.compiled import Compiled
from control.plants.press import PressLimits, PressModel, problem
from control.press import PressController, PressSeen, Result
from control.rti import Rti

EXAMPLE = Path(__file__).parents[2] / "examples" / "press_decoupling.py"
AT_REFERENCE = {"target_weight_mg": 250.0, "target_hardness_n": 86.0, "feed_kg_h": 20.0}
pytestmark = pytest.mark.filterwarnings("ignore:The approximateMPC feature")


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    return compile_problem(problem(PressModel(), PressLimits()))


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("press_decoupling", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def seen(**changes: Any) -> PressSeen:
    at = {"time_s": 0.0, "force_kn": 9.55, "level_pct": 50.0, "depth_mm": 7.86, "thickness_mm": 2.911}
    return PressSeen(**{**at, "turret_rpm": 37.0, **changes})


def test_the_model_is_near_the_reference_tablet_and_as_steep_as_compaction_is(compiled: Compiled) -> None:
    names = compiled.card.measurements
    x = np.array([7.86, 2.911, 37.0, 50.0, 1.0, 1.0, 1.0])
    y = dict(zip(names, compiled.call("measure", x, x[:3], np.array([250.0, 86.0, 20.0]))[0][:, 0], strict=True))
    assert y["y_weight"] == pytest.approx(250.0, rel=0.01)
    assert y["y_force"] == pytest.approx(9.55, rel=0.1)
    assert y["y_hardness"] == pytest.approx(86.0, rel=0.1)
    heavier = x.copy()
    heavier[0] *= 1.01
    more = dict(zip(names, compiled.call("measure", heavier, x[:3], np.zeros(3))[0][:, 0], strict=True))
    assert 5.0 < 100 * (more["y_force"] / y["y_force"] - 1) < 9.0


def test_limits_are_given_up_in_their_order(compiled: Compiled) -> None:
    card = compiled.card
    order = sorted(zip(card.limit_priority, card.limits, strict=True))
    assert [name for _, name in order] == ["force_kn", "level_pct", "weight_off_mg", "hardness_off_n", "behind_kg_h"]
    # Hardness 200 N needs more force than is allowed: force is kept, weight in its band, and hardness gives way.
    rti, P = Rti(compiled), np.repeat([[250.0], [200.0], [20.0]], card.horizon_steps + 1, axis=1)
    x, orders = np.array([7.86, 2.911, 37.0, 50.0, 1.0, 1.0, 1.0]), np.array([7.86, 2.911, 37.0])
    plan = rti.start(x, orders, P)
    for _ in range(60):
        move = rti.step(plan, x, orders, P)
        orders, plan = move.plan.U[:, 0], rti.shifted(move.plan, P)
        x = compiled.call("predict", x, orders, P[:, 0])[0][:, 0]
    y = dict(zip(card.measurements, compiled.call("measure", x, orders, P[:, 0])[0][:, 0], strict=True))
    assert y["y_force"] == pytest.approx(15.0, abs=0.02)
    assert abs(y["y_weight"] - 250.0) <= 7.6
    assert abs(y["y_level"] - 50.0) < 5.0
    assert y["y_hardness"] < 185.0
    assert "hardness_off_n" in move.violated
    assert "force_kn" not in {name for name, off in move.violated.items() if off > 0.01}


def test_orders_are_what_the_machine_can_be_set_to_and_nothing_is_hidden(compiled: Compiled) -> None:
    controller = PressController(compiled)
    orders, memory = controller.decide(seen(), AT_REFERENCE, None)
    for order, step in zip(orders, controller.resolution, strict=True):
        assert order / step == pytest.approx(round(order / step), abs=1e-9)
    later = seen(time_s=2.0, force_kn=10.2)
    again = [controller.decide(later, AT_REFERENCE, memory) for _ in range(2)]
    assert np.array_equal(again[0][0], again[1][0])
    assert np.array_equal(again[0][1].mean, again[1][1].mean)


def test_a_late_result_corrects_by_what_was_expected_when_its_tablets_were_made(compiled: Compiled) -> None:
    controller, names = PressController(compiled), compiled.card.states
    memory = None
    for k in range(30):
        _, memory = controller.decide(seen(time_s=2.0 * k), AT_REFERENCE, memory)
    assert memory is not None
    then = next(e for e in memory.expected if e[0] == 20.0)
    for off, sign in ((6.0, 1.0), (-6.0, -1.0), (0.0, 0.0)):
        result = Result(20.0, then[1] + off, then[2])
        _, told = controller.decide(seen(time_s=60.0, result=result), AT_REFERENCE, memory)
        _, untold = controller.decide(seen(time_s=60.0), AT_REFERENCE, memory)
        density = names.index("density_ratio")
        change = told.mean[density] - untold.mean[density]
        assert np.sign(np.round(change, 6)) == sign


def test_a_solver_that_fails_leaves_the_orders_in_force(compiled: Compiled, monkeypatch: pytest.MonkeyPatch) -> None:
    controller = PressController(compiled)
    _, memory = controller.decide(seen(), AT_REFERENCE, None)
    orders, after = controller.decide(seen(time_s=2.0), {**AT_REFERENCE, "target_weight_mg": float("nan")}, memory)
    assert np.array_equal(orders, memory.orders)
    assert after.plan is None
    again, _ = controller.decide(seen(time_s=4.0), AT_REFERENCE, after)
    assert np.all(np.isfinite(again))


def test_weight_and_hardness_are_apart_on_the_true_press(example: ModuleType) -> None:
    makers = example.contenders()
    ours = example.figures(example.play(makers["decoupled"](), 101))
    single = example.figures(example.play(makers["depth on force"](), 101))
    assert ours["hardness_moves_n"] < 5.0
    assert ours["weight_moves_mg"] < 3.0
    assert ours["weight_step_s"] <= 20.0
    assert ours["density_s"] <= 30.0
    assert ours["level_moves_pct"] < 3.0
    assert ours["weight_rsd_pct"] < 0.6
    assert single["hardness_moves_n"] > 2 * ours["hardness_moves_n"]
    assert single["weight_rsd_pct"] > 1.5 * ours["weight_rsd_pct"]
