"""python -m deploy.soak: the service for hours, with people, renewals and a bad network -> a verdict, out/soak.json."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import Progress

from deploy.demo import Stage
from deploy.faults import service_end
from deploy.faults.campaign import PORT, WATCHDOG_CYCLES, Follower, ask, both_ends, close_when_seen, outcome, until
from deploy.faults.impair import Fault, plan
from deploy.faults.judge import Injected, judge
from deploy.faults.machine import Machine
from deploy.faults.stage import stage_line
from deploy.faults.wire import Wire, missing
from edge.errors import PatloopError

CHANNEL_S = 60.0
CALM_S = (5.0, 45.0)  # between two things that happen
FAULT_SHARE = 0.5
MOST_MB_PER_H = 4.0
FILLED_S = 1800.0  # [observer] memory_s: what the observer remembers, a step a cycle
LEAST_JUDGED_S = FILLED_S + 1200.0


@dataclass
class Lived:
    """What happened, and to what end."""

    seconds: float
    events: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)


def live(out: Path, hours: float, seed: int, cycle_s: float, progress: Progress) -> Lived:
    """So many hours; raises PatloopError when an end dies or the loop never closes."""
    random, lived = np.random.default_rng(seed), Lived(3600 * hours)
    watchdog_s, injected = WATCHDOG_CYCLES * cycle_s, list[Injected]()
    faults = iter(plan(seed, 20 + round(3600 * hours / CALM_S[0]), 1.5 * watchdog_s))
    task = progress.add_task("settling", total=lived.seconds)
    with ExitStack() as stack:
        wire, machine = stack.enter_context(Wire(seed, 200)), stack.enter_context(Machine())
        url = f"opc.tcp://{wire.line_host}:{PORT}"
        stage = stage_line(out, url, cycle_s, follow_tag=False, channel_s=CHANNEL_S)
        follower = Follower(stage)
        alive = stack.enter_context(both_ends(wire, stage, watchdog_s, seed, hours + 0.1))
        until(lambda: close_when_seen(follower, stage), follower, alive, "the service's first cycles")
        began = time.monotonic()
        while time.monotonic() - began < lived.seconds:
            _rest(float(random.uniform(*CALM_S)), follower, began + lived.seconds)
            alive()
            what = "fault" if random.random() < FAULT_SHARE else str(random.choice(["advise", "closed", "closed"]))
            if what == "fault":
                fault = next(faults)
                what = fault.kind
                injected.append(_spoiled(wire, fault, follower))
            else:
                ask(stage, what)
            lived.events[what] += 1
            progress.update(task, completed=time.monotonic() - began, description=what)
        follower.look()
        counts = dict(wire.counts)
    _judge(lived, stage, follower, injected, machine, counts, cycle_s)
    return lived


def _rest(seconds: float, follower: Follower, until_s: float) -> None:
    until_s = min(until_s, time.monotonic() + seconds)
    while time.monotonic() < until_s:
        follower.look()
        time.sleep(min(1.0, max(0.0, until_s - time.monotonic())))


def _spoiled(wire: Wire, fault: Fault, follower: Follower) -> Injected:
    wire.spoil(fault)
    from_s = time.time()
    time.sleep(fault.duration_s)
    wire.heal()
    to_s = time.time()
    _rest(4.0, follower, time.monotonic() + 4.0)
    return Injected(fault.kind, from_s, to_s, follower.cycles[-1].time_s)


def _judge(
    lived: Lived, stage: Stage, follower: Follower, injected: list[Injected], machine: Machine, counts: dict[str, int],
    cycle_s: float,
) -> None:  # fmt: skip
    from edge.record.replay import replay_journal

    sizes = [json.loads(row) for row in (stage.out / service_end.LOG).read_text(encoding="utf-8").splitlines()]
    verdict = judge(follower.cycles, follower.line, sizes, injected, machine,
                    cycle_s=cycle_s, watchdog_s=WATCHDOG_CYCLES * cycle_s)  # fmt: skip
    found = outcome(stage, verdict, counts, len(injected))
    lived.wrong += found.wrong
    lived.figures = {**found.figures, "memory_mb_per_h": _slope(sizes)}
    if lived.seconds >= LEAST_JUDGED_S and lived.figures["memory_mb_per_h"] > MOST_MB_PER_H:
        lived.wrong.append(f"memory grows by {lived.figures['memory_mb_per_h']:.1f} MB an hour")
    again = replay_journal(stage.journal, None, None, lambda *_: None)
    lived.figures["replayed"] = again.n_cycles
    if not again.identical:
        lived.wrong.append(f"replay differs: {again.first_difference}")


def _slope(sizes: list[dict[str, float]]) -> float:
    """MB an hour, by least squares over what comes after the observer's memory (30 min by design) is full."""
    later = [row for row in sizes if row["wall_s"] - sizes[0]["wall_s"] >= FILLED_S]
    if len(later) < 10:
        return 0.0
    hours = np.array([row["wall_s"] for row in later]) / 3600
    return float(np.polyfit(hours - hours[0], [row["rss_mb"] for row in later], 1)[0])


@click.command()
@click.option("--hours", type=click.FloatRange(min=0.01), default=1.0, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--cycle", "cycle_s", type=click.FloatRange(min=0.25), default=1.0, show_default=True, help="seconds")
@click.option("--keep", type=click.Path(path_type=Path), help="folder that keeps journal and logs")
@click.option("--json", "out", type=click.Path(path_type=Path), default=Path("out/soak.json"), show_default=True)
def soak(hours: float, seed: int, cycle_s: float, keep: Path | None, out: Path) -> None:
    """Run the service against a simulated line for hours: secure channels renewed every minute, people, faults.

    \b
    Example:
      python -m deploy.soak --hours 1
    """
    why_not = missing()
    if why_not:
        raise click.ClickException(f"{why_not}: run this as root on Linux with iproute2")
    with TemporaryDirectory() as scratch, Progress(console=Console(stderr=True)) as progress:
        try:
            lived = live(keep or Path(scratch) / "soak", hours, seed, cycle_s, progress)
        except (PatloopError, OSError) as error:
            raise click.ClickException(str(error)) from error
    told = {"hours": hours, "cycle_s": cycle_s, "seed": seed, "channel_s": CHANNEL_S, "wrong": lived.wrong[:100],
            "events": dict(lived.events), **lived.figures}  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    for text in lived.wrong[:20]:
        click.echo(f"WRONG {text}")
    click.echo(f"{out}: {hours:g} h, {sum(lived.events.values())} things happened, {len(lived.wrong)} wrong")
    if lived.wrong:
        sys.exit(1)


if __name__ == "__main__":
    try:
        soak(standalone_mode=False)
    except click.ClickException as error:
        click.echo(f"error: {error.format_message()}", err=True)
        sys.exit(2)
