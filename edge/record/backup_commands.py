"""`patloop backup`: copy a running line, check a copy, bring it back, and try all of it out."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from edge.commands import LINE, STATE, told
from edge.record.export import utc
from edge.record.inputs import progress

BACKUP = click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
TO = click.option("--to", required=True, type=click.Path(path_type=Path), help="The new folder.")


@click.group()
def backup() -> None:
    """Back up a line while it runs, check a backup, restore it, drill it.

    \b
    Example:
      patloop backup make deploy/lines/cdc_ref_1.toml --to /mnt/backup/monday
    """


@backup.command()
@LINE
@TO
@click.option("--with-secrets", "secrets", is_flag=True, help="Private keys and passwords too; DIR is yours alone.")
@STATE
def make(line_file: Path, to: Path, secrets: bool, state: Path | None) -> None:
    """Copy record, line file, bundles, registry, accounts and public certificates; the service may run on.

    \b
    Example:
      patloop backup make deploy/lines/cdc_ref_1.toml --to /mnt/backup/monday
    """
    from edge.record.backup import make_backup

    with told(), progress("copying the record") as report:
        made = make_backup(line_file, state, to, report, secrets=secrets)
    size = sum(held.size for held in made.files.values())
    click.echo(f"{made.line}: {len(made.files)} files, {size / 1e6:.1f} MB, record 1 to {made.seq} -> {to}")
    if made.left_out:
        click.echo(f"left out, for they are secret: {', '.join(made.left_out)}")
    if made.archives:
        click.echo(f"kept elsewhere: {len(made.archives)} archives of old records; back up their folder, too")


@backup.command()
@BACKUP
def check(folder: Path) -> None:
    """Is a backup still what was made? Every file's SHA-256, and the whole record (exit 1: it is not).

    \b
    Example:
      patloop backup check /mnt/backup/monday
    """
    from edge.record.restore import check_backup

    with told(), progress("checking"):
        found = check_backup(folder)
    for wrong in found.wrong[:10]:
        click.echo(f"NO  {wrong}")
    if found.wrong:
        click.echo(f"not as it was made: {len(found.wrong)} wrong ({folder})")
        sys.exit(1)
    made = found.manifest
    click.echo(f"as it was made: {made.line} at {utc(made.made_s)}, {len(made.files)} files, last record {made.seq}")


@backup.command()
@BACKUP
@TO
@click.option("--force", is_flag=True, help="Move what is there aside (nothing is deleted).")
def restore(folder: Path, to: Path, force: bool) -> None:
    """Bring a backup back into a new folder, with a line file that names what lies there.

    \b
    Example:
      patloop backup restore /mnt/backup/monday --to /srv/cdc_ref_1
    """
    from edge.record.restore import check_backup, restore_backup

    with told(), progress("restoring"):
        wrong = check_backup(folder).wrong
        made = None if wrong else restore_backup(folder, to, force=force)
    if made is None:
        click.echo(f"not restored: {wrong[0]} ({folder})")
        sys.exit(1)
    click.echo(f"{made.line} as of {utc(made.made_s)} -> {to}; look at it: patloop check {to / 'line.toml'} --offline")
    if made.left_out:
        click.echo(f"not in the backup, bring them yourself: {', '.join(made.left_out)}")


@backup.command()
@LINE
@click.option("--cycles", default=200, show_default=True, type=click.IntRange(1), help="How many to think again.")
@click.option("--scratch", type=click.Path(file_okay=False, path_type=Path), help="Where there is room for two copies.")
@STATE
def drill(line_file: Path, cycles: int, scratch: Path | None, state: Path | None) -> None:
    """Try it out: back up, restore beside it, verify, think cycles again, compare records (exit 1: it is not the same).

    The line may run meanwhile; what was found goes on its record.

    \b
    Example:
      patloop backup drill deploy/lines/cdc_ref_1.toml
    """
    import random
    import tempfile
    import time

    from edge.config import read_config
    from edge.record.drill import run_drill

    with told(), progress("copying the record") as report, tempfile.TemporaryDirectory(dir=scratch) as folder:
        config, _ = read_config(line_file)
        found = run_drill(
            line_file, state or config.line.state_dir, Path(folder), cycles, random.Random(),
            report, time.time, time.monotonic,
        )  # fmt: skip
    for wrong in found.wrong:
        click.echo(f"NO  {wrong}")
    click.echo(
        f"restored record 1 to {found.seq} and {found.files} files in {found.seconds:.1f} s: sound, {found.replayed} "
        f"cycles thought again, {found.compared} records compared" + (": NOT the same" if found.wrong else ": the same")
    )
    if found.wrong:
        sys.exit(1)
