"""the service as it runs -> facts for the bench: time from sensed to guarded, memory, start-up; in fresh processes.

Budgets are those of the product's own requirements; they are no peers, so these figures are facts and not ratios.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from deploy.commands import free_port
from deploy.demo import LINE_FILE, Stage, prepare
from edge.cycle import begin, cycle, think
from edge.errors import ConfigError, PatloopError, RecorderError
from edge.record.canonical import decode
from edge.record.journal import Journal
from edge.sensing import sense
from edge.signals import Acted, Sample, Thought
from hil_sim.bench import STEP_S, RigLine, ScriptedRecorder, compose_for
from hil_sim.credentials import server_credentials
from hil_sim.endpoint import Endpoint
from hil_sim.pace import Pace
from hil_sim.rig import Rig
from hil_sim.scenario import load_scenario
from hil_sim.server import LineServer

PATIENCE_S, SPEED, WATCHED_CYCLES = 60.0, 20.0, 60
WARM_UP = 5  # cycles left out, as everywhere in the bench


@dataclass(frozen=True)
class Fact:
    """A figure with the most it may be; how: what was measured, and over how much."""

    name: str
    unit: str
    value: float
    budget: float
    how: str


def facts(say: Callable[[str], None], hours: float = 2.0) -> Iterator[Fact]:
    """Every figure, one after the other. Raises PatloopError when the service does not start."""
    say("observe, decide and guard, cycle after cycle")
    # A fresh process: the bench's own libraries and garbage are not the service's.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        spent_ms = pool.submit(thinking_ms, hours).result()
    how = f"think less sensing, {len(spent_ms)} cycles of the scenario hidden_loss in closed loop"
    for percent in (50, 99):
        yield Fact(f"observe + decide + guard, p{percent}", "ms", float(np.percentile(spent_ms, percent)), 15.0, how)
    yield Fact("observe + decide + guard, longest", "ms", max(spent_ms), 50.0, how)
    say("the service on the wire: start-up and memory")
    with TemporaryDirectory() as folder:
        start_s, memory_mb = asyncio.run(_on_the_wire(prepare(Path(folder) / "stage", port := free_port()), port))
    yield Fact("start-up to first decision", "s", start_s, 3.0, "process start until its record is in the journal")
    yield Fact("memory of the service, without pages", "MB", memory_mb, 200.0,
               f"largest resident set after {WATCHED_CYCLES} cycles in closed loop on an encrypted wire")  # fmt: skip


def thinking_ms(hours: float) -> list[float]:
    """Time from estimate to guarded command of every cycle, in closed loop, the line stepped in between."""
    line = compose_for(LINE_FILE, "mpc")
    rig = Rig(load_scenario("hidden_loss").model_copy(update={"hours": hours}), 1)
    rigged, script, spent = RigLine(rig, line.config, 1), _Keeping(), []

    async def play() -> None:
        loop, acted, number = begin(line), Acted("none"), 0
        while not rig.finished:
            before = loop
            _, loop, acted = await cycle(line, loop, number, acted, rigged, rigged, script, rigged)
            assert script.sample is not None, "a cycle records its sample"
            # Thinking is pure: thought again, and sensed alone, on what was recorded.
            whole = _timed(lambda was=before: think(line, was, script.sample))  # type: ignore[misc]
            sensing = _timed(lambda was=before: sense(line, was.sensed, script.sample))  # type: ignore[misc]
            spent.append(max(0.0, whole - sensing))
            number += 1
            for _ in range(round(line.config.line.cycle_s / STEP_S)):
                rig.step(STEP_S)

    gc.collect()
    gc.freeze()
    asyncio.run(play())
    return spent[WARM_UP:]


class _Keeping(ScriptedRecorder):
    """A recorder that keeps the newest sample."""

    sample: Sample | None = None

    def cycle(self, sample: Sample, thought: Thought) -> None:
        self.sample = sample
        super().cycle(sample, thought)


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) / 1e6


async def _on_the_wire(stage: Stage, port: int) -> tuple[float, float]:
    """Seconds from process start to the first decision on the record, and the largest memory in MB, pages apart."""
    rig = Rig(load_scenario("nominal"), 1, start_time_s=float(int(time.time())))
    endpoint = Endpoint(url=f"opc.tcp://127.0.0.1:{port}")
    server, stop = LineServer(rig, endpoint, server_credentials(stage.sim_state), Pace(SPEED)), asyncio.Event()
    await server.start()
    line = asyncio.create_task(server.run(stop))
    started = time.monotonic()
    service = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy.cli", "run", str(stage.line_file),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await _until(lambda: any(body["thought"]["decision"] for body in _cycles(stage)), service)
        start_s = time.monotonic() - started
        await _until(lambda: len(_cycles(stage)) >= WATCHED_CYCLES, service)
        return start_s, _memory_mb(service.pid)
    finally:
        stop.set()
        with contextlib.suppress(ProcessLookupError):
            service.terminate()
        await service.wait()
        line.cancel()
        await asyncio.gather(line, return_exceptions=True)
        await server.close()


async def _until(true: Callable[[], bool], service: asyncio.subprocess.Process) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        if service.returncode is not None or time.monotonic() > deadline:
            raise PatloopError("the service on the wire did not come to its first decision")
        await asyncio.sleep(0.02)


def _cycles(stage: Stage) -> list[dict[str, Any]]:
    try:
        with Journal.open_reader(stage.journal) as journal:
            return [decode(row.body) for row in journal.rows(kind="cycle")]
    except RecorderError:
        return []  # not begun yet


def _memory_mb(pid: int) -> float:
    for row in Path(f"/proc/{pid}/status").read_text().splitlines():
        if row.startswith("VmHWM:"):
            return int(row.split()[1]) / 1024
    raise ConfigError("memory of a process can be read on Linux only")
