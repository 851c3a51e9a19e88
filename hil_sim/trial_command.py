"""`patloop hil trials`: many cycles under injected faults: none too slow, no move that nobody can defend."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

if TYPE_CHECKING:
    from hil_sim.trials import Trials

COLUMNS = ("controller", "plan", "pid", "hold", "none", "written")


@click.command()
@click.argument("line_file", metavar="LINE.toml", type=click.Path(path_type=Path))
@click.option("--cycles", default=10_000, show_default=True, type=click.IntRange(min=100), help="How many cycles.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(min=0), help="Seed of line and faults.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="All figures as JSON.")
def trials(line_file: Path, cycles: int, seed: int, json_file: Path | None) -> None:
    """Run the closed loop while states, solver, clock and inputs fail at random (exit 1: a limit was missed).

    Accepted: no cycle over 50 ms of processor time, and no move outside limits, caps and rates or without either a
    solution that can be defended or a named fallback with its alarm. 10 000 cycles take two or three minutes.

    \b
    Example:
      patloop hil trials deploy/lines/cdc_ref_1.toml --cycles 10000 --seed 1 --json out/trials.json
    """
    from edge.commands import told as errors_told
    from hil_sim.bench import compose_for
    from hil_sim.trials import LIMIT_MS, run_trials

    console = Console(stderr=True)
    with errors_told(), Progress(console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(f"{cycles} cycles", total=cycles)
        found = run_trials(compose_for(line_file, "mpc"), cycles, seed, told=lambda _: progress.advance(bar))
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(found.figures(), indent=1) + "\n")
    _show(found)
    for what in found.breaches[:10]:
        click.echo(what)
    click.echo(f"{found.cycles} cycles, {found.moved} moves written, {found.breached} cycles with a breach")
    for name, spent in (("processor", found.cpu), ("wall", found.wall)):
        click.echo(f"{name} time of a cycle: median {spent.p50:.1f} ms, 99 % under {spent.p99:.1f} ms, "
                   f"worst {spent.worst:.1f} ms, {spent.over} over {LIMIT_MS:g} ms")  # fmt: skip
    if not found.passed:
        sys.exit(1)


def _show(found: Trials) -> None:
    """One line a fault: who decided in its cycles."""
    grid = Table(title="cycles, by what was wrong in them and who decided", box=box.SIMPLE_HEAD)
    grid.add_column("fault", no_wrap=True)
    for name in COLUMNS:
        grid.add_column(name, justify="right", no_wrap=True)
    for kind, tally in found.rungs.items():
        grid.add_row(kind.replace("_", " "), *(str(tally.get(name, 0)) for name in COLUMNS))
    Console().print(grid)
