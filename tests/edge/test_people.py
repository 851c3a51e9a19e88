"""Accounts: first passwords, lockout, roles, and every event on the record."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from click.testing import CliRunner, Result

from edge.errors import RecorderError
from edge.people import passwords
from edge.people.accounts import LOCK_AFTER, LOCK_S, Account, AccountError, Accounts, Refusal, Role
from edge.people.commands import user
from edge.people.passwords import PasswordRefused, check_new, first_password, hash_password, matches
from edge.record.journal import Journal

GOOD = "correct horse 9"


class Clock:
    time_s = 1_700_000_000.0

    def __call__(self) -> float:
        return self.time_s


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing at its cheapest; the strength really used has its own test."""
    monkeypatch.setattr(passwords, "PasswordHasher", lambda: PasswordHasher(1, 8, 1))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "journal.sqlite", "CDC-REF-1") as journal:
        yield journal


@pytest.fixture
def accounts(tmp_path: Path, journal: Journal, clock: Clock) -> Iterator[Accounts]:
    accounts = Accounts(tmp_path / "people.db", journal, clock)
    yield accounts
    accounts.close()


def events(journal: Journal) -> list[tuple[str, str, str]]:
    bodies = [row.content() for row in journal.rows(kind="people")]
    return [(body["event"], body["name"], body["reason"]) for body in bodies]


def test_the_first_password_lets_in_once_and_must_be_changed(accounts: Accounts, journal: Journal) -> None:
    first = accounts.add("maria", Role.ENGINEER, "local:root")
    entered = accounts.log_in("maria", first)
    assert isinstance(entered, Account)
    assert (entered.role, entered.must_change) == (Role.ENGINEER, True)
    assert accounts.change_password("maria", first, GOOD) is None
    changed = accounts.log_in("maria", GOOD)
    assert isinstance(changed, Account)
    assert not changed.must_change
    assert isinstance(accounts.log_in("maria", first), Refusal)
    assert [event for event, _, _ in events(journal)] == [
        "added", "login", "login", "password_changed", "login", "login_refused",
    ]  # fmt: skip


def test_nothing_readable_is_kept(accounts: Accounts, tmp_path: Path, journal: Journal) -> None:
    first = accounts.add("maria", Role.OPERATOR, "x")
    accounts.change_password("maria", first, GOOD)
    kept = (tmp_path / "people.db").read_bytes() + (tmp_path / "journal.sqlite-wal").read_bytes()
    assert b"argon2id" in kept
    assert first.encode() not in kept
    assert GOOD.encode() not in kept
    assert stat.S_IMODE((tmp_path / "people.db").stat().st_mode) == 0o600


def test_five_failures_lock_for_five_minutes(accounts: Accounts, journal: Journal, clock: Clock) -> None:
    first = accounts.add("maria", Role.OPERATOR, "x")
    for _ in range(LOCK_AFTER):
        assert isinstance(accounts.log_in("maria", "wrong"), Refusal)
    assert accounts.log_in("maria", first) == Refusal("locked")
    clock.time_s += LOCK_S - 1
    assert accounts.log_in("maria", first) == Refusal("locked")
    clock.time_s += 2
    assert isinstance(accounts.log_in("maria", first), Account)
    reasons = [reason for event, _, reason in events(journal) if event == "login_refused"]
    assert reasons == ["wrong password"] * 4 + ["wrong password, now locked", "locked", "locked"]


def test_a_success_forgets_the_failures_before(accounts: Accounts) -> None:
    first = accounts.add("maria", Role.OPERATOR, "x")
    for _ in range(3):
        for _ in range(LOCK_AFTER - 1):
            accounts.log_in("maria", "wrong")
        assert isinstance(accounts.log_in("maria", first), Account)


def test_a_disabled_account_stays_out_until_it_is_reset(accounts: Accounts) -> None:
    first = accounts.add("maria", Role.OPERATOR, "x")
    accounts.disable("maria", "x")
    assert accounts.log_in("maria", first) == Refusal("disabled")
    again = accounts.reset("maria", "x")
    assert isinstance(accounts.log_in("maria", first), Refusal)
    entered = accounts.log_in("maria", again)
    assert isinstance(entered, Account)
    assert entered.must_change


def test_an_unknown_name_is_refused_and_not_recorded(accounts: Accounts, journal: Journal) -> None:
    assert accounts.log_in("my-secret-password", "x") == Refusal("no such account")
    assert events(journal) == [("login_refused", "unknown", "no such account")]


def test_without_its_record_nothing_happens(accounts: Accounts, journal: Journal) -> None:
    first = accounts.add("maria", Role.OPERATOR, "x")
    journal._sick = "disk full"
    with pytest.raises(RecorderError):
        accounts.log_in("maria", first)
    with pytest.raises(RecorderError):
        accounts.disable("maria", "x")
    with pytest.raises(RecorderError):
        accounts.add("karl", Role.QA, "x")
    assert [(account.name, account.disabled) for account in accounts.all()] == [("maria", False)]


@pytest.mark.parametrize("name", ["", "a", "Maria", "1st", "a b", "a" * 33, "../x", "ä" * 3])
def test_a_name_of_another_form_is_refused(accounts: Accounts, name: str) -> None:
    with pytest.raises(AccountError, match="no account name"):
        accounts.add(name, Role.OPERATOR, "x")


def test_twice_the_same_name_and_unknown_names_are_refused(accounts: Accounts) -> None:
    accounts.add("maria", Role.OPERATOR, "x")
    with pytest.raises(AccountError, match="already"):
        accounts.add("maria", Role.QA, "x")
    for change in (accounts.disable, accounts.reset):
        with pytest.raises(AccountError, match="no account 'karl'"):
            change("karl", "x")


@pytest.mark.parametrize(
    ("new", "words"),
    [
        ("short", "at least 10"),
        ("x" * 300, "at most"),
        ("Xmaria12345", "guess"),
        ("aaaaaaaaaaab", "guess"),
        ("old password", "old one"),
    ],
)
def test_weak_new_passwords_are_refused(new: str, words: str) -> None:
    with pytest.raises(PasswordRefused, match=words):
        check_new("maria", "old password", new)


def test_changing_needs_the_old_password(accounts: Accounts) -> None:
    first = accounts.add("maria", Role.OPERATOR, "x")
    assert accounts.change_password("maria", "not it", GOOD) == Refusal("wrong password")
    with pytest.raises(PasswordRefused):
        accounts.change_password("maria", first, "short")
    assert isinstance(accounts.log_in("maria", first), Account)


def test_first_passwords_are_legible_and_differ() -> None:
    made = {first_password() for _ in range(50)}
    assert len(made) == 50
    assert all(len(word) == 14 and not set(word) & set("il o01") for word in made)


def test_the_real_hash_is_argon2id_as_rfc_9106_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    kept = hash_password(GOOD)
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert matches(kept, GOOD)
    assert not matches(kept, GOOD + "x")
    assert not matches("not a hash", GOOD)


def test_only_qa_may_not_ask() -> None:
    assert [role.may_ask for role in (Role.OPERATOR, Role.ENGINEER, Role.QA)] == [True, True, False]


def test_what_is_no_account_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "people.db").write_text("dear aunt " * 100)
    with pytest.raises(AccountError, match="cannot be used"):
        Accounts(tmp_path / "people.db")


def run(*args: object) -> Result:
    return CliRunner().invoke(user, [str(arg) for arg in args])


def test_the_commands_make_list_reset_and_disable(tmp_path: Path, journal: Journal) -> None:
    added = run("add", "maria", "--role", "engineer", "--state", tmp_path)
    assert added.exit_code == 0, added.output
    first = added.output.split(": ")[-1].strip()
    accounts = Accounts(tmp_path / "people.db")
    assert isinstance(accounts.log_in("maria", first), Account)
    accounts.close()
    assert "first password not yet changed" in run("list", "--state", tmp_path).output
    assert run("disable", "maria", "--state", tmp_path).exit_code == 0
    assert "disabled" in run("list", "--state", tmp_path).output
    assert "one-time password" in run("reset", "maria", "--state", tmp_path).output
    assert [event for event, _, _ in events(journal)] == ["added", "disabled", "reset"]
    assert all(row.content()["by"].startswith("local:") for row in journal.rows(kind="people"))


def test_the_commands_say_when_there_is_no_record_yet(tmp_path: Path) -> None:
    result = run("add", "maria", "--role", "qa", "--state", tmp_path)
    assert result.exit_code == 0
    assert "not on the record" in result.output


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("add", "M", "--role", "qa"), "no account name"),
        (("add", "maria", "--role", "king"), "king"),
        (("disable", "nobody"), "no account 'nobody'"),
    ],
)
def test_wrong_input_has_exit_code_2(tmp_path: Path, journal: Journal, args: tuple[str, ...], words: str) -> None:
    result = run(*args, "--state", tmp_path)
    assert result.exit_code == 2
    assert words in result.output
    assert run(*args, "--state", tmp_path / "none").exit_code == 2


def test_a_strangers_database_as_journal_is_told(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE cats (name)")
    result = run("list", "--state", tmp_path)
    assert result.exit_code == 2
    assert "no such table" in result.output
