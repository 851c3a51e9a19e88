"""The API of one line: reads the record, and appends what laboratories and manufacturing systems tell; nothing else.

Every route is in one table with the roles that may use it; whatever is not there is denied.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer

from edge.api import newest, pages
from edge.api.door import Door
from edge.api.metrics import CONTENT_TYPE, Metrics
from edge.api.newest import Plain
from edge.api.pages import MOST_ROWS, USUAL_ROWS, Asked, NotThereError
from edge.api.telling import ContextIn, Telling, WrongMediaError
from edge.api.tokens import ApiRole, Token, Tokens
from edge.config import LineConfig
from edge.errors import PatloopError
from edge.lab.intake import KIND as LAB_KIND
from edge.lab.result import FIELDS, ResultError
from edge.record.journal import Journal

Verb = Callable[..., Any]
LOOKERS = frozenset({ApiRole.READER, ApiRole.ENGINEER})
EVERYBODY = frozenset(ApiRole)
Instant = Annotated[str | None, Query(max_length=40, description="ISO 8601 with zone, or seconds since the epoch")]


@dataclass(frozen=True)
class Route:
    """One thing the API does: for whom, and in one sentence what."""

    method: str
    path: str
    roles: frozenset[ApiRole]
    verb: Verb


def create_app(
    config: LineConfig, state_dir: Path, *, open_metrics: bool = False, https: bool = True,
    monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time,
) -> FastAPI:  # fmt: skip
    """The API of a line that has a journal in its state folder. Raises PatloopError when a file is unusable.

    open_metrics: /metrics needs no token from this machine itself; https: clients are told to come by HTTPS only.
    """
    journal = Journal.open_reader(state_dir / "journal.sqlite")
    tokens = Tokens(state_dir / "tokens.db")
    api = _Api(config, journal, Telling(config, journal.path, wall), monotonic, wall)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        api.close()
        tokens.close()

    app = FastAPI(
        title=f"patloop {config.line.name}", version="1", openapi_url=None, docs_url=None, redoc_url=None,
        lifespan=life, description=__doc__,
    )  # fmt: skip
    for route in api.routes(app):
        app.add_api_route(
            route.path, route.verb, methods=[route.method], response_model=None,
            dependencies=[Security(HTTPBearer(auto_error=False)), Depends(_let_in(route.roles))],
        )  # fmt: skip
    for kind, status in _STATUS.items():
        app.add_exception_handler(kind, _told(status))
    app.add_exception_handler(RequestValidationError, _not_as_asked)
    app.add_middleware(
        Door, tokens=tokens, monotonic=monotonic, counted=api.metrics.counted, open_metrics=open_metrics, https=https
    )
    return app


class Plainly(JSONResponse):
    """JSON in ASCII: what was sent to us can be told back, even where it is no text that UTF-8 can carry."""

    def render(self, content: Any) -> bytes:
        """The bytes of the body."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


class _Api:
    """What the routes do."""

    def __init__(
        self, config: LineConfig, journal: Journal, telling: Telling, monotonic: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:  # fmt: skip
        self._config, self._journal, self._telling = config, journal, telling
        self._units = {mv.name: mv.unit for mv in config.setpoints}
        self._watcher = newest.Watcher(journal, config.line.cycle_s, monotonic, wall)
        self.metrics = Metrics(config.line.name, journal, self._watcher, self._units)

    def close(self) -> None:
        self._telling.close()
        self._journal.close()

    def routes(self, app: FastAPI) -> tuple[Route, ...]:
        """Every route there is."""
        teller = frozenset({ApiRole.MES, ApiRole.ENGINEER})

        def description() -> Plain:
            """This interface, as an OpenAPI document."""
            return app.openapi()

        return (
            Route("GET", "/v1/openapi.json", EVERYBODY, description),
            Route("GET", "/v1/state", LOOKERS, self.state),
            Route("GET", "/v1/estimate", LOOKERS, self.estimate),
            Route("GET", "/v1/belief", LOOKERS, self.belief),
            Route("GET", "/v1/decision", LOOKERS, self.decision),
            Route("GET", "/v1/alarms", LOOKERS, self.alarms),
            Route("GET", "/v1/setpoints", LOOKERS, self.setpoints),
            Route("GET", "/v1/history", LOOKERS, self.history),
            Route("GET", "/v1/spectra/{seq}", LOOKERS, self.spectrum),
            Route("GET", "/v1/genealogy", LOOKERS, self.genealogy),
            Route("GET", "/v1/lab-results", LOOKERS | {ApiRole.LAB}, self.lab_results),
            Route("POST", "/v1/lab-results", frozenset({ApiRole.LAB}), self.tell_results),
            Route("GET", "/v1/context", LOOKERS | {ApiRole.MES}, self.context),
            Route("PUT", "/v1/context", teller, self.tell_context),
            Route("GET", "/v1/batches", LOOKERS | {ApiRole.MES}, self.batches),
            Route("GET", "/v1/requests", LOOKERS, self.requests),
            Route("GET", "/v1/record", LOOKERS, self.record),
            Route("GET", "/metrics", LOOKERS, self.scrape),
        )

    # now

    def state(self) -> Plain:
        """Mode, link, whether the loop holds and why, the fate of the last writes, and what is being made."""
        return newest.state(self._now(), self._config.line.name)

    def estimate(self) -> Plain:
        """The newest estimate of the soft sensor with interval, T2, Q and quality."""
        return newest.part(self._now(), "estimate")

    def belief(self) -> Plain:
        """What the observer holds to be true now."""
        return newest.part(self._now(), "belief")

    def decision(self) -> Plain:
        """What the controller wants now, and why."""
        return newest.part(self._now(), "decision")

    def alarms(self) -> Plain:
        """The standing alarms, most urgent first."""
        return newest.alarms(self._now())

    def setpoints(self) -> Plain:
        """Each setpoint: working, recommended, written; with unit and UCUM code."""
        return newest.setpoints(self._now(), self._units)

    def context(self) -> Plain:
        """The context in force at the newest cycle: batch, product and lots."""
        now = self._now()
        return newest.stamped(now, {"context": now.sample.get("context")})

    def record(self) -> Plain:
        """The head of the record and the anchor to hold it to."""
        return newest.record(self._journal, self._config.line.name)

    def scrape(self) -> Response:
        """The line's figures for Prometheus."""
        return Response(self.metrics.page(), media_type=CONTENT_TYPE)

    # what was

    def history(
        self, asked: Annotated[Asked, Depends(_asked_of)],
        columns: Annotated[str, Query(max_length=2000, description="names, or beginnings with .*; comma")] = "",
    ) -> Plain:  # fmt: skip
        """Cycles by time, page by page, with the UCUM code of each column."""
        chosen = tuple(part.strip() for part in columns.split(",") if part.strip())
        return pages.history(self._journal, asked, chosen, self._units)

    def spectrum(self, seq: int) -> Plain:
        """The spectrum of one cycle record, with its axis."""
        if not 0 < seq < 2**62:
            raise NotThereError("there is no such record")
        return pages.spectrum(self._journal, seq)

    def genealogy(self, asked: Annotated[Asked, Depends(_asked_of)]) -> Plain:
        """Each minute of material with origin, estimate, risk and fate, page by page."""
        return pages.minutes(self._journal, asked)

    def lab_results(self, asked: Annotated[Asked, Depends(_asked_of)]) -> Plain:
        """Laboratory results that came by file or by this API, refused ones too, by when they came."""
        return pages.of_kind(self._journal, LAB_KIND, asked)

    def batches(self, asked: Annotated[Asked, Depends(_asked_of)]) -> Plain:
        """Changes of batch, product and lots."""
        return pages.of_kind(self._journal, "batch", asked)

    def requests(self, asked: Annotated[Asked, Depends(_asked_of)]) -> Plain:
        """What people asked the loop for."""
        return pages.of_kind(self._journal, "request", asked)

    # what others tell

    async def tell_results(self, request: Request) -> JSONResponse:
        """Tell laboratory results: one as a JSON object, a list of them, or CSV with a header; each is recorded.

        201: every one was taken; 422: one was refused, and recorded with the reason; see each.
        """
        raw = await request.body()
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        entered = await run_in_threadpool(self._telling.results, raw, media, _token(request).name)
        refused = any(result["status"] == "refused" for result in entered)
        return JSONResponse({"results": entered, "fields": FIELDS}, status_code=422 if refused else 201)

    async def tell_context(self, told: ContextIn, request: Request) -> JSONResponse:
        """Tell what is being made: it replaces what was told before; what the line tells itself goes before it."""
        seq = await run_in_threadpool(self._telling.context, told, _token(request).name)
        return JSONResponse({"seq": seq}, status_code=201)

    def _now(self) -> newest.Newest:
        found = self._watcher.look()
        if found is None:
            raise NotThereError("there is no cycle on the record yet")
        return found


_STATUS: dict[type[Exception], int] = {
    NotThereError: 404, ResultError: 422, WrongMediaError: 415, PatloopError: 503,
}  # fmt: skip


def _told(status: int) -> Callable[[Request, Exception], Awaitable[JSONResponse]]:
    async def say(_: Request, error: Exception) -> JSONResponse:
        return Plainly({"detail": str(error)}, status_code=status)

    return say


async def _not_as_asked(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError), "what this is registered for"
    # What was sent is not told back: it may be NaN, which JSON has no word for, or as long as the sender likes.
    told = [{key: part[key] for key in ("type", "loc", "msg")} for part in error.errors()]
    return Plainly({"detail": jsonable_encoder(told)}, status_code=422)


def _let_in(roles: frozenset[ApiRole]) -> Callable[[Request], None]:
    def check(request: Request) -> None:
        token = request.scope["state"].get("token")
        if token is None and request.url.path == "/metrics":
            return  # let in by the door, from this machine itself
        if token is None or token.role not in roles:
            raise HTTPException(403, "this token's role may not do that")

    return check


def _token(request: Request) -> Token:
    token = request.scope["state"]["token"]
    assert isinstance(token, Token), "the door lets nobody in without one"
    return token


def _asked_of(
    from_: Annotated[Instant, Query(alias="from")] = None,
    to: Instant = None,
    after: Annotated[int | None, Query(ge=0, lt=2**62, description="the last page's next: go on after it")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = USUAL_ROWS,
) -> Asked:
    return Asked(_instant(from_), _instant(to), after, limit)


def _instant(text: str | None) -> float | None:
    """Seconds since the epoch of a text; 422 where it is none."""
    if text is None:
        return None
    try:
        found = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text.replace(" ", "+"))  # a '+' in an address comes as a blank
            found = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError) as error:
            raise HTTPException(422, f"'{text}' is no time: write it as 2026-03-01T06:30:00Z") from error
    if not math.isfinite(found):
        raise HTTPException(422, f"'{text}' is no time")
    return found
