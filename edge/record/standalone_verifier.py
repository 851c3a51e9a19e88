"""journal -> verdict on any machine, without patloop: Python 3.9, and `cryptography` to check signatures.

    python standalone_verifier.py JOURNAL [--anchor TEXT|FILE]... [--key HEX|FILE]... [--record SEQ]

Exit code 0: sound; 1: not sound, and what is wrong first; 2: asked in a wrong way. In a sound journal records are
numbered from 1; each hash fits the record as it is stored, and the one before; each blob (spectrum, bundle) fits the
hash in its record; what is missing is accounted for, hash by hash, by a later record "retired"; each record
"checkpoint" signs the hash before it (Ed25519) with a key given, or else with that of the first; head and anchors fit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sqlite3
import struct
import sys
import zlib
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:  # signatures are then not checked, and that is said
    Ed25519PublicKey, InvalidSignature = None, KeyError  # type: ignore[assignment,misc]

ANCHOR = re.compile(r"(\d+)\s+(\S+)\s+((?:[0-9a-f]{4}-){11}[0-9a-f]{4})\s+([0-9a-f]{4})\b")
REACH = 128  # a body is packed with that of a record so many before it at most
STORED = {  # by format
    1: "SELECT seq, time_s, kind, 0, body, blob, NULL, prev_hash, hash FROM records",
    2: "SELECT records.seq, time_s, kind, coding, body, blob, blob_hash, prev_hash, hash FROM records"
       " LEFT JOIN blobs ON blobs.seq = records.seq AND blob_hash IS NOT NULL",
}  # fmt: skip
# First half of the SHA-256 of the statements that make tables, index and triggers, in order of name, a line each.
SCHEMA = {1: "74680aa938e9c4f8ad688c32bbf1e908", 2: "940c5fc5b0f320d4e926a30fde768d03"}
TYPES: tuple[Any, ...] = (int, float, str, int, bytes, (bytes, type(None)), (bytes, type(None)), bytes, bytes)


class Record(NamedTuple):
    """As it is stored; coding 0: body as it is; own number: deflated; another's: with that one's body as dictionary."""

    seq: int
    time_s: float
    kind: str
    coding: int
    body: bytes
    blob: bytes | None
    blob_hash: bytes | None
    prev_hash: bytes
    hash: bytes


class Broken(Exception):  # noqa: N818 - a finding on its way up, not a failure of ours
    """The record that is wrong (None: not a record), and what is wrong."""


def judge(path: Path, anchors: Sequence[str], keys: Sequence[bytes]) -> Walk:
    """Go through the whole journal; the walk's reason is why it is not sound. Raises ValueError for no anchor."""
    walk = Walk([read_anchor(text) for text in anchors], list(keys))
    try:
        head = _read_head(path)  # before the snapshot: the writer may go on, the head must not be ahead of it
        connection, form = connect(path)
        with closing(connection):
            connection.execute("BEGIN")
            walk.through(connection, form, head)
            _check_file(connection, form)
    except Broken as broken:
        walk.bad_seq, walk.reason = broken.args
    except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
        walk.reason = f"it cannot be read after record {walk.at}: {error}"
    return walk


class Walk:
    """The way through the records, and what was learnt on it; bad_seq: the record that is wrong, if it is one."""

    def __init__(self, anchors: list[tuple[int, str]], keys: list[bytes]) -> None:
        self.bad_seq, self.reason = None, ""
        self.at, self.hash, self.count, self.signed_to = 0, bytes(32), 0, 0
        self.anchors, self.keys, self.pinned = anchors, keys, bool(keys)
        self.gaps: dict[
            int, tuple[int, bytes, bytes, int]
        ] = {}  # first: last, hash before, hash of last, told by record
        self.dropped: list[tuple[int, int, list[str], int]] = []  # blobs: first, last, kinds, told by record
        self.believed: set[int] = set()  # the records that told, until they are met and found sound
        self.packed_with, self.limits = list[int](), list[str]()
        self.end: tuple[int, bytes] | None = None  # of an archive

    def through(self, connection: sqlite3.Connection, form: int, head: tuple[int, bytes] | None) -> None:
        """Judge every record. Raises Broken at the first thing that is wrong."""
        self._look_ahead(connection, form)
        for values in connection.execute(f"{STORED[form]} ORDER BY records.seq"):
            if not all(isinstance(value, kind) for value, kind in zip(values, TYPES)):  # noqa: B905 - Python 3.9
                raise Broken(self.at + 1, f"record {self.at + 1} was altered: a column has a wrong type")
            record = Record(*values)
            self._pass_retired(record.seq)
            self._check(connection, record, form)
            self._arrive(record.seq, record.hash)
            self.count += 1
            if head and head[0] == self.at and head[1] != self.hash:
                raise Broken(self.at, f"record {self.at} is not the one that the head beside the journal names")
            if record.kind == "checkpoint":
                self._check_signature(record, _content(connection, record))
            self.believed.discard(record.seq)
        last = max([seq for seq, _ in self.anchors] + ([head[0]] if head else []), default=0)
        if self.at == 0 or last > self.at:
            raise Broken(self.at + 1, f"records {self.at + 1} to {max(last, 1)} are missing from the end")
        if self.end not in (None, (self.at, self.hash)):
            raise Broken(self.at, "the archive does not end as it says")
        for seq in sorted(self.believed):
            raise Broken(seq, f"record {seq}, which tells what was retired, is missing")
        if self.pinned and not self.signed_to and Ed25519PublicKey is not None:
            raise Broken(None, "no checkpoint in it is signed with the key given")
        if not (head or self.end or self.anchors):
            self.limits.append(f"neither head nor anchor: records removed after {self.at} would not be noticed")
        self.limits += ["signatures NOT checked: 'cryptography' is not installed"] if Ed25519PublicKey is None else []

    def _look_ahead(self, connection: sqlite3.Connection, form: int) -> None:
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'cut'").fetchone():  # an archive
            cut = connection.execute("SELECT from_seq, before_hash, to_seq, last_hash FROM cut").fetchone()
            if cut is None or [type(value) for value in cut] != [int, bytes, int, bytes]:
                raise Broken(None, "the archive does not say where it was cut")
            self.at, self.hash, self.end = cut[0] - 1, cut[1], cut[2:]
            self.limits.append(f"an archive, records {cut[0]} to {cut[2]}: the journal holds its SHA-256")
        for values in connection.execute(f"{STORED[form]} WHERE kind = 'retired'").fetchall():
            try:
                told, by = _content(connection, Record(*values)), values[0]
                if told["what"] == "blobs":
                    self.dropped.append((int(told["from"]), int(told["to"]), list(told["kinds"]), by))
                for gap in told.get("ranges", ()):
                    before, last = bytes.fromhex(gap["before_hash"]), bytes.fromhex(gap["last_hash"])
                    self.gaps[int(gap["from"])] = (int(gap["to"]), before, last, by)
            except (Broken, ValueError, KeyError, TypeError, OverflowError):
                continue  # it accounts for nothing, then

    def _pass_retired(self, seq: int) -> None:
        while seq > self.at + 1 and self.at + 1 in self.gaps:
            first, (last, before, last_hash, by) = self.at + 1, self.gaps[self.at + 1]
            if before != self.hash or not first <= last < min(seq, by):
                raise Broken(by, f"record {by} says that {first} to {last} were retired: it does not fit what is there")
            if any(first <= number < last for number, _ in self.anchors):
                raise Broken(None, f"an anchor lies in records {first} to {last}, which were retired: give a newer one")
            self.believed.add(by)
            self._arrive(last, last_hash)

    def _arrive(self, seq: int, digest: bytes) -> None:
        self.at, self.hash = seq, digest
        if any(number == seq and not digest.hex().startswith(start) for number, start in self.anchors):
            raise Broken(seq, f"record {seq} is not the one that was anchored")

    def _check(self, connection: sqlite3.Connection, record: Record, form: int) -> None:
        seq, before = record.seq, self.at
        if seq != before + 1:
            what = f"records {before + 1} to {seq - 1} are missing" if seq > before else f"record {seq} is out of order"
            raise Broken(min(seq, before + 1), what)
        if record.hash != _own_hash(record, form):
            raise Broken(seq, f"record {seq} was altered: its hash does not fit its content")
        if record.prev_hash != self.hash:
            # one that was changed and given a new hash is not known to the next: does the next know this one?
            after = connection.execute("SELECT prev_hash FROM records WHERE seq = ?", (seq + 1,)).fetchone()
            bad = before if before and after == (record.hash,) else seq
            raise Broken(bad, f"record {bad} was altered: record {seq} does not follow record {before}")
        if record.blob is not None and form > 1 and hashlib.sha256(record.blob).digest() != record.blob_hash:
            raise Broken(seq, f"record {seq} was altered: its hash does not fit its blob")
        if record.blob is None and record.blob_hash is not None:
            by = [d[3] for d in self.dropped if d[0] <= seq <= d[1] < d[3] and record.kind in d[2]][:1]
            if not by:
                raise Broken(seq, f"the blob of record {seq} is missing")
            self.believed.update(by)
        self.packed_with = [s for s in self.packed_with if s >= seq - REACH] + [seq] * (record.coding == seq)
        if record.coding and record.coding not in self.packed_with:
            raise Broken(seq, f"record {seq} cannot be read: record {record.coding} is not there")

    def _check_signature(self, record: Record, told: dict[str, Any]) -> None:
        seq = record.seq
        try:
            key, signature = bytes.fromhex(told["key"]), bytes.fromhex(told["signature"])
            signed = b"patloop checkpoint 1\n" + struct.pack(">qd", told["seq"], told["time_s"]) + record.prev_hash
            fits = (told["seq"], told["hash"]) == (seq - 1, record.prev_hash.hex())
            self.keys = self.keys or [key]
            if Ed25519PublicKey is not None and key in self.keys:
                Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
                self.signed_to = seq - 1
        except (ValueError, KeyError, TypeError, OverflowError, struct.error, InvalidSignature) as error:
            raise Broken(seq, f"checkpoint {seq} has a wrong signature: {error!r}") from error
        if key not in self.keys or not fits:
            what = "does not sign the record before it" if key in self.keys else "is signed with another key"
            raise Broken(seq, f"checkpoint {seq} {what}")


def _own_hash(record: Record, form: int) -> bytes:
    seq, time_s, kind, coding, body, blob, blob_hash, prev_hash, _ = record
    name = kind.encode()
    if form == 1:
        start = prev_hash + struct.pack(">qQ", seq, len(name)) + name + struct.pack(">dQ", time_s, len(body)) + body
        return hashlib.sha256(start + struct.pack(">q", -1 if blob is None else len(blob)) + (blob or b"")).digest()
    start = b"patloop record 2\n" + prev_hash + struct.pack(">qdqQ", seq, time_s, coding, len(name)) + name
    return hashlib.sha256(start + hashlib.sha256(body).digest() + (blob_hash or b"")).digest()


def _content(connection: sqlite3.Connection, record: Record) -> Any:
    try:
        return json.loads(_unpacked(connection, record))
    except (ValueError, TypeError, RecursionError, zlib.error) as error:
        raise Broken(record.seq, f"record {record.seq} cannot be read: {error}") from error


def _unpacked(connection: sqlite3.Connection, record: Record) -> bytes:
    if record.coding == 0:
        return record.body
    dictionary = b""
    if record.coding != record.seq:
        query = f"{STORED[2]} WHERE records.seq = ? AND coding = records.seq"
        dictionary = _unpacked(connection, Record(*connection.execute(query, (record.coding,)).fetchone()))
    return zlib.decompressobj(-15, zdict=dictionary).decompress(record.body)


def connect(path: Path) -> tuple[sqlite3.Connection, int]:
    """A read-only connection, and the journal's format; where nothing can be written beside it, the file as it is."""
    still = not os.access(path.parent, os.W_OK) and not path.with_name(path.name + "-wal").exists()
    mode = "immutable=1" if still else "mode=ro"
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True, isolation_level=None)
    form = int(connection.execute("PRAGMA user_version").fetchone()[0]) or 1
    if form not in STORED:
        raise Broken(None, f"the journal has format {form}, which is not known here: use a newer verifier")
    return connection, form


def _check_file(connection: sqlite3.Connection, form: int) -> None:
    found = connection.execute("SELECT sql FROM sqlite_master WHERE sql NOTNULL AND name <> 'cut' ORDER BY name")
    made = "\n".join(sql for (sql,) in found).encode()
    if hashlib.sha256(made).hexdigest()[:32] != SCHEMA[form]:
        raise Broken(None, "the records are well, but the journal's tables, index or triggers were changed")
    (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise Broken(None, f"the records are well, but the file is damaged: {' '.join(str(verdict).split())}")
    loose = "SELECT 1 FROM blobs WHERE seq NOT IN (SELECT seq FROM records WHERE blob_hash NOTNULL) LIMIT 1"
    if form > 1 and connection.execute(loose).fetchone():
        raise Broken(None, "the records are well, but there is a blob that belongs to none of them")


def _read_head(path: Path) -> tuple[int, bytes] | None:
    try:
        text = path.with_name(path.name + ".head").read_text(encoding="ascii")
        noted = json.loads(text if text.strip("\0\n ") else "null")  # a power cut leaves it empty
        return None if noted is None else (int(noted["seq"]), bytes.fromhex(noted["hash"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise Broken(None, f"the head beside the journal is damaged: {error}") from error


def read_anchor(text: str) -> tuple[int, str]:
    """Record and first 48 digits of its hash in an anchor. Raises ValueError where there is none or it was mistyped."""
    found = ANCHOR.search(text.lower())
    told = f"{int(found[1])} {found[2].upper()} {found[3]}" if found else ""
    if not found or hashlib.sha256(told.encode()).hexdigest()[:4] != found[4]:
        raise ValueError(f"{text.strip()[:90]!r} is no anchor, or was mistyped: its last four digits do not fit")
    return int(found[1]), found[3].replace("-", "")


def _read(argument: str) -> str:
    return Path(argument).read_text() if Path(argument).is_file() else argument


def main() -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(description="Check a journal: was any record altered, removed or cut off?")
    parser.add_argument("journal", type=Path)
    parser.add_argument("--anchor", action="append", default=[], help="an anchor's text, or a file that holds it")
    parser.add_argument("--key", action="append", default=[], help="public key in hex, or a file that holds it")
    parser.add_argument("--record", type=int, help="print the content of this record")
    asked = parser.parse_args()
    try:
        if asked.record is not None:
            connection, form = connect(asked.journal)
            row = connection.execute(f"{STORED[form]} WHERE records.seq = ?", (asked.record,)).fetchone()
            row = row or parser.error(f"there is no record {asked.record}")
            sys.stdout.write(json.dumps(_content(connection, Record(*row)), indent=1) + "\n")
            return 0
        keys = [bytes.fromhex(_read(key).strip()) for key in asked.key]
        found = judge(asked.journal, [_read(anchor) for anchor in asked.anchor], keys)
    except (ValueError, sqlite3.Error, OSError, Broken) as error:
        parser.error(str(error.args[-1]))
    signed = f"signed up to record {found.signed_to}" if found.signed_to else "no signature checked"
    told = f"NOT SOUND: {found.reason}" if found.reason else f"sound: {found.count} records; {signed}"
    sys.stdout.write("; ".join([told, *found.limits]) + "\n")
    return 1 if found.reason else 0


if __name__ == "__main__":
    sys.exit(main())
