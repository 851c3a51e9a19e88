"""python -m deploy.faults: a campaign of network faults -> out/network_faults.json; exit 1 when anything was wrong."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from deploy.faults.campaign import Outcome, run
from deploy.faults.impair import Fault
from deploy.faults.wire import missing
from edge.errors import PatloopError


@click.command()
@click.option("--faults", type=click.IntRange(min=1), default=500, show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--wires", type=click.IntRange(1, 8), default=2, show_default=True, help="lines side by side")
@click.option("--cycle", "cycle_s", type=click.FloatRange(min=0.25), default=1.0, show_default=True, help="seconds")
@click.option("--clock", type=click.Choice(["wall", "line"]), default="wall", show_default=True)
@click.option("--keep", type=click.Path(path_type=Path), help="folder that keeps journals and logs")
@click.option("--json", "out", type=click.Path(path_type=Path), default=Path("out/network_faults.json"))
def faults(faults: int, seed: int, wires: int, cycle_s: float, clock: str, keep: Path | None, out: Path) -> None:
    """Lose, delay, double, spoil and hold real packets between the service and a simulated line, and judge both ends.

    \b
    Example:
      python -m deploy.faults --faults 500
    """
    why_not = missing()
    if why_not:
        raise click.ClickException(f"{why_not}: run this as root on Linux with iproute2")
    shares = [faults // wires + (i < faults % wires) for i in range(wires)]
    started = time.monotonic()
    with TemporaryDirectory() as scratch, Progress(
        *Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn(), console=Console(stderr=True)
    ) as progress:
        def play(number: int) -> Outcome:
            folder = (keep or Path(scratch)) / f"wire{number}"
            task = progress.add_task(f"wire {number}", total=shares[number])

            def told(done: int, fault: Fault) -> None:
                progress.update(task, completed=done, description=f"wire {number}: {fault.kind}")

            found = run(
                folder, shares[number], seed + number, cycle_s=cycle_s, follow_tag=clock == "line", number=number,
                told=told,
            )  # fmt: skip
            progress.update(task, completed=shares[number])
            return found

        outcomes = _all(play, [n for n in range(wires) if shares[n]])
    _report(outcomes, out, {"seed": seed, "cycle_s": cycle_s, "clock": clock, "wall_s": time.monotonic() - started})


def _all(play: Callable[[int], Outcome], numbers: list[int]) -> list[Outcome]:
    try:
        with ThreadPoolExecutor(len(numbers)) as pool:
            return list(pool.map(play, numbers))
    except (PatloopError, OSError) as error:
        raise click.ClickException(str(error)) from error


def _report(outcomes: list[Outcome], out: Path, how: dict[str, object]) -> None:
    wrong = [text for outcome in outcomes for text in outcome.wrong]
    n = sum(outcome.faults for outcome in outcomes)
    told = {
        "faults": n, "wrong": len(wrong), "what": wrong[:100], **how, "processors": os.cpu_count(),
        "wires": [asdict(outcome)["figures"] for outcome in outcomes],
    }  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    for text in wrong[:20]:
        click.echo(f"WRONG {text}")
    click.echo(f"{out}: {n} faults, {len(wrong)} wrong")
    if wrong:
        sys.exit(1)


if __name__ == "__main__":
    try:
        faults(standalone_mode=False)
    except click.ClickException as error:
        click.echo(f"error: {error.format_message()}", err=True)
        sys.exit(2)
