"""Who is at the page: sessions in memory, form tokens, and a brake on guessing; all gone when the page restarts."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

SHIFT_S = 12 * 3600.0  # a session ends after a shift, whatever happens
ATTEMPTS, WINDOW_S = 10, 60.0  # log-ins from one address
MOST_SESSIONS = 200


@dataclass(frozen=True)
class Session:
    """A logged-in person; key is the cookie's value, ends_s on the monotonic clock."""

    key: str
    name: str
    ends_s: float


class Sessions:
    """The sessions of this process; monotonic: seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._secret = secrets.token_bytes(32)
        self._sessions: dict[str, Session] = {}
        self._attempts: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def begin(self, name: str) -> Session:
        """A new session with a new key: a key from before the log-in is never taken over."""
        session = Session(secrets.token_urlsafe(32), name, self._monotonic() + SHIFT_S)
        with self._lock:
            self._sweep()
            while len(self._sessions) >= MOST_SESSIONS:
                del self._sessions[next(iter(self._sessions))]
            self._sessions[session.key] = session
        return session

    def find(self, key: str | None) -> Session | None:
        """The running session of this cookie."""
        with self._lock:
            session = self._sessions.get(key or "")
            return session if session is not None and session.ends_s > self._monotonic() else None

    def end(self, key: str) -> None:
        """End this session."""
        with self._lock:
            self._sessions.pop(key, None)

    def end_all(self, name: str) -> None:
        """End every session of this person."""
        with self._lock:
            self._sessions = {k: s for k, s in self._sessions.items() if s.name != name}

    def form_token(self, key: str) -> str:
        """The token that a form sent with this cookie must carry."""
        return hmac.new(self._secret, key.encode(), hashlib.sha256).hexdigest()

    def fits(self, key: str | None, token: str) -> bool:
        """Whether a form's token belongs to its cookie."""
        sent = token.encode(errors="surrogatepass")  # as bytes: text with other than ASCII cannot be compared
        return bool(key) and hmac.compare_digest(self.form_token(key or "").encode(), sent)

    def may_try(self, address: str) -> bool:
        """Count a log-in from this address; false when there were too many within a minute."""
        now_s = self._monotonic()
        with self._lock:
            self._attempts = {a: t for a, t in self._attempts.items() if t and t[-1] > now_s - WINDOW_S}
            times = self._attempts.setdefault(address, deque(maxlen=ATTEMPTS))
            if len(times) == ATTEMPTS and times[0] > now_s - WINDOW_S:
                return False
            times.append(now_s)
            return True

    def _sweep(self) -> None:
        now_s = self._monotonic()
        self._sessions = {k: s for k, s in self._sessions.items() if s.ends_s > now_s}
