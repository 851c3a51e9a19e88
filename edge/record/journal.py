"""RECORD: the journal of one line, one append-only SQLite file, each record chained to the one before."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any

from edge.errors import ConfigError, RecorderError
from edge.record.canonical import encode
from edge.record.chain import (
    BUSY_TIMEOUT_S,
    FIRST_PREV_HASH,
    FORMAT,
    PAGE_BYTES,
    SCHEMAS,
    STORED,
    Head,
    Row,
    chain_hash,
    chain_hash_1,
    connect_reader,
    connect_writer,
    note_head,
    read_format,
)
from edge.record.compact import Packing, unpack

CHUNK = 500  # records fetched at a time: no long read transaction that would keep the WAL from shrinking
KEPT_DICTIONARIES = 16  # bodies kept unpacked because others are packed with them: a reader in order needs one or two


class Journal:
    """The journal of one line; any number of processes may append and read at the same time."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._lock = threading.Lock()
        self._sick = ""
        self.appended = 0  # the newest record that this connection wrote
        self._format: int | None = None  # until the first look: a reader may be there before the journal is begun
        self._packing = Packing()
        self._dictionaries: dict[int, bytes] = {}

    @classmethod
    def open(cls, path: Path, line_name: str, now: Callable[[], float] = time.time) -> Journal:
        """Open for appending; a new file begins with a "genesis" record stamped now().

        Raises RecorderError when the file cannot be used, ConfigError when it is the journal of another line.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            journal = cls(path, connect_writer(path))
        except (OSError, sqlite3.Error) as error:
            raise RecorderError(f"journal {path} cannot be opened: {error}") from error
        try:
            journal._prepare(line_name, now)
        except BaseException:
            journal.close()
            raise
        return journal

    @classmethod
    def open_existing(cls, path: Path) -> Journal:
        """Open a journal for appending, whichever line's it is; it must be there. Raises RecorderError."""
        with cls.open_reader(path) as reader:
            first = reader.get(1)
        if first is None or first.kind != "genesis":
            raise RecorderError(f"{path} does not begin as a journal does")
        return cls.open(path, str(first.content().get("line")))

    @classmethod
    def open_reader(cls, path: Path) -> Journal:
        """Open for reading only. Raises RecorderError when there is no such journal or it is none."""
        if not path.is_file():
            raise RecorderError(f"there is no journal {path}")
        try:
            return cls(path, connect_reader(path))
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise RecorderError(f"{path} cannot be read as a journal: {error}") from error

    def append(self, kind: str, time_s: float, body: bytes, blob: bytes | None = None) -> Row:
        """Add one record; it is on the disk when this returns it as written. Raises RecorderError."""
        return self._append(kind, time_s, lambda *_: body, blob)

    def append_with(self, kind: str, time_s: float, compose: Callable[[sqlite3.Connection, Head], bytes]) -> Row:
        """Add one record whose body compose makes within the transaction that adds it.

        compose is handed the connection and the head that the record will follow; what it changes by the connection
        happens with the record or not at all. Raises RecorderError.
        """
        return self._append(kind, time_s, compose, None)

    def pack_anew(self) -> None:
        """From now on this writer packs nothing with what is written already: what is older can go."""
        self._packing.begin_anew()

    def rows(self, after_seq: int = 0, kind: str | None = None, limit: int | None = None) -> Iterator[Row]:
        """The records after after_seq in order, of one kind or all, at most limit. Raises RecorderError."""
        left = limit
        while left is None or left > 0:
            wanted = CHUNK if left is None else min(CHUNK, left)
            found = self._select("> ?", kind, "ORDER BY records.seq LIMIT ?", (after_seq, wanted))
            yield from found
            if len(found) < wanted:
                return
            after_seq = found[-1].seq
            left = None if left is None else left - len(found)

    def last(self, kind: str | None = None) -> Row | None:
        """The newest record, of one kind or of all; None when there is none. Raises RecorderError."""
        found = self._select("> ?", kind, "ORDER BY records.seq DESC LIMIT 1", (0,))
        return found[0] if found else None

    def others_wrote(self) -> int:
        """A number that changes when anybody but this connection has written to the journal. Raises RecorderError."""
        try:
            with self._lock:
                return int(self._connection.execute("PRAGMA data_version").fetchone()[0])
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise RecorderError(f"journal {self.path} cannot be read: {error}") from error

    def get(self, seq: int) -> Row | None:
        """The record with this number; None when there is none. Raises RecorderError."""
        found = self._select("= ?", None, "", (seq,))
        return found[0] if found else None

    def blob(self, seq: int) -> bytes | None:
        """The blob of a record, without the rest of it; None when it has none. Raises RecorderError."""
        try:
            with self._lock:
                table = "records" if (self._format or read_format(self._connection)) == 1 else "blobs"
                found = self._connection.execute(f"SELECT blob FROM {table} WHERE seq = ?", (seq,)).fetchone()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise RecorderError(f"journal {self.path} cannot be read: {error}") from error
        return None if found is None else found[0]

    def close(self) -> None:
        """Close the file; the last one to close folds the write-ahead log into it."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _prepare(self, line_name: str, now: Callable[[], float]) -> None:
        try:
            self._connection.execute(f"PRAGMA page_size={PAGE_BYTES}")  # heeded where the file is new only
            self._log_ahead()
            self._connection.execute("PRAGMA synchronous=FULL")
            with self._transaction():
                begun = self._begin(line_name, now)
        except sqlite3.Error as error:
            raise RecorderError(f"{self.path} cannot be used as a journal: {error}") from error
        if begun:
            self._note_head(begun)
        first = self.get(1)
        owner = first.content().get("line") if first and first.kind == "genesis" else None
        if owner != line_name:
            text = f"{self.path} is the journal of line {owner!r}, not of {line_name!r}"
            raise ConfigError(f"{text}: choose another state folder")

    def _log_ahead(self) -> None:
        """Switch to write-ahead; others that begin the same journal are waited for, which SQLite does not do here."""
        until = time.monotonic() + BUSY_TIMEOUT_S
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                    raise
            time.sleep(0.01)

    def _begin(self, line_name: str, now: Callable[[], float]) -> Row | None:
        """Make table and genesis record in one transaction; None when they are there already."""
        if self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'records'").fetchone():
            self._format = read_format(self._connection)
            return None
        self._connection.execute(f"PRAGMA user_version={FORMAT}")
        self._format = FORMAT
        for statement in SCHEMAS[FORMAT].values():
            self._connection.execute(statement)
        told = {"line": line_name, "software": "patloop", "version": version("patloop"), "format": FORMAT}
        return self._insert(self._head(), "genesis", float(now()), encode(told), None)

    def _append(
        self, kind: str, time_s: float, compose: Callable[[sqlite3.Connection, Head], bytes], blob: bytes | None
    ) -> Row:
        with self._lock:
            if self._sick:
                raise RecorderError(self._sick)
            try:
                with self._transaction():
                    head = self._head()
                    row = self._insert(head, kind, float(time_s), compose(self._connection, head), blob)
            except sqlite3.Error as error:
                raise self._failure(error) from error
            self._packing.written()
            self.appended = row.seq
            self._note_head(row)
            return row

    def _head(self) -> Head:
        newest = self._connection.execute("SELECT seq, hash FROM records ORDER BY seq DESC LIMIT 1").fetchone()
        return Head(*newest) if newest else Head(0, FIRST_PREV_HASH)

    def _insert(self, head: Head, kind: str, time_s: float, body: bytes, blob: bytes | None) -> Row:
        seq, prev_hash, execute = head.seq + 1, head.hash, self._connection.execute
        time_s += 0.0  # SQLite knows no -0.0, and the hash is to be of what is stored
        if self._format == 1:
            own = chain_hash_1(prev_hash, seq=seq, time_s=time_s, kind=kind, body=body, blob=blob)
            execute("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)", (seq, time_s, kind, body, blob, prev_hash, own))
            return Row(seq, time_s, kind, body, blob, prev_hash, own)
        coding, stored = self._packing.pack(seq, kind, body)
        blob_hash = None if blob is None else hashlib.sha256(blob).digest()
        own = chain_hash(prev_hash, seq=seq, time_s=time_s, kind=kind, coding=coding, body=stored, blob_hash=blob_hash)
        values = (seq, time_s, kind, coding, stored, blob_hash, prev_hash, own)
        execute("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
        if blob is not None:
            execute("INSERT INTO blobs VALUES (?, ?)", (seq, blob))
        return Row(seq, time_s, kind, body, blob, prev_hash, own)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # the error that brought us here is the one to tell
                self._connection.execute("ROLLBACK")
            raise

    def _failure(self, error: sqlite3.Error) -> RecorderError:
        text = f"journal {self.path} could not take a record: {error}"
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            # after one failed flush the kernel may have dropped the page: a later "success" would not be one
            self._sick = f"{text}; it takes no more records until the service is started again"
        return RecorderError(text)

    def _note_head(self, row: Row) -> None:
        note_head(self.path, row)

    def _select(self, where: str, kind: str | None, tail: str, values: tuple[object, ...]) -> list[Row]:
        if kind is not None:
            where, values = f"{where} AND kind = ?", (values[0], kind, *values[1:])
        try:
            with self._lock:
                form = self._format or read_format(self._connection)
                query = f"{STORED[form]} WHERE records.seq {where} {tail}"
                rows = [self._unpacked(found) for found in self._connection.execute(query, values)]
                self._format = form
                return rows
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise RecorderError(f"journal {self.path} cannot be read: {error}") from error

    def _unpacked(self, found: tuple[Any, ...]) -> Row:
        seq, time_s, kind, coding, stored, blob, _, prev_hash, own = found
        try:
            return Row(seq, time_s, kind, unpack(seq, coding, stored, self._dictionary), blob, prev_hash, own)
        except ValueError as error:
            raise RecorderError(f"record {seq} is damaged: {error}") from error

    def _dictionary(self, seq: int) -> bytes:
        """The body of a record that others are packed with. Raises ValueError when it is not there."""
        if seq not in self._dictionaries:
            found = self._connection.execute("SELECT coding, body FROM records WHERE seq = ?", (seq,)).fetchone()
            if found is None or found[0] != seq:
                raise ValueError(f"record {seq}, which it is packed with, is not there")
            if len(self._dictionaries) >= KEPT_DICTIONARIES:
                self._dictionaries.clear()
            self._dictionaries[seq] = unpack(seq, seq, found[1], self._dictionary)
        return self._dictionaries[seq]


__all__ = ["Journal", "Row"]
