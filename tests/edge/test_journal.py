"""The journal takes records from several processes at once, gives them back, and refuses all else."""

from __future__ import annotations

import json
import multiprocessing
import sqlite3
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest
from journal_hand import LINE, begin_format_1, form_of

from edge.errors import ConfigError, RecorderError
from edge.record import chain
from edge.record.canonical import encode
from edge.record.chain import FIRST_PREV_HASH, Head, head_path, read_head
from edge.record.compact import REACH
from edge.record.journal import Journal
from edge.record.verify import verify


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.sqlite"


def test_a_new_journal_begins_with_its_genesis(path: Path) -> None:
    with Journal.open(path, LINE, now=lambda: 100.0) as journal:
        (row,) = journal.rows()
    assert (row.seq, row.kind, row.time_s, row.prev_hash) == (1, "genesis", 100.0, FIRST_PREV_HASH)
    assert row.content()["line"] == LINE
    assert row.content()["version"]


def test_what_is_appended_is_read_back_in_order_and_chained(path: Path) -> None:
    with Journal.open(path, LINE) as journal:
        written = [journal.append("cycle", float(i), encode({"i": i}), bytes([i])) for i in range(5)]
        written.append(journal.append("stop", -0.0, encode({}), None))
        rows = list(journal.rows(after_seq=1))
    assert rows == written
    assert [row.seq for row in rows] == [2, 3, 4, 5, 6, 7]
    assert all(later.prev_hash == earlier.hash for earlier, later in pairwise(rows))
    assert verify(path).ok


def test_rows_are_filtered_limited_and_fetched_in_chunks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.record.journal.CHUNK", 3)
    with Journal.open(path, LINE) as journal:
        for i in range(10):
            journal.append("cycle" if i % 2 else "act", float(i), encode(i))
        assert [row.content() for row in journal.rows(kind="cycle")] == [1, 3, 5, 7, 9]
        assert [row.seq for row in journal.rows(after_seq=2, limit=5)] == [3, 4, 5, 6, 7]
        assert [row.content() for row in journal.rows(after_seq=4, kind="act", limit=2)] == [4, 6]
        newest, act, none = journal.last(), journal.last("act"), journal.last("gap")
        third = journal.get(3)
    assert newest is not None
    assert act is not None
    assert third is not None
    assert (newest.seq, act.seq, none, third.content()) == (11, 10, None, 1)


def test_opened_again_it_goes_on_where_it_was(path: Path) -> None:
    with Journal.open(path, LINE) as journal:
        journal.append("stop", 1.0, encode({}))
    with Journal.open(path, LINE) as journal:
        assert journal.append("start", 2.0, encode({})).seq == 3


def test_a_reader_follows_the_writer_and_cannot_write(path: Path) -> None:
    with Journal.open(path, LINE) as journal, Journal.open_reader(path) as reader:
        journal.append("cycle", 1.0, encode({}))
        newest = reader.last()
        assert newest is not None
        assert newest.seq == 2
        with pytest.raises(RecorderError, match="readonly"):
            reader.append("cycle", 1.0, encode({}))


class Refusing:
    """A connection as SQLite gives it for a write-ahead journal on a medium that cannot be written."""

    def execute(self, query: str) -> None:
        raise sqlite3.OperationalError("attempt to write a readonly database")

    def close(self) -> None:
        self.closed = True


def test_an_archived_journal_is_read_where_nothing_can_be_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Journal.open(path, LINE).close()
    connect = chain._connect
    monkeypatch.setattr(chain, "_connect", lambda at: Refusing() if at.endswith("mode=ro") else connect(at))
    with Journal.open_reader(path) as reader:
        assert [row.kind for row in reader.rows()] == ["genesis"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE records SET body = x'00' WHERE seq = 2",
        "DELETE FROM records WHERE seq = 2",
        "INSERT OR REPLACE INTO records SELECT seq, 0.0, kind, coding, body, blob_hash, prev_hash, hash FROM records",
        "INSERT INTO records SELECT 9, time_s, kind, coding, body, blob_hash, prev_hash, hash FROM records LIMIT 1",
        "UPDATE blobs SET blob = x'00'",
        "DELETE FROM blobs",
        "INSERT OR REPLACE INTO blobs VALUES (2, x'00')",
        "INSERT INTO blobs VALUES (1, x'00')",
    ],
)
def test_the_file_itself_refuses_to_be_changed(path: Path, statement: str) -> None:
    with Journal.open(path, LINE) as journal:
        journal.append("cycle", 1.0, encode({}), b"seen")
        before = list(journal.rows())
        other = sqlite3.connect(path)
        with pytest.raises(sqlite3.IntegrityError, match="journal"):
            other.execute(statement)
        other.close()
        assert list(journal.rows()) == before


def test_the_head_is_noted_after_each_record(path: Path) -> None:
    with Journal.open(path, LINE) as journal:
        row = journal.append("cycle", 1.0, encode({}))
    head = read_head(path)
    assert head is not None
    assert (head.seq, head.hash) == (row.seq, row.hash)
    assert json.loads(head_path(path).read_text())["seq"] == 2
    assert sorted(item.name for item in path.parent.iterdir()) == ["journal.sqlite", "journal.sqlite.head"]


def _append_many(path: Path, kind: str) -> None:
    with Journal.open(path, LINE) as journal:
        for i in range(40):
            journal.append(kind, float(i), encode({"i": i}))


def test_several_processes_append_without_losing_a_record(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append_many, args=(path, kind)) for kind in ("cycle", "request")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    with Journal.open_reader(path) as journal:
        rows = list(journal.rows())
    assert [row.seq for row in rows] == list(range(1, 82))
    assert all(later.prev_hash == earlier.hash for earlier, later in pairwise(rows))
    assert [row.content()["i"] for row in rows if row.kind == "request"] == list(range(40))


def test_the_journal_of_another_line_is_refused(path: Path) -> None:
    Journal.open(path, LINE).close()
    with pytest.raises(ConfigError, match="'CDC-REF-1', not of 'OTHER'"):
        Journal.open(path, "OTHER")


def test_what_is_no_journal_is_a_recorder_error(path: Path, tmp_path: Path) -> None:
    with pytest.raises(RecorderError, match="no journal"):
        Journal.open_reader(path)
    text = tmp_path / "text.sqlite"
    text.write_text("this is a letter to my aunt, and it is long enough to be read as a page" * 100)
    with pytest.raises(RecorderError, match="not a database"):
        Journal.open_reader(text)
    with pytest.raises(RecorderError, match="not a database"):
        Journal.open(text, LINE)
    with pytest.raises(RecorderError, match="cannot be opened"):
        Journal.open(text / "below" / "a-file", LINE)


def test_a_record_that_cannot_be_written_is_a_recorder_error(path: Path) -> None:
    with Journal.open(path, LINE) as journal:
        with pytest.raises(RecorderError, match="could not take a record"):
            journal.append("cycle", float("nan"), encode({}))
        assert journal.append("cycle", 1.0, encode({})).seq == 2


def test_after_a_device_error_no_record_is_taken_for_written(path: Path) -> None:
    with Journal.open(path, LINE) as journal:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        assert "disk I/O error" in str(journal._failure(error))
        with pytest.raises(RecorderError, match="no more records"):
            journal.append("cycle", 1.0, encode({}))


def test_a_head_that_cannot_be_noted_is_told(path: Path) -> None:
    with Journal.open(path, LINE) as journal:
        head_path(path).unlink()
        (head_path(path) / "in_the_way").mkdir(parents=True)
        with pytest.raises(RecorderError, match="record 2 is written, but its head"):
            journal.append("cycle", 1.0, encode({}))


@pytest.mark.parametrize("form", [1, 2])
def test_a_blob_is_read_without_its_record(path: Path, form: int) -> None:
    path.parent.mkdir()
    if form == 1:
        begin_format_1(path)
    with Journal.open(path, LINE) as journal, Journal.open_reader(path) as reader:
        journal.append("cycle", 1.0, encode({}), b"seen")
        journal.append("act", 1.0, encode({}))
        assert [reader.blob(seq) for seq in (1, 2, 3, 9)] == [None, b"seen", None, None]
    with pytest.raises(RecorderError, match="cannot be read"):
        reader.blob(2)


def test_a_journal_of_the_first_format_goes_on_in_it(path: Path) -> None:
    path.parent.mkdir()
    begin_format_1(path)
    bodies = [encode({"i": i, "text": "the same in all " * 40}) for i in range(4)]
    with Journal.open(path, LINE) as journal:
        written = [journal.append("cycle", float(i), body, b"seen") for i, body in enumerate(bodies)]
        assert list(journal.rows(kind="cycle")) == written
        assert [row.body for row in written] == bodies
    assert form_of(path) == 1
    assert (verify(path).ok, verify(path).n) == (True, 5)


def test_a_body_is_packed_with_a_near_one_of_its_kind_and_comes_back(path: Path) -> None:
    bodies = [encode({"i": i, "text": [f"tag {k} is {k * i}" for k in range(200)]}) for i in range(300)]
    with Journal.open(path, LINE) as journal:
        for i, body in enumerate(bodies):
            journal.append("cycle", float(i), body)
            journal.append("act", float(i), encode({"i": i}))
    with Journal.open_reader(path) as reader:
        assert [row.body for row in reader.rows(kind="cycle")] == bodies
        found = reader.get(402)
    assert found is not None
    assert found.body == bodies[200]
    with closing(sqlite3.connect(path)) as connection:
        stored = connection.execute("SELECT seq, coding, length(body) FROM records WHERE kind = 'cycle'").fetchall()
        acts = connection.execute("SELECT DISTINCT coding FROM records WHERE kind = 'act'").fetchall()
    assert all(seq - REACH <= coding <= seq for seq, coding, _ in stored)
    assert sum(size for _, _, size in stored) < sum(map(len, bodies)) / 3
    assert acts == [(0,)]
    assert verify(path).ok


def test_a_record_that_was_not_written_is_no_dictionary(path: Path) -> None:
    body = encode({"text": "the same in all " * 40})
    with Journal.open(path, LINE) as journal:
        with pytest.raises(RecorderError, match="could not take"):
            journal.append("cycle", float("nan"), body)
        journal.append("act", 1.0, encode({}))
        for time_s in (2.0, 3.0):
            assert journal.append("cycle", time_s, body).body == body
        assert [row.body for row in journal.rows(kind="cycle")] == [body] * 2
    assert verify(path).ok


def test_what_is_changed_with_a_record_is_changed_with_it_or_not_at_all(path: Path) -> None:
    with Journal.open(path, LINE) as journal:

        def fails(connection: sqlite3.Connection, head: Head) -> bytes:
            connection.execute("DROP TRIGGER blobs_no_delete")
            raise sqlite3.OperationalError(f"after {head.seq}")

        with pytest.raises(RecorderError, match="after 1"):
            journal.append_with("retired", 1.0, fails)
        row = journal.append_with("note", 1.0, lambda _, head: encode({"seq": head.seq, "hash": head.hash.hex()}))
        assert row.content() == {"seq": 1, "hash": row.prev_hash.hex()}
    assert verify(path).ok


def test_a_journal_of_a_newer_release_is_told(path: Path) -> None:
    Journal.open(path, LINE).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA user_version=9")
    for use in (lambda: Journal.open(path, LINE), lambda: list(Journal.open_reader(path).rows())):
        with pytest.raises(RecorderError, match="format 9"):
            use()
    assert "format 9" in verify(path).reason


def test_a_reader_may_come_before_the_journal_is_begun(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with Journal.open_reader(path) as reader:
        with pytest.raises(RecorderError, match="no such table"):
            reader.last()
        with Journal.open(path, LINE) as journal:
            journal.append("cycle", 1.0, encode({}), b"seen")
            assert [row.kind for row in reader.rows()] == ["genesis", "cycle"]
