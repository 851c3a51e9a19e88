"""What the tests of the record share: journals of both formats, and ways to change a file behind its back."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np

from edge.record.canonical import encode, pack_spectrum
from edge.record.chain import CUT, FIRST_PREV_HASH, SCHEMAS, chain_hash_1, head_path
from edge.record.checkpoint import Signer
from edge.record.journal import Journal

LINE = "CDC-REF-1"


def begin_format_1(path: Path, line: str = LINE, now_s: float = 1.5) -> None:
    """An empty journal as release 0.1 began it."""
    body = encode({"line": line, "software": "patloop", "version": "0.1.0"})
    own = chain_hash_1(FIRST_PREV_HASH, seq=1, time_s=now_s, kind="genesis", body=body, blob=None)
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in SCHEMAS[1].values():
            connection.execute(statement)
        values = (1, now_s, "genesis", body, None, FIRST_PREV_HASH, own)
        connection.execute("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)", values)


def fill(path: Path, count: int, big: int, small: int, signer: Signer | None = None) -> None:
    """Records 2 to count: cycles with and without spectra, long and short ones, a checkpoint now and then.

    The writer is another one from record 23 on: what is before can go without what is after.
    """
    noise = np.random.default_rng(7)
    for part in (range(2, min(23, count + 1)), range(23, count + 1)):
        with Journal.open(path, LINE, now=lambda: 1.5) as journal:
            for i in part:
                if signer is not None and i % 5 == 0:
                    signer.checkpoint(journal, 1000.0 + i)
                    continue
                text = "".join(chr(97 + n) for n in noise.integers(0, 26, size=big if i % 4 == 0 else small))
                body = encode({"i": i, "text": text, "same": "in every one " * 30})
                blob = pack_spectrum(noise.normal(size=125)) if i % 3 else None
                journal.append("cycle" if i % 2 else "act", 1000.0 + i * 1.25, body, blob)


def copy(journal: Path, folder: Path) -> Path:
    """A copy of a closed journal and its head, alone in the folder."""
    for item in folder.iterdir():
        item.unlink()
    for file in (journal, head_path(journal)):
        if file.exists():
            shutil.copy(file, folder)
    return folder / journal.name


def form_of(path: Path) -> int:
    """The format of a journal."""
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0]) or 1


def tamper(path: Path, *statements: str, values: tuple[object, ...] = ()) -> None:
    """Change the file as one would who has it in hand: refuse-triggers off, change, triggers on again."""
    triggers = {name: sql for name, sql in SCHEMAS[form_of(path)].items() if "TRIGGER" in sql}
    with closing(sqlite3.connect(path)) as connection, connection:
        for name in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement, values)
        for sql in triggers.values():
            connection.execute(sql)


def retire(journal: Journal, first: int, last: int, kept: tuple[str, ...] = ("genesis", "checkpoint")) -> None:
    """Take the records from first to last out of a journal, but for the kinds kept, with the record that tells so."""

    def gone(connection: sqlite3.Connection, _: object) -> bytes:
        triggers = {name: sql for name, sql in SCHEMAS[2].items() if name.endswith("_no_delete")}
        marks = ", ".join("?" for _ in kept)
        where = f"seq BETWEEN ? AND ? AND kind NOT IN ({marks})"
        removed = [n for (n,) in connection.execute(f"SELECT seq FROM records WHERE {where}", (first, last, *kept))]
        for name in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        ranges: list[dict[str, object]] = []
        for seq in removed:
            hashes = connection.execute("SELECT prev_hash, hash FROM records WHERE seq = ?", (seq,)).fetchone()
            before, own = (digest.hex() for digest in hashes)
            if ranges and ranges[-1]["to"] == seq - 1:
                ranges[-1] |= {"to": seq, "last_hash": own}
            else:
                ranges.append({"from": seq, "to": seq, "before_hash": before, "last_hash": own})
        for table in ("records", "blobs"):
            connection.executemany(f"DELETE FROM {table} WHERE seq = ?", [(seq,) for seq in removed])
        for sql in triggers.values():
            connection.execute(sql)
        return encode({"what": "rows", "kinds": ["cycle", "act"], "ranges": ranges, "archive": "a", "reason": "test"})

    journal.append_with("retired", 3000.0, gone)


def cut_archive(journal: Path, archive: Path, first: int, last: int) -> None:
    """Copy records first to last into an archive of their own."""
    with closing(sqlite3.connect(archive)) as connection, connection:
        connection.execute("ATTACH ? AS old", (str(journal),))
        schema = SCHEMAS[2]
        for name in ("records", "records_kind", "blobs"):
            connection.execute(schema[name])
        for table in ("records", "blobs"):
            rows = f"SELECT * FROM old.{table} WHERE seq BETWEEN ? AND ?"
            connection.execute(f"INSERT INTO {table} {rows}", (first, last))
        for sql in schema.values():
            if "TRIGGER" in sql:
                connection.execute(sql)
        connection.execute(CUT)
        connection.execute(
            "INSERT INTO cut SELECT ?, (SELECT hash FROM old.records WHERE seq = 1), a.seq, a.prev_hash, b.seq, b.hash"
            " FROM old.records a, old.records b WHERE a.seq = ? AND b.seq = ?",
            (LINE, first, last),
        )
        connection.execute("PRAGMA user_version=2")
