"""logged writes -> the folder as a power cut could have left it.

The model of the disk, which is what a campaign proves and no more:

- What was written to a file before a flush of it began, and that flush returned, is on the disk.
- Of later writes each sector of 512 bytes is there or not, by lot, in any combination: torn pages and re-ordering.
- A file that had grown has its new length, or not, by lot; sectors of it that were not written read as zeros, or as
  whatever lay there before (`stale`), as on a file system that does not order data before its metadata.
- Names (created, renamed, removed) take effect in order within a folder, as on a journalling file system: all that
  came before a flush of that folder are there, and of later ones any number from the first on. A file whose name is
  not there is lost. Folders themselves are there once a file in them is.
- What is mapped into memory (SQLite's -shm) is not on the disk. A disk that lies about its flushes is not modelled.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

SECTOR = 512
RECORD = struct.Struct("=IIIIQq")


class Op(IntEnum):
    """What disk_log.c tells."""

    CREATE = 1
    WRITE = 2
    TRUNCATE = 3
    SYNC_BEGIN = 4
    SYNC_END = 5
    RENAME = 6
    UNLINK = 7
    FOLDER_BEGIN = 8
    FOLDER_END = 9


@dataclass(frozen=True)
class Entry:
    """One thing that happened; file: the inode's number; name, data: see disk_log.c."""

    op: Op
    file: int
    offset: int
    name: str
    data: bytes


@dataclass(frozen=True)
class Mood:
    """How a disk behaves at one cut: the share of unflushed sectors and of unflushed lengths that arrive; stale: what
    was never written reads as noise, in the files named so."""

    sectors: float
    lengths: float
    stale: bool


@dataclass
class _File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, Entry]] = field(default_factory=list)
    flushing: int = -1


@dataclass(frozen=True)
class _Name:
    """A change of names: now is the file's identity, None when the name goes."""

    changes: tuple[tuple[str, int | None], ...]


def read_log(path: Path) -> list[Entry]:
    """All that was logged. Raises ValueError when the log ends in the middle of a record."""
    raw, at, found = path.read_bytes(), 0, []
    while at < len(raw):
        op, name_size, size, _, file, offset = RECORD.unpack_from(raw, at)
        at += RECORD.size
        name, data = raw[at : at + name_size].decode(), raw[at + name_size : at + name_size + size]
        at += name_size + size
        if at > len(raw):
            raise ValueError(f"{path}: the log ends in the middle of a record")
        found.append(Entry(Op(op), file, offset, name, data))
    return found


def whole(before: Mapping[str, tuple[int, bytes]], log: Sequence[Entry]) -> dict[str, bytes]:
    """The files with all of the log applied: must be those of the real folder, or the log is not complete."""
    disk = _Disk(before)
    for entry in log:
        disk.take(entry)
    return disk.files(Mood(1.0, 1.0, stale=False), random.Random(0), every_name=True)


def after_cut(
    before: Mapping[str, tuple[int, bytes]], log: Sequence[Entry], cut: int, mood: Mood, dice: random.Random
) -> dict[str, bytes]:
    """The files that a power cut after the first `cut` entries left; before: name -> inode and bytes at the start."""
    disk = _Disk(before)
    for entry in log[:cut]:
        disk.take(entry)
    return disk.files(mood, dice, every_name=False)


class _Disk:
    def __init__(self, before: Mapping[str, tuple[int, bytes]]) -> None:
        self._files = {number: _File(bytearray(held)) for number, (_, held) in enumerate(before.values())}
        self._inodes = {inode: number for number, (inode, _) in enumerate(before.values())}
        self._names: dict[str, int] = {name: number for number, name in enumerate(before)}
        self._now = dict(self._names)  # as the running system sees them; _names: as they are on the disk
        self._changes: dict[str, list[_Name]] = {}  # by folder
        self._flushing: dict[str, int] = {}
        self._taken = 0

    def take(self, entry: Entry) -> None:
        """One entry more has happened."""
        self._taken += 1
        if entry.op in (Op.CREATE, Op.RENAME, Op.UNLINK):
            self._rename(entry)
        elif entry.op is Op.FOLDER_BEGIN:
            self._flushing[entry.name] = len(self._changes.get(entry.name, ()))
        elif entry.op is Op.FOLDER_END:
            waiting, count = self._changes.setdefault(entry.name, []), self._flushing[entry.name]
            for change in waiting[:count]:
                _change(self._names, change)
            del waiting[:count]
        else:
            self._write(entry)

    def files(self, mood: Mood, dice: random.Random, *, every_name: bool) -> dict[str, bytes]:
        """What is on the disk in that mood."""
        names = dict(self._names)
        for waiting in self._changes.values():
            count = len(waiting) if every_name else dice.randint(0, len(waiting))
            for change in waiting[:count]:
                _change(names, change)
        held = {}
        for name, number in names.items():
            stale = mood.stale and not name.endswith(".head") and ".head." not in name
            held[name] = _survived(self._files[number], mood, dice, stale=stale)
        return held

    def _rename(self, entry: Entry) -> None:
        if entry.op is Op.CREATE:
            number = len(self._files)
            self._files[number] = _File()
            self._inodes[entry.file] = number
            change = _Name(((entry.name, number),))
        elif entry.op is Op.UNLINK:
            change = _Name(((entry.name, None),))
        else:
            change = _Name(((entry.data.decode(), self._now[entry.name]), (entry.name, None)))
        _change(self._now, change)
        self._changes.setdefault(entry.name.rpartition("/")[0], []).append(change)

    def _write(self, entry: Entry) -> None:
        file = self._files[self._inodes[entry.file]]
        if entry.op is Op.SYNC_BEGIN:
            file.flushing = self._taken
        elif entry.op is Op.SYNC_END:
            for when, past in file.pending:
                if when < file.flushing:
                    _apply(file.durable, past)
            file.pending = [(when, later) for when, later in file.pending if when >= file.flushing]
        else:
            file.pending.append((self._taken, entry))


def _change(names: dict[str, int], change: _Name) -> None:
    for name, number in change.changes:
        if number is None:
            names.pop(name, None)
        else:
            names[name] = number


def _apply(held: bytearray, entry: Entry) -> None:
    if entry.op is Op.TRUNCATE:
        del held[entry.offset :]
        held.extend(bytes(entry.offset - len(held)))
        return
    held.extend(bytes(max(0, entry.offset - len(held))))
    held[entry.offset : entry.offset + len(entry.data)] = entry.data


def _survived(file: _File, mood: Mood, dice: random.Random, *, stale: bool) -> bytes:
    """The flushed bytes with a lot of the later ones."""
    held = bytearray(file.durable)
    truncations = sum(entry.op is Op.TRUNCATE for _, entry in file.pending)
    kept = truncations if mood.lengths == 1.0 else dice.randint(0, truncations)
    for _, entry in file.pending:
        if entry.op is Op.TRUNCATE:
            if kept > 0:
                _apply(held, entry)
            kept -= 1
            continue
        for offset, piece in _sectors(entry):
            if dice.random() < mood.sectors:
                _fill(held, offset, dice, stale=stale)
                held[offset : offset + len(piece)] = piece
            elif dice.random() < mood.lengths:
                _fill(held, offset + len(piece), dice, stale=stale)
    return bytes(held)


def _sectors(entry: Entry) -> list[tuple[int, bytes]]:
    at, end, pieces = entry.offset, entry.offset + len(entry.data), []
    while at < end:
        until = min(end, (at // SECTOR + 1) * SECTOR)
        pieces.append((at, entry.data[at - entry.offset : until - entry.offset]))
        at = until
    return pieces


def _fill(held: bytearray, length: int, dice: random.Random, *, stale: bool) -> None:
    gap = length - len(held)
    if gap > 0:
        held.extend(dice.randbytes(gap) if stale else bytes(gap))
