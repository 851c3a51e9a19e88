"""journal, time -> where in the journal that is: by halving, so that a month of records costs two dozen reads."""

from __future__ import annotations

from edge.record.chain import Row
from edge.record.journal import Journal


def first_at(journal: Journal, time_s: float, kind: str = "cycle") -> Row | None:
    """The first record of a kind at or after a time (s, epoch, UTC); None where none is that late.

    Where a clock was set back, it is one of the records that fit. Raises RecorderError.
    """
    newest = journal.last(kind)
    if newest is None or newest.time_s < time_s:
        return None
    low, high = 0, newest.seq - 1  # the answer is the first record after one of these
    while low < high:
        middle = (low + high) // 2
        row = _after(journal, middle, kind, newest)
        low, high = (low, middle) if row.time_s >= time_s else (row.seq, high)
    return _after(journal, low, kind, newest)


def nearest(journal: Journal, time_s: float, kind: str = "cycle") -> Row | None:
    """The record of a kind that is nearest in time, of the last before and the first at it; None where there is none.

    Raises RecorderError.
    """
    after = first_at(journal, time_s, kind)
    if after is None:
        return journal.last(kind)
    before = last_before(journal, after.seq, kind)
    if before is None or after.time_s - time_s <= time_s - before.time_s:
        return after
    return before


def last_before(journal: Journal, seq: int, kind: str = "cycle") -> Row | None:
    """The last record of a kind before a record number; None where there is none. Raises RecorderError."""
    reach = 8
    while True:  # records of one kind may lie far apart: look back four times as far until there is one
        rows = [row for row in journal.rows(after_seq=max(0, seq - reach - 1), kind=kind, limit=reach) if row.seq < seq]
        if rows:
            return rows[-1]
        if reach >= seq:
            return None
        reach *= 4


def _after(journal: Journal, seq: int, kind: str, newest: Row) -> Row:
    return next(iter(journal.rows(after_seq=seq, kind=kind, limit=1)), newest)
