"""a journal after a crash, what was acknowledged -> what is wrong with it: nothing, if it keeps its promise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from edge.errors import RecorderError
from edge.record.journal import Journal
from edge.record.verify import verify


@dataclass(frozen=True)
class Verdict:
    """What a journal was found to be: the hashes of the records it holds by number, and what is wrong with it.

    wrong: empty when it keeps its promise; retired: how many of those lie in archives only. A journal that had not
    begun holds nothing and promised nothing.
    """

    held: Mapping[int, bytes]
    wrong: str = ""
    retired: int = 0


def judge(path: Path, acknowledged: Mapping[int, bytes], writers: int) -> Verdict:
    """Open and verify; every acknowledged record (number -> hash) must be there, and at most one more a writer.

    A record that was retired must be in the archive that the journal names, which must be the file it names.
    """
    try:
        with Journal.open_reader(path) as journal:
            held = {row.seq: row.hash for row in journal.rows()}
            live = len(held)
            told = [row.content() for row in journal.rows(kind="retired")]
            retired = {body["archive"]: body["archive_sha256"] for body in told}
        for name, digest in retired.items():
            archive = path.parent / "archive" / name
            if not archive.is_file() or sha256(archive.read_bytes()).hexdigest() != digest:
                return Verdict(held, f"archive {name} is not the file that the journal names")
            with Journal.open_reader(archive) as cut:
                held = {row.seq: row.hash for row in cut.rows()} | held
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
    return Verdict(held, retired=len(held) - live)


def gaps(path: Path, least_s: float) -> tuple[int, str]:
    """How many starts own up to lost time, and what is wrong: one does not, though the newest cycle lay further back
    than least_s and nobody had stopped the service in good order."""
    count, owned, cycle_s = 0, False, None
    with Journal.open_reader(path) as journal:
        for row in journal.rows():
            if row.kind == "cycle":
                cycle_s, owned = row.time_s, False
            elif row.kind == "stop":
                cycle_s = None
            elif row.kind == "gap":
                count, owned = count + 1, True
            elif row.kind == "start":
                if cycle_s is not None and row.time_s - cycle_s > least_s and not owned:
                    return count, f"start {row.seq} does not tell of the time that was lost before it"
                owned = False
    return count, ""
