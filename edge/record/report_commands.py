"""`patloop journal genealogy` and `performance`: what the record says of the material, and of the loop."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from edge.errors import PatloopError
from edge.record.inputs import FROM, JOURNAL, TO, InputError, progress, reading

if TYPE_CHECKING:
    from edge.record.performance import Performance

COLOURED = 0.01  # p of the whiteness test below which a loss, a drift or a wrong model is in the readings


@click.command()
@JOURNAL
@click.option("--format", "form", type=click.Choice(["csv", "parquet", "html"]), default="csv", show_default=True)
@FROM
@TO
@click.option(
    "--lots",
    "lots_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV with columns feeder, from, lot: which lot went into which feeder from when on.",
)
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The file to write.")
def genealogy(
    journal: Path, form: str, from_s: float | None, to_s: float | None, lots_file: Path | None, out: Path
) -> None:
    """Write every minute of material: when it was fed, its estimate, its risk, who decided (exit 1: mass is missing).

    \b
    Example:
      patloop journal genealogy var/cdc_ref_1/journal.sqlite --format html --out genealogy.html
    """
    from edge.record import genealogy as report
    from edge.record.genealogy_report import said, write
    from edge.record.origin import origin

    try:
        lots = {} if lots_file is None else report.read_lots(lots_file)
        with reading(journal) as record, progress("tracking") as told:
            found, made_from = report.genealogy(record, from_s, to_s, told), origin(record)
        write(found, lots, form, out, made_from)
    except PatloopError as error:
        raise InputError(str(error)) from error
    except ModuleNotFoundError as error:
        raise InputError(f"--format {form} needs the package '{error.name}': use --format csv") from error
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error.strerror or error})") from error
    click.echo(f"{len(found.entries)} minutes -> {out}")
    click.echo(
        f"released {found.released_kg:.2f} kg, of which {1000 * found.expected_nonconforming_kg:.2f} g are expected to "
        f"be outside the limits; diverted {found.diverted_kg:.2f} kg"
    )
    for balance in found.balances:
        click.echo(said(balance))
    if any(balance.beyond for balance in found.balances):
        sys.exit(1)


@click.command()
@JOURNAL
@FROM
@TO
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="The figures as JSON.")
def performance(journal: Path, from_s: float | None, to_s: float | None, json_file: Path | None) -> None:
    """Print how the loop did: against the best possible, against its own model, and what its limits cost.

    \b
    Example:
      patloop journal performance var/cdc_ref_1/journal.sqlite --from 2026-03-01T06:00:00Z
    """
    from edge.record import performance as report

    try:
        with reading(journal) as record, progress("reading") as told:
            found = report.performance(record, from_s, to_s, told)
    except PatloopError as error:
        raise InputError(str(error)) from error
    if found is None:
        raise InputError(f"{journal}: no cycle of a controlled line lies in this stretch: widen --from and --to")
    if json_file is not None:
        try:
            json_file.parent.mkdir(parents=True, exist_ok=True)
            json_file.write_text(json.dumps(asdict(found), indent=1), encoding="utf-8")
        except OSError as error:
            raise InputError(f"--json {json_file}: cannot be written ({error.strerror or error})") from error
    _show(found)


def _show(found: Performance) -> None:
    """One line a figure, with what it means."""
    grid = Table("figure", "value", "meaning", box=None, pad_edge=False)
    swings, white, gain = found.swings, found.white, found.gain
    rows = [
        ("cycles", f"{found.cycles}", f"{found.hours:.2f} h"),
        ("closed loop", f"{100 * found.closed_share:.1f} %", f"held {100 * found.held_share:.1f} %"),
        ("in control", f"{100 * found.in_control:.1f} %", "estimates within ±3 % of target"),
    ]
    if found.harris is not None:
        rows.append(
            ("Harris index", f"{found.harris:.2f}", f"1: not to be bettered, {found.dead_time_s:.0f} s dead time")
        )
    if swings is not None:
        said = f"period {swings.period_samples:.0f} cycles" if swings.present else "no oscillation (above 1 is one)"
        rows.append(("regularity", f"{swings.regularity:.2f}", said))
    if white is not None:
        said = "the belief misses something regular" if white.p_value < COLOURED else "nothing regular is missed"
        rows.append(("whiteness p", f"{white.p_value:.3f}", said))
    if gain is not None:
        doubt = "" if gain.excited else ", too few moves to tell"
        said = "the model's gain is wrong" if gain.flagged else f"the model's gain is not refuted{doubt}"
        if gain.flagged and white is not None and white.p_value < COLOURED:
            said = "not to be judged: something regular came in besides the moves"
        rows.append(("plant/model gain", f"{gain.gain:.2f}±{1.96 * gain.sigma:.2f}", said))
    rows += [
        (f"travel {name}", f"{value:.0f} %", "sum of moves, % of mean") for name, value in found.travel_pct.items()
    ]
    rows += [
        (
            f"limit {cost.name}",
            f"{cost.mean_multiplier:.3g}",
            f"mean multiplier, active {100 * cost.share:.1f} % of cycles",
        )
        for cost in found.costs
    ]
    for row in rows:
        grid.add_row(*row)
    Console().print(grid)
    for line in found.untold:
        click.echo(f"not told: {line}")
