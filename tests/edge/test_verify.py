"""No byte of a record can change, no record vanish or move, without verify saying which."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.record.canonical import encode, pack_spectrum
from edge.record.chain import SCHEMA, Row, chain_hash, head_path
from edge.record.journal import Journal
from edge.record.verify import verify

N = 14
BIG, SMALL = 9000, 30  # bytes of body: some records lie in one page, some run over into others


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "journal.sqlite"
    noise = np.random.default_rng(7)
    with Journal.open(path, "CDC-REF-1", now=lambda: 1.5) as journal:
        for i in range(2, N + 1):
            body = encode({"i": i, "text": "x" * (BIG if i % 4 == 0 else SMALL)})
            blob = pack_spectrum(noise.normal(size=125)) if i % 3 else None
            journal.append("cycle" if i % 2 else "act", 1000.0 + i * 1.25, body, blob)
    return path


@pytest.fixture
def path(sound: Path, tmp_path: Path) -> Path:
    return copy(sound, tmp_path)


def copy(sound: Path, folder: Path) -> Path:
    for item in folder.iterdir():
        item.unlink()
    for file in (sound, head_path(sound)):
        shutil.copy(file, folder)
    return folder / sound.name


def tamper(path: Path, *statements: str, values: tuple[object, ...] = ()) -> None:
    """Change the file as one would who has it in hand: refuse-triggers off, change, triggers on again."""
    with closing(sqlite3.connect(path)) as connection, connection:
        triggers = [name for name in SCHEMA if name.startswith("records_") and name != "records_kind"]
        for name in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement, values)
        for name in triggers:
            connection.execute(SCHEMA[name])


def test_a_sound_journal_is_found_sound(path: Path) -> None:
    seen: list[tuple[int, int]] = []
    verdict = verify(path, lambda done, total: seen.append((done, total)))
    assert (verdict.ok, verdict.n, verdict.first_bad_seq, verdict.reason) == (True, N, None, "")
    assert seen == [(N, N)]


def test_verify_while_records_are_being_added(path: Path) -> None:
    with Journal.open(path, "CDC-REF-1") as journal:
        journal.append("cycle", 2000.0, encode({}))
        assert verify(path).n == N + 1


@pytest.mark.parametrize("seq", [1, 2, 4, N])
@pytest.mark.parametrize(
    "change",
    [
        "time_s = time_s + 1",
        "kind = kind || 'x'",
        "body = x'7b7d'",
        "blob = x'00'",
        "hash = zeroblob(32)",
        "prev_hash = x'01'",
    ],
)
def test_an_altered_column_names_its_record(path: Path, seq: int, change: str) -> None:
    tamper(path, f"UPDATE records SET {change} WHERE seq = {seq}")
    verdict = verify(path)
    assert not verdict.ok
    assert verdict.first_bad_seq == seq
    assert f"record {seq} was altered" in verdict.reason


@pytest.mark.parametrize(
    ("gone", "words"), [("= 1", "record 1 is"), ("= 6", "record 6 is"), ("IN (6, 7)", "records 6 to 7 are")]
)
def test_a_removed_record_is_named(path: Path, gone: str, words: str) -> None:
    tamper(path, f"DELETE FROM records WHERE seq {gone}")
    verdict = verify(path)
    assert not verdict.ok
    assert verdict.reason == f"{words} missing"
    assert str(verdict.first_bad_seq) in words


@pytest.mark.parametrize("left", [N - 1, 3])
def test_records_cut_off_at_the_end_are_missed(path: Path, left: int) -> None:
    tamper(path, f"DELETE FROM records WHERE seq > {left}")
    verdict = verify(path)
    assert (verdict.ok, verdict.n, verdict.first_bad_seq) == (False, left, left + 1)
    assert "missing from the end" in verdict.reason


def test_an_emptied_journal_is_not_sound(path: Path) -> None:
    tamper(path, "DELETE FROM records")
    assert verify(path).first_bad_seq == 1


def test_swapped_records_are_named(path: Path) -> None:
    tamper(
        path,
        "UPDATE records SET seq = 100 WHERE seq = 5",
        "UPDATE records SET seq = 5 WHERE seq = 8",
        "UPDATE records SET seq = 8 WHERE seq = 100",
    )
    verdict = verify(path)
    assert not verdict.ok
    assert verdict.first_bad_seq == 5


def rehash(row: Row) -> Row:
    own = chain_hash(row.prev_hash, seq=row.seq, time_s=row.time_s, kind=row.kind, body=row.body, blob=row.blob)
    return replace(row, hash=own)


@pytest.mark.parametrize("change", [{"body": b"{}"}, {"prev_hash": bytes(32)}])
def test_an_altered_record_with_a_new_hash_is_named(path: Path, change: dict[str, bytes]) -> None:
    with Journal.open_reader(path) as journal:
        row = journal.get(5)
    assert row is not None
    forged = rehash(replace(row, **change))  # type: ignore[arg-type]
    values = (forged.body, forged.prev_hash, forged.hash)
    tamper(path, "UPDATE records SET body = ?, prev_hash = ?, hash = ? WHERE seq = 5", values=values)
    verdict = verify(path)
    assert (verdict.ok, verdict.first_bad_seq) == (False, 5)


def test_a_whole_new_chain_does_not_fit_the_head(path: Path) -> None:
    with Journal.open_reader(path) as journal:
        rows = list(journal.rows())
    forged = rehash(replace(rows[-1], body=b"{}"))
    tamper(path, f"UPDATE records SET body = ?, hash = ? WHERE seq = {N}", values=(forged.body, forged.hash))
    verdict = verify(path)
    assert (verdict.ok, verdict.first_bad_seq) == (False, N)
    assert "head" in verdict.reason


def test_a_head_that_lags_is_fine_and_a_missing_one_is_told(path: Path) -> None:
    with Journal.open_reader(path) as journal:
        row = journal.get(3)
    assert row is not None
    head_path(path).write_text(f'{{"seq": 3, "hash": "{row.hash.hex()}"}}')
    assert verify(path).ok
    for content in ("", "\0\0\0"):
        head_path(path).write_text(content)
        assert "would not be noticed" in verify(path).reason
    head_path(path).unlink()
    verdict = verify(path)
    assert verdict.ok
    assert "would not be noticed" in verdict.reason


@pytest.mark.parametrize("content", ["{", "[]", '{"seq": 1}', '{"seq": 1, "hash": "zz"}', "é"])
def test_a_damaged_head_is_not_sound(path: Path, content: str) -> None:
    head_path(path).write_text(content, encoding="utf-8")
    verdict = verify(path)
    assert not verdict.ok
    assert "head" in verdict.reason


def test_removed_triggers_are_told(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TRIGGER records_no_delete")
    verdict = verify(path)
    assert not verdict.ok
    assert "records_no_delete" in verdict.reason


def test_what_is_no_journal_is_not_sound(tmp_path: Path) -> None:
    other = tmp_path / "other.sqlite"
    assert not verify(other).ok
    other.write_bytes(os.urandom(5000))
    assert not verify(other).ok
    other.unlink()
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("CREATE TABLE cats (name)")
    assert "no such table: records" in verify(other).reason


def varint(page: bytes, at: int) -> tuple[int, int]:
    value = 0
    for i in range(8):
        value = (value << 7) | (page[at + i] & 0x7F)
        if page[at + i] < 0x80:
            return value, at + i + 1
    return (value << 8) | page[at + 8], at + 9


def record_bytes(path: Path) -> list[int]:
    """Offsets of every byte that belongs to a record (SQLite file format: index b-tree pages)."""
    with closing(sqlite3.connect(path)) as connection, connection:
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'records'").fetchone()[0]
    content = path.read_bytes()
    return [at for start, length in cells(content, size, root) for at in range(start, start + length)]


def cells(content: bytes, size: int, number: int) -> Iterator[tuple[int, int]]:
    """(offset, length) of every run of record bytes below one page of an index b-tree."""
    begin = (number - 1) * size
    page = content[begin : begin + size]
    interior = page[0] == 2
    assert page[0] in (2, 10)
    if interior:
        yield from cells(content, size, int.from_bytes(page[8:12]))
    first = 12 if interior else 8
    for i in range(int.from_bytes(page[3:5])):
        at = int.from_bytes(page[first + 2 * i : first + 2 * i + 2])
        if interior:
            yield from cells(content, size, int.from_bytes(page[at : at + 4]))
            at += 4
        payload, start = varint(page, at)
        local = local_size(payload, size)
        yield begin + at, start + local - at
        if local < payload:
            yield from overflow(content, size, int.from_bytes(page[start + local : start + local + 4]), payload - local)


def overflow(content: bytes, size: int, number: int, left: int) -> Iterator[tuple[int, int]]:
    while left > 0:
        begin = (number - 1) * size
        length = min(left, size - 4)
        yield begin + 4, length
        left -= length
        number = int.from_bytes(content[begin : begin + 4])


def local_size(payload: int, size: int) -> int:
    most, least = (size - 12) * 64 // 255 - 23, (size - 12) * 32 // 255 - 23
    if payload <= most:
        return payload
    fitting = least + (payload - least) % (size - 4)
    return fitting if fitting <= most else least


def flip(sound: Path, folder: Path, at: int, mask: int) -> Path:
    path = copy(sound, folder)
    content = bytearray(path.read_bytes())
    content[at] ^= mask
    path.write_bytes(content)
    return path


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("flipped")


def test_the_bytes_of_the_records_are_all_found(sound: Path) -> None:
    with Journal.open_reader(sound) as journal:
        stored = sum(len(row.body) + len(row.blob or b"") + 64 for row in journal.rows())
    offsets = record_bytes(sound)
    assert len(set(offsets)) == len(offsets)
    assert stored < len(offsets) < stored + N * 60


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data(), mask=st.integers(1, 255))
def test_any_flipped_byte_of_a_record_is_found(sound: Path, folder: Path, data: st.DataObject, mask: int) -> None:
    offsets = record_bytes(sound)
    at = offsets[data.draw(st.integers(0, len(offsets) - 1))]
    assert not verify(flip(sound, folder, at, mask)).ok


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data(), mask=st.integers(1, 255))
def test_a_file_that_is_found_sound_holds_the_records_it_held(
    sound: Path, folder: Path, data: st.DataObject, mask: int
) -> None:
    with Journal.open_reader(sound) as journal:
        before = list(journal.rows())
    path = flip(sound, folder, data.draw(st.integers(0, sound.stat().st_size - 1)), mask)
    if verify(path).ok:
        with Journal.open_reader(path) as journal:
            assert list(journal.rows()) == before
