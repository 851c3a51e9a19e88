"""journal -> verdict: names the first record that was altered, removed, reordered or cut off."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.record.chain import (
    COLUMNS,
    FIRST_PREV_HASH,
    SCHEMA,
    Head,
    Row,
    chain_hash,
    connect_reader,
    read_head,
)

Progress = Callable[[int, int], None]
REPORT_EVERY = 200  # records between two reports of progress


@dataclass(frozen=True)
class Verification:
    """What verify found.

    n: records read and found in order before anything bad; first_bad_seq: the record that is altered, missing
    or out of order, None when all are well or the damage is not in a record; reason: one sentence.
    """

    ok: bool
    n: int
    first_bad_seq: int | None
    reason: str


class _Broken(Exception):  # noqa: N818 - a finding on its way up, not a failure of ours
    def __init__(self, seq: int | None, reason: str) -> None:
        super().__init__(reason)
        self.seq = seq


def verify(path: Path, progress: Progress | None = None) -> Verification:
    """Read the whole journal and judge it; progress is called with (records read, records in all).

    Never raises for a damaged file: that is a verdict. A reason is given with ok too when it has a limit.
    """
    count = 0
    try:
        head = _read_head(path)  # before the snapshot: the writer may go on, the head must not be ahead of it
        connection = connect_reader(path)
        try:
            connection.execute("BEGIN")
            for row in _checked(connection, head, progress or _silent):
                count = row.seq
            _check_file(connection)
        finally:
            connection.close()
    except _Broken as broken:
        return Verification(False, count, broken.seq, str(broken))
    except (sqlite3.Error, OSError, UnicodeDecodeError) as error:  # SQLite's own messages may hold damaged text
        return Verification(False, count, None, f"the file cannot be read as a journal: {error}")
    if head is None:
        limit = f"no head is noted beside the file: records removed after {count} would not be noticed"
        return Verification(True, count, None, limit)
    return Verification(True, count, None, "")


def _silent(_done: int, _total: int) -> None:
    return


def _read_head(path: Path) -> Head | None:
    try:
        return read_head(path)
    except ValueError as error:
        raise _Broken(None, f"the head beside the journal is damaged: {error}") from error


def _checked(connection: sqlite3.Connection, head: Head | None, progress: Progress) -> Iterator[Row]:
    """The records in order, each judged before it is given."""
    total = connection.execute("SELECT coalesce(max(seq), 0) FROM records").fetchone()[0]
    previous = Row(0, 0.0, "", b"", None, b"", FIRST_PREV_HASH)
    for row in _read(connection):
        try:
            _check_row(row, previous)
        except _Broken as broken:
            raise _blame(connection, row, previous, broken) from None
        if head is not None and row.seq == head.seq and row.hash != head.hash:
            raise _Broken(row.seq, f"record {row.seq} is not the one that the head beside the journal names")
        if row.seq % REPORT_EVERY == 0 or row.seq == total:
            progress(row.seq, total)
        yield row
        previous = row
    if previous.seq == 0:
        raise _Broken(1, "the journal is empty: its first record is missing")
    if head is not None and head.seq > previous.seq:
        text = f"records {previous.seq + 1} to {head.seq} are missing from the end"
        raise _Broken(previous.seq + 1, text)


def _read(connection: sqlite3.Connection) -> Iterator[Row]:
    expected = 1
    cursor = connection.execute(f"SELECT {COLUMNS} FROM records ORDER BY seq")
    while True:
        try:
            values = cursor.fetchone()
        except sqlite3.Error as error:
            raise _Broken(expected, f"record {expected} cannot be read: {error}") from error
        if values is None:
            return
        yield _typed(values, expected)
        expected += 1


def _typed(values: tuple[Any, ...], expected: int) -> Row:
    kinds: tuple[Any, ...] = (int, float, str, bytes, (bytes, type(None)), bytes, bytes)
    if not all(isinstance(value, kind) for value, kind in zip(values, kinds, strict=True)):
        raise _Broken(expected, f"record {expected} was altered: a column has a wrong type")
    return Row(*values)


def _check_row(row: Row, previous: Row) -> None:
    expected = previous.seq + 1
    if row.seq > expected:
        gone = f"record {expected} is" if row.seq == expected + 1 else f"records {expected} to {row.seq - 1} are"
        raise _Broken(expected, f"{gone} missing")
    if row.seq < expected:
        raise _Broken(row.seq, f"record {row.seq} is out of order: it stands after record {previous.seq}")
    if row.hash != _own_hash(row):
        raise _Broken(row.seq, f"record {row.seq} was altered: its hash does not fit its content")
    if row.prev_hash != previous.hash:
        raise _Broken(row.seq, f"record {row.seq} does not follow record {previous.seq}")


def _own_hash(row: Row) -> bytes:
    return chain_hash(row.prev_hash, seq=row.seq, time_s=row.time_s, kind=row.kind, body=row.body, blob=row.blob)


def _blame(connection: sqlite3.Connection, row: Row, previous: Row, broken: _Broken) -> _Broken:
    """Which of two neighbours that do not fit was changed, when both have a hash that fits their content.

    A record that was changed and given a new hash is one that its successor does not know any more: if the
    record after row knows row, then row is as it was and previous was changed.
    """
    if row.seq != previous.seq + 1 or row.hash != _own_hash(row) or previous.seq == 0:
        return broken
    try:
        after = connection.execute("SELECT prev_hash FROM records WHERE seq = ?", (row.seq + 1,)).fetchone()
    except sqlite3.Error:
        return broken  # the finding stands; what lies behind it cannot be read to sharpen it
    if after is None or after[0] != row.hash:
        return broken
    text = f"record {previous.seq} was altered and given a new hash: record {row.seq} does not follow it"
    return _Broken(previous.seq, text)


def _check_file(connection: sqlite3.Connection) -> None:
    """Look at what the chain does not cover: the table's own definition, and pages and index of the file."""
    found = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall())
    for name, statement in SCHEMA.items():
        if found.get(name) != statement:
            raise _Broken(None, f"the records are well, but the journal's {name!r} was removed or changed")
    (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise _Broken(None, f"the records are well, but the file is damaged: {' '.join(str(verdict).split())}")
