"""`patloop replay`: compute a journal's decisions again with the running version."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

import click
from rich.console import Console

from edge.errors import PatloopError
from edge.record.inputs import FROM, JOURNAL, TO, InputError, progress


@click.command()
@JOURNAL
@FROM
@TO
@click.option(
    "--controller",
    "instead",
    type=click.Path(exists=True, path_type=Path),
    help="Decide with this line file's controller (or this bundle) where the recorded one cannot be used; "
    "never counts as identical.",
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the whole report.")
def replay(
    journal: Path, from_s: float | None, to_s: float | None, instead: Path | None, json_file: Path | None
) -> None:
    """Compute every decision again and compare bit for bit (exit 1: not identical, with what, where first, how much).

    "differs" counts the cycles in which the running version, going on from its own results, comes to another result;
    "by itself" those in which a stage does so although it was given what was recorded before it: there the cause is.
    Stages: asked (mode, target, licence), estimate (soft sensor), belief (observer), room (authority, economy),
    decision (controller), command (guard), written (values for the line), track (material, diversion), alarms.

    \b
    Example:
      patloop replay out/demo/journal.sqlite
      patloop replay old.sqlite --controller deploy/lines/cdc_ref_1.toml --json replay.json
    """
    from edge.record import replay_report as said
    from edge.record.replay import replay_journal

    running = f"patloop {version('patloop')}"
    try:
        with progress("computing again") as told:
            found = replay_journal(journal, from_s, to_s, told, instead=instead)
        if json_file is not None:
            json_file.write_text(json.dumps(said.as_json(found, running), indent=1, allow_nan=False) + "\n", "utf-8")
    except PatloopError as error:
        raise InputError(str(error)) from error
    except OSError as error:
        raise InputError(f"--json {json_file}: cannot be written ({error.strerror or error})") from error
    click.echo(said.verdict(found, running))
    if found.identical:
        return
    click.echo(said.written(found))
    Console().print(said.stage_table(found))
    for line in said.details(found):
        click.echo(line)
    sys.exit(1)
