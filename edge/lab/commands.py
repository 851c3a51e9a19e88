"""`patloop lab`: laboratory results from files into a line's record."""

from __future__ import annotations

import getpass
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from edge.commands import LINE, STATE, told
from edge.config import LineConfig, read_config
from edge.errors import ConfigError, RecorderError
from edge.lab.files import SUFFIXES
from edge.lab.folder import LabFolder, enter_file
from edge.lab.intake import Entered, Intake
from edge.lab.settings import LabTable
from edge.record.journal import Journal

LOOK_EVERY_S = 1.0


@click.group()
def lab() -> None:
    """Laboratory results: enter a file, or watch the folder that a LIMS drops files into.

    \b
    Example:
      patloop lab import deploy/lines/cdc_ref_1.toml results.csv
    """


@lab.command("import")
@LINE
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@STATE
def import_(line_file: Path, file: Path, state: Path | None) -> None:
    """Enter the results of one CSV or JSON file into the line's record (exit 1: one was refused).

    \b
    Example:
      patloop lab import deploy/lines/cdc_ref_1.toml results.csv
    """
    with told(), _intake(line_file, state) as (_, intake):
        if file.suffix.lower() not in SUFFIXES:
            raise ConfigError(f"{file}: give a file that ends in {' or '.join(SUFFIXES)}")
        try:
            entered = enter_file(file, f"import:{getpass.getuser()}", intake, time.time())
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read ({error.strerror})") from error
    _say(entered)
    if any(result.status == "refused" for result in entered):
        raise click.exceptions.Exit(1)


@lab.command()
@LINE
@STATE
@click.option("--once", is_flag=True, help="Take what lies there now, and end.")
def watch(line_file: Path, state: Path | None, once: bool) -> None:
    """Enter every file that a LIMS drops into the line's [lab] folder, until stopped.

    \b
    Example:
      patloop lab watch deploy/lines/cdc_ref_1.toml
    """
    stop = threading.Event()
    if not once:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
    with told(), _intake(line_file, state) as (config, intake):
        table = config.lab or LabTable()
        if table.folder is None:
            raise ConfigError(f"{line_file}: [lab] names no 'folder' to watch; add it")
        folder = LabFolder(table.folder, 0.0 if once else table.settle_s, intake)
        click.echo(f"{config.line.name}: watching {table.folder}" if not once else f"looking into {table.folder}")
        _watch(folder, stop, once=once)


def _watch(folder: LabFolder, stop: threading.Event, *, once: bool) -> None:
    trouble = ""
    while not stop.is_set():
        try:
            entered = folder.take()
        except (OSError, RecorderError) as error:
            if once:
                raise ConfigError(str(error)) from error
            if str(error) != trouble:  # said once, tried on: a share that is away comes back
                trouble = str(error)
                click.echo(f"{_now()} cannot go on now, trying again: {trouble}", err=True)
            stop.wait(LOOK_EVERY_S)
            continue
        trouble = ""
        if entered is not None:
            _say(entered)
        elif once:
            return
        else:
            stop.wait(LOOK_EVERY_S)


@contextmanager
def _intake(line_file: Path, state: Path | None) -> Iterator[tuple[LineConfig, Intake]]:
    config, _ = read_config(line_file)
    path = (state or config.line.state_dir) / "journal.sqlite"
    if not path.exists():
        raise ConfigError(f"there is no journal {path}: has the service run?")
    with Journal.open(path, config.line.name) as journal:
        yield config, Intake(journal, config.lab or LabTable(), config.line.cycle_s)


def _say(entered: Sequence[Entered]) -> None:
    for result in entered:
        why = (", on the record before" if result.again else "") + (f": {result.why}" if result.why else "")
        click.echo(f"{_now()} record {result.seq}: sample {result.sample_id or '?'} {result.status}{why}")


def _now() -> str:
    return datetime.now(UTC).strftime("%H:%M:%SZ")
