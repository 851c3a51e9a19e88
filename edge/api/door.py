"""request -> let in or not: who it is, how often, how much; the same for every path, denied unless a token says so."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge.api.tokens import Token, TokenError, Tokens

MOST_BODY_BYTES = 256 * 1024
MOST_KEYS = 1000  # senders remembered
LOOPBACK = ("127.0.0.1", "::1")
OPEN_ON_LOOPBACK = "/metrics"
_SECURITY = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_HSTS = "max-age=31536000"


@dataclass(frozen=True)
class Pace:
    """How many requests a sender may make: a burst, and how many a second come back to it."""

    burst: float
    per_s: float


REQUESTS = Pace(burst=60.0, per_s=20.0)  # of one token; our choice: a page a second for a month's history, with room
FAILURES = Pace(burst=10.0, per_s=0.1)  # log-ins that failed, of one address


class Buckets:
    """Token buckets by sender; the ones not heard of for longest are forgotten first. monotonic: seconds."""

    def __init__(self, pace: Pace, monotonic: Callable[[], float]) -> None:
        self._pace, self._monotonic = pace, monotonic
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def has(self, sender: str) -> bool:
        """Whether one more is allowed; takes nothing."""
        return self._now(sender) >= 1.0

    def take(self, sender: str) -> bool:
        """Take one; False when there was none left."""
        left = self._now(sender)
        self._left[sender] = (max(0.0, left - 1.0), self._monotonic())
        self._left.move_to_end(sender)
        while len(self._left) > MOST_KEYS:
            self._left.popitem(last=False)
        return left >= 1.0

    def _now(self, sender: str) -> float:
        left, at_s = self._left.get(sender, (self._pace.burst, self._monotonic()))
        return min(self._pace.burst, left + self._pace.per_s * (self._monotonic() - at_s))


class Door:
    """ASGI middleware: lets a request through with its token in the scope, or answers it. counted: (role, status)."""

    def __init__(
        self, app: ASGIApp, tokens: Tokens, monotonic: Callable[[], float], counted: Callable[[str, int], None],
        *, open_metrics: bool, https: bool,
    ) -> None:  # fmt: skip
        self._app, self._tokens, self._counted = app, tokens, counted
        self._requests, self._failures = Buckets(REQUESTS, monotonic), Buckets(FAILURES, monotonic)
        self._open_metrics = open_metrics
        self._headers = {**_SECURITY, **({"Strict-Transport-Security": _HSTS} if https else {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no websockets here
            return
        token, refusal = self._enter(scope)
        role = "none" if token is None else token.role.value

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._counted(role, int(message["status"]))
                extra = [(name.lower().encode(), value.encode()) for name, value in self._headers.items()]
                message = {**message, "headers": [*message.get("headers", ()), *extra]}
            await send(message)

        if refusal is not None:
            await _answer(told, *refusal)
            return
        scope.setdefault("state", {})["token"] = token
        await self._app(scope, _Limited(receive).receive, told)

    def _enter(self, scope: Scope) -> tuple[Token | None, tuple[int, str] | None]:
        headers = dict(scope["headers"])
        sender = str((scope.get("client") or ("unknown",))[0])
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or len(length) > 12 or int(length) > MOST_BODY_BYTES:
            return None, (413, f"the body is larger than {MOST_BODY_BYTES} bytes")
        if self._open_metrics and scope["path"] == OPEN_ON_LOOPBACK and sender in LOOPBACK:
            return None, None if self._requests.take(sender) else (429, "too many requests: wait a moment")
        if not self._failures.has(sender):
            return None, (429, "too many attempts without a token that holds: wait a minute")
        scheme, _, text = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        try:
            token = self._tokens.check(text.strip()) if scheme.lower() == "bearer" else None
        except TokenError:
            return None, (503, "the list of tokens cannot be read now")
        if token is None:
            self._failures.take(sender)
            return None, (401, "a token that holds is needed: Authorization: Bearer ...")
        if not self._requests.take(token.id):
            return token, (429, "too many requests: wait a moment")
        return token, None


class TooMuchError(HTTPException):
    """More came in than the door lets through."""

    def __init__(self) -> None:
        super().__init__(413, f"the body is larger than {MOST_BODY_BYTES} bytes")


class _Limited:
    """Hands a body on, up to the limit, whatever length was announced."""

    def __init__(self, receive: Receive) -> None:
        self._receive, self._left = receive, MOST_BODY_BYTES

    async def receive(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise TooMuchError
        return message


async def _answer(send: Send, status: int, words: str) -> None:
    body = json.dumps({"detail": words}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if status in (429, 503):
        headers.append((b"retry-after", b"10"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
