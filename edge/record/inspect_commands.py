"""`patloop journal inspect`: the record of a period as a folder that an inspector opens without patloop."""

from __future__ import annotations

import getpass
import sys
import time
from importlib.metadata import version
from pathlib import Path

import click

from edge.errors import PatloopError
from edge.record.inputs import FROM, JOURNAL, TO, InputError, progress


@click.command()
@JOURNAL
@click.option(
    "--out", "folder", required=True, type=click.Path(path_type=Path), help="A new folder; FOLDER.zip is made, too."
)
@FROM
@TO
@click.option("--batch", help="Only the time from the first to the last cycle of this batch.")
@click.option(
    "--registry",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The models' registry: who released what, with every signature checked.",
)
@click.option("--by", help="Who makes it, by name (default: the account on this machine).")
def inspect(
    journal: Path, folder: Path, from_s: float | None, to_s: float | None, batch: str | None, registry: Path | None,
    by: str | None,
) -> None:  # fmt: skip
    """Write the inspector's bundle: page, tables, record, stand-alone verifier (exit 1: the record is not sound).

    It opens on any machine: index.html needs no network, README.txt says how to check the record with plain python3.

    \b
    Example:
      patloop journal inspect var/cdc_ref_1/journal.sqlite --out shift --from 2026-03-01T06:00 --to 2026-03-01T14:00
    """
    from edge.record.inspect_bundle import Wanted, Who, make_bundle

    who = Who(by or f"local:{getpass.getuser()}", time.time(), f"patloop {version('patloop')}")
    try:
        with progress("writing") as told:
            made = make_bundle(journal, folder, who, Wanted(from_s, to_s, batch, registry), told)
    except PatloopError as error:
        raise InputError(str(error)) from error
    click.echo(
        f"{made.facts.cycles} cycles, {len(made.facts.events)} events -> {folder / 'index.html'}, {made.archive}"
    )
    if not made.sound:
        click.echo(f"NOT SOUND: {made.verdict} (the bundle says so on its first page)")
        sys.exit(1)
