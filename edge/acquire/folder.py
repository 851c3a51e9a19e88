"""ACQUIRE from a watched drop folder: each file one spectrum, in the order of names, never lost and never twice.

A file is touched only when its size and time of change have stood still for settle_s (0: writers rename into place).
It is claimed by a rename into picked/, written to the log (counter, SHA-256, name) and handed to the cycle; it moves to
done/ only when the journal holds its counter. After a crash or on a full disk the same rule decides: what is on the
record moves on, what is not is handed out once more. What is no spectrum goes to refused/, with a text that says why.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge.acquire.dropped import Settling, move, say_why
from edge.config import LineConfig
from edge.errors import ConfigError
from edge.ports import Clock
from edge.record.journal import Journal
from edge.signals import Link, Scan
from soft_sensors.errors import TableError
from soft_sensors.read import MissingPackageError, check_reader, read_spectra
from soft_sensors.signals import Spectrum

MOVED_TO = ("picked", "done", "refused")
TAIL_BYTES = 65536  # of the log: more than its longest line
LINE = re.compile(r"^(\d{1,18}) ([0-9a-f]{64})  (.+)$")


@dataclass(frozen=True)
class Picked:
    """A file that was handed out: its acquisition counter, the SHA-256 of its bytes, and its name."""

    counter: int
    sha256: str
    name: str


def newest_counter(journal: Journal) -> int:
    """The acquisition counter of the newest spectrum on the record, 0 when there is none. Raises RecorderError."""
    row = journal.last("cycle")
    while row is not None:
        spectrum = row.content()["sample"]["spectrum"] if row.kind == "cycle" else None
        if spectrum:
            return int(spectrum["counter"])
        row = journal.get(row.seq - 1)
    return 0


class FolderSource:
    """Watches a folder; a Source. Raises ConfigError when folder, pattern or the reader's package is not there."""

    def __init__(
        self, config: LineConfig, clock: Clock, axis_unit: str, log: Path, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        table = config.analyser
        assert table.folder is not None, "checked with the configuration"
        self._folder, pattern = table.folder, table.pattern
        self._settling = Settling(self._folder, lambda n: fnmatch.fnmatchcase(n, pattern), table.settle_s, now_s)
        self._clock, self._axis_unit, self._log = clock, axis_unit, log
        self._picked: Picked | None = None
        self._recorded: Callable[[], int] = lambda: 0
        try:
            if re.fullmatch(r"\.\w+", Path(pattern).suffix):
                check_reader(Path(pattern))
            for name in MOVED_TO:
                (self._folder / name).mkdir(exist_ok=True)
            log.parent.mkdir(parents=True, exist_ok=True)
            self._logged = _last_picked(log)
        except TableError as error:
            raise ConfigError(f"[analyser] pattern: {error}") from error
        except OSError as error:
            raise ConfigError(f"[analyser] folder: {error.filename}: {error.strerror}; make it, writable") from error
        self._counter = self._logged.counter if self._logged else 0

    def resume(self, recorded: Callable[[], int]) -> None:
        """Tell how to ask for the newest acquisition counter on the record; counters go on above it."""
        self._recorded = recorded
        self._counter = max(self._counter, recorded())

    async def scan(self) -> Scan:
        """The next settled file as one acquisition, or no spectrum; a folder that cannot be used is a lost link."""
        now_s = self._clock.now_s()
        try:
            spectrum = self._next()
        except OSError as error:
            return Scan(now_s, Link.LOST, 1, 0, {}, reason=f"drop folder: {error}")
        return Scan(now_s, Link.ONLINE, 1, 0, {}, spectrum)

    def close(self) -> None:
        """Move the last file to done/ if it is on the record. Raises RecorderError."""
        with contextlib.suppress(OSError):  # what cannot be moved now is moved at the next start
            self._finish()

    def _next(self) -> Spectrum | None:
        if self._picked is not None and not self._place(self._picked).exists():
            self._picked = None  # somebody took it away; should it come back, it is found in picked/
        self._finish()
        if self._picked is None:
            self._picked = self._pick()
            self._finish()  # a file that a crash left behind may be on the record already
        if self._picked is None:
            return None
        try:
            return self._spectrum(self._picked)
        except TableError as error:
            moved = move(self._place(self._picked), self._folder / "refused", self._picked.counter)
            self._picked = None
            say_why(moved, str(error))
            return None

    def _finish(self) -> None:
        """Move the picked file to done/, once its counter is on the record."""
        if self._picked is not None and self._recorded() == self._picked.counter:
            move(self._place(self._picked), self._folder / "done", self._picked.counter)
            self._picked = None

    def _pick(self) -> Picked | None:
        """Claim the next file and log it; first of all one that was claimed before a crash."""
        left = sorted(path.name for path in (self._folder / "picked").iterdir())
        name = left[0] if left else self._settled()
        if name is None:
            return None
        claimed = self._folder / "picked" / name
        if not left:
            (self._folder / name).rename(claimed)
        with claimed.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        if left and self._logged and (self._logged.name, self._logged.sha256) == (name, sha256):
            return self._logged
        picked = Picked(self._counter + 1, sha256, name)
        _append(self._log, picked)
        self._logged, self._counter = picked, picked.counter
        return picked

    def _settled(self) -> str | None:
        """The first name that matches, if that file has stood still; later names wait for it, so order is kept."""
        settled = self._settling.look()
        first = min(settled, default=None)
        return first if first is not None and settled[first] else None

    def _spectrum(self, picked: Picked) -> Spectrum:
        """The one spectrum of a file; its time is the file's time of change. Raises TableError, ConfigError."""
        path = self._place(picked)
        try:
            table = read_spectra(path)
        except MissingPackageError as error:
            raise ConfigError(str(error)) from error
        if len(table.values) != 1:
            raise TableError(f"{path}: holds {len(table.values)} spectra; drop one a file")
        unit = table.axis_unit or self._axis_unit
        return Spectrum(table.axis, unit, table.values[0], picked.counter, path.stat().st_mtime)

    def _place(self, picked: Picked) -> Path:
        return self._folder / "picked" / picked.name


def _append(log: Path, picked: Picked) -> None:
    """Add a line, on the disk when this returns."""
    with log.open("ab") as stream:
        stream.write(f"{picked.counter} {picked.sha256}  {picked.name}\n".encode(errors="surrogateescape"))
        stream.flush()
        os.fsync(stream.fileno())


def _last_picked(log: Path) -> Picked | None:
    """The newest whole line of the log; a line cut by a crash was never handed out, and is cut away."""
    if not log.exists():
        return None
    with log.open("r+b") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - TAIL_BYTES))
        tail = stream.read()
        whole = tail[: tail.rfind(b"\n") + 1]
        stream.truncate(size - len(tail) + len(whole))
    lines = whole.decode(errors="surrogateescape").splitlines()
    found = LINE.match(lines[-1]) if lines else None
    if lines and found is None:
        raise ConfigError(f"{log}: its last line is not one of picked files; put the file back as it was")
    return Picked(int(found[1]), found[2], found[3]) if found else None
