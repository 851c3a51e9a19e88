"""`patloop journal` and `patloop replay`: look at a journal, check it, take it out, compute it again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from edge.record.canonical import to_plain
from edge.record.chain import Row
from edge.record.checkpoint_commands import anchor, verify
from edge.record.export import cycles, export_csv, export_parquet, flatten, utc
from edge.record.inputs import FROM, JOURNAL, TO, InputError, progress, reading
from edge.record.inspect_commands import inspect
from edge.record.journal import Journal
from edge.record.origin import origin, setpoint_units
from edge.record.replay_commands import replay
from edge.record.report_commands import genealogy, performance
from edge.record.shadow import write_shadow


@click.group()
def journal() -> None:
    """Look at a line's record: verify, show, export, watch, report.

    \b
    Example:
      patloop journal verify var/cdc_ref_1/journal.sqlite
    """


@journal.command()
@JOURNAL
@click.option("--kind", help="Only records of this kind: cycle, act, request, start, stop, people, ...")
@click.option("--last", default=20, show_default=True, type=click.IntRange(1), help="How many, the newest.")
@click.option("--seq", type=click.IntRange(1), help="One record, whole, as JSON.")
def show(journal: Path, kind: str | None, last: int, seq: int | None) -> None:
    """Show the newest records as a list, or one record whole.

    \b
    Example:
      patloop journal show var/cdc_ref_1/journal.sqlite --kind request
      patloop journal show var/cdc_ref_1/journal.sqlite --seq 17
    """
    with reading(journal) as record:
        if seq is not None:
            row = record.get(seq)
            if row is None:
                raise InputError(f"--seq {seq}: there is no such record in {journal}")
            click.echo(_whole(row))
            return
        table = Table("seq", "time", "kind", "content", box=None)
        for row in _newest(record, kind, last):
            table.add_row(str(row.seq), utc(row.time_s), row.kind, _line(row))
        Console().print(table)


@journal.command()
@JOURNAL
@click.option("--format", "form", type=click.Choice(["csv", "parquet"]), default="csv", show_default=True)
@FROM
@TO
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The file to write.")
def export(journal: Path, form: str, from_s: float | None, to_s: float | None, out: Path) -> None:
    """Write the cycles as a table, one row a cycle, with units (UCUM) and the record's anchor.

    Parquet holds both in its metadata; beside a CSV they are in OUT-metadata.json (W3C, tabular data on the web).

    \b
    Example:
      patloop journal export var/cdc_ref_1/journal.sqlite --format csv --out shift.csv
    """
    with reading(journal) as record, progress("exporting") as report:
        newest = record.last("cycle")
        rows = partial(_counted, record, from_s, to_s, newest.seq if newest else 0, report)
        try:
            told, write = origin(record), export_csv if form == "csv" else export_parquet
            count = write(rows, out, told, setpoint_units(record))
        except ModuleNotFoundError as error:
            raise InputError(f"--format {form} needs the package '{error.name}': use --format csv") from error
        except OSError as error:
            raise InputError(f"--out {out}: cannot be written ({error.strerror or error})") from error
    click.echo(f"{count} cycles -> {out}")
    click.echo(f"made from the record up to (anchor): {told['anchor']}")


@journal.command()
@JOURNAL
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The file to write.")
def shadow(journal: Path, out: Path) -> None:
    """Write each laboratory value beside champion and challenger, for 'patloop sensor promote'.

    \b
    Example:
      patloop journal shadow var/cdc_ref_1/journal.sqlite --out shadow.csv
    """
    with reading(journal) as record, progress("reading"):
        try:
            count = write_shadow(record, out)
        except OSError as error:
            raise InputError(f"--out {out}: cannot be written ({error.strerror or error})") from error
    click.echo(f"{count} laboratory results with both estimates -> {out}")


@journal.command()
@JOURNAL
@click.option("--kind", help="Only records of this kind.")
@click.option("--count", type=click.IntRange(1), help="Stop after so many records.")
def watch(journal: Path, kind: str | None, count: int | None) -> None:
    """Print records as they are written, until Ctrl-C.

    \b
    Example:
      patloop journal watch var/cdc_ref_1/journal.sqlite --kind cycle
    """
    with reading(journal) as record:
        newest = record.last()
        seen, printed = newest.seq if newest else 0, 0
        click.echo(f"waiting for records after {seen} (Ctrl-C ends)", err=True)
        while True:
            for row in record.rows(after_seq=seen):
                seen = row.seq
                if kind is None or row.kind == kind:
                    click.echo(f"{row.seq} {utc(row.time_s)} {row.kind} {_line(row)}")
                    printed += 1
                if printed == count:
                    return
            time.sleep(0.2)


journal.add_command(verify)
journal.add_command(anchor)
journal.add_command(genealogy)
journal.add_command(inspect)
journal.add_command(performance)


def _counted(
    record: Journal, from_s: float | None, to_s: float | None, last: int, report: Callable[[int, int], None]
) -> Iterator[Row]:
    for row in cycles(record, from_s, to_s):
        report(row.seq, last)
        yield row


def _newest(record: Journal, kind: str | None, count: int) -> list[Row]:
    newest = record.last(kind)
    if newest is None:
        return []
    reach = count
    while True:  # records of one kind may lie far apart: look back twice as far until there are enough
        rows = list(record.rows(after_seq=max(0, newest.seq - reach), kind=kind))
        if len(rows) >= count or reach >= newest.seq:
            return rows[-count:]
        reach *= 2


def _whole(row: Row) -> str:
    content = {
        "seq": row.seq,
        "time": utc(row.time_s),
        "kind": row.kind,
        "hash": row.hash.hex(),
        "blob_bytes": len(row.blob or b""),
        "body": to_plain(row.content()),
    }
    return json.dumps(content, indent=2, ensure_ascii=False)


def _line(row: Row) -> str:
    """A record in one line: of a cycle what matters, of all else its body."""
    if row.kind != "cycle":
        text = row.body.decode("ascii", "replace")
        return text if len(text) <= 160 else text[:157] + "..."
    cells = flatten(row)
    api, sigma = cells.get("belief.api_pct"), cells.get("belief.api_sigma_pct")
    words = [str(cells["mode"]), str(cells["link"])]
    if isinstance(api, float) and isinstance(sigma, float) and np.isfinite(api):
        words.append(f"API {api:.3f}+-{1.645 * sigma:.3f} %")
    words.append(f"estimate {cells.get('estimate.value')} {cells.get('estimate.quality')}")
    return " ".join([*words, str(cells.get("decision.reason") or ""), str(cells["alarms"])]).strip()


__all__ = ["journal", "replay"]
