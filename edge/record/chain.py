"""The form of a journal on disk: table, triggers, record, hash chain, and the head noted beside it."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.errors import RecorderError
from edge.record.canonical import decode

FIRST_PREV_HASH = bytes(32)
BUSY_TIMEOUT_S = 5.0  # our choice: several processes append, each for milliseconds; longer is a fault
COLUMNS = "seq, time_s, kind, body, blob, prev_hash, hash"

# WITHOUT ROWID: seq then lies in the record itself, so that every byte of a stored record counts for verify.
SCHEMA: dict[str, str] = {
    "records": (
        "CREATE TABLE records (seq INTEGER PRIMARY KEY, time_s REAL NOT NULL, kind TEXT NOT NULL,"
        " body BLOB NOT NULL, blob BLOB, prev_hash BLOB NOT NULL, hash BLOB NOT NULL) STRICT, WITHOUT ROWID"
    ),
    "records_kind": "CREATE INDEX records_kind ON records (kind, seq)",
    "records_no_update": (
        "CREATE TRIGGER records_no_update BEFORE UPDATE ON records"
        " BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END"
    ),
    "records_no_delete": (
        "CREATE TRIGGER records_no_delete BEFORE DELETE ON records"
        " BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END"
    ),
    "records_in_order": (  # INSERT OR REPLACE would delete without firing the trigger above
        "CREATE TRIGGER records_in_order BEFORE INSERT ON records"
        " WHEN NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM records)"
        " BEGIN SELECT RAISE(ABORT, 'the journal takes the next record only'); END"
    ),
}


@dataclass(frozen=True)
class Row:
    """One record of the journal.

    seq: from 1 without gaps; time_s: seconds since the epoch, UTC; body: canonical JSON; hashes: 32 bytes.
    """

    seq: int
    time_s: float
    kind: str
    body: bytes
    blob: bytes | None
    prev_hash: bytes
    hash: bytes

    def content(self) -> Any:
        """The body as plain values. Raises RecorderError when it is not canonical JSON (the record was altered)."""
        try:
            return decode(self.body)
        except ValueError as error:
            raise RecorderError(f"record {self.seq} is damaged: {error}") from error


@dataclass(frozen=True)
class Head:
    """The newest record as it was noted beside the journal: finds records that vanished from the end."""

    seq: int
    hash: bytes


def chain_hash(prev_hash: bytes, *, seq: int, time_s: float, kind: str, body: bytes, blob: bytes | None) -> bytes:
    """SHA-256 over the previous hash and all of a record, lengths included so that parts cannot shift."""
    digest = hashlib.sha256(prev_hash)
    name = kind.encode()
    digest.update(struct.pack(">qQ", seq, len(name)) + name + struct.pack(">dQ", time_s, len(body)))
    digest.update(body)
    digest.update(struct.pack(">q", -1 if blob is None else len(blob)))
    digest.update(blob or b"")
    return digest.digest()


def head_path(path: Path) -> Path:
    """Where the head of a journal is noted: `<journal>.head`."""
    return path.with_name(path.name + ".head")


def read_head(path: Path) -> Head | None:
    """The noted head of the journal at path; None when there is none, or a power cut left it empty.

    Raises ValueError when something else is written there.
    """
    try:
        text = head_path(path).read_text(encoding="ascii")
    except FileNotFoundError:
        return None
    if not text.strip("\0\n "):
        return None
    try:
        noted = json.loads(text)
        return Head(int(noted["seq"]), bytes.fromhex(noted["hash"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a journal head: {text!r:.80}") from error


def connect_reader(path: Path) -> sqlite3.Connection:
    """A read-only connection; on a medium that cannot be written (an archive) the file is taken as it is."""
    address = path.resolve().as_uri()
    connection = _connect(f"{address}?mode=ro")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        if path.with_name(path.name + "-wal").exists():
            raise
        return _connect(f"{address}?immutable=1")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_writer(path: Path) -> sqlite3.Connection:
    """A connection that makes the file when it is not there; transactions are begun and ended by hand."""
    return _connect(path.resolve().as_uri())


def _connect(address: str) -> sqlite3.Connection:
    timeout = BUSY_TIMEOUT_S
    return sqlite3.connect(address, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False)
