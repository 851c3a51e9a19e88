"""The whole closed loop in lock-step: rig and service in one process, faster than real time, bit-stable by seed.

The one module of the simulator that knows the service. The service's own `cycle` runs unchanged behind its ports;
only the wire is replaced by a direct read and write of the rig's tags.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from control.signals import Mode, Quality
from edge.acquire.raw import Raw
from edge.acquire.tags import to_scan, wanted
from edge.config import LineConfig
from edge.cycle import begin, cycle
from edge.errors import ConfigError
from edge.line import Line
from edge.ports import Recorder
from edge.signals import Acted, Link, Request, Sample, Scan, Thought
from hil_sim.faults import HiddenLoss
from hil_sim.kpi import Trace, kpis
from hil_sim.rig import Rig, Truth
from hil_sim.scenario import ASKED, Scenario
from hil_sim.tags import TAGS, TagValue, Value
from hil_sim.variants import compose_variant, variant

STEP_S = 0.5
QUALITY = {quality.value: quality for quality in Quality}
CLOSE_AFTER_CYCLES = 2  # the operator closes the loop after this many cycles of advice


class RigLine:
    """A rig as Source, Actuator and Clock of the service; a dead link is LOST, a returning one a new session."""

    def __init__(self, rig: Rig, config: LineConfig, seed: int) -> None:
        self.rig, self._config, self._tags = rig, config, wanted(config)
        self._epoch, self._session, self._seed = 0, 0, seed
        self._axis: tuple[np.ndarray, str] | None = None

    def now_s(self) -> float:
        """The rig's clock."""
        return self.rig.time_s

    async def sleep_until(self, time_s: float) -> None:
        """The bench steps the rig itself: nothing to wait for."""

    async def scan(self) -> Scan:
        """Every wanted tag of the rig."""
        if not self.rig.link_up:
            self._session = 0
            return Scan(self.rig.time_s, Link.LOST, self._epoch, 0, {}, reason="the link is down")
        if self._session == 0:
            self._epoch += 1
            self._session = 1 + (self._seed * 7919 + self._epoch * 104729) % (2**31 - 2)
            self._axis = (np.array(self.rig.axis), "nm")
        tags = self.rig.read()
        raw = {name: raw_of(tags[name]) for name in self._tags}
        return to_scan(
            self._config, raw, self._axis, now_s=self.rig.time_s, epoch=self._epoch, session_id=self._session
        )

    async def write(self, wire: tuple[tuple[str, float], ...], epoch: int | None = None) -> Acted:  # noqa: ARG002
        """Write in order; codes of what was not taken. Every look is at the present connection: none is older."""
        codes: dict[str, str] = {}
        for tag, value in wire:
            code = self.rig.write(tag, typed(tag, value), user="edge")
            if code != "good":
                codes[tag] = code
        if any(code == "bad_communication_error" for code in codes.values()):
            return Acted("unknown", codes)
        return Acted("refused" if any(c not in ("good", "clamped") for c in codes.values()) else "good", codes)


def raw_of(tag: TagValue) -> Raw:
    """A rig's tag value as the wire would show it."""
    value, status = tag.value, tag.status
    if isinstance(value, tuple):
        return Raw(list(value), QUALITY[status], "" if status == "good" else status, tag.source_time_s)
    return Raw(value, QUALITY[status], "" if status == "good" else status, tag.source_time_s)


def typed(tag: str, value: float) -> Value:
    """The value in the tag's own type, as the wire adapter casts it."""
    kind = TAGS[tag].kind
    if kind == "bool":
        return bool(value)
    return int(value) if kind in ("uint32", "uint16", "int32") else float(value)


@dataclass
class ScriptedRecorder:
    """A recorder that keeps the thoughts' essentials in memory and plays the operator who closes the loop.

    asks: action and value of what else is asked, by the cycle in which it is.
    """

    inner: Recorder | None = None
    asks: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    cycles: int = 0
    holds: int = 0
    failures: int = 0
    first_alarm_s: dict[str, float] = field(default_factory=dict)
    last: Thought | None = None

    def cycle(self, sample: Sample, thought: Thought) -> None:
        """Count what the report needs."""
        self.cycles, self.last = self.cycles + 1, thought
        self.holds += thought.command.holding
        self.failures += thought.decision is not None and thought.decision.status != "ok"
        for alarm in thought.alarms:
            self.first_alarm_s.setdefault(alarm.name, sample.scan.time_s)
        if self.inner is not None:
            self.inner.cycle(sample, thought)

    def acted(self, sample: Sample, acted: Acted) -> None:
        """Passed on to a real journal when there is one."""
        if self.inner is not None:
            self.inner.acted(sample, acted)

    def artefact(self, time_s: float, name: str, digest: str, folder: Path) -> None:
        """Passed on to a real journal when there is one."""
        if self.inner is not None:
            self.inner.artefact(time_s, name, digest, folder)

    def requests(self) -> tuple[Request, ...]:
        """The operator closes the loop once, after a few cycles of advice, and asks for what the scenario says."""
        found = [Request(0, "mode", Mode.CLOSED.value, "scripted operator", "line settled")]
        if self.cycles != CLOSE_AFTER_CYCLES:
            found = []
        if self.cycles in self.asks:
            found.append(Request(0, *self.asks[self.cycles], "scripted operator", "the scenario"))
        return tuple(found)


@dataclass(frozen=True)
class Run:
    """One finished run: its row of figures, its trace of truth, and when each alarm first came (min after start)."""

    row: dict[str, float | int | str | None]
    trace: Trace
    alarms_min: Mapping[str, float]


def loss_at_s(scenario: Scenario) -> float | None:
    """When API begins to be lost unseen, s after the start; None when it never is."""
    found = [60.0 * fault.at_min for fault in scenario.fault if isinstance(fault, HiddenLoss)]
    return min(found) if found else None


def asked_in(scenario: Scenario, cycle_s: float) -> dict[int, tuple[str, str]]:
    """What the scenario's operator asks of the controller, by the cycle in which it comes."""
    return {round(60 * act.at_min / cycle_s): ASKED[act.action] for act in scenario.operator if act.action in ASKED}


def compose_for(line_file: Path, controller_name: str) -> Line:
    """The line of a line file with another controller. Raises ConfigError."""
    return compose_variant(variant(line_file, controller_name, ()))


def run_one(
    line: Line,
    scenario: Scenario,
    seed: int,
    hours: float | None = None,
    watch: Callable[[Truth, Thought], None] | None = None,
    recorder: Recorder | None = None,
) -> Run:
    """Play one scenario in lock-step and return its figures; the same arguments give the same run."""
    control = line.control
    if control is None:
        raise ConfigError("a bench needs a controlled line")
    played = scenario if hours is None else scenario.model_copy(update={"hours": hours})
    started = time.perf_counter()
    rig = Rig(played, seed)
    rigged = RigLine(rig, line.config, seed)
    script = ScriptedRecorder(recorder, asked_in(played, line.config.line.cycle_s))
    truths: list[Truth] = []
    costs_ms: list[float] = []

    async def play() -> None:
        loop, acted, number = begin(line), Acted("none"), 0
        per_cycle = round(line.config.line.cycle_s / STEP_S)
        while not rig.finished:
            before = time.perf_counter()
            thought, loop, acted = await cycle(line, loop, number, acted, rigged, rigged, script, rigged)
            costs_ms.append(1000 * (time.perf_counter() - before))
            number += 1
            if watch is not None:
                watch(rig.truth(), thought)
            for i in range(per_cycle):
                rig.step(STEP_S)
                if i % 2:
                    truths.append(rig.truth())

    asyncio.run(play())
    trace = Trace.of(truths)
    alarms = {name: (at - rig.start_time_s) / 60 for name, at in script.first_alarm_s.items()}
    row: dict[str, float | int | str | None] = {
        "scenario": scenario.name,
        "controller": control.settings.controller.name,
        "controller_hash": control.bundle.bundle_hash,
        "seed": seed,
        "hours": played.hours,
        **kpis(trace, 60 * played.judged_from_min, loss_at_s(played)),
        "cycle_ms_p50": float(np.percentile(costs_ms, 50)),
        "cycle_ms_p99": float(np.percentile(costs_ms, 99)),
        "fallbacks": script.failures,
        "held_cycles": script.holds,
        "nir_drift_alarm_min": alarms.get("nir_drift"),
        "hidden_loss_alarm_min": alarms.get("hidden_loss"),
        "wall_s": time.perf_counter() - started,
    }
    return Run(row, trace, alarms)
