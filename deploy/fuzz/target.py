"""What is fuzzed: a target takes bytes as the world might send them, and says which errors it may end in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

Once = Callable[[bytes], object]


class Broken(AssertionError):  # noqa: N818 - a property of the loop that does not hold
    """What must hold whatever comes in does not: an unsafe write, a record that does not read back."""


@dataclass(frozen=True)
class Target:
    """One parser.

    seeds: whole inputs that are well; prepare(folder) -> once(raw): made once a process, then called for each input;
    declared: the errors that once may raise; watched: folders of the repository or of packages whose lines guide the
    search; words: pieces that mean something to this parser; most: inputs are cut to so many bytes.
    """

    name: str
    seeds: Callable[[], Sequence[bytes]]
    prepare: Callable[[Path], Once]
    declared: tuple[type[Exception], ...]
    watched: tuple[str, ...]
    words: tuple[bytes, ...] = ()
    most: int = 65536
