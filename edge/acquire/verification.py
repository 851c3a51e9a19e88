"""ACQUIRE the instrument's verification: its record -> may the instrument be used; read again only when it changed."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from edge.signals import Verification
from soft_sensors.signals import Quality
from soft_sensors.watch.instrument import InstrumentRecord, VerificationError, instrument_verdict
from soft_sensors.watch.records import read_record

Stamp = tuple[int, int, int, int]


class RecordFile:
    """The record that `patloop sensor instrument --json` writes, on a schedule of every_h hours (None: as it says)."""

    def __init__(self, path: Path, every_h: float | None) -> None:
        self._path, self._every_h = path, every_h
        self._stamp: Stamp | None = None
        self._seen: Verification | None = None
        self._now = Verification(missing="the instrument was never verified")

    def acquire(self, now_s: float) -> Verification:
        """The verification of this moment (s since the epoch); what cannot be believed says so, it is not an error."""
        stamp = self._stamp_now()
        if stamp is None or stamp != self._stamp:
            self._stamp = stamp
            self._now = self._look(now_s)
        return self._now

    def resume(self, last: Verification | None) -> None:
        """Hold the file to what the record's newest cycle saw of it."""
        self._seen, self._stamp = last, None

    def _look(self, now_s: float) -> Verification:
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return self._missing(f"no instrument verification at {self._path}: patloop sensor instrument --json")
        except OSError as error:
            return self._missing(f"instrument verification {self._path} cannot be read: {error.strerror}")
        try:
            record = read_record(raw.decode(), str(self._path))
        except (VerificationError, UnicodeDecodeError) as error:
            return self._refused(f"instrument verification is not as it was written: {error}")
        found = self._of(record, hashlib.sha256(raw).hexdigest())
        changed = self._changed(found, now_s)
        if changed:
            return self._refused(changed)
        self._seen = found
        return found

    def _of(self, record: InstrumentRecord, sha256: str) -> Verification:
        until_s = record.valid_until_s
        if self._every_h is not None:
            until_s = min(until_s, record.time_s + 3600.0 * self._every_h)
        verdict = instrument_verdict(record, record.time_s)
        failed = verdict.reason if verdict.quality is Quality.BAD else ""
        return Verification(record.instrument, record.time_s, until_s, sha256, failed)

    def _changed(self, found: Verification, now_s: float) -> str:
        """Why a record cannot follow the one that was seen: nobody passes a verification by editing or by an old one.

        One that was dated into the future is no measure, or nothing could follow it.
        """
        seen = self._seen
        if seen is None or not seen.sha256 or found.sha256 == seen.sha256 or seen.time_s > now_s:
            return ""
        when = datetime.fromtimestamp(seen.time_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
        if found.time_s < seen.time_s:
            return f"instrument verification is older than that of {when}, which was seen: put it back, or verify again"
        if found.time_s == seen.time_s:
            return f"instrument verification of {when} was changed after it was read: put it back, or verify again"
        return ""

    def _missing(self, why: str) -> Verification:
        """What was seen before does not become better by taking the record away."""
        return replace(self._seen or Verification(), missing=why)

    def _refused(self, why: str) -> Verification:
        return replace(self._seen or Verification(), failed=why, missing="")

    def _stamp_now(self) -> Stamp | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
