"""old records -> a file of their own, in small steps: the same form, verifiable by itself, on the disk, read back."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edge.errors import RecorderError
from edge.record.canonical import decode
from edge.record.chain import CUT, FORMAT, PAGE_BYTES, SCHEMAS, connect_reader

ROWS = 250  # records a step: some milliseconds
BYTES = 1 << 22  # bytes hashed a step
_OUR_TABLES = ("records", "blobs")


class ArchiveError(Exception):
    """An archive cannot be written, or does not hold what it was given: nothing may be removed for it."""


@dataclass(frozen=True)
class Piece:
    """A piece of the record: all records from the first to the last number; name: of the archive's file."""

    first: int
    last: int
    name: str


@dataclass(frozen=True)
class Archived:
    """A piece that lies in the archive: its file's SHA-256."""

    piece: Piece
    sha256: str


@dataclass(frozen=True)
class CutFrom:
    """What an archive says of itself: its line, and the numbers of its first and last record in the journal."""

    line: str
    first: int
    last: int


def cut_from(path: Path) -> CutFrom | None:
    """Where this file was cut out of a journal; None when it is a journal. Raises RecorderError."""
    try:
        with closing(connect_reader(path)) as reader:
            if not reader.execute("SELECT 1 FROM sqlite_master WHERE name = 'cut'").fetchone():
                return None
            found = reader.execute("SELECT line, from_seq, to_seq FROM cut").fetchone()
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise RecorderError(f"{path} cannot be read: {error}") from error
    if found is None:
        raise RecorderError(f"{path}: the archive does not say where it was cut")
    return CutFrom(str(found[0]), int(found[1]), int(found[2]))


def name_of(line: str, first: int, last: int, time_s: float) -> str:
    """The file's name: line, first and last record, and the day of the first."""
    safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in line)
    return f"{safe}_{datetime.fromtimestamp(time_s, UTC):%Y%m%d}_{first:09d}_{last:09d}.journal"


def write_archive(connection: sqlite3.Connection, folder: Path, piece: Piece) -> Iterator[Archived | None]:
    """Write a piece of the journal on `connection` into its file; gives None after each step, last what was made.

    Once it gives that, the file is on the disk and every record was read back from it and compared. Killed before, it
    leaves a draft that the next attempt removes. Raises ArchiveError.
    """
    target, draft = folder / piece.name, folder / f".{piece.name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sync(folder.parent)
        draft.unlink(missing_ok=True)
        _make_way(target, _cut(connection, piece)[1])
        with closing(sqlite3.connect(draft, isolation_level=None)) as copy:
            for _ in _copied(connection, copy, piece):
                _sync(draft)  # a little each time: all of it at once would hold up the loop on a slow disk
                yield None
        _sync(draft)
        draft.rename(target)
        _sync(folder)
        with closing(connect_reader(target)) as copy:
            yield from _compared(connection, copy, piece)
        digest = hashlib.sha256()
        with target.open("rb") as file:
            while block := file.read(BYTES):
                digest.update(block)
                yield None
    except (OSError, sqlite3.Error) as error:
        raise ArchiveError(f"archive {target} cannot be written: {error}") from error
    finally:
        with suppress(OSError):  # what went wrong with the draft was told already
            draft.unlink(missing_ok=True)
    yield Archived(piece, digest.hexdigest())


def confirmed(folder: Path, archived: Archived) -> Iterator[bool | None]:
    """Whether the file is still the one that was made; gives None after each step, the answer last."""
    digest = hashlib.sha256()
    try:
        with (folder / archived.piece.name).open("rb") as file:
            while block := file.read(BYTES):
                digest.update(block)
                yield None
    except OSError as error:
        raise ArchiveError(f"archive {folder / archived.piece.name} cannot be read: {error}") from error
    yield digest.hexdigest() == archived.sha256


def _make_way(target: Path, genesis_hash: bytes) -> None:
    """Remove a file of this journal that was written but never used, for no record names it; another's stays."""
    if not target.exists():
        return
    with closing(connect_reader(target)) as found:
        other = found.execute("SELECT genesis_hash FROM cut").fetchone() != (genesis_hash,)
    if other:
        raise ArchiveError(f"archive {target} is there already, of another journal: name another folder")
    target.unlink()


def _copied(source: sqlite3.Connection, copy: sqlite3.Connection, piece: Piece) -> Iterator[None]:
    # a draft that is not finished is of no use to anybody: no log, no flushes but the one at the end
    copy.execute(f"PRAGMA page_size={PAGE_BYTES}")
    copy.execute("PRAGMA journal_mode=OFF")
    copy.execute("PRAGMA synchronous=OFF")
    copy.execute(f"PRAGMA user_version={FORMAT}")
    for name in _OUR_TABLES:
        copy.execute(SCHEMAS[FORMAT][name])
    for first, last in _steps(piece):
        copy.execute("BEGIN")
        rows = source.execute("SELECT * FROM records WHERE seq BETWEEN ? AND ?", (first, last)).fetchall()
        if len(rows) != last - first + 1:
            raise ArchiveError(f"records {first} to {last} are not all there")
        copy.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        copy.executemany("INSERT INTO blobs VALUES (?, ?)", _blobs(source, first, last))
        copy.execute("COMMIT")
        yield None
    copy.execute(CUT)
    copy.execute("INSERT INTO cut VALUES (?, ?, ?, ?, ?, ?)", _cut(source, piece))
    for name, statement in SCHEMAS[FORMAT].items():
        if name not in _OUR_TABLES:
            copy.execute(statement)
    yield None


def _cut(source: sqlite3.Connection, piece: Piece) -> tuple[str, bytes, int, bytes, int, bytes]:
    genesis, body = source.execute("SELECT hash, body FROM records WHERE seq = 1").fetchone()
    ends = "SELECT prev_hash FROM records WHERE seq = ?", "SELECT hash FROM records WHERE seq = ?"
    before, last = (source.execute(q, (n,)).fetchone()[0] for q, n in zip(ends, (piece.first, piece.last), strict=True))
    return str(decode(body)["line"]), genesis, piece.first, before, piece.last, last


def _compared(source: sqlite3.Connection, copy: sqlite3.Connection, piece: Piece) -> Iterator[None]:
    """Every record of the copy, column by column, against the journal."""
    query = "SELECT * FROM records WHERE seq BETWEEN ? AND ? ORDER BY seq"
    for first, last in _steps(piece):
        same = source.execute(query, (first, last)).fetchall() == copy.execute(query, (first, last)).fetchall()
        if not same or _blobs(source, first, last) != _blobs(copy, first, last):
            raise ArchiveError(f"archive {piece.name}: records {first} to {last} came back other than written")
        yield None


def _blobs(connection: sqlite3.Connection, first: int, last: int) -> list[tuple[int, bytes]]:
    query = "SELECT seq, blob FROM blobs WHERE seq BETWEEN ? AND ? ORDER BY seq"
    return connection.execute(query, (first, last)).fetchall()


def _steps(piece: Piece) -> Iterator[tuple[int, int]]:
    for first in range(piece.first, piece.last + 1, ROWS):
        yield first, min(first + ROWS - 1, piece.last)


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


__all__ = ["ArchiveError", "Archived", "CutFrom", "Piece", "confirmed", "cut_from", "name_of", "write_archive"]
