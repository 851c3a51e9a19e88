"""a LIMS drop folder -> records: each result once, whenever the process is killed.

A file is claimed by a rename into picked/ once it has stood still, its results are entered one by one, and then it
moves: to done/ when all were taken, to refused/ with a text that says why when one was not. A file that a crash left
in picked/ is read again; results that are on the record already are known by the file's SHA-256, time of change and
their number in it, and are not entered twice. The same file dropped again is another file: its results are duplicates.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path, PurePath

from edge.acquire.dropped import Settling, move, say_why
from edge.errors import ConfigError
from edge.lab.files import MOST_BYTES, SUFFIXES, read_results
from edge.lab.intake import Entered, Intake, Origin
from edge.lab.result import ResultError

MOVED_TO = ("picked", "done", "refused")


class LabFolder:
    """Watches the folder that a LIMS drops files into. Raises ConfigError when it is not there or not writable."""

    def __init__(
        self, folder: Path, settle_s: float, intake: Intake, now_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._folder, self._intake, self._now_s = folder, intake, now_s
        self._settling = Settling(folder, _fits, settle_s, monotonic_s)
        try:
            for name in MOVED_TO:
                (folder / name).mkdir(exist_ok=True)
        except OSError as error:
            raise ConfigError(f"[lab] folder: {error.filename}: {error.strerror}; make it, writable") from error

    def take(self) -> tuple[Entered, ...] | None:
        """Take the next file, if one has settled: what became of its results; None where there is none.

        Raises OSError where the folder cannot be used now, RecorderError where the journal takes nothing: the file then
        stays where it is.
        """
        left = sorted(path for path in (self._folder / "picked").iterdir() if _fits(path.name))
        if left:
            return self._enter(left[0])
        name = next((name for name, settled in self._settling.look().items() if settled), None)
        if name is None:
            return None
        picked = self._folder / "picked" / name
        (self._folder / name).rename(picked)
        return self._enter(picked)

    def _enter(self, picked: Path) -> tuple[Entered, ...]:
        entered = enter_file(picked, f"file:{picked.name}", self._intake, self._now_s())
        refused = [f"result {n}: {e.why}" for n, e in enumerate(entered, start=1) if e.status == "refused"]
        moved = move(picked, self._folder / ("refused" if refused else "done"), 1)
        if refused:
            taken = len(entered) - len(refused)
            say_why(moved, "\n".join([f"{taken} of {len(entered)} results were taken", *refused]))
        return entered


def enter_file(path: Path, source: str, intake: Intake, now_s: float) -> tuple[Entered, ...]:
    """Enter the results of a file, in its order; one that cannot be read at all is one refused record.

    Raises OSError, RecorderError.
    """
    with path.open("rb") as stream:
        raw = stream.read(MOST_BYTES + 1)
        stream.seek(0)
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    changed_ns = path.stat().st_mtime_ns
    try:
        entries = read_results(path.name, raw)
    except ResultError as error:
        return (intake.enter(None, str(error), Origin(source, sha256, path.name, changed_ns), now_s),)
    return tuple(
        intake.enter(entry.told, entry.why, Origin(source, sha256, path.name, changed_ns, entry.number), now_s)
        for entry in entries
    )


def _fits(name: str) -> bool:
    return not name.startswith(".") and PurePath(name).suffix.lower() in SUFFIXES
