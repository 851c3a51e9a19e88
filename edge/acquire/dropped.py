"""a folder that others write into -> the file to take next, and moves that never lose one; for every drop folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Still:
    """Size and time of change of a file, and since when (monotonic clock, s) they have been these."""

    size: int
    changed_ns: int
    since_s: float


class Settling:
    """Tells which files of a folder have stood still for settle_s (0: writers rename into place)."""

    def __init__(self, folder: Path, fits: Callable[[str], bool], settle_s: float, now_s: Callable[[], float]) -> None:
        self._folder, self._fits, self._settle_s, self._now_s = folder, fits, settle_s, now_s
        self._still: dict[str, Still] = {}

    def look(self) -> dict[str, bool]:
        """The files that fit, by name, and whether they have settled; hidden ones and links never. Raises OSError."""
        now_s, seen = self._now_s(), {}
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or not self._fits(entry.name):
                    continue
                if not entry.is_file(follow_symlinks=False):
                    continue
                told = entry.stat(follow_symlinks=False)
                before = self._still.get(entry.name)
                same = before is not None and (before.size, before.changed_ns) == (told.st_size, told.st_mtime_ns)
                seen[entry.name] = before if before and same else Still(told.st_size, told.st_mtime_ns, now_s)
        self._still = seen
        return {name: now_s - still.since_s >= self._settle_s for name, still in sorted(seen.items())}


def move(path: Path, to: Path, again: int) -> Path:
    """Move a file, never over another: a name that is taken gets the number `again` behind it, or more."""
    place = to / path.name
    while place.exists():
        place = to / f"{path.name}.{again}"
        again += 1
    path.rename(place)
    return place


def say_why(path: Path, text: str) -> None:
    """Put a text beside a file that says why it was refused."""
    path.with_name(f"{path.name}.why.txt").write_text(f"{text}\n", encoding="utf-8")
