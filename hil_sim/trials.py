"""The closed loop under injected faults: is any cycle too slow, does any move go out that nobody can defend?

The service's own `cycle` runs in lock-step on the rig; what fails are parts that stand in for source, controller, QP
solver and clock (`hil_sim.mishaps`). Every cycle is judged on its own (`hil_sim.trial_judge`).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import count

import numpy as np

from control.decide.mpc import Mpc
from control.rti import Rti
from edge.cycle import begin, cycle
from edge.errors import ConfigError
from edge.line import Line
from edge.memory import settle
from edge.signals import Acted, Sample, Thought
from hil_sim.bench import STEP_S, ScriptedRecorder
from hil_sim.mishaps import FaultyController, FaultyLine, FaultySolver, Mishap, Script, mishaps
from hil_sim.rig import Rig
from hil_sim.scenario import RecipeStep, Scenario
from hil_sim.trial_judge import breaches, rung

LIMIT_MS = 50.0  # a cycle's most
SHOWN = 50  # breaches kept in words
CHANGES = ({"api_pct": 12.0}, {"throughput_kg_h": 16.0}, {"api_pct": 10.0}, {"throughput_kg_h": 20.0})
CHANGE_EVERY_MIN = 55.0


@dataclass(frozen=True)
class Times:
    """Of a cycle, ms: median, 99th percentile, worst, and how many took more than LIMIT_MS."""

    p50: float
    p99: float
    worst: float
    over: int

    @staticmethod
    def of(spent_ms: list[float]) -> Times:
        """The summary of all cycles' times."""
        at50, at99 = np.percentile(spent_ms, (50, 99))
        return Times(float(at50), float(at99), max(spent_ms), sum(t > LIMIT_MS for t in spent_ms))


@dataclass(frozen=True)
class Trials:
    """The outcome of a run.

    moved: cycles that wrote setpoints; breached: cycles with a breach, the first of them in words; cpu, wall: times of
    a cycle by the process's own clock and by the wall's; rungs: for each fault ("healthy": none) who decided in its
    cycles, and in how many of them setpoints were written.
    """

    cycles: int
    seed: int
    moved: int
    breached: int
    breaches: tuple[str, ...]
    cpu: Times
    wall: Times
    rungs: dict[str, dict[str, int]]

    @property
    def passed(self) -> bool:
        """No breach, and no cycle over the limit of the process's own time."""
        return self.breached == 0 and self.cpu.over == 0

    def figures(self) -> dict[str, object]:
        """As plain values, for JSON."""
        return {**asdict(self), "limit_ms": LIMIT_MS, "passed": self.passed}


@dataclass
class Judged(ScriptedRecorder):
    """The scripted operator's recorder that also keeps what the judge needs."""

    seen: tuple[Sample, Thought] | None = None

    def cycle(self, sample: Sample, thought: Thought) -> None:
        """Keep the cycle, and count as usual."""
        self.seen = sample, thought
        super().cycle(sample, thought)


def long_shift(cycles: int, cycle_s: float) -> Scenario:
    """A shift as long as the trials, with a change of grade or throughput now and then."""
    hours = (cycles + 1) * cycle_s / 3600.0
    at = [CHANGE_EVERY_MIN * i for i in range(1, int(60 * hours / CHANGE_EVERY_MIN) + 1)]
    steps = tuple(RecipeStep.model_validate({"at_min": m, **CHANGES[i % len(CHANGES)]}) for i, m in enumerate(at))
    return Scenario(name="trials", description="A long shift for injected faults.", hours=hours, recipe=steps)


def run_trials(
    line: Line, cycles: int, seed: int, plan: tuple[Mishap, ...] | None = None,
    told: Callable[[int], None] = lambda _: None,
) -> Trials:  # fmt: skip
    """Play `cycles` cycles under `mishaps(seed)` or another plan; all but the times is the same for the same arguments.

    Raises ConfigError for a line that no model-predictive controller runs.
    """
    control = line.control
    if control is None or not isinstance(control.controller, Mpc):
        raise ConfigError("trials need a line with controller 'mpc'")
    script = Script(mishaps(seed, cycles) if plan is None else plan)
    solver = FaultySolver(script)
    faulty = FaultyController(replace(control.controller, solver=Rti(control.bundle, solver)), script)
    tried = replace(line, control=replace(control, controller=faulty))
    rig = Rig(long_shift(cycles, line.config.line.cycle_s), seed)
    wire, recorder = FaultyLine(rig, line.config, seed, script), Judged()
    found: list[str] = []
    bad: set[int] = set()
    rungs: dict[str, Counter[str]] = {}
    cpu_ms: list[float] = []
    wall_ms: list[float] = []
    moved = 0

    async def play() -> None:
        nonlocal moved
        loop, acted = begin(tried), Acted("none")
        settle()  # as the service does
        for number in count():
            if number == cycles:
                return
            script.number, solver.last, faulty.situation = number, None, None
            wall, cpu = time.perf_counter(), time.process_time()
            _, loop, acted = await cycle(tried, loop, number, acted, wire, wire, recorder, wire)
            cpu_ms.append(1000 * (time.process_time() - cpu))
            wall_ms.append(1000 * (time.perf_counter() - wall))
            assert recorder.seen is not None, "a cycle is recorded before it acts"
            sample, thought = recorder.seen
            wrong = breaches(control.settings, sample.scan, thought, faulty.situation, solver.last, wire.written)
            kind = "healthy" if script.now is None else script.now.kind
            if wrong:
                bad.add(number)
            found.extend(f"cycle {number} ({kind}): {what}" for what in wrong)
            moved += bool(wire.written)
            tally = rungs.setdefault(kind, Counter())
            tally[rung(thought)] += 1
            tally["written"] += bool(wire.written)
            for _ in range(round(line.config.line.cycle_s / STEP_S)):
                rig.step(STEP_S)
            told(number)

    asyncio.run(play())
    return Trials(
        cycles, seed, moved, len(bad), tuple(found[:SHOWN]), Times.of(cpu_ms), Times.of(wall_ms),
        {kind: dict(tally) for kind, tally in sorted(rungs.items())},
    )  # fmt: skip
