"""`patloop journal retire`: bring a journal within its bounds now, whether its service runs or not."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from pydantic import ValidationError

from edge.commands import STATE, told
from edge.errors import ConfigError
from edge.record.inputs import progress
from edge.record.settings import RecordTable

DAYS = click.FloatRange(min=0.0, min_open=True)


@click.command()
@click.argument("subject", metavar="LINE.toml|JOURNAL", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--now", is_flag=True, help="All that is due; without it only whole pieces, as the service does.")
@click.option("--archive", type=click.Path(file_okay=False, path_type=Path), help="Of a JOURNAL: where the old goes.")
@click.option("--keep-days", type=DAYS, help="Of a JOURNAL: cycles and write outcomes.")
@click.option("--keep-spectra-days", type=DAYS, help="Of a JOURNAL: spectra.")
@click.option("--max-gb", type=DAYS, help="Of a JOURNAL: the file, in 10^9 bytes.")
@STATE
def retire(
    subject: Path, now: bool, archive: Path | None, keep_days: float | None, keep_spectra_days: float | None,
    max_gb: float | None, state: Path | None,
) -> None:  # fmt: skip
    """Move old cycles to the archive and out of the journal, by the line file's [record] or the options.

    Days count back from the newest record. What goes is written to a file, read back and hashed first; starts, bundles,
    requests, people, signatures, checkpoints and gaps stay (exit 1: something stands in the way; nothing is lost).

    \b
    Example:
      patloop journal retire deploy/lines/cdc_ref_1.toml --now
      patloop journal retire var/journal.sqlite --archive /mnt/archive --keep-days 30
    """
    from edge.record.journal import Journal
    from edge.record.retention import Pace, Retention

    with told():
        path, table = _subject(subject, state, archive, (keep_days, keep_spectra_days, max_gb))
        with Journal.open_existing(path) as journal, progress("retiring") as report:
            first, newest = journal.get(1), journal.last()
            assert first is not None, "open_existing has read both"
            assert newest is not None, "open_existing has read both"
            retention = Retention(journal, table, str(first.content()["line"]), Pace(least=1) if now else Pace())
            while retention.step(newest.time_s):
                report(retention.removed, newest.seq)
    click.echo(f"{retention.removed} records of {newest.seq} moved to {table.archive}; spectra of {retention.dropped}")
    if not retention.removed + retention.dropped and not retention.trouble:
        pieces = "" if now else f", and without --now a piece is moved once {Pace().least} records are due"
        click.echo(f"nothing was due: the newest {Pace().newest} records always stay{pieces}")
    if retention.trouble:
        click.echo(f"NO  {retention.trouble}")
        sys.exit(1)


def _subject(
    subject: Path, state: Path | None, archive: Path | None, bounds: tuple[float | None, float | None, float | None]
) -> tuple[Path, RecordTable]:
    """The journal and its bounds. Raises ConfigError, or click.UsageError when the options do not make a table."""
    from edge.config import read_config

    given = archive is not None or any(bound is not None for bound in bounds)
    if subject.suffix == ".toml":
        if given:
            raise click.UsageError(f"{subject} has its bounds in [record]: give no others")
        config, _ = read_config(subject)
        if config.record is None:
            raise ConfigError(f"{subject}: without a table [record] nothing is retired; add one with 'archive'")
        path = (state or config.line.state_dir) / "journal.sqlite"
        if not path.is_file():
            raise ConfigError(f"there is no journal {path}: has the service run?")
        return path, config.record
    if archive is None or not given:
        raise click.UsageError("a journal needs --archive and one of --keep-days, --keep-spectra-days, --max-gb")
    try:
        days, spectra, size = bounds
        return subject, RecordTable(archive=archive, keep_days=days, keep_spectra_days=spectra, max_gb=size)
    except ValidationError as error:
        raise click.UsageError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error
