"""`patloop journal anchor` gives what `patloop journal verify --anchor` finds a put-back file with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from journal_hand import LINE, copy, fill

from edge.record.canonical import encode
from edge.record.checkpoint import PUBLIC, signer
from edge.record.commands import journal as journal_command
from edge.record.journal import Journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "journal.sqlite"
    fill(path, 20, 400, 30, signer(tmp_path / "pki"))
    return path


def run(*args: object) -> Result:
    return CliRunner().invoke(journal_command, [str(arg) for arg in args])


def test_an_anchor_finds_the_older_state_of_a_file(path: Path, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    old = copy(path, tmp_path / "old")
    with Journal.open(path, LINE) as journal:
        journal.append("cycle", 2000.0, encode({}))
        signer(tmp_path / "pki").checkpoint(journal, 2001.0)
    out = tmp_path / "kept" / "batch.anchor"
    given = run("anchor", path, "--to", out, "--print").output.splitlines()
    assert given[0] == f"anchor of record 22 -> {out}"
    told = json.loads(out.read_text())
    assert (told["anchor"], told["line"]) == (given[1], LINE)
    key = tmp_path / "pki" / PUBLIC
    fine = run("verify", path, "--anchor", out, "--anchor", given[1], "--key", key)
    assert fine.exit_code == 0, fine.output
    assert "signed up to record 21; 2 anchored records are there" in " ".join(fine.output.split())
    assert run("verify", old, "--key", key).exit_code == 0
    for given_as in (out, given[1]):
        found = run("verify", old, "--anchor", given_as, "--json", tmp_path / "verdict.json")
        assert found.exit_code == 1
        assert "NOT SOUND: records 21 to 22 are missing from the end" in found.output
        assert json.loads((tmp_path / "verdict.json").read_text())["first_bad_seq"] == 21


def test_an_unsigned_record_is_anchored_and_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    fill(path, 4, 400, 30)
    given = run("anchor", path)
    assert given.exit_code == 0
    assert "nobody signed this record" in given.output
    assert given.output.splitlines()[-1].startswith("4 1970-")
    assert (
        "not signed; 1 anchored record is there"
        in run("verify", path, "--anchor", given.output.splitlines()[-1]).output
    )


@pytest.mark.parametrize(
    ("args", "words"),
    [(("--anchor", "17"), "is no anchor"), (("--key", "abc"), "hex"), (("--key", "ab"), "64 hex digits")],
)
def test_what_is_no_anchor_or_key_has_exit_code_2(path: Path, args: tuple[str, str], words: str) -> None:
    result = run("verify", path, *args)
    assert result.exit_code == 2
    assert words in result.output
    assert result.output.strip().count("\n") == 0


def test_an_anchor_that_cannot_be_written_has_exit_code_2(path: Path, tmp_path: Path) -> None:
    (tmp_path / "in_the_way").write_text("")
    result = run("anchor", path, "--to", tmp_path / "in_the_way" / "x")
    assert result.exit_code == 2
    assert "cannot be written" in result.output
