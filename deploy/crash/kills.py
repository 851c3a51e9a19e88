"""writers killed at random instants -> is anything lost that was acknowledged? (`make kills`)"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from deploy.crash.cycles import Prepared, prepare
from deploy.crash.judge import gaps, judge
from deploy.crash.writer import (
    ACKNOWLEDGED,
    FOLDING,
    LINE_FILE,
    Task,
    Work,
    forked,
    run_service,
    write_and_retire,
    write_cycles,
    write_hastily,
    write_requests,
)

KILLS_A_JOURNAL = 20  # then a new one is begun: its first instants are to be hit too
LIFE_S = 0.12  # the longest life of a writer: from before its start record to tens of cycles
LONGER_S: dict[Work, float] = {run_service: 0.8, write_and_retire: 0.4}  # thinks, too; archives take a while
SERVICE_EVERY, REQUESTS_EVERY = 10, 3  # how often the service is the victim, how often a second writer appends
FOLD_EVERY, RETIRE_EVERY = 3, 2  # how many journals one is folded often, and one retires its old records
CONTROL_KILLS = 20


@dataclass
class Kills:
    """What a campaign found. acknowledged: records reported before a kill; extra: written, but not yet reported; gaps:
    restarts that recorded the time that was lost; retired: records moved to archives; before_start: kills so early that
    nothing new was reported."""

    kills: int = 0
    service_kills: int = 0
    two_writers: int = 0
    retired: int = 0
    acknowledged: int = 0
    extra: int = 0
    gaps: int = 0
    before_start: int = 0
    journals: int = 0
    wrong: list[str] = field(default_factory=list)


def run_kills(prepared: Prepared, folder: Path, count: int, seed: int, done: Callable[[], object]) -> Kills:
    """Kill `count` writers (and the writers beside them) in journals in `folder`; done() after each kill."""
    return _run(prepared, folder, count, seed, done, _victims)


def run_control(prepared: Prepared, folder: Path, count: int, seed: int, done: Callable[[], object]) -> Kills:
    """The same with writers that report before they commit: a campaign that finds nothing wrong here proves nothing."""
    return _run(prepared, folder, count, seed, done, lambda _: (write_hastily,))


def _run(
    prepared: Prepared, folder: Path, count: int, seed: int, done: Callable[[], object],
    victims: Callable[[int], tuple[Work, ...]],
) -> Kills:  # fmt: skip
    found, dice = Kills(), random.Random(seed)
    known: dict[int, bytes] = {}
    retired, before = 0, 0  # of this journal, until now
    for number in range(count):
        if number % KILLS_A_JOURNAL == 0:
            known, found.journals, retired, before = {}, found.journals + 1, 0, 0
        path = folder / str(found.journals) / "journal.sqlite"
        now_s = prepared.cycles[-1][0].scan.time_s + 60.0 * (number % KILLS_A_JOURNAL)
        pragmas = (FOLDING,) if found.journals % FOLD_EVERY == 0 else ()
        work = victims(number)
        told = _kill(Task(path, prepared, now_s, pragmas), work, dice, found)
        verdict = judge(path, known | told, len(work))
        found.kills += 1
        found.service_kills += run_service in work
        found.two_writers += len(work) > 1
        found.before_start += not told.keys() - known.keys()
        found.acknowledged += len(told.keys() - known.keys())
        found.extra += len(verdict.held.keys() - known.keys() - told.keys())
        found.retired, retired = found.retired + verdict.retired - retired, verdict.retired
        told_gaps, silent = gaps(path, 2.0 * prepared.line.config.line.cycle_s) if verdict.held else (0, "")
        found.gaps, before = found.gaps + told_gaps - before, told_gaps
        if verdict.wrong or silent:
            found.wrong.append(f"kill {number + 1} (seed {seed}): {verdict.wrong or silent}")
        known = dict(verdict.held)
        done()
    return found


def _victims(number: int) -> tuple[Work, ...]:
    first: Work = write_cycles if number // KILLS_A_JOURNAL % RETIRE_EVERY else write_and_retire
    first = run_service if number % SERVICE_EVERY == SERVICE_EVERY - 1 else first
    return (first, write_requests) if number % REQUESTS_EVERY == 1 else (first,)


def _kill(task: Task, work: tuple[Work, ...], dice: random.Random, found: Kills) -> dict[int, bytes]:
    """Let writers work, end them at a random instant; what they had reported."""
    children = [forked(each, task) for each in work]
    time.sleep(dice.uniform(0.0, LONGER_S.get(work[0], LIFE_S)))
    for child, _ in children:
        os.kill(child, signal.SIGKILL)
    told: dict[int, bytes] = {}
    for child, pipe in children:
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            found.wrong.append(f"kill {found.kills + 1}: a writer had ended by itself, status {status}")
        told |= _reported(pipe)
    return told


def _reported(pipe: int) -> dict[int, bytes]:
    with os.fdopen(pipe, "rb") as stream:
        heard = stream.read()
    whole = len(heard) - len(heard) % ACKNOWLEDGED.size
    return dict(ACKNOWLEDGED.iter_unpack(heard[:whole]))


def main() -> None:
    """Run a campaign and write its figures; exit 1 when anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("out/kills.json"))
    given = parser.parse_args()
    begun_s = time.monotonic()
    prepared = prepare(LINE_FILE, 24)
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as scratch, Progress(console=console, transient=True) as bar:
        task = bar.add_task("killing writers", total=given.count + CONTROL_KILLS)
        control = run_control(prepared, Path(scratch, "hasty"), CONTROL_KILLS, given.seed, lambda: bar.advance(task))
        found = run_kills(prepared, Path(scratch), given.count, given.seed, lambda: bar.advance(task))
    if not control.wrong:
        found.wrong.append("the control, a writer that reports too early, was not found: the campaign proves nothing")
    told = {"seed": given.seed, **asdict(found), "control_kills": control.kills, "control_found": len(control.wrong),
            "wall_s": round(time.monotonic() - begun_s, 1)}  # fmt: skip
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(told, indent=1) + "\n")
    for wrong in found.wrong[:10]:
        click.echo(wrong)
    click.echo(
        f"{found.kills} kills ({found.service_kills} of the service), {found.acknowledged} acknowledged records "
        f"({found.retired} of them retired to archives), "
        f"{found.extra} more were written but not yet acknowledged, {found.gaps} gaps told: {len(found.wrong)} wrong "
        f"(control: {len(control.wrong)} of {control.kills} hasty writers found)"
    )
    sys.exit(1 if found.wrong else 0)


if __name__ == "__main__":
    main()
