"""journal -> every record judged in order: numbers, hashes, blobs, packing, signatures, anchors, what was retired."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from edge.record.chain import FIRST_PREV_HASH, STORED, Head, chain_hash, chain_hash_1
from edge.record.checkpoint import KIND, Anchor, key_id, signature_fits
from edge.record.compact import REACH, unpack

REPORT_EVERY = 200  # records between two reports of progress
_TYPES: tuple[Any, ...] = (int, float, str, int, bytes, (bytes, type(None)), (bytes, type(None)), bytes, bytes)


class Broken(Exception):  # noqa: N818 - a finding on its way up, not a failure of ours
    """What is wrong, and with which record."""

    def __init__(self, seq: int | None, reason: str) -> None:
        super().__init__(reason)
        self.seq = seq


class Stored(NamedTuple):
    """One record as it lies on disk; coding: see compact.unpack."""

    seq: int
    time_s: float
    kind: str
    coding: int
    body: bytes
    blob: bytes | None
    blob_hash: bytes | None
    prev_hash: bytes
    hash: bytes


class Gap(NamedTuple):
    """Records that were retired: the last of them, the hash before them and theirs, and the record that tells so."""

    last: int
    before_hash: bytes
    last_hash: bytes
    by: int


class Dropped(NamedTuple):
    """Blobs that were retired, and the record that tells so."""

    first: int
    last: int
    kinds: tuple[str, ...]
    by: int


class Walk:
    """The way through the records: where it is, and what was learnt on it."""

    def __init__(self, anchors: Sequence[Anchor], keys: Sequence[bytes]) -> None:
        self.at, self.hash = 0, FIRST_PREV_HASH
        self.count, self.signed_to, self.met = 0, 0, 0
        self.limits: list[str] = []
        self._anchors, self._keys, self._pinned = anchors, list(keys), bool(keys)
        self._gaps: dict[int, Gap] = {}
        self._dropped: list[Dropped] = []
        self._believed: set[int] = set()  # "retired" records that were taken on trust, ahead of them
        self._packed_with: list[int] = []  # near records that others may be packed with
        self._end: Head | None = None  # of an archive

    def through(
        self, connection: sqlite3.Connection, form: int, head: Head | None, progress: Callable[[int, int], None]
    ) -> None:
        """Judge every record. Raises Broken at the first thing that is wrong."""
        total = connection.execute("SELECT coalesce(max(seq), 0) FROM records").fetchone()[0]
        self._read_cut(connection)
        self._read_retired(connection, form)
        for record in self._read(connection, form):
            self._pass_retired(record.seq)
            self._check_chain(connection, record, form)
            self._check_blob(record, form)
            self._check_packing(record)
            self._arrive(record.seq, record.hash)
            self.count += 1
            if head is not None and head.seq == self.at and head.hash != self.hash:
                raise Broken(self.at, f"record {self.at} is not the one that the head beside the journal names")
            if record.kind == KIND:
                self._check_signature(record, _told(connection, record, form))
            self._believed.discard(record.seq)
            if self.count % REPORT_EVERY == 0 or self.at == total:
                progress(self.at, total)
        self._check_end(head)

    def _read_cut(self, connection: sqlite3.Connection) -> None:
        """An archive begins in the middle: where, it says itself, and the journal it was cut from vouches for it."""
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'cut'").fetchone() is None:
            return
        cut = connection.execute("SELECT from_seq, before_hash, to_seq, last_hash FROM cut").fetchone()
        if cut is None or [type(value) for value in cut] != [int, bytes, int, bytes]:
            raise Broken(None, "the archive does not say where it was cut")
        self.at, self.hash, self._end = cut[0] - 1, cut[1], Head(cut[2], cut[3])
        self.limits.append(f"an archive, records {cut[0]} to {cut[2]}: the journal holds its SHA-256")

    def _read_retired(self, connection: sqlite3.Connection, form: int) -> None:
        """What later records say was retired: believed here, confirmed when the walk meets them."""
        for values in connection.execute(f"{STORED[form]} WHERE kind = 'retired'").fetchall():
            try:
                record = Stored(*values)
                told = _told(connection, record, form)
                if told["what"] == "blobs":
                    self._dropped.append(Dropped(int(told["from"]), int(told["to"]), tuple(told["kinds"]), record.seq))
                for gap in told.get("ranges", ()):
                    before, last = bytes.fromhex(gap["before_hash"]), bytes.fromhex(gap["last_hash"])
                    self._gaps[int(gap["from"])] = Gap(int(gap["to"]), before, last, record.seq)
            except (ValueError, KeyError, TypeError, OverflowError, Broken):
                continue  # it accounts for nothing, then: what is missing is found missing

    def _read(self, connection: sqlite3.Connection, form: int) -> Iterator[Stored]:
        cursor = connection.execute(f"{STORED[form]} ORDER BY records.seq")
        while True:
            try:
                values = cursor.fetchone()
            except sqlite3.Error as error:
                raise Broken(self.at + 1, f"record {self.at + 1} cannot be read: {error}") from error
            if values is None:
                return
            if not all(isinstance(value, kind) for value, kind in zip(values, _TYPES, strict=True)):
                raise Broken(self.at + 1, f"record {self.at + 1} was altered: a column has a wrong type")
            yield Stored(*values)

    def _pass_retired(self, seq: int) -> None:
        """Go on over records that were retired, if that is accounted for, up to the one before record seq."""
        while seq > self.at + 1 and (gap := self._gaps.get(self.at + 1)) is not None:
            first, reach = self.at + 1, f"records {self.at + 1} to {gap.last}"
            if gap.before_hash != self.hash or not first <= gap.last < min(seq, gap.by):
                raise Broken(gap.by, f"record {gap.by} says that {reach} were retired: it does not fit what is there")
            if any(first <= anchor.seq < gap.last for anchor in self._anchors):
                raise Broken(None, f"an anchor lies in {reach}, which were retired: give a newer one")
            self._believed.add(gap.by)
            self._arrive(gap.last, gap.last_hash)

    def _arrive(self, seq: int, digest: bytes) -> None:
        self.at, self.hash = seq, digest
        for anchor in self._anchors:
            if anchor.seq == seq and not anchor.fits(digest):
                raise Broken(seq, f"record {seq} is not the one that was anchored at {anchor.time}")
            self.met += anchor.seq == seq

    def _check_chain(self, connection: sqlite3.Connection, record: Stored, form: int) -> None:
        expected, last = self.at + 1, record.seq - 1
        if record.seq > expected:
            gone = f"record {last} is" if last == expected else f"records {expected} to {last} are"
            raise Broken(expected, f"{gone} missing")
        if record.seq < expected:
            raise Broken(record.seq, f"record {record.seq} is out of order: it stands after record {self.at}")
        if record.hash != _own_hash(record, form):
            raise Broken(record.seq, f"record {record.seq} was altered: its hash does not fit its content")
        if record.prev_hash != self.hash:
            raise self._blame(connection, record)

    def _blame(self, connection: sqlite3.Connection, record: Stored) -> Broken:
        """Which of two neighbours that do not fit was changed, when both have a hash that fits their content.

        A record that was changed and given a new hash is one that its successor does not know any more: if the
        record after this one knows it, then this one is as it was and the one before was changed.
        """
        broken = Broken(record.seq, f"record {record.seq} does not follow record {self.at}")
        try:
            after = connection.execute("SELECT prev_hash FROM records WHERE seq = ?", (record.seq + 1,)).fetchone()
        except sqlite3.Error:
            return broken  # the finding stands; what lies behind it cannot be read to sharpen it
        if self.at == 0 or after is None or after[0] != record.hash:
            return broken
        text = f"record {self.at} was altered and given a new hash: record {record.seq} does not follow it"
        return Broken(self.at, text)

    def _check_blob(self, record: Stored, form: int) -> None:
        if form == 1 or record.blob_hash is None:
            return  # in format 1 the blob is in the record's own hash
        if record.blob is not None:
            if hashlib.sha256(record.blob).digest() != record.blob_hash:
                raise Broken(record.seq, f"record {record.seq} was altered: its hash does not fit its blob")
            return
        for drop in self._dropped:
            if drop.first <= record.seq <= drop.last < drop.by and record.kind in drop.kinds:
                self._believed.add(drop.by)
                return
        raise Broken(record.seq, f"the blob of record {record.seq} is missing")

    def _check_packing(self, record: Stored) -> None:
        """A sound record that nobody can read any more would be of no use."""
        self._packed_with = [seq for seq in self._packed_with if seq >= record.seq - REACH]
        if record.coding == record.seq:
            self._packed_with.append(record.seq)
        if record.coding and record.coding not in self._packed_with:
            text = f"record {record.seq} cannot be read: record {record.coding}, which it is packed with, is not there"
            raise Broken(record.seq, text)

    def _check_signature(self, record: Stored, told: dict[str, Any]) -> None:
        try:
            key, signature = bytes.fromhex(told["key"]), bytes.fromhex(told["signature"])
            signed, time_s = Head(told["seq"], bytes.fromhex(told["hash"])), float(told["time_s"])
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise Broken(record.seq, f"checkpoint {record.seq} is none: {error}") from error
        self._keys = self._keys or [key]
        if key not in self._keys:
            mend = "if the box was exchanged, give the public key of either with --key"
            raise Broken(record.seq, f"checkpoint {record.seq} is signed with another key ({key_id(key)}): {mend}")
        if signed != Head(record.seq - 1, record.prev_hash):
            raise Broken(record.seq, f"checkpoint {record.seq} does not sign the record before it")
        if not signature_fits(key, signature, signed, time_s):
            raise Broken(record.seq, f"checkpoint {record.seq} has a wrong signature")
        self.signed_to = signed.seq

    def _check_end(self, head: Head | None) -> None:
        if self.at == 0:
            raise Broken(1, "the journal is empty: its first record is missing")
        if self._end is not None and self._end != Head(self.at, self.hash):
            raise Broken(self.at, f"the archive does not end with record {self._end.seq}, as it says")
        last = max([anchor.seq for anchor in self._anchors] + ([] if head is None else [head.seq]), default=0)
        if last > self.at:
            raise Broken(self.at + 1, f"records {self.at + 1} to {last} are missing from the end")
        if self._believed:
            seq = min(self._believed)
            raise Broken(seq, f"record {seq}, which tells what was retired, is missing")
        if self._pinned and not self.signed_to:
            raise Broken(None, "no checkpoint in it is signed with the key given")
        if head is None and self._end is None and not self._anchors:
            text = f"no head is noted beside the file: records removed after {self.at} would not be noticed"
            self.limits.append(text)


def _own_hash(record: Stored, form: int) -> bytes:
    seq, time_s, kind, coding, body, blob, blob_hash, prev_hash, _ = record
    if form == 1:
        return chain_hash_1(prev_hash, seq=seq, time_s=time_s, kind=kind, body=body, blob=blob)
    return chain_hash(prev_hash, seq=seq, time_s=time_s, kind=kind, coding=coding, body=body, blob_hash=blob_hash)


def _told(connection: sqlite3.Connection, record: Stored, form: int) -> dict[str, Any]:
    """The content of a record that the walk itself needs. Raises Broken when there is none."""
    try:
        body = unpack(record.seq, record.coding, record.body, lambda seq: _packed(connection, seq, form))
        return dict(json.loads(body))
    except (ValueError, TypeError, RecursionError) as error:
        raise Broken(record.seq, f"record {record.seq} cannot be read: {error}") from error


def _packed(connection: sqlite3.Connection, seq: int, form: int) -> bytes:
    found = connection.execute(f"{STORED[form]} WHERE records.seq = ? AND coding = ?", (seq, seq)).fetchone()
    if found is None:
        raise ValueError(f"record {seq}, which it is packed with, is not there")
    return unpack(seq, seq, Stored(*found).body, lambda _: b"")
