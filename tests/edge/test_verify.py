"""No byte of a record can change, no record vanish or move, without verify saying which."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from journal_hand import LINE, begin_format_1, copy, fill, form_of, tamper

from edge.record.canonical import encode
from edge.record.chain import chain_hash, chain_hash_1, head_path
from edge.record.checkpoint import signer
from edge.record.journal import Journal
from edge.record.verify import verify

N = 14
BIG, SMALL = 9000, 30  # bytes of body: some records lie in one page, some run over into others


@pytest.fixture(scope="session", params=[1, 2])
def sound(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    path = folder / "journal.sqlite"
    if request.param == 1:
        begin_format_1(path)
    fill(path, N, BIG, SMALL, signer(folder) if request.param == 2 else None)
    return path


@pytest.fixture
def path(sound: Path, tmp_path: Path) -> Path:
    return copy(sound, tmp_path)


def test_a_sound_journal_is_found_sound(path: Path) -> None:
    seen: list[tuple[int, int]] = []
    verdict = verify(path, lambda done, total: seen.append((done, total)))
    assert (verdict.ok, verdict.n, verdict.first_bad_seq, verdict.reason) == (True, N, None, "")
    assert seen == [(N, N)]


def test_verify_while_records_are_being_added(path: Path) -> None:
    with Journal.open(path, LINE) as journal:
        journal.append("cycle", 2000.0, encode({}))
        assert verify(path).n == N + 1


@pytest.mark.parametrize("seq", [1, 2, 4, N])
@pytest.mark.parametrize(
    "change",
    [
        "time_s = time_s + 1",
        "kind = kind || 'x'",
        "body = x'7b7d'",
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


def forge(path: Path, seq: int, **change: object) -> None:
    """Change columns of a record and give it the hash that fits them."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.row_factory = sqlite3.Row
        row = dict(connection.execute("SELECT * FROM records WHERE seq = ?", (seq,)).fetchone()) | change
    del row["hash"]
    own = (chain_hash if form_of(path) == 2 else chain_hash_1)(row.pop("prev_hash"), **row)
    values = change | {"hash": own}
    columns = ", ".join(f"{name} = ?" for name in values)
    tamper(path, f"UPDATE records SET {columns} WHERE seq = {seq}", values=tuple(values.values()))


@pytest.mark.parametrize("change", [{"body": b"{}"}, {"prev_hash": bytes(32)}])
def test_an_altered_record_with_a_new_hash_is_named(path: Path, change: dict[str, bytes]) -> None:
    forge(path, 6, **change)
    verdict = verify(path)
    assert (verdict.ok, verdict.first_bad_seq) == (False, 6)


def test_a_whole_new_chain_does_not_fit_the_head(path: Path) -> None:
    forge(path, N, body=b"{}")
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
    """Offsets of every byte that belongs to a record or a blob (SQLite file format: b-tree pages)."""
    tables = ["records"] if form_of(path) == 1 else ["records", "blobs"]
    with closing(sqlite3.connect(path)) as connection, connection:
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        found = dict(connection.execute("SELECT name, rootpage FROM sqlite_master").fetchall())
    content = path.read_bytes()
    runs = [run for table in tables for run in cells(content, size, found[table])]
    return [at for start, length in runs for at in range(start, start + length)]


def cells(content: bytes, size: int, number: int) -> Iterator[tuple[int, int]]:
    """(offset, length) of every run of record bytes below one page of a b-tree: of rows by key or by rowid."""
    begin = (number - 1) * size
    page = content[begin : begin + size]
    kind = page[0]
    assert kind in (2, 10, 5, 13)
    interior, by_rowid = kind in (2, 5), kind in (5, 13)
    if interior:
        yield from cells(content, size, int.from_bytes(page[8:12]))
    first = 12 if interior else 8
    for i in range(int.from_bytes(page[3:5])):
        at = int.from_bytes(page[first + 2 * i : first + 2 * i + 2])
        if interior:
            yield from cells(content, size, int.from_bytes(page[at : at + 4]))
            at += 4
        if interior and by_rowid:
            yield begin + at, varint(page, at)[1] - at
            continue
        payload, start = varint(page, at)
        if by_rowid:
            start = varint(page, start)[1]
        local = local_size(payload, size, by_rowid)
        if by_rowid:  # the type of a rowid's column is never looked at: the number is the one before the record
            yield begin + at, start + 1 - at
            at = start + 2
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


def local_size(payload: int, size: int, by_rowid: bool) -> int:
    most, least = size - 35 if by_rowid else (size - 12) * 64 // 255 - 23, (size - 12) * 32 // 255 - 23
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
    with closing(sqlite3.connect(sound)) as connection:
        (stored,) = connection.execute("SELECT sum(length(body) + 64) FROM records").fetchone()
        table = "records" if form_of(sound) == 1 else "blobs"
        stored += connection.execute(f"SELECT sum(length(blob)) FROM {table}").fetchone()[0]
    offsets = record_bytes(sound)
    assert len(set(offsets)) == len(offsets)
    assert stored < len(offsets) < stored + N * 90


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
