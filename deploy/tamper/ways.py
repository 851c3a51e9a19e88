"""journal -> a spoilt one: each way to tamper with it, as somebody could who has the files and knows the format.

What is not among them: to append a record in the ordinary way. Whoever can do that leaves it on the record.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from deploy.tamper.journals import LINE, Case
from edge.record.canonical import encode
from edge.record.chain import SCHEMAS, chain_hash, chain_hash_1, head_path
from edge.record.journal import Journal

Way = Callable[[Case, Path, random.Random], None]
Values = dict[str, Any]


def flip(_: Case, path: Path, dice: random.Random) -> None:
    """A byte of file, log or head."""
    _bytes(path, dice, lambda old, at: old[:at] + bytes([old[at] ^ dice.randint(1, 255)]) + old[at + 1 :])


def blank(_: Case, path: Path, dice: random.Random) -> None:
    """A sector of zeros."""
    _bytes(path, dice, lambda old, at: (old[: at // 512 * 512] + bytes(512) + old[at // 512 * 512 + 512 :])[: len(old)])


def cut_off(_: Case, path: Path, dice: random.Random) -> None:
    """File, log or head end early."""
    _bytes(path, dice, lambda old, at: old[:at])


def lose_the_log(_: Case, path: Path, dice: random.Random) -> None:
    """The log beside the file, or the head, is gone."""
    dice.choice([path.with_name(path.name + "-wal"), head_path(path)]).unlink(missing_ok=True)


def swap_rows(_: Case, path: Path, dice: random.Random) -> None:
    """Two records change places."""
    with _open(path) as (connection, rows):
        first, second = dice.sample(rows, 2)
        _put(connection, {**second, "seq": first["seq"]}, {**first, "seq": second["seq"]})


def reorder(_: Case, path: Path, dice: random.Random) -> None:
    """A run of records the other way round, chained anew, with the head that fits."""
    with _open(path) as (connection, rows):
        at = dice.randrange(1, len(rows) - 4)
        run = rows[at : at + 4]
        rows[at : at + 4] = [{**old, "seq": place["seq"]} for old, place in zip(reversed(run), run, strict=True)]
        _put(connection, *_chained(rows))
    _note_head(path)


def remove(_: Case, path: Path, dice: random.Random) -> None:
    """A record is gone, the others as they were."""
    with _open(path) as (connection, rows):
        connection.execute("DELETE FROM records WHERE seq = ?", (dice.choice(rows)["seq"],))


def remove_from_the_end(_: Case, path: Path, dice: random.Random) -> None:
    """The newest records are gone, with the head that fits."""
    with _open(path) as (connection, rows):
        connection.execute("DELETE FROM records WHERE seq >= ?", (dice.choice(rows[1:])["seq"],))
    _note_head(path)


def remove_and_close_up(_: Case, path: Path, dice: random.Random) -> None:
    """A record is gone, what follows is numbered and chained anew, with the head that fits."""
    with _open(path) as (connection, rows):
        at = dice.randrange(1, len(rows))
        numbers = [row["seq"] for row in rows]
        moved = [{**row, "seq": seq} for row, seq in zip(rows[:at] + rows[at + 1 :], numbers, strict=False)]
        connection.execute("DELETE FROM records WHERE seq = ?", (numbers[-1],))
        _put(connection, *_chained(moved))
    _note_head(path)


def replace_a_row(_: Case, path: Path, dice: random.Random) -> None:
    """A record says something else, and has the hash that fits."""
    with _open(path) as (connection, rows):
        row = dice.choice(rows) | {"body": encode({"nothing": "happened"}), **_plain(path)}
        _put(connection, row | {"hash": _hash(row)})


def replace_and_chain_anew(_: Case, path: Path, dice: random.Random) -> None:
    """A record says something else, and all after it are chained anew, with the head that fits."""
    with _open(path) as (connection, rows):
        at = dice.randrange(len(rows))
        rows[at] |= {"body": encode({"nothing": "happened"}), **_plain(path)}
        _put(connection, *_chained(rows))
    _note_head(path)


def put_one_in(_: Case, path: Path, dice: random.Random) -> None:
    """A record too many in the middle; what follows is numbered and chained anew, with the head that fits."""
    with _open(path) as (connection, rows):
        at = dice.randrange(1, len(rows))
        new = rows[at] | {"kind": "request", "body": encode({"action": "mode", "value": "closed"}), **_plain(path)}
        later = [{**row, "seq": row["seq"] + 1} for row in rows[at:]]
        connection.execute("DELETE FROM records")
        _put(connection, *_chained([*rows[:at], new, *later]))
    _note_head(path)


def other_spectrum(_: Case, path: Path, dice: random.Random) -> None:
    """A record has the spectrum of another one, or none."""
    with _open(path) as (connection, rows):
        table = "records" if "blob" in rows[0] else "blobs"
        held = connection.execute(f"SELECT seq, blob FROM {table} WHERE blob IS NOT NULL").fetchall()
        (to, _), (_, blob) = dice.sample(held, 2)
        if dice.random() < 0.5:
            connection.execute(f"UPDATE {table} SET blob = ? WHERE seq = ?", (blob, to))
        elif table == "blobs":
            connection.execute("DELETE FROM blobs WHERE seq = ?", (to,))
        else:
            connection.execute("UPDATE records SET blob = NULL WHERE seq = ?", (to,))


def roll_back(case: Case, path: Path, _: random.Random) -> None:
    """File, log and head as they were some time ago."""
    _instead(path, case.older)


def replace_the_file(case: Case, path: Path, _: random.Random) -> None:
    """Another journal of the same line, with its head."""
    _instead(path, case.other)


def go_on_otherwise(case: Case, path: Path, dice: random.Random) -> None:
    """Rolled back, and then gone on with other records until it is as long as it was."""
    _instead(path, case.older)
    with Journal.open(path, LINE) as journal:
        newest = journal.last()
        assert newest is not None, "an older state is not empty"
        for i in range(newest.seq, case.records[-1].seq + dice.randrange(3)):
            journal.append("cycle", newest.time_s + i, encode({"cycle": i, "readings": {}}))


WAYS: dict[str, Way] = {
    "blank a sector": blank, "cut a file off": cut_off, "lose log or head": lose_the_log, "swap two records": swap_rows,
    "re-order and chain anew": reorder, "remove a record": remove, "remove the newest": remove_from_the_end,
    "remove one and close up": remove_and_close_up, "replace a record, hash to fit": replace_a_row,
    "replace a record and chain anew": replace_and_chain_anew, "put a record in": put_one_in,
    "exchange or drop a spectrum": other_spectrum, "roll back the whole file": roll_back,
    "replace the whole file": replace_the_file, "roll back and go on otherwise": go_on_otherwise,
}  # fmt: skip


def _bytes(path: Path, dice: random.Random, change: Callable[[bytes, int], bytes]) -> None:
    """Change one of the files, the journal itself most often."""
    files = [path] * 8 + [head_path(path)] + [path.with_name(path.name + "-wal")] * 4
    file = dice.choice([file for file in files if file.exists()])
    old = file.read_bytes()
    file.write_bytes(change(old, dice.randrange(len(old))))


@contextmanager
def _open(path: Path) -> Iterator[tuple[sqlite3.Connection, list[Values]]]:
    """The records as they are stored, and a connection that may change them: the triggers are away so long."""
    with closing(sqlite3.connect(path)) as connection, connection:
        form = connection.execute("PRAGMA user_version").fetchone()[0] or 1
        triggers = {name: sql for name, sql in SCHEMAS[form].items() if "TRIGGER" in sql}
        for name in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        cursor = connection.execute("SELECT * FROM records ORDER BY seq")
        names = [column[0] for column in cursor.description]
        yield connection, [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]
        for sql in triggers.values():
            connection.execute(sql)


def _put(connection: sqlite3.Connection, *rows: Values) -> None:
    marks = ", ".join("?" for _ in rows[0])
    statement = f"INSERT OR REPLACE INTO records ({', '.join(rows[0])}) VALUES ({marks})"
    connection.executemany(statement, [tuple(row.values()) for row in rows])


def _chained(rows: list[Values]) -> list[Values]:
    """The same records, each with the hash that fits it and the one before; over retired ones as it was."""
    found: list[Values] = []
    for row in rows:
        follows = bool(found) and row["seq"] == found[-1]["seq"] + 1
        chained = row | ({"prev_hash": found[-1]["hash"]} if follows else {})
        found.append(chained | {"hash": _hash(chained)})
    return found


def _hash(row: Values) -> bytes:
    told = {name: row[name] for name in ("seq", "time_s", "kind", "body")}
    if "coding" in row:
        return chain_hash(row["prev_hash"], **told, coding=row["coding"], blob_hash=row["blob_hash"])
    return chain_hash_1(row["prev_hash"], **told, blob=row["blob"])


def _plain(path: Path) -> Values:
    """What a body that is not packed has beside it."""
    with closing(sqlite3.connect(path)) as connection:
        return {"coding": 0} if connection.execute("PRAGMA user_version").fetchone()[0] == 2 else {}


def _note_head(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        seq, digest = connection.execute("SELECT seq, hash FROM records ORDER BY seq DESC LIMIT 1").fetchone()
    head_path(path).write_text(f'{{"seq": {seq}, "hash": "{digest.hex()}"}}\n', encoding="ascii")


def _instead(path: Path, folder: Path) -> None:
    for file in path.parent.iterdir():
        file.unlink()
    for file in folder.iterdir():
        shutil.copy(file, path.parent)
