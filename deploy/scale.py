"""python -m deploy.scale: how many lines a box runs, and how many tags a line reads, until a cycle is missed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from deploy.commands import free_port
from deploy.demo import Stage
from deploy.faults.campaign import Follower, ask
from deploy.faults.judge import Seen
from deploy.faults.stage import BUNDLE, stage_line
from edge.errors import PatloopError

WARM_CYCLES = 8
PATIENCE_S, PATIENCE_A_LINE_S = 240.0, 15.0  # until all loops are closed: so many services at once start slowly
BUSY = 0.93  # share of all processors: above it they are what limits
WATCHDOG_CYCLES = 20.0  # this is about the period, not about shedding


@dataclass(frozen=True)
class Level:
    """What so many lines, or so many tags, came to.

    missed, late: cycles that did not come, and moves that were not sent because they came too late; look_ms: from the
    due time to the end of the look at the line; service_ms: processor time of one service a cycle; busy: share of all
    processors of the machine, by whomever; line_share: of one processor that one simulated line takes.
    """

    what: str
    cycle_s: float
    n: int
    cycles: int
    missed: int
    late: int
    look_ms_p50: float
    look_ms_p99: float
    service_ms: float
    service_mb: float
    line_share: float
    busy: float
    record_bytes: float
    limit: str


class Box:
    """n lines and their services, on this machine; use within an ExitStack."""

    def __init__(self, folder: Path, n: int, cycle_s: float, extra: int) -> None:
        self.cycle_s = cycle_s
        self.stages: list[Stage] = []
        self._ends: list[tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]] = []
        bundle: Path | None = None
        for number in range(n):
            port = free_port()
            out = folder / f"line{number}"
            url = f"opc.tcp://127.0.0.1:{port}"
            stage = stage_line(out, url, cycle_s, follow_tag=False, bundle=bundle)
            bundle = bundle or (out / BUNDLE).resolve()
            self.stages.append(stage)
            self._ends.append((_line(stage, url, cycle_s, extra), _service(stage, extra)))
        self.followers = [Follower(stage) for stage in self.stages]

    def close(self) -> None:
        """End all of it."""
        for ends in self._ends:
            for end in reversed(ends):
                end.send_signal(signal.SIGTERM)
        for ends in self._ends:
            for end in ends:
                try:
                    end.wait(20)
                except subprocess.TimeoutExpired:
                    end.kill()
                    end.wait()

    def warm(self) -> None:
        """Wait until every loop is closed and settled. Raises PatloopError when one never is."""
        patience_s = PATIENCE_S + PATIENCE_A_LINE_S * len(self.stages)
        deadline, asked = time.monotonic() + patience_s, set[int]()
        while True:
            for number, follower in enumerate(self.followers):
                follower.look()
                if number not in asked and sum(c.online for c in follower.cycles) >= 3:
                    ask(self.stages[number], "closed")
                    asked.add(number)
            if all(sum(bool(c.writes) for c in f.cycles) >= WARM_CYCLES for f in self.followers):
                return
            if time.monotonic() > deadline:
                raise PatloopError(f"{len(self.stages)} lines did not come to run within {patience_s:.0f} s")
            time.sleep(0.5)

    def cpu_s(self) -> tuple[float, float]:
        """Processor time so far of all lines, and of all services."""
        return sum(_cpu_s(line.pid) for line, _ in self._ends), sum(_cpu_s(own.pid) for _, own in self._ends)

    def memory_mb(self) -> float:
        """Largest resident set of a service."""
        return max(_rss_mb(own.pid) for _, own in self._ends)


def _line(stage: Stage, url: str, cycle_s: float, extra: int) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "deploy.faults.line_end", str(stage.out), "--url", url, "--state",
            str(stage.sim_state), "--watchdog-ms", str(round(1000 * WATCHDOG_CYCLES * cycle_s)),
            "--extra", str(extra)]  # fmt: skip
    return subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _service(stage: Stage, extra: int) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "deploy.faults.service_end", str(stage.line_file), str(extra)]
    one = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=one)


def measured(what: str, n: int, cycle_s: float, extra: int, seconds: float) -> Level:
    """One level, for so long after it settled."""
    with TemporaryDirectory() as folder, ExitStack() as stack:
        box = Box(Path(folder), n, cycle_s, extra)
        stack.callback(box.close)
        box.warm()
        since_s, lines_0, busy_0 = time.time(), box.cpu_s(), _machine()
        bytes_0 = sum(s.journal.stat().st_size + _size(s.journal, "-wal") for s in box.stages)
        time.sleep(seconds)
        lines_1, busy_1 = box.cpu_s(), _machine()
        memory_mb = box.memory_mb()
        bytes_1 = sum(s.journal.stat().st_size + _size(s.journal, "-wal") for s in box.stages)
        for follower in box.followers:
            follower.look()
        runs = [[c for c in f.cycles if c.time_s > since_s] for f in box.followers]
    busy = (busy_1[0] - busy_0[0]) / max(busy_1[1] - busy_0[1], 1e-9)
    cycles = sum(map(len, runs))
    service_ms = 1000 * (lines_1[1] - lines_0[1]) / max(cycles, 1)
    missed, late = sum(_missed(r, cycle_s, seconds) for r in runs), sum(c.outcome == "late" for r in runs for c in r)
    look = np.array([1000 * (c.time_s % cycle_s) for r in runs for c in r] or [0.0])
    return Level(
        what, cycle_s, n if what == "lines" else extra, cycles, missed, late, float(np.median(look)),
        float(np.percentile(look, 99)), service_ms, memory_mb, (lines_1[0] - lines_0[0]) / seconds / n, busy,
        max(0.0, bytes_1 - bytes_0) / max(cycles, 1), _limit(missed + late, busy, look, cycle_s),
    )  # fmt: skip


def _limit(wrong: int, busy: float, look_ms: np.ndarray, cycle_s: float) -> str:
    if not wrong:
        return ""
    if busy > BUSY:
        return "the processors are full"
    if float(np.percentile(look_ms, 99)) > 400 * cycle_s:
        return "the look at the line takes longer than its deadline"
    return "the record or the thinking of one cycle, waiting for disk or processor"


def _missed(cycles: list[Seen], cycle_s: float, seconds: float) -> int:
    """Due times without a cycle."""
    due = {int(c.time_s // cycle_s) for c in cycles}
    if not due:
        return int(seconds // cycle_s)
    return max(due) - min(due) + 1 - len(due)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def _machine() -> tuple[float, float]:
    """Busy and whole time of all processors so far."""
    found = [int(x) for x in Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]]
    return float(sum(found) - found[3] - found[4]), float(sum(found))


def _size(path: Path, ending: str) -> int:
    beside = path.with_name(path.name + ending)
    return beside.stat().st_size if beside.exists() else 0


def _levels(lines: list[int], tags: list[int], cycles: list[float], seconds: float, say: Console) -> Iterator[Level]:
    """Upwards, until a cycle is missed."""
    for what, counts in (("lines", lines), ("tags", tags)):
        for cycle_s in cycles:
            for count in counts:
                n, extra = (count, 0) if what == "lines" else (1, count)
                with say.status(f"{count} {what} at {cycle_s:g} s"):
                    level = measured(what, n, cycle_s, extra, max(seconds, 8 * cycle_s))
                yield level
                if level.missed or level.late:
                    break


def _counts(_ctx: click.Context, _param: click.Parameter, text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part]
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: give whole numbers with commas between them") from error


def _keep(out: Path, found: list[Level], ended: str) -> None:
    told = {"processors": os.cpu_count(), "levels": [asdict(level) for level in found], "ended": ended}
    out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


@click.command()
@click.option("--lines", default="1,2,4,6,8,12,16,24,32,48", show_default=True, callback=_counts)
@click.option("--tags", default="0,300,1000,3000,10000,20000,40000", show_default=True, callback=_counts,
              help="beyond the line's own")
@click.option("--cycle", "cycles", multiple=True, type=click.FloatRange(min=0.25), default=(1.0, 5.0),
              show_default=True)
@click.option("--seconds", type=click.FloatRange(min=5), default=60.0, show_default=True, help="a level, once settled")
@click.option("--json", "out", type=click.Path(path_type=Path), default=Path("out/scale.json"), show_default=True)
def scale(lines: list[int], tags: list[int], cycles: tuple[float, ...], seconds: float, out: Path) -> None:
    """Measure lines a box and tags a line, each until a cycle is missed; the simulated lines share the machine.

    \b
    Example:
      python -m deploy.scale --lines 1,2,4,8 --cycle 1 --tags 0,1000 --seconds 30
    """
    found: list[Level] = []
    ended: PatloopError | None = None
    out.parent.mkdir(parents=True, exist_ok=True)
    heads = ("what", "cycle s", "n", "missed", "late", "look ms p50/p99", "service ms/cycle", "MB", "busy", "limit")
    table = Table(*heads)
    try:
        for level in _levels(lines, tags, list(cycles), seconds, Console(stderr=True)):
            found.append(level)
            table.add_row(
                level.what, f"{level.cycle_s:g}", str(level.n), str(level.missed), str(level.late),
                f"{level.look_ms_p50:.0f} / {level.look_ms_p99:.0f}", f"{level.service_ms:.0f}",
                f"{level.service_mb:.0f}", f"{level.busy:.0%}", level.limit,
            )  # fmt: skip
            _keep(out, found, "")  # whoever breaks off here has what was measured
            told = f"missed {level.missed}, late {level.late}"
            click.echo(f"{level.n} {level.what} at {level.cycle_s:g} s: {told}", err=True)
    except PatloopError as error:
        ended = error  # told at the end: the levels before it were measured
    _keep(out, found, str(ended or ""))
    Console().print(table)
    click.echo(f"{out}: {len(found)} levels")
    if ended is not None:
        raise click.ClickException(f"{ended}; the levels before it are in {out}") from ended


if __name__ == "__main__":
    try:
        scale(standalone_mode=False)
    except click.ClickException as error:
        click.echo(f"error: {error.format_message()}", err=True)
        sys.exit(2)
