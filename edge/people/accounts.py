"""The accounts of one line: roles, first passwords, lockout; every change and log-in goes to the journal."""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from edge.errors import PatloopError
from edge.people.passwords import check_new, first_password, hash_password, matches
from edge.record.canonical import encode
from edge.record.journal import Journal

LOCK_AFTER = 5  # failures in a row
LOCK_S = 300.0
_NAME = re.compile(r"[a-z][a-z0-9._-]{1,31}")
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS accounts (name TEXT PRIMARY KEY, role TEXT NOT NULL, hash TEXT NOT NULL,"
    " must_change INTEGER NOT NULL, disabled INTEGER NOT NULL, failures INTEGER NOT NULL,"
    " locked_until_s REAL NOT NULL) STRICT"
)
_COLUMNS = "name, role, must_change, disabled, failures, locked_until_s"


class Role(StrEnum):
    """What a person may do: qa looks, operator and engineer also ask."""

    OPERATOR = "operator"
    ENGINEER = "engineer"
    QA = "qa"

    @property
    def may_ask(self) -> bool:
        """Whether this role may put requests to the loop."""
        return self is not Role.QA


@dataclass(frozen=True)
class Account:
    """One person's account; must_change: the password is a one-time one; locked_until_s: since the epoch."""

    name: str
    role: Role
    must_change: bool
    disabled: bool
    failures: int
    locked_until_s: float


@dataclass(frozen=True)
class Refusal:
    """A log-in that was refused; reason is for the record, never for the person at the door."""

    reason: str


class AccountError(PatloopError):
    """An account cannot be made or changed as asked; the text says why."""


class Accounts:
    """The accounts in one SQLite file; several processes may use it at once.

    audit: the journal that takes a "people" record of each event, before the event has its effect.
    """

    def __init__(self, path: Path, audit: Journal | None = None, now: Callable[[], float] = time.time) -> None:
        """Open the file, or make it. Raises AccountError."""
        self._audit, self._now, self._lock = audit, now, threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
        except (sqlite3.Error, OSError) as error:
            raise AccountError(f"{path} cannot be used as the list of accounts: {error}") from error
        try:
            path.chmod(0o600)
            self._db.execute(_SCHEMA)
        except (sqlite3.Error, OSError) as error:
            self._db.close()
            raise AccountError(f"{path} cannot be used as the list of accounts: {error}") from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def all(self) -> tuple[Account, ...]:
        """Every account, by name."""
        with self._lock:
            rows = self._db.execute(f"SELECT {_COLUMNS} FROM accounts ORDER BY name").fetchall()
        return tuple(_account(row) for row in rows)

    def get(self, name: str) -> Account | None:
        """The account of this name, or None."""
        with self._lock:
            row = self._db.execute(f"SELECT {_COLUMNS} FROM accounts WHERE name = ?", (name,)).fetchone()
        return _account(row) if row else None

    def add(self, name: str, role: Role, by: str) -> str:
        """Make an account; returns its one-time first password. Raises AccountError."""
        if not _NAME.fullmatch(name):
            text = f"'{name}' is no account name: 2 to 32 of a-z, 0-9, '.', '_', '-', a letter first"
            raise AccountError(text)
        password = first_password()
        kept = hash_password(password)
        with self._change():
            if self.get(name) is not None:
                raise AccountError(f"there is an account '{name}' already; choose another name")
            self._record("added", name, by, f"role {role}")
            self._db.execute("INSERT INTO accounts VALUES (?, ?, ?, 1, 0, 0, 0.0)", (name, role.value, kept))
        return password

    def reset(self, name: str, by: str) -> str:
        """Give a new one-time password, and enable and unlock the account. Raises AccountError."""
        password = first_password()
        kept = hash_password(password)
        with self._change():
            self._known(name)
            self._record("reset", name, by, "new one-time password")
            query = "UPDATE accounts SET hash = ?, must_change = 1, disabled = 0, failures = 0, locked_until_s = 0"
            self._db.execute(f"{query} WHERE name = ?", (kept, name))
        return password

    def disable(self, name: str, by: str) -> None:
        """Close an account to log-ins; running sessions of it end. Raises AccountError."""
        with self._change():
            self._known(name)
            self._record("disabled", name, by, "")
            self._db.execute("UPDATE accounts SET disabled = 1 WHERE name = ?", (name,))

    def log_in(self, name: str, password: str) -> Account | Refusal:
        """Check a log-in; after five failures in a row the account is locked for five minutes."""
        with self._lock:
            row = self._db.execute("SELECT hash FROM accounts WHERE name = ?", (name,)).fetchone()
        fits = matches(row[0] if row else _NOBODY, password)  # the same work for a name that does not exist
        with self._change():
            account = self.get(name)
            if account is None:  # the name is not recorded: people type passwords into the wrong field
                return self._refuse("unknown", "no such account")
            if account.disabled:
                return self._refuse(name, "disabled")
            if self._now() < account.locked_until_s:
                return self._refuse(name, "locked")
            if not fits:
                return self._count_failure(account)
            self._record("login", name, name, "")
            self._db.execute("UPDATE accounts SET failures = 0, locked_until_s = 0 WHERE name = ?", (name,))
        return account

    def change_password(self, name: str, old: str, new: str) -> Refusal | None:
        """Set a new password; None when done. Raises PasswordRefused when the new one will not do."""
        entered = self.log_in(name, old)
        if isinstance(entered, Refusal):
            return entered
        check_new(name, old, new)
        kept = hash_password(new)
        with self._change():
            self._record("password_changed", name, name, "")
            self._db.execute("UPDATE accounts SET hash = ?, must_change = 0 WHERE name = ?", (kept, name))
        return None

    def _count_failure(self, account: Account) -> Refusal:
        failures = account.failures + 1
        locked = failures >= LOCK_AFTER
        self._db.execute(
            "UPDATE accounts SET failures = ?, locked_until_s = ? WHERE name = ?",
            (0 if locked else failures, self._now() + LOCK_S if locked else 0.0, account.name),
        )
        return self._refuse(account.name, "wrong password, now locked" if locked else "wrong password")

    def _refuse(self, name: str, reason: str) -> Refusal:
        self._record("login_refused", name, name, reason)
        return Refusal(reason)

    def _known(self, name: str) -> Account:
        account = self.get(name)
        if account is None:
            raise AccountError(f"there is no account '{name}'; 'patloop user list' shows all")
        return account

    def _record(self, event: str, name: str, by: str, reason: str) -> None:
        if self._audit is not None:
            body = {"event": event, "name": name, "by": by, "reason": reason}
            self._audit.append("people", self._now(), encode(body))

    @contextmanager
    def _change(self) -> Iterator[None]:
        """One change at a time, over all processes; nothing of it stays when anything in it fails."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")


def _account(row: tuple[str, str, int, int, int, float]) -> Account:
    name, role, must_change, disabled, failures, locked_until_s = row
    return Account(name, Role(role), bool(must_change), bool(disabled), failures, locked_until_s)
