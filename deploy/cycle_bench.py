"""A whole cycle on an encrypted wire against the sum of its bare parts, in turns in one run -> a row and its stages.

Bare: one OPC UA read of the same tags, one write of the same values to the same nodes, one durable SQLite commit of the
same bytes, and the solver's own call on the same numbers. The whole, by the service's own `cycle`: look, estimate,
observe, decide, guard, record, write, until the line has acknowledged. What is done while nobody waits, the record of
the write's outcome and the next linearisation, is told beside it.
"""

from __future__ import annotations

import asyncio
import math
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from control.decide.mpc import Mpc
from deploy.commands import free_port
from deploy.cycle_parts import PATIENCE_S, Bare, Kept, Timed, TimedEnds, TimedRecorder, bare_client
from deploy.demo import Stage, prepare
from deploy.service_facts import Fact
from deploy.side_by_side import FIRST, Row, row
from edge.acquire.opcua import OpcUaLine
from edge.acquire.tags import wanted
from edge.cycle import begin, cycle
from edge.errors import PatloopError
from edge.line import Line, compose
from edge.memory import settle
from edge.pki import credentials
from edge.record.journal import Journal
from edge.record.journal import Row as RecordedRow
from edge.record.recorder import JournalRecorder
from edge.service import LineClock
from edge.signals import Acted

SPEED = 10.0  # line seconds a wall second: two cycles a second, and the line is never waiting for one
MOST = 1.5  # times the sum of its bare parts


@dataclass(frozen=True)
class Compared:
    """The row, and where the time went: stage -> median ms, of the whole and of the bare parts."""

    row: Row
    stages: dict[str, float]

    def fact(self) -> Fact:
        """The ratio the other way round, with the most it may be."""
        told = ", ".join(f"{name} {ms:.2f}" for name, ms in self.stages.items())
        return Fact("whole cycle over the sum of its bare parts", "times", 1 / self.row.ratio_p50, MOST, f"ms: {told}")


def compared(say: Callable[[str], None], turns: int = 100) -> Compared:
    """The comparison over so many cycles in closed loop. Raises PatloopError when the loop does not close."""
    say("a whole cycle against its bare parts, on an encrypted wire")
    with TemporaryDirectory() as folder:
        stage = prepare(Path(folder) / "stage", free_port())
        with _line(stage):
            return asyncio.run(_compare(stage, turns))


@contextmanager
def _line(stage: Stage) -> Iterator[None]:
    """The simulated line in a process of its own: its work is not the service's."""
    argv = [sys.executable, "-m", "deploy.cli", "hil", "serve", str(stage.line_file), "--state", str(stage.sim_state),
            "--speed", str(SPEED), "--hours", "24"]  # fmt: skip
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(15)


async def _compare(stage: Stage, turns: int) -> Compared:
    line, kept = _keeping(compose(stage.line_file))
    config, keys = line.config, credentials(stage.out)
    remote = OpcUaLine(config, keys)
    client = await bare_client(config, keys)
    table = sqlite3.connect(stage.out / "plain.sqlite", isolation_level=None)
    table.execute("PRAGMA journal_mode=WAL")
    table.execute("PRAGMA synchronous=FULL")
    table.execute("CREATE TABLE plain (seq INTEGER PRIMARY KEY, content BLOB) STRICT")
    index = await client.get_namespace_index(config.opcua.namespace if config.opcua else "")
    bare = Bare(client, table, wanted(config), index)
    with Journal.open(stage.journal, config.line.name) as journal:
        try:
            ours, theirs, stages = await _turns(line, remote, journal, bare, kept, turns)
        finally:
            await remote.close()
            await client.disconnect()
            table.close()
    middle = {name: float(np.median([s.get(name, 0.0) for s in stages[FIRST:]])) for name in stages[-1]}
    told = "same tags, nodes, bytes and program; every write acknowledged, every record on the disk"
    made = row("whole cycle", "sum of its bare parts: read, solve, commit, write", ours, theirs, told)
    return Compared(made, {"whole": float(np.median(ours[FIRST:])), "bare": float(np.median(theirs[FIRST:])), **middle})


async def _turns(
    line: Line, remote: OpcUaLine, journal: Journal, bare: Bare, kept: Kept, turns: int
) -> tuple[list[float], list[float], list[dict[str, float]]]:
    """Cycles at their time, the bare parts between them; only cycles that moved the line count."""
    timed, clock = Timed(), LineClock(remote)
    ends, recorder = TimedEnds(remote, timed), TimedRecorder(JournalRecorder(journal), timed)
    loop, acted, number = begin(line), Acted("none"), 0
    ours: list[float] = []
    theirs: list[float] = []
    stages: list[dict[str, float]] = []
    rest_s = line.config.line.cycle_s / SPEED / 2
    cycle_s, deadline = line.config.line.cycle_s, time.monotonic() + PATIENCE_S + 2 * turns
    settle()
    while len(ours) < turns:
        if time.monotonic() > deadline:
            raise PatloopError("the loop of the bench does not close")
        timed.spent = {}
        newest = journal.last()
        began = time.perf_counter_ns()
        thought, loop, acted = await cycle(line, loop, number, acted, ends, ends, recorder, clock)
        number += 1
        if thought.command.writes and acted.outcome == "good":
            whole_ms = (ends.done_ns - began) / 1e6
            spent = dict(timed.spent)
            afterwards = spent.pop("record the outcome")
            spent["think"] = whole_ms - sum(spent.values())
            spent["record the outcome"] = afterwards
            await asyncio.sleep(rest_s)
            parts = await bare.once(thought.wire, _content(journal, newest), kept)
            ours.append(whole_ms)
            theirs.append(sum(parts.values()))
            stages.append({**spent, **parts})
        await clock.sleep_until(cycle_s * (math.floor(clock.now_s() / cycle_s) + 1))
    return ours, theirs, stages


def _content(journal: Journal, before: RecordedRow | None) -> bytes:
    """The bytes that the cycle gave to the journal."""
    rows = journal.rows(after_seq=0 if before is None else before.seq)
    return b"".join(row.body + (row.blob or b"") for row in rows)


def _keeping(line: Line) -> tuple[Line, Kept]:
    control = line.control
    if control is None or not isinstance(control.controller, Mpc):
        raise PatloopError("the bench needs a line with controller 'mpc'")
    kept = Kept(control.bundle)
    return replace(line, control=replace(control, controller=replace(control.controller, solver=kept))), kept
