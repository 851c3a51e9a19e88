"""line file -> real cycles: what the service would record, made once so that a crash costs milliseconds."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from edge.cycle import begin, cycle
from edge.line import Line, compose
from edge.signals import Acted, Request, Sample, Thought
from hil_sim.bench import RigLine
from hil_sim.rig import Rig
from hil_sim.scenario import load_scenario

STEP_S = 0.5


@dataclass(frozen=True)
class Prepared:
    """A composed line, and what it saw and thought in its first cycles."""

    line: Line
    cycles: tuple[tuple[Sample, Thought], ...]


class SteppedLine(RigLine):
    """The simulated line in lock-step with a service: it moves on while the service sleeps."""

    def __init__(self, line: Line, seed: int) -> None:
        super().__init__(Rig(load_scenario("nominal"), seed), line.config, seed)

    async def sleep_until(self, time_s: float) -> None:
        """Step the line until that time has come on its clock."""
        while self.rig.time_s < time_s:
            self.rig.step(STEP_S)
        await asyncio.sleep(0)


def prepare(line_file: Path, count: int, seed: int = 1) -> Prepared:
    """Run the line's own cycle `count` times and keep each sample with its thought. Raises ConfigError."""
    line = compose(line_file)
    kept = _Kept()
    asyncio.run(_run(line, SteppedLine(line, seed), kept, count))
    return Prepared(line, tuple(kept.cycles))


class _Kept:
    """A recorder that keeps what it is handed."""

    def __init__(self) -> None:
        self.cycles: list[tuple[Sample, Thought]] = []

    def cycle(self, sample: Sample, thought: Thought) -> None:
        self.cycles.append((sample, thought))

    def acted(self, sample: Sample, acted: Acted) -> None:
        """Part of the next sample anyway."""

    def requests(self) -> tuple[Request, ...]:
        return ()

    def artefact(self, time_s: float, name: str, digest: str, folder: Path) -> None:
        """The line's artefacts are recorded by each writer's start."""


async def _run(line: Line, wire: SteppedLine, kept: _Kept, count: int) -> None:
    loop, acted, cycle_s = begin(line), Acted("none"), line.config.line.cycle_s
    for number in range(count):
        _, loop, acted = await cycle(line, loop, number, acted, wire, wire, kept, wire)
        await wire.sleep_until((wire.rig.time_s // cycle_s + 1) * cycle_s)
