"""What a journal needs beside its records: old ones retired, and room kept on the disk for the last that matter."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from control.assess import Finding
from edge.errors import RecorderError
from edge.ports import Source
from edge.record.canonical import encode
from edge.record.journal import Journal
from edge.record.retention import Retention
from edge.signals import Scan

RESERVE_BYTES = 8_000_000  # our choice: some thousand requests, and a fold of SQLite's log
LOW_BYTES = 1_000_000_000  # our choice: a line at 1 s a cycle writes a quarter of it a day
KIND = "disk"


class Upkeep:
    """Keeps one journal going: retires what is old, and holds back a reserve for when the disk is full.

    When a record cannot be taken for want of room, the reserve is given up for what must still be recorded (that the
    disk is full, people's requests, the stop), and cycles are refused until there is room for it again. So nothing
    moves the plant meanwhile, and nothing has to be restarted.
    """

    def __init__(
        self, journal: Journal, retention: Retention | None = None, reserve_bytes: int = RESERVE_BYTES
    ) -> None:
        """reserve_bytes: how much is held back. Raises RecorderError."""
        self._journal, self._retention, self._bytes = journal, retention, reserve_bytes
        self._reserve = journal.path.with_name(journal.path.name + ".reserve")
        self._full_s: float | None = None
        if not self._keep():
            self._full_s = 0.0  # found full at the start

    def admit(self, now_s: float) -> None:
        """Called before a cycle is recorded. Raises RecorderError while there is no room but the reserve."""
        if self._full_s is None:
            return
        if not self._keep():
            raise RecorderError(f"the disk of {self._journal.path} is full ({_free(self._journal.path) / 1e6:.1f} MB)")
        self._tell(now_s, "free")
        self._full_s = None

    def refused(self, now_s: float) -> None:
        """Called when the journal did not take a record: gives up the reserve when want of room is why."""
        if self._full_s is not None or _free(self._journal.path) >= self._bytes:
            return
        self._full_s = now_s
        with suppress(OSError):  # not there: then there is that much less room, and the next record says so
            self._reserve.unlink()
        with suppress(RecorderError):  # others filled the room at once; the cycle that was refused was told already
            self._tell(now_s, "full")

    def tidy(self, now_s: float) -> None:
        """Called between two cycles: one small step of retention. Raises RecorderError."""
        if self._retention is not None:
            self._retention.step(now_s)

    def told(self) -> tuple[Finding, ...]:
        """What people must know of the record."""
        free, found = _free(self._journal.path), []
        if free < LOW_BYTES:
            text = f"the disk of the record has {free / 1e6:.0f} MB left: free some, or the loop will hold"
            found.append(Finding("record_disk", text, 2 if free > LOW_BYTES / 10 else 1))
        if self._retention is not None and self._retention.trouble:
            found.append(Finding("record_archive", f"old records stay: {self._retention.trouble}", 2))
        return tuple(found)

    def _keep(self) -> bool:
        """Have the reserve on the disk; False when there is no room for it and as much again."""
        if self._reserve.exists() and self._reserve.stat().st_size >= self._bytes:
            return True
        if _free(self._journal.path) < 2 * self._bytes:
            return False
        try:
            with self._reserve.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self._bytes)
        except OSError:  # filled by others in between
            self._reserve.unlink(missing_ok=True)
            return False
        return True

    def _tell(self, now_s: float, state: str) -> None:
        held_s = None if not self._full_s else now_s - self._full_s
        body = {"state": state, "free_bytes": _free(self._journal.path), "held_s": held_s if state == "free" else None}
        self._journal.append(KIND, now_s, encode(body))


class WithUpkeep:
    """A Source: another one's look at the line, with what is to be told of the record."""

    def __init__(self, source: Source, upkeep: Upkeep) -> None:
        self._source, self._upkeep = source, upkeep

    async def scan(self) -> Scan:
        """Everything now."""
        scan = await self._source.scan()
        return replace(scan, told=(*scan.told, *self._upkeep.told()))


def _free(path: Path) -> int:
    found = os.statvfs(path.parent)
    return found.f_bavail * found.f_frsize
