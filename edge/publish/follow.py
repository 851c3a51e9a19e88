"""journal -> batches of records for a publisher, from where the other side acknowledged on; nothing is skipped.

The journal is the store of store-and-forward: a publisher that was cut off goes on from its cursor. Records that the
record's own retention removed before they were sent are told as a gap, never passed over.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge.errors import ConfigError, RecorderError
from edge.record.chain import Row
from edge.record.journal import Journal


@dataclass(frozen=True)
class Cursor:
    """The newest record that the other side has: number and hash (hex); 0 and "" before the first."""

    seq: int = 0
    hash: str = ""


@dataclass(frozen=True)
class Batch:
    """Records in order, and the numbers (first, last) in or before them that the journal does not hold any more."""

    rows: tuple[Row, ...]
    gaps: tuple[tuple[int, int], ...]


class CursorFile:
    """A cursor kept in a file, for other sides that keep none: replaced whole and on the disk when save returns."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> Cursor:
        """The cursor; the beginning where there is no file. Raises ConfigError when the file is damaged."""
        try:
            told = json.loads(self.path.read_text(encoding="ascii"))
            return Cursor(int(told["seq"]), str(told["hash"]))
        except FileNotFoundError:
            return Cursor()
        except (OSError, ValueError, KeyError, TypeError) as error:
            mend = "remove it to send the whole record again"
            raise ConfigError(f"{self.path}: cannot be read as a cursor ({error}); {mend}") from error

    def save(self, cursor: Cursor) -> None:
        """Raises RecorderError when it cannot be written."""
        draft = self.path.with_suffix(".draft")
        try:
            with draft.open("w", encoding="ascii") as file:
                json.dump({"seq": cursor.seq, "hash": cursor.hash}, file)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.path)
        except OSError as error:
            raise RecorderError(f"{self.path}: the cursor cannot be kept ({error.strerror})") from error


def batches(journal: Journal, cursor: Cursor, most: int) -> Iterator[Batch]:
    """What came after the cursor, at most `most` records at a time, until there is no more for now.

    Raises RecorderError when the journal is not the one that the cursor is of.
    """
    check(journal, cursor)
    after = cursor.seq
    while True:
        rows = tuple(journal.rows(after_seq=after, limit=most))
        if not rows:
            return
        expected, gaps = after + 1, []
        for row in rows:
            if row.seq > expected:
                gaps.append((expected, row.seq - 1))
            expected = row.seq + 1
        yield Batch(rows, tuple(gaps))
        after = rows[-1].seq


def check(journal: Journal, cursor: Cursor) -> None:
    """Raises RecorderError when the record that the cursor names is another one here, or beyond the journal's end."""
    if cursor.seq == 0:
        return
    newest = journal.last()
    end = 0 if newest is None else newest.seq
    if cursor.seq > end:
        raise RecorderError(
            f"{journal.path} ends at record {end}, but record {cursor.seq} was sent from it before:"
            " it was cut off or replaced; nothing is sent"
        )
    row = journal.get(cursor.seq)  # a record that retention removed cannot be compared
    if row is not None and row.hash.hex() != cursor.hash:
        raise RecorderError(
            f"{journal.path}: record {cursor.seq} is not the one that was sent before: altered or replaced;"
            " nothing is sent"
        )
