"""seed -> what goes wrong when, and the replaced parts through which it goes wrong: source, controller, solver, clock.

Nothing of the product is touched: each part obeys the same protocol as the one it stands in for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from control.decide import Controller
from control.qp import Program, Solution, solve
from control.signals import Decision, Quality, Reading, Situation
from edge.config import LineConfig
from edge.signals import Link, Scan
from hil_sim.bench import RigLine
from hil_sim.rig import Rig

KINDS = (
    "nan_state", "infeasible_state", "solver_raises", "solver_wrong", "iteration_limit", "slow", "stale_inputs",
    "jump", "narrow_limits", "nir_gone", "lost_link",
)  # fmt: skip
LONGEST_GAP, LONGEST_BURST = 25, 20  # cycles
LATE_S = 4.5  # of a 5 s cycle: what a slow solver takes


@dataclass(frozen=True)
class Mishap:
    """One kind of fault from cycle `first` on, for `cycles`; draw: a random number that it may use for its details."""

    kind: str
    first: int
    cycles: int
    draw: int


def mishaps(seed: int, cycles: int, settle: int = 40) -> tuple[Mishap, ...]:
    """One after the other, half of them a single cycle long, each kind equally often; none before `settle` cycles."""
    random, found, at = np.random.default_rng(seed), [], settle
    while at < cycles:
        order = random.permutation(len(KINDS))
        for i in order:
            lasts = 1 if random.random() < 0.5 else int(random.integers(2, LONGEST_BURST + 1))
            found.append(Mishap(KINDS[i], at, lasts, int(random.integers(2**31))))
            at += lasts + int(random.integers(1, LONGEST_GAP + 1))
    return tuple(m for m in found if m.first < cycles)


class Script:
    """What goes wrong in the cycle that is on; the parts below ask it."""

    def __init__(self, plan: tuple[Mishap, ...]) -> None:
        self._of = {m.first + i: m for m in plan for i in range(m.cycles)}
        self.number = 0

    @property
    def now(self) -> Mishap | None:
        """The fault of this cycle, None in a healthy one."""
        return self._of.get(self.number)

    def on(self, *kinds: str) -> bool:
        """Whether one of these kinds is on."""
        return self.now is not None and self.now.kind in kinds

    def random(self) -> np.random.Generator:
        """This cycle's own random numbers, the same whoever asks."""
        return np.random.default_rng((0 if self.now is None else self.now.draw, self.number))


class FaultySolver:
    """A QP solver that fails as the script says; keeps the last program and answer for the judge."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.last: tuple[Program, Solution] | None = None

    def __call__(self, program: Program) -> Solution:
        """Solve, or fail."""
        if self._script.on("solver_raises"):
            raise ArithmeticError("injected")
        if self._script.on("iteration_limit"):
            return Solution(np.zeros(0), np.zeros(0), math.inf, 600, "QP not solved (flag -4 after 600 iterations)")
        found = solve(program)
        if self._script.on("solver_wrong") and found.status == "ok":
            off = 0.05 * self._script.random().standard_normal(len(found.z))
            found = replace(found, z=found.z + off)
        self.last = program, found
        return found


class FaultyController:
    """A controller that is told a belief nobody can use, when the script says so; keeps the situation it saw."""

    def __init__(self, inner: Controller, script: Script) -> None:
        self._inner, self._script = inner, script
        self.situation: Situation | None = None

    def decide(self, situation: Situation, memory: Any) -> tuple[Decision, Any]:
        """The inner controller's decision on a situation that may be spoilt."""
        if self._script.on("nan_state"):
            situation = _with_state(situation, lambda state: np.full_like(state, math.nan))
        elif self._script.on("infeasible_state"):
            random = self._script.random()
            situation = _with_state(situation, lambda state: state * random.uniform(-1.0, 4.0, len(state)))
        self.situation = situation
        return self._inner.decide(situation, memory)

    def prepare(self, memory: Any) -> Any:
        """As the inner controller."""
        return self._inner.prepare(memory)


class FaultyLine(RigLine):
    """The rig's line with something between it and the service; keeps what was written in this cycle."""

    def __init__(self, rig: Rig, config: LineConfig, seed: int, script: Script) -> None:
        super().__init__(rig, config, seed)
        self._script, self._setpoints = script, tuple(mv.name for mv in config.mv)
        self.written: dict[str, float] = {}

    def now_s(self) -> float:
        """The rig's clock; after a slow solver that much later."""
        return self.rig.time_s + (LATE_S if self._script.on("slow") else 0.0)

    async def scan(self) -> Scan:
        """What the service gets to see."""
        self.written = {}
        seen, mishap = await super().scan(), self._script.now
        if mishap is None or seen.link is Link.LOST:
            return seen
        random = self._script.random()
        match mishap.kind:
            case "lost_link":
                self._session = 0  # what comes back is a new connection
                return Scan(seen.time_s, Link.LOST, seen.epoch, 0, {}, reason="injected")
            case "stale_inputs":
                return _tagged(seen, _some(seen, random), _stale)
            case "jump":
                return _tagged(seen, _some(seen, random), lambda r: replace(r, value=_jumped(r.value, random)))
            case "narrow_limits":
                low = {f"{n}.SP_HiLim": 0.9 * seen.readings[f"{n}.SP_Working"].value for n in self._setpoints}
                return _tagged(seen, tuple(low), lambda r: r, low)
            case "nir_gone" if seen.spectrum is not None:
                return replace(seen, spectrum=replace(seen.spectrum, quality=Quality.BAD, reason="injected"))
        return seen

    async def write(self, wire: tuple[tuple[str, float], ...], epoch: int | None = None) -> Any:
        """Write, and keep what was asked of the plant."""
        self.written = {t.removesuffix(".SP_Remote"): v for t, v in wire if t.endswith(".SP_Remote")}
        return await super().write(wire, epoch)


def _with_state(situation: Situation, change: Callable[[np.ndarray], np.ndarray]) -> Situation:
    state = change(np.array(situation.belief.state))
    return replace(situation, belief=replace(situation.belief, state=tuple(float(v) for v in state)))


def _some(seen: Scan, random: np.random.Generator) -> tuple[str, ...]:
    """A few tags: process values as a rule, now and then a read-back or the recipe."""
    values = [t for t in sorted(seen.readings) if t.endswith((".PV", ".HopperKg", ".ScrewRpm"))]
    asked = [t for t in sorted(seen.readings) if t.endswith(".SP_Working") or t.startswith("Recipe.")]
    pool = asked if random.random() < 0.25 else values
    return tuple(random.choice(pool, size=min(len(pool), int(random.integers(1, 4))), replace=False))


def _stale(reading: Reading) -> Reading:
    return replace(reading, time_s=reading.time_s - 60.0, quality=Quality.UNCERTAIN, reason="injected: stale")


def _jumped(value: float, random: np.random.Generator) -> float:
    kinds = (value * float(random.uniform(0.3, 1.7)), -value, 1e9, math.nan)
    return kinds[int(random.choice(4, p=(0.7, 0.1, 0.1, 0.1)))]


def _tagged(
    seen: Scan, tags: tuple[str, ...], change: Callable[[Reading], Reading], values: dict[str, float] | None = None
) -> Scan:
    readings = dict(seen.readings)
    for tag in tags:
        known = readings.get(tag, Reading(math.nan, seen.time_s))
        readings[tag] = change(known if values is None else replace(known, value=values[tag], quality=Quality.GOOD))
    return replace(seen, readings=readings)
