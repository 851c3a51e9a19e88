"""The form of a journal on disk: table, triggers, record, hash chain, and the head noted beside it."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.errors import RecorderError
from edge.record.canonical import decode

FIRST_PREV_HASH = bytes(32)
BUSY_TIMEOUT_S = 5.0  # our choice: several processes append, each for milliseconds; longer is a fault
FORMAT = 2  # what new journals are written in; format 1 was that of release 0.1
HEAD_BYTES = 120  # enough for any number and hash
PAGE_BYTES = 8192  # measured: rows of 1.5 kB and spectra of 0.8 kB leave a tenth of it empty; 4096 a fifth

_TRIGGERS = {
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
_BLOBS = {
    "blobs": "CREATE TABLE blobs (seq INTEGER PRIMARY KEY, blob BLOB NOT NULL) STRICT",
    "blobs_no_update": _TRIGGERS["records_no_update"].replace("records", "blobs"),
    "blobs_no_delete": _TRIGGERS["records_no_delete"].replace("records", "blobs"),
    "blobs_in_order": (
        "CREATE TRIGGER blobs_in_order BEFORE INSERT ON blobs"
        " WHEN NEW.seq <> (SELECT max(seq) FROM records) OR EXISTS (SELECT 1 FROM blobs WHERE seq = NEW.seq)"
        " BEGIN SELECT RAISE(ABORT, 'the journal takes the next record only'); END"
    ),
}
_BY_KIND = {"records_kind": "CREATE INDEX records_kind ON records (kind, seq)"}

# What a journal of each format consists of, name -> statement; verify holds the file to it.
# Format 2: seek by number through a tree of numbers only; spectra and bundles lie apart from what is read oftener, and
# can go when they are old while the record that names their hash stays as it is.
SCHEMAS: dict[int, dict[str, str]] = {
    1: {
        "records": (
            "CREATE TABLE records (seq INTEGER PRIMARY KEY, time_s REAL NOT NULL, kind TEXT NOT NULL,"
            " body BLOB NOT NULL, blob BLOB, prev_hash BLOB NOT NULL, hash BLOB NOT NULL) STRICT, WITHOUT ROWID"
        ),
        **_BY_KIND,
        **_TRIGGERS,
    },
    2: {
        "records": (
            "CREATE TABLE records (seq INTEGER PRIMARY KEY, time_s REAL NOT NULL, kind TEXT NOT NULL,"
            " coding INTEGER NOT NULL, body BLOB NOT NULL, blob_hash BLOB, prev_hash BLOB NOT NULL,"
            " hash BLOB NOT NULL) STRICT"
        ),
        **_BY_KIND,
        **_TRIGGERS,
        **_BLOBS,
    },
}
# An archive that was cut out of a journal has this table too, with one row: where it was cut.
CUT = (
    "CREATE TABLE cut (line TEXT NOT NULL, genesis_hash BLOB NOT NULL, from_seq INTEGER NOT NULL,"
    " before_hash BLOB NOT NULL, to_seq INTEGER NOT NULL, last_hash BLOB NOT NULL) STRICT"
)
# The records as they lie on disk: seq, time_s, kind, coding, stored body, blob, its hash, prev_hash, hash.
STORED: dict[int, str] = {
    1: "SELECT seq, time_s, kind, 0, body, blob, NULL, prev_hash, hash FROM records",
    2: (
        "SELECT records.seq, time_s, kind, coding, body, blob, blob_hash, prev_hash, hash FROM records"
        " LEFT JOIN blobs ON blobs.seq = records.seq AND blob_hash IS NOT NULL"
    ),
}


@dataclass(frozen=True)
class Row:
    """One record of the journal.

    seq: from 1, without gaps but for retired records; time_s: seconds since the epoch, UTC; body: canonical JSON;
    blob: also None when it was retired; hashes: 32 bytes.
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


def chain_hash(
    prev_hash: bytes, *, seq: int, time_s: float, kind: str, coding: int, body: bytes, blob_hash: bytes | None
) -> bytes:
    """The hash of a record of format 2: SHA-256 over the previous hash and all of the record as it is stored.

    The blob counts by its own SHA-256, so that the chain can be followed where an old one was retired.
    """
    name = kind.encode()
    digest = hashlib.sha256(b"patloop record 2\n" + prev_hash)
    digest.update(struct.pack(">qdqQ", seq, time_s, coding, len(name)) + name + hashlib.sha256(body).digest())
    digest.update(blob_hash or b"")
    return digest.digest()


def chain_hash_1(prev_hash: bytes, *, seq: int, time_s: float, kind: str, body: bytes, blob: bytes | None) -> bytes:
    """The hash of a record of format 1: previous hash and all of the record, lengths included."""
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


def note_head(path: Path, row: Row) -> None:
    """Note the newest record beside the journal at path. Raises RecorderError.

    Written over in place, always as long, in one piece: a new file each time would cost the disk a commit.
    """
    target = head_path(path)
    noted = f'{{"seq": {row.seq}, "hash": "{row.hash.hex()}"}}'.ljust(HEAD_BYTES - 1) + "\n"
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.pwrite(descriptor, noted.encode("ascii"), 0)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise RecorderError(f"record {row.seq} is written, but its head {target} is not: {error}") from error


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
    except (KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"not a journal head: {text!r:.80}") from error


def read_format(connection: sqlite3.Connection) -> int:
    """The format of an open journal. Raises RecorderError when a newer release wrote it."""
    found = int(connection.execute("PRAGMA user_version").fetchone()[0]) or 1  # format 1 did not tell
    if found not in SCHEMAS:
        raise RecorderError(f"the journal has format {found}, this release knows up to {FORMAT}: use a newer release")
    return found


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
