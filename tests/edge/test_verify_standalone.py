"""The verifier that an inspector takes away says what the product's own says, alone and without the product."""

from __future__ import annotations

import ast
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from journal_hand import LINE, begin_format_1, copy, cut_archive, fill, retire, tamper

from edge.record import standalone_verifier
from edge.record.chain import SCHEMAS, head_path
from edge.record.checkpoint import PUBLIC, latest_anchor, signer
from edge.record.compact import REACH
from edge.record.journal import Journal
from edge.record.standalone_verifier import judge
from edge.record.verify import verify

FILE = Path(standalone_verifier.__file__)
N = 30


@pytest.fixture(scope="module", params=[1, 2])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    path = folder / "journal.sqlite"
    if request.param == 1:
        begin_format_1(path)
    fill(path, N, 3000, 30, signer(folder / "pki"))
    return path


@pytest.fixture
def path(made: Path, tmp_path: Path) -> Path:
    return copy(made, tmp_path)


def run(*args: object, before: str = "") -> tuple[int, str, str]:
    """The verifier as a program of its own, in an interpreter that does not see the product."""
    program = f"{before}\nimport runpy, sys\nsys.argv = sys.argv[1:]\nrunpy.run_path(sys.argv[0], run_name='__main__')"
    words = [sys.executable, "-I", "-c", program, str(FILE), *map(str, args)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, cwd="/")
    return done.returncode, done.stdout, done.stderr


def anchor(path: Path) -> str:
    with Journal.open_reader(path) as journal:
        found = latest_anchor(journal)
    assert found is not None
    return found.text()


def test_it_is_short_and_imports_nothing_of_the_product() -> None:
    text = FILE.read_text(encoding="utf-8")
    assert text.count("\n") < 300
    tree = ast.walk(ast.parse(text))
    imported = {a.name for node in tree if isinstance(node, ast.Import) for a in node.names}
    tree = ast.walk(ast.parse(text))
    imported |= {node.module or "" for node in tree if isinstance(node, ast.ImportFrom)}
    outside = {name for name in imported if name.split(".")[0] not in sys.stdlib_module_names}
    assert outside == {"cryptography.exceptions", "cryptography.hazmat.primitives.asymmetric.ed25519"}


def test_it_knows_the_formats_as_they_are() -> None:
    assert standalone_verifier.REACH == REACH
    for form, statements in SCHEMAS.items():
        made = "\n".join(statements[name] for name in sorted(statements))
        assert standalone_verifier.SCHEMA[form] == hashlib.sha256(made.encode()).hexdigest()[:32]


@pytest.mark.parametrize("last", [b"\0", b"J"])
def test_a_head_whose_last_byte_was_flipped_is_found_by_both(path: Path, last: bytes) -> None:
    head = head_path(path).read_bytes()
    assert head.endswith(b"\n")
    head_path(path).write_bytes(head[:-1] + last)
    ours, theirs = verify(path), judge(path, [], [])
    assert not ours.ok
    for reason in (ours.reason, theirs.reason):
        assert "the head beside the journal is damaged" in reason


def test_a_sound_journal_is_found_sound(path: Path, made: Path) -> None:
    code, said, _ = run(path, "--anchor", anchor(path), "--key", made.parent / "pki" / PUBLIC)
    assert (code, said) == (0, "sound: 30 records; signed up to record 29\n")
    head_path(path).unlink()
    assert "would not be noticed" in run(path)[1]


def test_a_record_is_printed(path: Path) -> None:
    with Journal.open_reader(path) as journal:
        row = journal.get(13)
    assert row is not None
    code, said, _ = run(path, "--record", 13)
    assert code == 0
    assert json.loads(said) == row.content()


def test_what_is_asked_in_a_wrong_way_is_one_line_and_exit_code_2(path: Path, tmp_path: Path) -> None:
    letter = tmp_path / "letter"
    letter.write_text("dear aunt " * 500)
    wrong = [(path, "--record", 99), (path, "--anchor", "17"), (path, "--key", "no hex"), (letter, "--record", 1), ()]
    for args in wrong:
        code, said, error = run(*args)
        assert (code, said) == (2, "")
        assert "Traceback" not in error
        assert "error: " in error.splitlines()[-1]


def test_without_cryptography_all_but_the_signatures_is_checked(path: Path) -> None:
    before = "import sys; sys.modules['cryptography'] = None"
    code, said, _ = run(path, before=before)
    assert code == 0
    assert "signatures NOT checked" in said
    tamper(path, "DELETE FROM records WHERE seq = 7")
    assert run(path, before=before)[0] == 1


DAMAGE = [
    *(f"UPDATE records SET {change} WHERE seq = 12" for change in (
        "time_s = time_s + 1", "kind = 'stop'", "body = x'7b7d'", "hash = zeroblob(32)", "prev_hash = x'01'",
    )),
    "DELETE FROM records WHERE seq = 1", "DELETE FROM records WHERE seq IN (6, 7)", "DELETE FROM records",
    "DELETE FROM records WHERE seq > 20", "UPDATE records SET seq = 99 WHERE seq = 4", "CREATE TABLE cats (name)",
    "UPDATE records SET seq = -4 WHERE seq = 4", "PRAGMA user_version = 7", "DROP INDEX records_kind",
    "UPDATE records SET body = x'00' WHERE seq = 10",
]  # fmt: skip
DAMAGE_2 = [
    "DELETE FROM blobs WHERE seq = 13", "UPDATE blobs SET blob = x'00' WHERE seq = 13", "CREATE TABLE cut (a)",
    "INSERT INTO blobs VALUES (99, x'00')", "UPDATE records SET coding = 0 WHERE seq = 13",
    "UPDATE records SET blob_hash = NULL WHERE seq = 13",
]  # fmt: skip


@pytest.mark.parametrize("statement", DAMAGE)
def test_both_say_the_same_of_what_was_done(path: Path, statement: str) -> None:
    tamper(path, statement)
    same(path)


@pytest.mark.parametrize("statement", DAMAGE_2)
def test_both_say_the_same_of_what_was_done_to_the_second_format(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "journal.sqlite"
    fill(path, N, 3000, 30)
    tamper(path, statement)
    same(path)


def same(path: Path) -> None:
    ours, theirs = verify(path), judge(path, [], [])
    assert not ours.ok
    assert theirs.reason
    assert (theirs.bad_seq, theirs.count) == (ours.first_bad_seq, ours.n)


@pytest.mark.parametrize("content", ["{", "[]", "[1]", "7", '{"seq": 1}', '{"seq": 1, "hash": "zz"}', "é"])
def test_both_say_the_same_of_a_damaged_head(path: Path, content: str) -> None:
    head_path(path).write_text(content, encoding="utf-8")
    same(path)


def test_both_follow_what_was_retired_and_archived(tmp_path: Path) -> None:
    path, archive = tmp_path / "journal.sqlite", tmp_path / "archive.sqlite"
    key = signer(tmp_path / "pki")
    fill(path, N, 3000, 30, key)
    cut_archive(path, archive, 1, 22)
    with Journal.open(path, LINE) as journal:
        retire(journal, 2, 22)
    for file, count in ((path, 14), (archive, 22)):
        code, said, _ = run(file)
        assert (code, f"sound: {count} records" in said) == (0, True), said
        assert verify(file).n == count
    tamper(path, "DELETE FROM records WHERE seq = 23")
    same(path)
    tamper(archive, "DELETE FROM records WHERE seq = 22")
    same(archive)


@pytest.mark.parametrize(
    "told",
    [
        {}, [], {"what": "rows"}, {"what": "rows", "ranges": [{"from": "x"}]}, {"what": "rows", "ranges": 7},
        {"what": "blobs", "kinds": 3, "from": 1, "to": 2}, {"what": "rows", "ranges": [[1, 2]]},
        {"what": "rows", "ranges": [{"from": 6, "to": "9", "before_hash": "00", "last_hash": "zz"}]},
        {"what": "rows", "ranges": [{"from": 6, "to": 6, "before_hash": "00", "last_hash": "00"}]},
    ],
)  # fmt: skip
def test_nonsense_about_what_was_retired_accounts_for_nothing(path: Path, told: object) -> None:
    with Journal.open(path, LINE) as journal:
        journal.append("retired", 5000.0, json.dumps(told).encode())
    assert verify(path).ok
    assert not judge(path, [], []).reason
    tamper(path, "DELETE FROM records WHERE seq = 6")
    same(path)
