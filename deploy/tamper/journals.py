"""seed -> journals to spoil: both formats, closed and while written, with retired records, and older and other ones."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.record.canonical import encode, pack_spectrum
from edge.record.chain import FIRST_PREV_HASH, SCHEMAS, Row, chain_hash_1, head_path
from edge.record.checkpoint import Signer, latest_anchor, signer
from edge.record.journal import Journal
from edge.record.retention import Pace, Retention
from edge.record.settings import RecordTable

LINE = "TAMPERING"
T0, HOUR_S, DAY_S = 1_700_000_000.0, 3600.0, 86_400.0
ROWS = 100  # small: a trial is to cost milliseconds


@dataclass(frozen=True)
class Case:
    """A journal as it should be: its folder, file, anchor, public key (None: nobody signs) and what it holds.

    older, other: folders with the same journal as it was, and with another journal of the same line.
    """

    name: str
    folder: Path
    file: str
    anchor: str
    key: bytes | None
    records: tuple[Row, ...]
    older: Path
    other: Path


def cases(folder: Path) -> list[Case]:
    """Every journal to spoil, made in folder."""
    key, stranger = signer(folder / "pki"), signer(folder / "pki_of_another")
    made = []
    for form in (1, 2):
        for live in (False, True):
            name = f"format {form}, {'being written' if live else 'closed'}"
            place = folder / f"{form}{live}"
            older, other = place / "older", place / "other"
            _write(older, form, live, ROWS // 2, key if form == 2 else None, seed=1)
            _write(other, form, live, ROWS + 2, stranger if form == 2 else None, seed=2)
            path = _write(place / "good", form, live, ROWS, key if form == 2 else None, seed=1)
            with Journal.open_reader(path) as journal:
                found = latest_anchor(journal)
            assert found is not None, "a journal that was begun has an anchor"
            public, records = key.public if form == 2 else None, read_back(path)
            _only(path.parent)
            made.append(Case(name, path.parent, path.name, found.text(), public, records, older, other))
    return made


def read_back(path: Path) -> tuple[Row, ...]:
    """Everything that readers of the journal are given. Raises RecorderError."""
    with Journal.open_reader(path) as journal:
        return tuple(journal.rows())


def _write(folder: Path, form: int, live: bool, count: int, key: Signer | None, seed: int) -> Path:
    """A journal of so many records; live: as it lies on disk while its writer has it open."""
    work = folder.with_name(folder.name + " work")
    work.mkdir(parents=True)
    path = work / "journal.sqlite"
    if form == 1:
        _begin_format_1(path)
    dice, noise = random.Random(seed), np.random.default_rng(seed)
    with Journal.open(path, LINE, now=lambda: T0) as journal:
        for i in range(2, count + 1):
            time_s = T0 + HOUR_S * i
            if key is not None and (i % 10 == 0 or i == count):
                key.checkpoint(journal, time_s)
            elif i % 17 == 0:
                journal.append("request", time_s, encode({"action": "mode", "value": "advise", "user": "somebody"}))
            else:
                readings = {f"Tag{k}": {"value": dice.gauss(5.0, 1.0), "quality": "good"} for k in range(12)}
                blob = pack_spectrum(noise.normal(size=125).cumsum()) if i % 3 else None
                journal.append("cycle" if i % 2 else "act", time_s, encode({"cycle": i, "readings": readings}), blob)
            if live and i == count // 2:
                _fold(path)  # half of it is in the file, half in the log beside it
        if form == 2 and not live:
            _retire(journal, work / "archive", T0 + HOUR_S * count)
            if key is not None:
                key.checkpoint(journal, T0 + HOUR_S * (count + 1))
        if live:
            shutil.copytree(work, folder)
    if not live:
        shutil.copytree(work, folder)
    shutil.rmtree(work)
    _only(folder)
    return folder / path.name


def _retire(journal: Journal, archive: Path, now_s: float) -> None:
    table = RecordTable(archive=archive, keep_days=1.75, keep_spectra_days=1.25)
    retention = Retention(journal, table, LINE, Pace(rows=10, least=5, removed=10, newest=5))
    for day in (0.5, 0.25, 0.0):
        while retention.step(now_s - day * DAY_S):
            continue


def _fold(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _only(folder: Path) -> None:
    """What readers leave behind is not part of a journal: the index of the log, and a log without content."""
    for file in folder.iterdir():
        if file.name.endswith("-shm") or (file.is_file() and file.stat().st_size == 0):
            file.unlink()
    shutil.rmtree(folder / "archive", ignore_errors=True)


def _begin_format_1(path: Path) -> None:
    body = encode({"line": LINE, "software": "patloop", "version": "0.1.0"})
    own = chain_hash_1(FIRST_PREV_HASH, seq=1, time_s=T0, kind="genesis", body=body, blob=None)
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in SCHEMAS[1].values():
            connection.execute(statement)
        values = (1, T0, "genesis", body, None, FIRST_PREV_HASH, own)
        connection.execute("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)", values)


__all__ = ["LINE", "Case", "cases", "head_path", "read_back"]
