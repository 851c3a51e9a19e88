"""which lines were reached, and from where: the search keeps inputs that reach new ones (only in watched files)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
Local = Callable[[FrameType, str, Any], Any]


class Lines:
    """Pairs of lines (from, to) in watched files; `run` tells how many a call reached that none had reached before."""

    def __init__(self, watched: tuple[str, ...]) -> None:
        self._prefixes = tuple(_place(name) for name in watched)
        self._known: dict[str, bool] = {}
        self.reached: set[tuple[str, int, int]] = set()

    def run(self, call: Callable[[], object]) -> int:
        """Call it; whatever it raises passes. New pairs are counted in `new` even then."""
        before = len(self.reached)
        sys.settrace(self._enter)
        try:
            call()
        finally:
            sys.settrace(None)
            self.new = len(self.reached) - before
        return self.new

    new = 0

    def _enter(self, frame: FrameType, _event: str, _arg: Any) -> Local | None:
        name = frame.f_code.co_filename
        watched = self._known.get(name)
        if watched is None:
            watched = self._known[name] = name.startswith(self._prefixes)
        if not watched:
            return None
        before = frame.f_lineno

        def local(frame: FrameType, event: str, _arg: Any) -> Local:
            nonlocal before
            if event == "line":
                self.reached.add((name, before, frame.f_lineno))
                before = frame.f_lineno
            return local

        return local


def _place(name: str) -> str:
    """A path of the repository, or where an installed package lies."""
    here = ROOT / name
    if here.exists():
        return str(here)
    found = find_spec(name)
    if found is None or found.origin is None:
        raise FileNotFoundError(f"{name}: neither a path of the repository nor an installed package")
    return str(Path(found.origin).parent)
