"""The head is signed, anchored outside and found again; what was retired is accounted for; all else is found."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from journal_hand import LINE, begin_format_1, copy, cut_archive, fill, retire, tamper

from edge.errors import ConfigError
from edge.record.canonical import encode
from edge.record.chain import SCHEMAS, head_path, read_head
from edge.record.checkpoint import (
    PUBLIC,
    Anchor,
    Signer,
    anchor_of,
    key_id,
    latest_anchor,
    read_anchor,
    read_key,
    signer,
)
from edge.record.journal import Journal
from edge.record.verify import verify

N = 40


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signed")
    fill(folder / "journal.sqlite", N, 1500, 30, signer(folder / "pki"))
    return folder


@pytest.fixture
def key(made: Path) -> Signer:
    return signer(made / "pki")


@pytest.fixture
def path(made: Path, tmp_path: Path) -> Path:
    return copy(made / "journal.sqlite", tmp_path)


def anchor(path: Path) -> Anchor:
    with Journal.open_reader(path) as journal:
        found = latest_anchor(journal)
    assert found is not None
    return found


def test_the_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    first, again = signer(tmp_path / "pki"), signer(tmp_path / "pki")
    assert first.public == again.public == read_key((tmp_path / "pki" / PUBLIC).read_text())
    private = tmp_path / "pki" / "record_key.pem"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    private.chmod(0o640)
    with pytest.raises(ConfigError, match="can be read by others"):
        signer(tmp_path / "pki")
    private.chmod(0o600)
    private.write_text("no key")
    with pytest.raises(ConfigError, match="restore it"):
        signer(tmp_path / "pki")


def test_checkpoints_sign_what_is_before_them(path: Path, key: Signer) -> None:
    verdict = verify(path, key=key.public)
    assert (verdict.ok, verdict.reason, verdict.signed_to) == (True, "", 39)
    with Journal.open_reader(path) as journal:
        told = [row.content() for row in journal.rows(kind="checkpoint")]
    assert [t["seq"] for t in told] == [4, 9, 14, 19, 24, 29, 34, 39]
    assert {t["key_id"] for t in told} == {key_id(key.public)}


def test_another_key_or_no_signature_is_found(path: Path, tmp_path: Path, key: Signer) -> None:
    other = signer(tmp_path / "other")
    found = verify(path, key=other.public)
    assert (found.ok, found.first_bad_seq) == (False, 5)
    with Journal.open(path, LINE) as journal:
        other.checkpoint(journal, 5000.0)
    found = verify(path)
    assert (found.ok, found.first_bad_seq) == (False, N + 1)
    assert "signed with another key" in found.reason
    assert verify(path, key=key.public, former=[other.public]).ok
    unsigned = tmp_path / "unsigned.sqlite"
    Journal.open(unsigned, LINE).close()
    assert verify(unsigned).ok
    assert "no checkpoint" in verify(unsigned, key=key.public).reason


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"signature": "00" * 64}, "wrong signature"),
        ({"time_s": 1.0}, "wrong signature"),
        ({"seq": 3}, "does not sign the record before it"),
        ({"hash": "00" * 32}, "does not sign the record before it"),
        ({"key": "zz"}, "is none"),
        ({"signature": None}, "is none"),
    ],
)
def test_a_checkpoint_that_does_not_sign_is_found(path: Path, change: dict[str, object], words: str) -> None:
    with Journal.open(path, LINE) as journal:
        signer(path.parent / "pki")
        good = journal.get(N)
        assert good is not None
        told = good.content()

        def compose(_: object, head: object) -> bytes:
            return encode({**told, "seq": N, "hash": good.hash.hex(), **change})

        journal.append_with("checkpoint", 5000.0, compose)
    found = verify(path)
    assert (found.ok, found.first_bad_seq) == (False, N + 1)
    assert words in found.reason


def test_an_anchor_can_be_typed_and_finds_typing_errors(path: Path) -> None:
    text = anchor(path).text()
    assert text.startswith("40 1970-01-01T00:17:20Z ")
    assert read_anchor(text) == read_anchor(f"  anchor: {text.upper()}\n") == anchor(path)
    typed = [i for i in range(24, len(text)) if text[i] != "-"]
    mistyped = [text[:i] + ("1" if text[i] == "0" else "0") + text[i + 1 :] for i in typed]
    for wrong in (*mistyped, "41" + text[2:], "", "40", text[:-1]):
        with pytest.raises(ValueError, match="anchor"):
            read_anchor(wrong)


def test_an_older_state_of_the_whole_file_is_found(path: Path, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    old = copy(path, tmp_path / "old")
    with Journal.open(path, LINE) as journal:
        for i in range(5):
            journal.append("cycle", 5000.0 + i, encode({}))
        seen = anchor_of(journal.append("stop", 5009.0, encode({})))
    assert verify(path, anchors=[seen.text()]).anchors == 1
    assert verify(old).ok
    found = verify(old, anchors=[seen.text()])
    assert (found.ok, found.first_bad_seq) == (False, N + 1)
    assert "missing from the end" in found.reason


def test_a_file_that_was_replaced_is_found(path: Path, tmp_path: Path, key: Signer) -> None:
    seen = anchor(path)
    replaced = tmp_path / "replaced.sqlite"
    fill(replaced, N + 10, 1500, 30, signer(tmp_path / "other"))
    assert verify(replaced).ok
    found = verify(replaced, anchors=[seen.text()])
    assert (found.ok, found.first_bad_seq) == (False, N)
    assert "anchored at 1970" in found.reason
    assert not verify(replaced, key=key.public).ok


def test_a_journal_of_the_first_format_can_be_anchored(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    begin_format_1(path)
    fill(path, 9, 100, 30)
    seen = anchor(path)
    assert seen.seq == 9
    head_path(path).unlink()
    tamper(path, "DELETE FROM records WHERE seq > 7")
    assert verify(path).ok
    assert not verify(path, anchors=[seen.text()]).ok


def test_what_was_retired_is_accounted_for(path: Path, key: Signer) -> None:
    seen = anchor(path)
    with Journal.open(path, LINE) as journal:
        retire(journal, 2, 12)
        retire(journal, 13, 22)  # goes on where the first ended: the gap in between was between two removed records
        key.checkpoint(journal, 6000.0)
        kept = [row.seq for row in journal.rows()]
    assert kept == [1, 5, 10, 15, 20, *range(23, N + 4)]
    found = verify(path, anchors=[seen.text()], key=key.public)
    assert (found.ok, found.reason, found.n, found.anchors) == (True, "", len(kept), 1)


def _hide(path: Path) -> str:
    """The newest "retired" record goes as well: cut off, with a head to fit."""
    with closing(sqlite3.connect(path)) as connection:
        digest = connection.execute("SELECT hash FROM records WHERE seq = ?", (N,)).fetchone()[0]
    head_path(path).write_text(f'{{"seq": {N}, "hash": "{digest.hex()}"}}')
    return f"DELETE FROM records WHERE seq > {N}"


@pytest.mark.parametrize(
    ("statement", "seq"),
    [
        ("DELETE FROM records WHERE seq = 23", 23),  # one more than was told
        ("DELETE FROM records WHERE seq = 15", 15),  # a kept record between two ranges
        ("UPDATE records SET kind = 'act' WHERE seq = 15", 15),
        (_hide, 2),
    ],
)
def test_what_was_not_retired_must_be_there(path: Path, statement: str | Callable[[Path], str], seq: int) -> None:
    with Journal.open(path, LINE) as journal:
        retire(journal, 2, 22)
    assert verify(path).ok
    tamper(path, statement if isinstance(statement, str) else statement(path))
    found = verify(path)
    assert (found.ok, found.first_bad_seq) == (False, seq)


def test_a_retired_record_that_is_back_is_found(path: Path, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    old = copy(path, tmp_path / "old")
    with Journal.open(path, LINE) as journal:
        retire(journal, 6, 9)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ATTACH ? AS old", (str(old),))
        connection.execute("DROP TRIGGER records_in_order")
        connection.execute("INSERT INTO records SELECT * FROM old.records WHERE seq = 7")
        connection.execute(SCHEMAS[2]["records_in_order"])
    found = verify(path)
    assert (found.ok, found.first_bad_seq) == (False, N + 1)
    assert "does not fit what is there" in found.reason


def test_an_anchor_within_what_was_retired_is_asked_for_anew(path: Path) -> None:
    with Journal.open(path, LINE) as journal:
        rows = {row.seq: anchor_of(row) for row in journal.rows()}
        retire(journal, 2, 8)
    assert "give a newer one" in verify(path, anchors=[rows[3].text()]).reason
    assert verify(path, anchors=[rows[4].text(), rows[8].text()]).anchors == 2  # the last of each range is known


def test_retired_spectra_leave_a_sound_journal(path: Path) -> None:
    told = {"what": "blobs", "kinds": ["cycle"], "from": 2, "to": 20, "archive": "a", "reason": "test"}

    def gone(connection: sqlite3.Connection, _: object) -> bytes:
        connection.execute("DROP TRIGGER blobs_no_delete")
        connection.execute(
            "DELETE FROM blobs WHERE seq IN (SELECT seq FROM records WHERE kind = 'cycle' AND seq BETWEEN 2 AND 20)"
        )
        connection.execute(SCHEMAS[2]["blobs_no_delete"])
        return encode(told)

    with Journal.open(path, LINE) as journal:
        journal.append_with("retired", 6000.0, gone)
        assert next(row.seq for row in journal.rows(kind="cycle") if row.blob is not None) > 20
    assert verify(path).ok
    for statement, seq in (("DELETE FROM blobs WHERE seq = 23", 23), ("DELETE FROM blobs WHERE seq = 8", 8)):
        tamper(path, statement)
        found = verify(path)
        assert (found.ok, found.first_bad_seq) == (False, seq)
        assert found.reason == f"the blob of record {seq} is missing"


def test_a_blob_that_belongs_to_no_record_is_found(path: Path) -> None:
    tamper(path, "INSERT INTO blobs VALUES (3, x'00')")
    assert "blob 3 belongs to none" in verify(path).reason


def test_a_dictionary_must_stay_as_long_as_it_is_needed(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        used = connection.execute("SELECT coding, min(seq) FROM records WHERE coding NOT IN (0, seq)").fetchone()
    with Journal.open(path, LINE) as journal:
        retire(journal, used[0], used[0])
    found = verify(path)
    assert (found.ok, found.first_bad_seq) == (False, used[1])
    assert f"record {used[0]}, which it is packed with" in found.reason


def test_an_archive_is_verified_by_itself(path: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        ends = connection.execute("SELECT max(seq) FROM records WHERE coding NOT IN (0, seq)").fetchone()
    assert ends[0] is not None
    cut_archive(path, archive, 2, 30)
    found = verify(archive)
    assert (found.ok, found.n) == (True, 29)
    assert "an archive, records 2 to 30" in found.reason
    with Journal.open_reader(archive) as old, Journal.open_reader(path) as journal:
        assert list(old.rows()) == list(journal.rows(after_seq=1, limit=29))
    with pytest.raises(ConfigError, match="is the journal of line None"):
        Journal.open(archive, LINE)
    tamper(archive, "DELETE FROM records WHERE seq = 30")
    assert "does not end with record 30" in verify(archive).reason


def test_the_head_is_that_of_the_newest_record(path: Path) -> None:
    head = read_head(path)
    assert head is not None
    assert (head.seq, head.hash.hex()[:48]) == (N, anchor(path).start)
