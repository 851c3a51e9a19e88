"""[record], journal -> a journal that stays as large as it may: the oldest goes to the archive, then out of the file.

One small step between two cycles. A piece of the record is written to its archive file whole, flushed, read back and
hashed; only then are its rows deleted, some at a time, each time in one transaction with the "retired" record that
names what goes, where it lies and the hashes that keep the chain. Killed at any instant it is either before or after.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from edge.record.archive import Archived, ArchiveError, Piece, confirmed, name_of, write_archive
from edge.record.canonical import encode
from edge.record.chain import SCHEMAS, Head, connect_reader, read_format
from edge.record.compact import REACH
from edge.record.journal import Journal
from edge.record.settings import RecordTable

KIND = "retired"
KINDS = ("cycle", "act")  # what goes; every other kind stays for ever
FULL = 0.9  # of max_gb: what is free by then is room for what comes while a piece is written
DAY_S = 86_400.0
NEAR = 4_000  # records: how far back a good place to cut is looked for
AGAIN_S = 60.0  # after trouble with the archive, or when nothing was due


@dataclass(frozen=True)
class Pace:
    """How much at a time: records of a piece at most (some 30 MB), so many that must be due before one is begun (or
    some for a day), records looked at in one transaction, and how many of the newest stay however large the file is."""

    rows: int = 20_000
    least: int = 20_000
    removed: int = 500
    newest: int = 2_000


@dataclass(frozen=True)
class _Kept:
    """A piece that lies in the archive, and up to which record its blobs and its rows were removed."""

    archived: Archived
    blobs_to: int
    rows_to: int


class Retention:
    """Retires old records of one journal; `trouble` tells what stands in the way, empty when nothing does."""

    def __init__(self, journal: Journal, table: RecordTable, line: str, pace: Pace | None = None) -> None:
        """Reads what was retired before. Raises RecorderError."""
        self.trouble = ""
        self.removed, self.dropped = 0, 0  # records, and blobs of records that stay, by this object
        self._journal, self._table, self._line = journal, table, line
        self._pace = pace or Pace()
        self._pieces = _pieces(journal)
        self._work: Iterator[None] | None = None
        self._again_s: float | None = None

    def step(self, now_s: float) -> bool:
        """Do one small piece of work; False when there is none now.

        Trouble with the archive is told, never raised: then nothing is removed, and it is tried again after a while.
        Raises RecorderError when the journal itself fails.
        """
        try:
            if self._work is None:
                if self._again_s is not None and 0.0 <= self._again_s - now_s <= AGAIN_S:
                    return False
                self._work, self._again_s = self._choose(now_s), now_s + AGAIN_S
            if self._work is None:
                return False
            next(self._work)
        except StopIteration:
            self._work, self._again_s, self.trouble = None, None, ""
        except (ArchiveError, sqlite3.Error) as error:
            self._work, self.trouble = None, str(error)
        return True

    def _choose(self, now_s: float) -> Iterator[None] | None:
        """What is due: rows of a piece, spectra of a piece, or a new piece; None when nothing is."""
        table = self._table
        with closing(connect_reader(self._journal.path)) as reader:
            if read_format(reader) == 1:
                self.trouble = "a journal of format 1 is kept whole: begin a new state folder to have it bounded"
                return None
            large = table.max_gb is not None and _used(reader) > FULL * table.max_gb * 1e9
            for kept in self._pieces:
                piece = kept.archived.piece
                if kept.rows_to >= piece.last:
                    continue
                old = _older(reader, piece.last, table.keep_days, now_s)
                if old or large or kept.rows_to >= piece.first:
                    return self._remove(kept, "rows", now_s, _why(table, old=old))
                if kept.blobs_to < piece.last and _older(reader, piece.last, table.keep_spectra_days, now_s):
                    return self._remove(kept, "blobs", now_s, f"spectra are kept {table.keep_spectra_days:g} days")
            found = self._next(reader, now_s, large=large)
        if found is not None:
            return self._archive(found)
        stuck = "the journal is above max_gb, and what is left of it is never removed: allow more"
        self.trouble = stuck if large else ""
        return None

    def _next(self, reader: sqlite3.Connection, now_s: float, *, large: bool) -> Piece | None:
        """The next piece, when enough of it is due."""
        first = self._pieces[-1].archived.piece.last + 1 if self._pieces else 2
        (newest,) = reader.execute("SELECT max(seq) FROM records").fetchone()
        # Whatever is still written, by whichever process, is packed with a record at most REACH back: not with these.
        end = min(first + self._pace.rows - 1, newest - max(self._pace.newest, REACH))
        limits = [days for days in (self._table.keep_days, self._table.keep_spectra_days) if days is not None]
        if not large and limits:
            due = _last_older(reader, first, end, now_s - min(limits) * DAY_S)
            if due - first + 1 < self._pace.least and not _older(reader, first, min(limits) + 1.0, now_s):
                return None
            end = due
        elif not large:
            return None
        last = _cut(reader, first, end)
        if last is None or not _goes(reader, first, last):
            return None
        (time_s,) = reader.execute("SELECT time_s FROM records WHERE seq = ?", (first,)).fetchone()
        return Piece(first, last, name_of(self._line, first, last, time_s))

    def _archive(self, piece: Piece) -> Iterator[None]:
        with closing(connect_reader(self._journal.path)) as reader:
            for made in write_archive(reader, self._table.archive, piece):
                if made is not None:
                    self._pieces.append(_Kept(made, piece.first - 1, piece.first - 1))
                yield

    def _remove(self, kept: _Kept, what: str, now_s: float, reason: str) -> Iterator[None]:
        for answer in confirmed(self._table.archive, kept.archived):
            if answer is False:
                raise ArchiveError(f"archive {kept.archived.piece.name} is not the file that was written any more")
            yield
        piece, where = kept.archived.piece, self._pieces.index(kept)
        last = max((kept.rows_to if what == "rows" else kept.blobs_to), piece.first - 1)
        while last < piece.last:
            first, last = last + 1, self._until(last + 1, piece.last)
            self._retire(kept.archived, what, first, last, now_s, reason)
            rows_to = last if what == "rows" else kept.rows_to
            self._pieces[where] = replace(kept, rows_to=rows_to, blobs_to=last)
            yield

    def _until(self, first: int, end: int) -> int:
        """Up to where records go in one transaction: what stays must be readable after each, and a piece ends so."""
        with closing(connect_reader(self._journal.path)) as reader:
            count = self._pace.removed
            while first + count <= end:
                if (last := _cut(reader, first, first + count - 1)) is not None:
                    return last
                count *= 2
        return end

    def _retire(self, archived: Archived, what: str, first: int, last: int, now_s: float, reason: str) -> None:
        told = {
            "what": what, "kinds": KINDS if what == "rows" else ("cycle",), "from": first, "to": last,
            "piece": (archived.piece.first, archived.piece.last), "archive": archived.piece.name,
            "archive_sha256": archived.sha256, "reason": reason,
        }  # fmt: skip

        def compose(connection: sqlite3.Connection, _: Head) -> bytes:
            ranges = _ranges(connection, first, last)
            gone = _delete(connection, what, first, last)
            self.removed += gone if what == "rows" else 0
            self.dropped += gone if what == "blobs" else 0
            return encode({**told, "ranges": ranges} if what == "rows" else told)

        self._journal.append_with(KIND, now_s, compose)


def _delete(connection: sqlite3.Connection, what: str, first: int, last: int) -> int:
    """Delete within the transaction that records it, and say how much; the triggers that forbid it are away so long."""
    triggers = ("records_no_delete", "blobs_no_delete")
    connection.execute("PRAGMA secure_delete=OFF")  # to overwrite what lies in the archive only wears the disk
    for name in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    gone = f"SELECT seq FROM records WHERE seq BETWEEN ? AND ? AND kind IN ({', '.join('?' * len(KINDS))})"
    count = connection.execute(f"DELETE FROM blobs WHERE seq IN ({gone})", (first, last, *KINDS)).rowcount
    if what == "rows":
        count = connection.execute(f"DELETE FROM records WHERE seq IN ({gone})", (first, last, *KINDS)).rowcount
    for name in triggers:
        connection.execute(SCHEMAS[2][name])
    return count


def _ranges(connection: sqlite3.Connection, first: int, last: int) -> list[dict[str, Any]]:
    """The unbroken ranges of records that go, each with the hashes of the record before it and of its last."""
    query = "SELECT seq, kind, prev_hash, hash FROM records WHERE seq BETWEEN ? AND ? ORDER BY seq"
    found: list[dict[str, Any]] = []
    for seq, kind, before, own in connection.execute(query, (first, last)):
        if kind not in KINDS:
            continue
        if not found or found[-1]["to"] != seq - 1:
            found.append({"from": seq, "before_hash": before.hex()})
        found[-1] |= {"to": seq, "last_hash": own.hex()}
    return found


def _pieces(journal: Journal) -> list[_Kept]:
    """The pieces that earlier records retired, or began to."""
    found: dict[int, _Kept] = {}
    for row in journal.rows(kind=KIND):
        told = row.content()
        first, last = told["piece"]
        archived = Archived(Piece(first, last, told["archive"]), told["archive_sha256"])
        kept = found.get(first) or _Kept(archived, first - 1, first - 1)
        rows_to = max(kept.rows_to, told["to"]) if told["what"] == "rows" else kept.rows_to
        found[first] = replace(kept, rows_to=rows_to, blobs_to=max(kept.blobs_to, told["to"]))
    return [found[first] for first in sorted(found)]


def _used(reader: sqlite3.Connection) -> int:
    """Bytes of the file that hold something; the rest is used again before the file grows."""
    names = ("page_count", "freelist_count", "page_size")
    pages, free, size = (int(reader.execute(f"PRAGMA {name}").fetchone()[0]) for name in names)
    return (pages - free) * size


def _goes(reader: sqlite3.Connection, first: int, last: int) -> bool:
    """Whether any of these records is of a kind that goes."""
    query = "SELECT 1 FROM records WHERE kind = ? AND seq BETWEEN ? AND ? LIMIT 1"
    return any(reader.execute(query, (kind, first, last)).fetchone() for kind in KINDS)


def _older(reader: sqlite3.Connection, seq: int, days: float | None, now_s: float) -> bool:
    """Whether record seq, or the next that is there, is older than so many days."""
    found = reader.execute("SELECT time_s FROM records WHERE seq >= ? ORDER BY seq LIMIT 1", (seq,)).fetchone()
    return days is not None and found is not None and bool(found[0] < now_s - days * DAY_S)


def _last_older(reader: sqlite3.Connection, first: int, last: int, limit_s: float) -> int:
    """The last of these records, all of which are there, that is older than the limit; first - 1 when none is.

    By halves, for times rise with the numbers; after a step of the clock it is one near it.
    """
    while first <= last:
        middle = (first + last + 1) // 2
        (time_s,) = reader.execute("SELECT time_s FROM records WHERE seq = ?", (middle,)).fetchone()
        if time_s >= limit_s:
            last = middle - 1
        elif middle == last:
            return last
        else:
            first = middle
    return last


def _cut(reader: sqlite3.Connection, first: int, end: int) -> int | None:
    """Where a piece may end: no record after it is packed with one of the piece; None when that is nowhere.

    After a checkpoint, where one is near: the next cycle then brings the axis of the spectra anew.
    """
    query = "SELECT seq, kind, coding FROM records WHERE seq BETWEEN ? AND ? ORDER BY seq DESC"
    needed, best = end + REACH + 1, None
    for seq, kind, coding in reader.execute(query, (max(first, end - NEAR), end + REACH)):
        if seq <= end and needed > seq:
            if kind == "checkpoint":
                return int(seq)
            best = best or int(seq)
        needed = min(needed, coding or needed)
    return best


def _why(table: RecordTable, *, old: bool) -> str:
    return f"cycles are kept {table.keep_days:g} days" if old else f"the journal may have {table.max_gb:g} GB"


__all__ = ["KINDS", "Retention"]
