"""`patloop campaign`: the line's settings varied over a design, every point played in closed loop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hil_sim.campaign import Job


@click.command()
@click.argument("design_file", metavar="DESIGN.toml", type=click.Path(path_type=Path))
@click.option("--jobs", "workers", default=1, show_default=True, type=click.IntRange(min=1), help="processes")
@click.option("--scheduler", metavar="ADDRESS", help="Dask scheduler (tcp://HOST:8786) whose workers play instead")
@click.option("--resume", is_flag=True, help="play only what OUT/rows.jsonl does not hold yet for this very design")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="folder for the results")
def campaign(design_file: Path, workers: int, scheduler: str | None, resume: bool, out: Path) -> None:
    """Play every point of DESIGN.toml: settings of a line file, scenarios, controllers and seeds.

    OUT gets rows.jsonl (a row as soon as it is played), table.md, figure.png and bundles/ with the controllers that
    were built for settings that are baked into one. A design file (paths from its folder; a list of levels is combined
    with every other list, a range is drawn from by latin hypercube):

    \b
      line = "deploy/lines/cdc_ref_1.toml"
      scenarios = ["nominal", "hidden_loss"]
      controllers = ["mpc"]
      seeds = 3
      points = 10                                   # draws of the ranges
      [factors]
      "controller.mpc.move_rel" = [0.01, 0.02, 0.05]
      "observer.nir_floor_pct" = { low = 0.05, high = 0.2, scale = "log" }
      "mv.FeederApi.trim_cap_pct" = [3.0, 5.0]

    \b
    Example:
      patloop campaign design.toml --jobs 2 --out out/campaign
      patloop campaign design.toml --scheduler tcp://10.0.0.5:8786 --out /shared/campaign
    """
    from edge.commands import told
    from hil_sim.bench_commands import check_scenarios, play, show
    from hil_sim.campaign_figure import draw
    from hil_sim.design import jobs, load_design
    from hil_sim.summary import report, table

    with told():
        design = load_design(design_file)
        check_scenarios(design.scenarios)
        plan = jobs(design, out / "bundles")
        build_bundles(plan)
        rows = play(plan, workers, out, resume=resume, scheduler=scheduler)
    factors = list(design.factors)
    by = ("scenario", "controller", *factors)
    (out / "table.md").write_text(report(rows, by))
    if factors:
        draw(rows, factors, out / "figure.png", f"{design_file.stem}: {len(rows)} runs on {design.line.stem}")
    lines = table(rows, by)
    short = [key.rpartition(".")[2] for key in by]  # a terminal is narrow; table.md has the whole keys
    show([[*short, *lines[0][len(by) :]], *lines[1:]])
    click.echo(f"rows, table and figure in {out}")


def build_bundles(plan: Sequence[Job]) -> None:
    """Build the controller bundles that the plan's settings ask for, once each, before any run. Raises ConfigError."""
    from control.errors import ControlError
    from edge.errors import ConfigError
    from hil_sim.counting import counting
    from hil_sim.variants import bundle_for, variant

    wanted = {job.settings: job for job in plan if job.settings}
    with counting(len(wanted), "settings checked, their controller built") as done:
        for settings, job in wanted.items():
            if job.bundles is None:
                continue
            config, _ = variant(job.line_file, job.controller, settings)
            try:
                bundle_for(config, job.bundles)
            except ControlError as error:
                raise ConfigError(f"{job.line_file} with {dict(settings)}: {error}") from error
            done(", ".join(f"{key} = {value}" for key, value in settings))
