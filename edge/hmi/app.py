"""The operator's page as a web application: reads the journal, appends requests to it, and nothing else."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.middleware.trustedhost import TrustedHostMiddleware

from control.decide.run_down import WISHES
from edge.errors import PatloopError
from edge.hmi.live import Follower
from edge.hmi.screen import screen
from edge.hmi.sessions import SHIFT_S, Session, Sessions
from edge.people.accounts import Account, Accounts, Refusal, Role
from edge.people.passwords import PasswordRefused
from edge.record.canonical import encode
from edge.record.journal import Journal

HERE = Path(__file__).parent
COOKIE, DOOR_COOKIE = "patloop_session", "patloop_door"
LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")
MODES = ("monitor", "advise", "closed")
REFUSED = "Name or password is wrong, or the account is locked or disabled."
_SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
Text = Annotated[str, Form(max_length=300)]


class _Away(Exception):  # noqa: N818 - not an error: this visitor is to be sent to another page
    def __init__(self, where: str) -> None:
        super().__init__(where)
        self.where = where


class _Said(Exception):  # noqa: N818 - the visitor asked for what cannot be done; told in words
    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words


def create_app(journal_path: Path, people_path: Path, line_name: str, hosts: tuple[str, ...] = LOCAL_HOSTS) -> FastAPI:
    """The page for one line; hosts: the names it may be reached by. Raises PatloopError when a file is unusable.

    The journal is made when it is not there yet, so that log-ins are on the record from the first.
    """
    journal = Journal.open(journal_path, line_name)
    page = _Page(journal, Accounts(people_path, journal), line_name)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        page.close()

    app = FastAPI(title="patloop", openapi_url=None, lifespan=life)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    app.middleware("http")(_secure)
    app.add_exception_handler(_Away, page.send_away)
    app.add_exception_handler(_Said, page.say)
    app.add_exception_handler(PatloopError, page.say)
    app.mount("/static", StaticFiles(directory=HERE / "static"))
    for path, verb in {"/": page.show, "/live": page.live, "/login": page.door, "/password": page.password}.items():
        app.get(path, response_class=HTMLResponse)(verb)
    app.get("/close-loop", response_class=HTMLResponse)(page.confirm)
    app.post("/login")(page.log_in)
    app.post("/logout")(page.log_out)
    app.post("/password")(page.change_password)
    app.post("/request")(page.request)
    return app


async def _secure(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call_next(request)
    response.headers.update(_SECURITY)
    return response


class _Page:
    """What the routes do; each is one visitor's step."""

    def __init__(self, journal: Journal, accounts: Accounts, line: str) -> None:
        self._journal, self._accounts, self._line = journal, accounts, line
        self._sessions = Sessions(time.monotonic)
        self._follower = Follower(journal, line, time.monotonic, time.time)
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined
        )

    def close(self) -> None:
        self._accounts.close()
        self._journal.close()

    # looking

    def show(self, request: Request) -> HTMLResponse:
        session, account = self._visitor(request)
        now = screen(self._follower.look())
        token = self._sessions.form_token(session.key)
        return self._html("page.html", now=now, account=account, token=token)

    def live(self, request: Request) -> HTMLResponse:
        session, account = self._visitor(request)
        now = screen(self._follower.look())
        return self._html("live.html", now=now, account=account, token=self._sessions.form_token(session.key))

    def confirm(self, request: Request) -> HTMLResponse:
        session, account = self._visitor(request)
        now = screen(self._follower.look())
        return self._html("confirm.html", now=now, account=account, token=self._sessions.form_token(session.key))

    # asking

    def request(
        self, request: Request, action: Text, value: Text = "", reason: Text = "", seq: Text = "", token: Text = ""
    ) -> Response:
        _, account = self._visitor(request, token)
        if not account.role.may_ask:
            raise _Said(403, f"The role {account.role.value} looks only: it may not ask for anything.")
        self._check_request(action, value.strip(), reason.strip())
        body = {"action": action, "value": value.strip(), "user": account.name, "reason": reason.strip()}
        shown = int(seq) if seq.isdecimal() else None
        self._journal.append("request", time.time(), encode({**body, "cycle_seq": shown}))
        return RedirectResponse("/", status_code=303)

    def _check_request(self, action: str, value: str, reason: str) -> None:
        now = screen(self._follower.look())
        if action in ("accept", "decline"):
            if not now.may_answer:
                raise _Said(409, "There is no recommendation to answer now: the mode is not advise, or it is old.")
            if action == "decline" and not reason:
                raise _Said(422, "Say why you decline: the record needs a reason.")
        elif action == "mode":
            if value not in now.modes:
                raise _Said(409, f"This line does not allow the mode '{value}'.")
            if value == "closed" and now.stale:
                raise _Said(409, "The loop cannot be closed: no new cycle is coming in.")
        elif action == "run_down":
            if value not in WISHES or not now.setpoints:
                raise _Said(422, "This request is not known.")
            if value == "start" and now.stale:
                raise _Said(409, "The line cannot be run down: no new cycle is coming in.")
        elif action != "ack" or not value:
            raise _Said(422, "This request is not known.")

    # coming and going

    def door(self, request: Request) -> Response:
        return self._door(request, "")

    def log_in(self, request: Request, name: Text, password: Text, token: Text = "") -> Response:
        if not self._sessions.fits(request.cookies.get(DOOR_COOKIE), token):
            return self._door(request, "The page was open for too long; please try again.", 403)
        if not self._sessions.may_try(request.client.host if request.client else ""):
            return self._door(request, "Too many attempts from this place; wait a minute.", 429)
        entered = self._accounts.log_in(name.strip().lower(), password)
        if isinstance(entered, Refusal):
            return self._door(request, REFUSED, 401)
        return self._enter(request, entered.name, "/password" if entered.must_change else "/")

    def log_out(self, request: Request, token: Text = "") -> Response:
        session, account = self._visitor(request, token)
        self._sessions.end(session.key)
        body = {"event": "logout", "name": account.name, "by": account.name, "reason": ""}
        self._journal.append("people", time.time(), encode(body))
        answer = RedirectResponse("/login", status_code=303)
        answer.delete_cookie(COOKIE)
        return answer

    def password(self, request: Request) -> HTMLResponse:
        session, account = self._session(request)
        return self._password(session, account, "", 200)

    def change_password(self, request: Request, old: Text, new: Text, again: Text, token: Text = "") -> Response:
        session, account = self._session(request, token)
        if new != again:
            return self._password(session, account, "The two new passwords differ.", 422)
        try:
            refused = self._accounts.change_password(account.name, old, new)
        except PasswordRefused as error:
            return self._password(session, account, str(error), 422)
        if refused is not None:
            return self._password(session, account, "The present password is wrong, or the account is locked.", 401)
        self._sessions.end_all(account.name)  # whoever knew the old password is out
        return self._enter(request, account.name, "/")

    # shared

    def _session(self, request: Request, token: str | None = None) -> tuple[Session, Account]:
        """Who this is; token: also check that the form is ours. Raises _Away to the door."""
        session = self._sessions.find(request.cookies.get(COOKIE))
        account = self._accounts.get(session.name) if session else None
        if session is None or account is None or account.disabled:
            raise _Away("/login")
        if token is not None and not self._sessions.fits(session.key, token):
            raise _Said(403, "This form did not come from this page; please go back and try again.")
        return session, account

    def _visitor(self, request: Request, token: str | None = None) -> tuple[Session, Account]:
        """As _session, for whoever has a password of their own."""
        session, account = self._session(request, token)
        if account.must_change:
            raise _Away("/password")
        return session, account

    def _enter(self, request: Request, name: str, where: str) -> Response:
        session = self._sessions.begin(name)
        answer = RedirectResponse(where, status_code=303)
        _set_cookie(answer, request, COOKIE, session.key)
        answer.delete_cookie(DOOR_COOKIE)
        return answer

    def _door(self, request: Request, words: str, status: int = 200) -> Response:
        key = secrets.token_urlsafe(16)
        token = self._sessions.form_token(key)
        answer = self._html("login.html", status, line=self._line, words=words, token=token)
        _set_cookie(answer, request, DOOR_COOKIE, key)
        return answer

    def _password(self, session: Session, account: Account, words: str, status: int) -> HTMLResponse:
        token = self._sessions.form_token(session.key)
        return self._html("password.html", status, line=self._line, account=account, words=words, token=token)

    def send_away(self, request: Request, error: Exception) -> Response:
        if request.url.path == "/live":  # the page's script goes to the door itself
            return Response(status_code=401)
        return RedirectResponse(error.where if isinstance(error, _Away) else "/", status_code=303)

    def say(self, _: Request, error: Exception) -> Response:
        status = error.status if isinstance(error, _Said) else 503
        return self._html("said.html", status, line=self._line, words=str(error))

    def _html(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        return HTMLResponse(self._templates.get_template(template).render(values), status)


def _set_cookie(answer: Response, request: Request, name: str, value: str) -> None:
    secure = request.url.scheme == "https"
    answer.set_cookie(name, value, max_age=int(SHIFT_S), httponly=True, samesite="strict", secure=secure)


def first_account(journal_path: Path, people_path: Path, line_name: str) -> str | None:
    """Make the account `operator` when there is none at all; returns its one-time password, else None."""
    with Journal.open(journal_path, line_name) as journal, closing(Accounts(people_path, journal)) as accounts:
        return None if accounts.all() else accounts.add("operator", Role.OPERATOR, "local:first start")
