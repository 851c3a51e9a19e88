"""`patloop bench`: closed-loop figures over scenarios, controllers and seeds."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

CONTROLLERS = ("ratio", "pid", "mpc")
WIDE = 130  # characters that the whole table needs
ESSENTIAL = ("RSD %", "mean error %", "time outside ±3 %", "OOS kg")


@click.command()
@click.argument("line_file", metavar="LINE.toml", type=click.Path(path_type=Path))
@click.option("--scenario", "scenarios", multiple=True, default=("nominal",), help="name or .toml file; repeatable")
@click.option(
    "--controller", "controllers", multiple=True, type=click.Choice(CONTROLLERS), help="repeatable; default all"
)
@click.option("--seeds", default=1, show_default=True, type=click.IntRange(min=1), help="how many seeds, from 1")
@click.option("--hours", type=click.FloatRange(min=0.2), help="line hours a run (default: the scenario's)")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(min=1), help="processes")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="folder for the results")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="rows as JSON")
def bench(
    line_file: Path,
    scenarios: tuple[str, ...],
    controllers: tuple[str, ...],
    seeds: int,
    hours: float | None,
    jobs: int,
    out: Path,
    json_file: Path | None,
) -> None:
    """Play scenarios in lock-step, faster than real time, and print the figures on true values.

    \b
    Example:
      patloop bench deploy/lines/cdc_ref_1.toml --scenario hidden_loss --seeds 20 --jobs 2 --out out/bench
    """
    from edge.commands import told as errors_told
    from edge.errors import ConfigError
    from hil_sim.campaign import Job, run_jobs
    from hil_sim.scenario import ScenarioError, load_scenario
    from hil_sim.summary import markdown, table

    with errors_told():
        try:
            for scenario in scenarios:
                load_scenario(scenario)
        except ScenarioError as error:
            raise ConfigError(str(error)) from error
        chosen = controllers or CONTROLLERS
        plan = [Job(line_file, s, c, seed, hours) for s in scenarios for c in chosen for seed in range(1, seeds + 1)]
        console, done = Console(stderr=True), 0
        with Progress(console=console, disable=not console.is_terminal) as progress:
            bar = progress.add_task(f"{len(plan)} runs", total=len(plan))

            def told(job: Job) -> None:
                nonlocal done
                done += 1
                what = f"{job.scenario} {job.controller} seed {job.seed}"
                progress.update(bar, advance=1, description=what)
                if not console.is_terminal:
                    click.echo(f"{done} of {len(plan)}: {what}", err=True)

            rows = run_jobs(plan, jobs, told)
    out.mkdir(parents=True, exist_ok=True)
    lines = table(rows)
    (out / "kpi.md").write_text(markdown(lines) + "\n")
    text = json.dumps(rows, indent=1)
    (out / "kpi.json").write_text(text)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(text)
    show(lines)
    click.echo(f"rows: {json_file or out / 'kpi.json'}; table: {out / 'kpi.md'}")


def show(lines: list[list[str]]) -> None:
    """Print a table of figures: all of them on a wide terminal, the essential ones on a narrow one."""
    console = Console()
    narrow = console.width < WIDE
    head = lines[0]
    chosen = [i for i, name in enumerate(head) if not narrow or i < 2 or name in ESSENTIAL]
    grid = Table(title="API in % of label claim, true values; mean ± 95 % interval over seeds", box=box.SIMPLE_HEAD)
    for i in chosen:
        grid.add_column(head[i], justify="left" if i < 2 else "right", no_wrap=i < 2)
    for line in lines[1:]:
        grid.add_row(*(line[i] for i in chosen))
    console.print(grid)
