"""journal -> verdict: names the first record that was altered, removed, reordered or cut off."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from edge.errors import RecorderError
from edge.record.chain import CUT, SCHEMAS, Head, connect_reader, read_format, read_head
from edge.record.checkpoint import read_anchor
from edge.record.walk import Broken, Walk

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Verification:
    """What verify found.

    n: records read and found in order before anything bad; first_bad_seq: the record that is altered, missing
    or out of order, None when all are well or the damage is not in a record; reason: one sentence, with ok too where
    the verdict has a limit; signed_to: the newest record that a checkpoint signs, 0 for none; anchors: how many of
    those given were met.
    """

    ok: bool
    n: int
    first_bad_seq: int | None
    reason: str
    signed_to: int = 0
    anchors: int = 0


def verify(
    path: Path, progress: Progress | None = None, anchors: Sequence[str] = (), key: bytes | None = None,
    former: Sequence[bytes] = (),
) -> Verification:  # fmt: skip
    """Read the whole journal and judge it; progress is called with (records read, records in all).

    anchors: texts of anchors, whose records must be there; key: the box's public key, without it that of the first
    checkpoint; former: keys of boxes that kept this journal before. Never raises for a damaged file: that is a verdict.
    Raises ValueError for an anchor that is none.
    """
    keys = [k for k in (key, *former) if k is not None]
    walk = Walk([read_anchor(text) for text in anchors], keys)
    try:
        head = _read_head(path)  # before the snapshot: the writer may go on, the head must not be ahead of it
        with closing(connect_reader(path)) as connection:
            connection.execute("BEGIN")
            form = read_format(connection)
            walk.through(connection, form, head, progress or _silent)
            _check_file(connection, form)
    except Broken as broken:
        return Verification(False, walk.count, broken.seq, str(broken), walk.signed_to, walk.met)
    except (sqlite3.Error, OSError, UnicodeDecodeError, RecorderError) as error:
        # SQLite's own messages may hold damaged text
        text = f"the file cannot be read as a journal: {error}"
        return Verification(False, walk.count, None, text, walk.signed_to, walk.met)
    return Verification(True, walk.count, None, "; ".join(walk.limits), walk.signed_to, walk.met)


def _silent(_done: int, _total: int) -> None:
    return


def _read_head(path: Path) -> Head | None:
    try:
        return read_head(path)
    except ValueError as error:
        raise Broken(None, f"the head beside the journal is damaged: {error}") from error


def _check_file(connection: sqlite3.Connection, form: int) -> None:
    """Look at what the chain does not cover: the tables' own definition, and pages and indexes of the file."""
    found = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall())
    wanted = SCHEMAS[form] | ({"cut": CUT} if "cut" in found else {})
    for name in sorted(wanted.keys() | found.keys()):
        if found.get(name) != wanted.get(name):
            raise Broken(None, f"the records are well, but the journal's {name!r} was added, removed or changed")
    (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise Broken(None, f"the records are well, but the file is damaged: {' '.join(str(verdict).split())}")
    if form == 1:
        return
    loose = connection.execute(
        "SELECT seq FROM blobs WHERE seq NOT IN (SELECT seq FROM records WHERE blob_hash IS NOT NULL) LIMIT 1"
    ).fetchone()
    if loose is not None:
        raise Broken(None, f"the records are well, but the blob {loose[0]} belongs to none of them")


__all__ = ["Verification", "verify"]
