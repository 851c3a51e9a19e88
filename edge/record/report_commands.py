"""`patloop journal genealogy`: what the record says of the material."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from edge.errors import PatloopError
from edge.record.inputs import FROM, JOURNAL, TO, InputError, progress, reading


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

    try:
        lots = {} if lots_file is None else report.read_lots(lots_file)
        with reading(journal) as record, progress("tracking") as told:
            found = report.genealogy(record, from_s, to_s, told)
        write(found, lots, form, out)
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
