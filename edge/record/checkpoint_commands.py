"""`patloop journal verify` and `anchor`: is the record whole, and what to keep elsewhere so that this can be told."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from edge.errors import RecorderError
from edge.record.checkpoint import KIND, latest_anchor, read_key
from edge.record.inputs import JOURNAL, InputError, progress, reading
from edge.record.verify import Verification
from edge.record.verify import verify as verify_journal


@click.command()
@JOURNAL
@click.option("--anchor", "anchors", multiple=True, metavar="TEXT|FILE",
              help="An anchor from 'patloop journal anchor': its record must be there. Repeatable.")  # fmt: skip
@click.option("--key", "keys", multiple=True, metavar="HEX|FILE",
              help="The box's public key (pki/record_key.pub). Repeated where the box was exchanged.")  # fmt: skip
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="The verdict as JSON.")
def verify(journal: Path, anchors: tuple[str, ...], keys: tuple[str, ...], json_file: Path | None) -> None:
    """Check that no record was altered, removed, reordered or cut off (exit 1: one was).

    With an anchor that was kept elsewhere it is found, too, when the whole file was put back or replaced.

    \b
    Example:
      patloop journal verify var/cdc_ref_1/journal.sqlite
      patloop journal verify var/cdc_ref_1/journal.sqlite --anchor batch_17.anchor --key record_key.pub
    """
    try:
        texts, trusted = [_text(a) for a in anchors], [read_key(_text(k)) for k in keys]
        with progress("verifying") as report:
            found = verify_journal(journal, report, texts, trusted[0] if trusted else None, trusted[1:])
    except (ValueError, OSError) as error:
        raise InputError(f"{error}") from error
    if json_file is not None:
        _write(json_file, _verdict(found))
    if not found.ok:
        click.echo(f"NOT SOUND: {found.reason} ({journal}, {found.n} records sound before it)")
        sys.exit(1)
    click.echo(f"sound: {found.n} records, each follows the one before{_beyond(found)} ({journal})")
    if found.reason:
        click.echo(f"note: {found.reason}")


@click.command()
@JOURNAL
@click.option("--to", "out", type=click.Path(dir_okay=False, path_type=Path),
              help="The file to write: on another machine or medium, or it proves nothing.")  # fmt: skip
@click.option("--print", "printed", is_flag=True, help="Print it with --to, too.")
def anchor(journal: Path, out: Path | None, printed: bool) -> None:
    """Give the latest signed head of the record as a short text, to be kept outside the box.

    It names a record; as long as `journal verify --anchor` finds that one, nothing up to it was changed or cut off.

    \b
    Example:
      patloop journal anchor var/cdc_ref_1/journal.sqlite
      patloop journal anchor var/cdc_ref_1/journal.sqlite --to /mnt/quality/batch_17.anchor
    """
    with reading(journal) as record:
        try:
            found, first = latest_anchor(record), record.get(1)
        except RecorderError as error:
            raise InputError(str(error)) from error
        if found is None:
            raise InputError(f"{journal} is empty: there is nothing to anchor")
        row = record.get(found.seq)
        told = row.content() if row is not None and row.kind == KIND else {}
    if not told:
        click.echo("note: nobody signed this record: the anchor is that of its newest record", err=True)
    if out is not None:
        line = None if first is None else first.content().get("line")
        _write(out, {"anchor": found.text(), "line": line, "key": told.get("key"), "signature": told.get("signature")})
        click.echo(f"anchor of record {found.seq} -> {out}")
    if out is None or printed:
        click.echo(found.text())


def _text(argument: str) -> str:
    """What was given, or what the file of that name holds."""
    return Path(argument).read_text(encoding="utf-8") if Path(argument).is_file() else argument


def _beyond(found: Verification) -> str:
    """What was found beyond the chain."""
    signed = f"; signed up to record {found.signed_to}" if found.signed_to else "; not signed"
    return signed + (f"; {found.anchors} anchored {'records are' if found.anchors > 1 else 'record is'} there"
                     if found.anchors else "")  # fmt: skip


def _verdict(found: Verification) -> dict[str, object]:
    return {
        "sound": found.ok, "records": found.n, "first_bad_seq": found.first_bad_seq, "reason": found.reason,
        "signed_to": found.signed_to, "anchors": found.anchors,
    }  # fmt: skip


def _write(out: Path, content: dict[str, object]) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror or error})") from error


__all__ = ["anchor", "verify"]
