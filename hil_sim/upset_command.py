"""`patloop hil upsets`: is nothing released that should not be, and how much is thrown away for it?"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

if TYPE_CHECKING:
    from hil_sim.campaign import Row

MOST_OVER_IDEAL = 1.3  # diverted over ideal mass that is still accepted


@click.command()
@click.argument("line_file", metavar="LINE.toml", type=click.Path(path_type=Path))
@click.option("--n", "count", default=1000, show_default=True, type=click.IntRange(min=1), help="How many upsets.")
@click.option("--first", default=1, show_default=True, type=click.IntRange(min=0), help="Number of the first one.")
@click.option("--controller", default="mpc", show_default=True, help="Which controller runs the line.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(min=1), help="Processes.")
@click.option("--resume", is_flag=True, help="Go on with what is in --out, of the same code, line and models.")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder for the results.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Rows and totals as JSON.")
def upsets(
    line_file: Path, count: int, first: int, controller: str, jobs: int, resume: bool, out: Path,
    json_file: Path | None,
) -> None:  # fmt: skip
    """Play random upsets in closed loop and judge every release on the truth (exit 1: a limit was missed).

    Accepted: no mass released with API outside +-5 % of label claim, and at most 1.3 times the ideal windows' mass
    diverted, summed over the upsets.

    \b
    Example:
      patloop hil upsets deploy/lines/cdc_ref_1.toml --n 50 --jobs 2 --out out/upsets --resume
    """
    from edge.commands import told as errors_told
    from hil_sim.upset_runs import run_upsets
    from hil_sim.upsets import totals, upper_limit

    console = Console(stderr=True)
    with errors_told(), Progress(console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(f"{count} upsets", total=count)

        def told(row: Row) -> None:
            progress.update(bar, advance=1, description=f"upset {row['number']} {row['kind']}")
            if not console.is_terminal:
                click.echo(f"upset {row['number']} {row['kind']}: released {row['released_oos_kg']:.3f} kg", err=True)

        rows = run_upsets(line_file, controller, range(first, first + count), jobs, out, told, resume=resume)
    found = totals(rows)
    text = json.dumps({"totals": found, "rows": rows}, indent=1)
    (out / "upsets.json").write_text(text)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(text)
    _show(rows)
    failures, trials = int(found["released_any"]), int(found["upsets"])
    bound = 100.0 * upper_limit(failures, trials)
    click.echo(
        f"{failures} of {trials} upsets released anything outside: with 95 % confidence fewer than {bound:.2f} % do"
    )
    ratio = found["diverted_over_ideal"]
    click.echo(f"diverted {found['diverted_kg']:.1f} kg, ideal windows {found['ideal_kg']:.1f} kg: {ratio:.2f} times")
    if failures or not ratio <= MOST_OVER_IDEAL:
        sys.exit(1)


def _show(rows: Sequence[Row]) -> None:
    """One line a kind of upset, and the sum."""
    from hil_sim.upsets import KINDS, totals

    grid = Table(title="API at the gate, true values, kg", box=box.SIMPLE_HEAD)
    grid.add_column("upset", no_wrap=True)
    for name in ("n", "released", "diverted", "ideal", "times"):
        grid.add_column(name, justify="right", no_wrap=True)
    for kind in (*KINDS, "all"):
        chosen = [row for row in rows if kind in ("all", row["kind"])]
        if chosen:
            found = totals(chosen)
            cells = [f"{found[k]:.2f}" for k in ("released_oos_kg", "diverted_kg", "ideal_kg", "diverted_over_ideal")]
            grid.add_row(kind.replace("_", " "), str(len(chosen)), *cells)
    Console().print(grid)
