"""`patloop bench`: closed-loop figures over scenarios, controllers and seeds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from hil_sim.campaign import Job, Row

CONTROLLERS = ("ratio", "pid", "smith", "hybrid", "mpc")
SCENARIOS = (
    "nominal", "hidden_loss", "nir_drift", "loss_and_drift", "bridge", "lot_change", "lubricant_overfeed",
    "grade_change", "throughput_change", "start_up", "force_cell_drift",
)  # fmt: skip
WIDE = 240  # characters that the whole table needs
ESSENTIAL = ("time outside ±3 %", "RSD %", "mean error %", "travel %", "OOS kg")


@click.command()
@click.argument("line_file", metavar="LINE.toml", type=click.Path(path_type=Path))
@click.option(
    "--scenario", "scenarios", multiple=True, default=SCENARIOS,
    help=f"name or .toml file; repeatable; default the {len(SCENARIOS)} that controllers are compared on",
)  # fmt: skip
@click.option(
    "--controller", "controllers", multiple=True, type=click.Choice(CONTROLLERS), default=CONTROLLERS,
    help="repeatable; default all",
)  # fmt: skip
@click.option("--seeds", default=1, show_default=True, type=click.IntRange(min=1), help="how many seeds, from 1")
@click.option("--hours", type=click.FloatRange(min=0.2), help="line hours a run (default: the scenario's)")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(min=1), help="processes")
@click.option("--resume", is_flag=True, help="play only what OUT/rows.jsonl does not hold yet for this very line")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="folder for the results")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="rows as JSON")
def bench(
    line_file: Path,
    scenarios: tuple[str, ...],
    controllers: tuple[str, ...],
    seeds: int,
    hours: float | None,
    jobs: int,
    resume: bool,
    out: Path,
    json_file: Path | None,
) -> None:
    """Play scenarios in lock-step, faster than real time, and print the figures on true values.

    OUT gets rows.jsonl (a row as soon as it is played), table.md and figure.png. A run of two line hours takes some
    seconds; Ctrl-C loses nothing that --resume would not find again.

    \b
    Example:
      patloop bench deploy/lines/cdc_ref_1.toml --scenario hidden_loss --seeds 20 --jobs 2 --out out/bench
    """
    from edge.commands import told as errors_told
    from hil_sim.campaign import Job

    with errors_told():
        check_scenarios(scenarios)
        each = range(1, seeds + 1)
        plan = [Job(line_file, s, c, seed, hours) for s in scenarios for c in controllers for seed in each]
        rows = play(plan, jobs, out, resume=resume)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(rows, indent=1))
    conclude(rows, out, f"{line_file.stem}: {len(rows)} runs, dots are means, bars 95 % intervals over seeds")


def check_scenarios(scenarios: Sequence[str]) -> None:
    """Raises ConfigError for a scenario that cannot be used, or for two of the same name."""
    from edge.errors import ConfigError
    from hil_sim.scenario import ScenarioError, load_scenario

    try:
        names = [load_scenario(scenario).name for scenario in scenarios]
    except ScenarioError as error:
        raise ConfigError(str(error)) from error
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigError(f"scenario '{twice.pop()}' is asked for twice: rename one, or leave it out")


def play(plan: Sequence[Job], jobs: int, out: Path, *, resume: bool, scheduler: str | None = None) -> list[Row]:
    """Play the plan with progress on stderr, keeping every row in OUT; with resume, only what is not there yet."""
    from hil_sim.campaign import RUN, Ledger, identity, run_jobs
    from hil_sim.counting import counting

    ledger = Ledger(out)
    wanted = {identity(job) for job in plan}
    known = {name: row for name, row in ledger.known().items() if name in wanted} if resume else {}
    ledger.begin(list(known.values()))
    if resume:
        click.echo(f"{len(known)} of {len(wanted)} runs are in {ledger.file}", err=True)
    with counting(len(wanted) - len(known), "runs") as done:
        rows = run_jobs(
            plan, jobs, lambda job: done(f"{job.scenario} {job.controller} seed {job.seed}"), ledger.keep, known,
            scheduler,
        )  # fmt: skip
    return [{k: v for k, v in row.items() if k != RUN} for row in rows]


def conclude(rows: Sequence[Row], out: Path, title: str) -> None:
    """Write table.md and figure.png, print the table."""
    from hil_sim.summary import report, table
    from hil_sim.summary_figure import draw

    (out / "table.md").write_text(report(rows))
    draw(rows, out / "figure.png", title)
    show(table(rows))
    click.echo(f"rows: {out / 'rows.jsonl'}; table: {out / 'table.md'}; figure: {out / 'figure.png'}")


def show(lines: list[list[str]]) -> None:
    """Print a table of figures: all of them on a wide terminal, the essential ones on a narrow one."""
    console = Console()
    narrow = console.width < WIDE
    head = lines[0]
    named = head.index("n")
    chosen = [i for i, name in enumerate(head) if not narrow or i < named or name in ESSENTIAL]
    grid = Table(title="API in % of label claim, true values; mean ± 95 % interval over seeds", box=box.SIMPLE_HEAD)
    for i in chosen:
        grid.add_column(head[i], justify="left" if i < named else "right", no_wrap=i < 2)
    for line in lines[1:]:
        grid.add_row(*(line[i] for i in chosen))
    console.print(grid)
