"""press readings -> orders of its three handles: an extended Kalman filter and one real-time iteration, both pure.

Runs on the compiled problem of `control.plants.press`. A late result of the at-line tester corrects by what was
expected when its tablets were made. Orders are rounded to what the machine can be set to; the plan goes on from there.
A plan that cannot be defended (control.defend) is not made: the orders in force stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from control.blocks import Bounds
from control.compiled import Compiled
from control.decide.mpc import SAME, SOLVER_ERRORS
from control.defend import indefensible
from control.press_explain import explained
from control.rti import Plan, Rti
from control.signals import PressMove
from soft_sensors.signals import FloatArray

# Standard deviations of what is read, in its own unit, and of what a state does by itself in one second.
NOISE = {"y_depth": 0.005, "y_thickness": 0.003, "y_turret": 0.1, "y_level": 0.6, "y_force": 0.11, "y_weight": 0.9,
         "y_hardness": 1.8}  # fmt: skip
WALK = {"fill_depth_mm": 0.002, "thickness_mm": 0.001, "turret_rpm": 0.05, "level_pct": 0.05, "density_ratio": 8e-4,
        "hardening": 3e-4, "strength_factor": 6e-4}  # fmt: skip
LOST_AFTER_S = 30.0  # a result this far from every moment that is remembered is of another time
START = {"density_ratio": 0.02, "hardening": 0.05, "strength_factor": 0.05}


@dataclass(frozen=True)
class Result:
    """A result of the at-line tester: when its tablets were made (s), their mean weight (mg) and breaking force (N)."""

    made_s: float
    weight_mg: float
    hardness_n: float


@dataclass(frozen=True)
class PressSeen:
    """One look at the press: force in kN (mean of a revolution), level in %, the handles' read-back positions.

    orders: what the three handles are set to now, read back; None: what was ordered last.
    """

    time_s: float
    force_kn: float
    level_pct: float
    depth_mm: float
    thickness_mm: float
    turret_rpm: float
    result: Result | None = None
    orders: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class PressMemory:
    """What the next call needs: belief, orders in force, plan, and what weight and hardness were expected lately.

    result_s: when the tablets of the last result used were made; move: why the last
    orders are what they are; status: "ok", or why the orders in force stay.
    """

    mean: FloatArray
    cov: FloatArray
    orders: FloatArray
    plan: Plan | None = None
    expected: tuple[tuple[float, float, float], ...] = ()
    result_s: float = -np.inf
    move: PressMove | None = None
    status: str = "ok"

    @property
    def tablet(self) -> tuple[float, float]:
        """Weight (mg) and breaking force (N) that tablets are believed to have now; NaN before the first look."""
        return self.expected[-1][1:] if self.expected else (np.nan, np.nan)


@dataclass(frozen=True)
class PressController:
    """The controller's fixed parts: the compiled problem, and to what the three handles can be set (mm, mm, 1/min)."""

    compiled: Compiled
    resolution: tuple[float, float, float] = (0.01, 0.01, 0.1)
    remember_s: float = 300.0

    def begin(self, seen: PressSeen) -> PressMemory:
        """A belief to start from: handles and level as they are read, the powder as in its trial."""
        held = {"fill_depth_mm": seen.depth_mm, "thickness_mm": seen.thickness_mm, "turret_rpm": seen.turret_rpm,
                "level_pct": seen.level_pct}  # fmt: skip
        mean = np.array([held.get(name, 1.0) for name in self.compiled.card.states])
        spread = np.array([START.get(name, 10 * WALK[name]) for name in self.compiled.card.states])
        orders = seen.orders or (seen.depth_mm, seen.thickness_mm, seen.turret_rpm)
        return PressMemory(mean, np.diag(spread**2), np.array(orders))

    def decide(
        self, seen: PressSeen, targets: Mapping[str, float], memory: PressMemory | None, room: Bounds | None = None
    ) -> tuple[FloatArray, PressMemory]:
        """Orders [3] (depth mm, thickness mm, turret 1/min) and the memory; targets by the problem's parameter names.

        room: limits and rates now, None: the problem's own. When the step fails, or its plan cannot be defended, the
        orders in force stay and the memory's status says why.
        """
        memory = self._set_to(self.begin(seen) if memory is None else memory, seen)
        p = np.array([targets[name] for name in self.compiled.card.parameters])
        memory = self._believe(seen, p, memory)
        bounds, before = room or self._solver.bounds(), memory.orders
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # numbers too large are caught by what checks the plan
                plan, move, why = self._plan(memory, p, bounds)
        except SOLVER_ERRORS as error:
            plan, move, why = None, None, f"solver: {type(error).__name__}: {error}"
        if plan is None:
            return before, replace(memory, plan=None, move=None, status=why)
        step = np.array(self.resolution)
        orders = np.round(plan.U[:, 0] / step) * step
        return orders, replace(memory, orders=orders, plan=plan, move=move, status="ok")

    def _plan(
        self, memory: PressMemory, p: FloatArray, bounds: Bounds
    ) -> tuple[Plan | None, PressMove | None, str]:  # fmt: skip
        """The plan that is made with its explanation, or None and why not."""
        P = np.repeat(p[:, None], self.compiled.card.horizon_steps + 1, axis=1)
        rti, x0, before = self._solver, memory.mean, memory.orders
        prepared = rti.prepare(rti.start(x0, before, P) if memory.plan is None else rti.shifted(memory.plan, P), P)
        move, played, cost = rti.settled(
            rti.feedback(prepared, x0, before, bounds), prepared, x0, before, P, bounds
        )  # fmt: skip
        if move.status != "ok":
            return None, None, move.status
        stay = np.repeat(np.clip(before, bounds.low, bounds.high)[:, None], self.compiled.card.horizon_steps, axis=1)
        held = Plan(stay, rti.rolled(x0, stay, P))
        why = indefensible(played.U[:, 0], before, bounds, move.quality, cost, rti.cost(held, before, P, bounds))
        if why:
            return None, None, why
        return move.plan, explained(self.compiled, x0, memory.cov, before, p, move, played, held), ""

    @staticmethod
    def _set_to(memory: PressMemory, seen: PressSeen) -> PressMemory:
        """What the machine is set to is where everything starts from, whatever was ordered."""
        if seen.orders is None:
            return memory
        orders = np.array(seen.orders)
        same = bool(np.all(np.abs(orders - memory.orders) <= SAME * (1 + np.abs(orders))))
        return memory if same else replace(memory, orders=orders, plan=None)

    @cached_property
    def _solver(self) -> Rti:
        return Rti(self.compiled)

    @cached_property
    def _drift(self) -> FloatArray:
        return np.diag([WALK[name] ** 2 * self.compiled.card.step_s for name in self.compiled.card.states])

    def _believe(self, seen: PressSeen, p: FloatArray, memory: PressMemory) -> PressMemory:
        names = self.compiled.card.measurements
        moved, A = self.compiled.call("predict", memory.mean, memory.orders, p)
        mean, cov = moved[:, 0], A @ memory.cov @ A.T + self._drift
        y, C = self.compiled.call("measure", mean, memory.orders, p)
        read = {"y_depth": seen.depth_mm, "y_thickness": seen.thickness_mm, "y_turret": seen.turret_rpm,
                "y_level": seen.level_pct, "y_force": seen.force_kn}  # fmt: skip
        gaps = {name: value - y[names.index(name), 0] for name, value in read.items()}
        mean, cov = _corrected(mean, cov, C, names, gaps)
        if seen.result is not None and memory.expected:
            made_s = seen.result.made_s
            then_s, weight, hardness = min(memory.expected, key=lambda then: abs(then[0] - made_s))
            if abs(then_s - made_s) > LOST_AFTER_S:  # of tablets from before the memory: nothing to hold it against
                weight = hardness = np.nan
            late = {"y_weight": seen.result.weight_mg - weight, "y_hardness": seen.result.hardness_n - hardness}
            mean, cov = _corrected(mean, cov, C, names, {name: gap for name, gap in late.items() if np.isfinite(gap)})
        now = self.compiled.call("measure", mean, memory.orders, p)[0][:, 0]
        told = (seen.time_s, float(now[names.index("y_weight")]), float(now[names.index("y_hardness")]))
        kept = tuple(then for then in memory.expected if then[0] >= seen.time_s - self.remember_s)
        result_s = memory.result_s if seen.result is None else seen.result.made_s
        return replace(memory, mean=mean, cov=cov, expected=(*kept, told), result_s=result_s)


def _corrected(
    mean: FloatArray, cov: FloatArray, C: FloatArray, names: tuple[str, ...], gaps: Mapping[str, float]
) -> tuple[FloatArray, FloatArray]:
    """One measurement after the other (their noise is independent); gaps: seen minus expected at `mean`, by name."""
    start = mean
    for name, gap in gaps.items():
        row = C[names.index(name)]
        gain = cov @ row
        variance = float(row @ gain) + NOISE[name] ** 2
        mean = mean + gain * ((gap - float(row @ (mean - start))) / variance)
        cov = cov - np.outer(gain, gain) / variance
    return mean, 0.5 * (cov + cov.T)
