"""tokens: what lets another system in, with one role each; made once, shown once, kept as a hash, revoked at once.

A token carries 256 random bits, so its plain SHA-256 is as good as a slow hash: nobody finds it by trying, and a
request costs microseconds, not the quarter of a second that a password rightly costs.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from edge.errors import PatloopError
from edge.record.canonical import encode
from edge.record.journal import Journal

DAY_S = 86400.0
MOST_DAYS = 730
PREFIX = "pat1"
FORM = re.compile(r"pat1_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NAME = re.compile(r"[a-z][a-z0-9._-]{1,31}")
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS tokens (id TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL,"
    " sha256 TEXT NOT NULL, made_s REAL NOT NULL, expires_s REAL NOT NULL, revoked_s REAL) STRICT"
)
_COLUMNS = "id, name, role, made_s, expires_s, revoked_s"


class ApiRole(StrEnum):
    """What another system may do: reader looks; lab tells results; mes tells what is made; engineer looks and tells."""

    READER = "reader"
    LAB = "lab"
    MES = "mes"
    ENGINEER = "engineer"


@dataclass(frozen=True)
class Token:
    """A token without its secret; times in seconds since the epoch, UTC; revoked_s: None while it holds."""

    id: str
    name: str
    role: ApiRole
    made_s: float
    expires_s: float
    revoked_s: float | None

    def holds(self, now_s: float) -> bool:
        """Whether it lets in at this time."""
        return self.revoked_s is None and now_s < self.expires_s


class TokenError(PatloopError):
    """A token cannot be made or revoked as asked, or the list cannot be used; the text says why."""


class Tokens:
    """The tokens of one line in an SQLite file; several processes may use it at once.

    audit: the journal that takes a "token" record of each change, before it has its effect.
    """

    def __init__(self, path: Path, audit: Journal | None = None, now: Callable[[], float] = time.time) -> None:
        """Open the list, or make it. Raises TokenError."""
        self._audit, self._now, self._lock = audit, now, threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            self._db = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
        except (sqlite3.Error, OSError) as error:
            raise TokenError(f"{path} cannot be used as the list of tokens: {error}") from error
        try:
            path.chmod(0o600)
            self._db.execute(_SCHEMA)
        except (sqlite3.Error, OSError) as error:
            self._db.close()
            raise TokenError(f"{path} cannot be used as the list of tokens: {error}") from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def make(self, name: str, role: ApiRole, days: float, by: str) -> str:
        """Make a token and return it, this once. Raises TokenError."""
        if not _NAME.fullmatch(name):
            raise TokenError(f"'{name}' is no token name: 2 to 32 of a-z, 0-9, '.', '_', '-', a letter first")
        if not 0 < days <= MOST_DAYS:
            raise TokenError(f"a token holds for up to {MOST_DAYS} days, not {days:g}")
        identifier, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        text, now_s = f"{PREFIX}_{identifier}_{secret}", self._now()
        expires_s = now_s + DAY_S * days
        with self._change():
            if any(token.name == name and token.holds(now_s) for token in self.all()):
                raise TokenError(f"there is a token '{name}' already; revoke it, or choose another name")
            self._record("made", identifier, name, role, by, expires_s)
            row = (identifier, name, role.value, _sha256(text), now_s, expires_s)
            self._db.execute("INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, NULL)", row)
        return text

    def revoke(self, name: str, by: str) -> int:
        """Take back every token of this name that still holds; how many. Raises TokenError when there is none."""
        now_s = self._now()
        with self._change():
            held = [token for token in self.all() if token.name == name and token.holds(now_s)]
            if not held:
                raise TokenError(f"there is no token '{name}' that holds; 'patloop token list' shows all")
            for token in held:
                self._record("revoked", token.id, name, token.role, by, token.expires_s)
                self._db.execute("UPDATE tokens SET revoked_s = ? WHERE id = ?", (now_s, token.id))
        return len(held)

    def all(self) -> tuple[Token, ...]:
        """Every token ever made, by name and age."""
        with self._lock:
            rows = self._db.execute(f"SELECT {_COLUMNS} FROM tokens ORDER BY name, made_s").fetchall()
        return tuple(Token(row[0], row[1], ApiRole(row[2]), *row[3:]) for row in rows)

    def check(self, text: str) -> Token | None:
        """The token that this text is, while it holds; None for anything else. Writes nothing. Raises TokenError."""
        identifier = token_id(text)
        if identifier is None:
            return None
        try:
            with self._lock:
                query = f"SELECT {_COLUMNS}, sha256 FROM tokens WHERE id = ?"
                row = self._db.execute(query, (identifier,)).fetchone()
        except sqlite3.Error as error:
            raise TokenError(f"the list of tokens cannot be read: {error}") from error
        if row is None or not secrets.compare_digest(row[6], _sha256(text)):
            return None
        token = Token(row[0], row[1], ApiRole(row[2]), *row[3:6])
        return token if token.holds(self._now()) else None

    def _record(self, event: str, identifier: str, name: str, role: ApiRole, by: str, expires_s: float) -> None:
        if self._audit is not None:
            body = {"event": event, "id": identifier, "name": name, "role": role, "by": by, "expires_s": expires_s}
            self._audit.append("token", self._now(), encode(body))

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


def token_id(text: str) -> str | None:
    """The public part of a token's text; None when it does not have a token's form."""
    found = FORM.fullmatch(text) if text.isascii() else None
    return found[1] if found else None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
