"""a journal after a crash, what was acknowledged -> what is wrong with it: nothing, if it keeps its promise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge.errors import RecorderError
from edge.record.journal import Journal
from edge.record.verify import verify


@dataclass(frozen=True)
class Verdict:
    """What a journal was found to be: the hashes of the records it holds by number, and what is wrong with it.

    wrong: empty when it keeps its promise. A journal that had not begun holds nothing and promised nothing.
    """

    held: Mapping[int, bytes]
    wrong: str = ""


def judge(path: Path, acknowledged: Mapping[int, bytes], writers: int) -> Verdict:
    """Open and verify; every acknowledged record (number -> hash) must be there, and at most one more a writer."""
    try:
        with Journal.open_reader(path) as journal:
            held = {row.seq: row.hash for row in journal.rows()}
    except RecorderError as error:
        # killed before its genesis was committed: the next start begins it
        return Verdict({}, f"cannot be opened: {error}" if acknowledged else "")
    lost = [seq for seq, digest in acknowledged.items() if held.get(seq) != digest]
    if lost:
        return Verdict(held, f"lost {len(lost)} of {len(acknowledged)} acknowledged records, {lost[0]} the first")
    found = verify(path)
    if not found.ok:
        return Verdict(held, f"does not verify: {found.reason}")
    extra = len(held) - len(acknowledged)
    if extra > writers:
        return Verdict(held, f"{extra} records that nobody acknowledged, by {writers} writers")
    return Verdict(held)
