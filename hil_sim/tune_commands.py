"""`patloop tune`: weights of the predictive controller from a stated trade-off, by campaign."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hil_sim.tune import Point

SCENARIOS = ("nominal", "hidden_loss", "bridge")


class TradeOff(click.ParamType[float]):
    """'tight', 'calm' or a number above 0."""

    name = "tight|calm|NUMBER"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number that it stands for."""
        from hil_sim.tune import TRADE_OFFS

        text = str(value)
        try:
            found = TRADE_OFFS.get(text) or float(text)
        except ValueError:
            found = -1.0
        if not 0 <= found < float("inf"):
            self.fail(f"'{text}' is neither tight, calm nor a number of 0 or more", param, ctx)
        return found


@click.command()
@click.argument("line_file", metavar="LINE.toml", type=click.Path(path_type=Path))
@click.option(
    "--trade-off", required=True, type=TradeOff(),
    help="per cent of API error that one per cent of setpoint travel is worth: tight 0.1, calm 1",
)  # fmt: skip
@click.option("--scenario", "scenarios", multiple=True, default=SCENARIOS, show_default=True, help="repeatable")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(min=1), help="how many seeds, from 1")
@click.option("--points", "count", default=12, show_default=True, type=click.IntRange(min=1), help="weights to try")
@click.option("--hours", type=click.FloatRange(min=0.2), help="line hours a run (default: the scenario's)")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(min=1), help="processes")
@click.option("--resume", is_flag=True, help="play only what OUT/rows.jsonl does not hold yet")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="folder for the results")
def tune(
    line_file: Path, trade_off: float, scenarios: tuple[str, ...], seeds: int, count: int, hours: float | None,
    jobs: int, resume: bool, out: Path,
) -> None:  # fmt: skip
    """Propose weights of the predictive controller of LINE.toml for a trade-off between API error and travel.

    Plays the present weights and draws around them on the simulated line, judges all by integrated API error and
    setpoint travel against the present ones (paired by scenario and seed), and prints the table to paste. OUT gets
    rows.jsonl, pareto.png and bundles/.

    \b
    Example:
      patloop tune deploy/lines/cdc_ref_1.toml --trade-off calm --jobs 2 --out out/tune
    """
    from edge.commands import told
    from edge.config import read_config
    from edge.errors import ConfigError
    from hil_sim.bench_commands import check_scenarios, play
    from hil_sim.campaign import Job
    from hil_sim.campaign_commands import build_bundles
    from hil_sim.design import Design
    from hil_sim.tune import choose, judge, proposals
    from hil_sim.tune_figure import draw

    with told():
        check_scenarios(scenarios)
        settings = read_config(line_file)[0].control()
        if settings is None:
            raise ConfigError(f"{line_file}: has no [controller]: there is nothing to tune")
        tried = proposals(Design(line=line_file, scenarios=scenarios), settings, count)
        each = range(1, seeds + 1)
        built = out / "bundles"
        plan = [Job(line_file, s, "mpc", n, hours, point, built) for point in tried for s in scenarios for n in each]
        build_bundles(plan)
        rows = play(plan, jobs, out, resume=resume)
    judged = judge(rows, tried)
    chosen = choose(judged, trade_off)
    title = f"{line_file.stem}: {len(tried)} sets of weights, {len(scenarios)} scenarios, {seeds} seeds"
    draw(judged, chosen, out / "pareto.png", f"{title}; trade-off {trade_off:g}")
    tell(judged[0], chosen, trade_off)
    click.echo(f"rows and picture: {out / 'rows.jsonl'}, {out / 'pareto.png'}")


def tell(now: Point, chosen: Point, trade_off: float) -> None:
    """Say what is proposed and what it does, and whether it can be told from the present weights."""
    from hil_sim.tune import toml_of

    if chosen is now:
        click.echo(f"trade-off {trade_off:g}: nothing that was tried is better than the present weights; keep them:")
    else:
        # With one run a point there is no interval: comparisons with NaN are False, so nothing is called sure.
        sure = abs(chosen.quality - 1) > chosen.quality_half or abs(chosen.travel - 1) > chosen.travel_half
        click.echo(
            f"trade-off {trade_off:g}: API error {100 * (chosen.quality - 1):+.1f} ± {100 * chosen.quality_half:.1f} %,"
            f" travel {100 * (chosen.travel - 1):+.1f} ± {100 * chosen.travel_half:.1f} % against the present weights"
            + ("" if sure else " (not to be told from chance: more --seeds)")
        )
    click.echo(f"\n{toml_of(chosen.settings)}\n")
    click.echo("paste it into the line file, then build its controller: patloop control build LINE.toml --out BUNDLE")
