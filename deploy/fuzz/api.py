"""Target: requests to the API, from somebody with a token: an answer, never a failure."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from itertools import count
from pathlib import Path

from deploy.fuzz.files import LINE_FILE
from deploy.fuzz.pages import asked
from deploy.fuzz.systems import FILE, RESULT
from deploy.fuzz.target import Once, Target

MEDIA = ("application/json", "text/csv", "application/json; charset=utf-16", "text/plain", "")
CONTEXT = b'{"batch":"B-7","product":"Tablet 10 mg","lots":{"FeederApi":"L1"},"reason":"start"}'
SEEDS = (
    b"\0\0GET /v1/state\n", b"\0\0GET /v1/history?columns=api&limit=5\n", b"\0\0GET /v1/spectra/3\n",
    b"\0\0GET /v1/genealogy?from=1760000000&to=1760000900\n",
    b"\0\0GET /v1/lab-results?limit=2\n", b"\0\0GET /metrics\n",
    b"\1\0POST /v1/lab-results\n" + RESULT, b"\1\1POST /v1/lab-results\n" + FILE, b"\2\0PUT /v1/context\n" + CONTEXT,
    b"\2\0GET /v1/batches\n", b"\0\0GET /v1/record\n", b"\0\0GET /v1/requests?after=1\n", b"\0\0GET /v1/openapi.json\n",
)  # fmt: skip


def targets() -> tuple[Target, ...]:
    """The API."""
    words = (b"limit=", b"after=", b"from=nan", b"%00", b"1e400", b'"lots":{', b"{}", b"../", b"2026-11-23T00:00:00Z")
    return (Target("api", lambda: SEEDS, _prepare, (), ("edge/api", "edge/lab"), words, most=6000),)


def _prepare(folder: Path) -> Once:
    """Two bytes before the request choose who asks, and in which form."""
    from deploy.fuzz.records import fill
    from edge.api.app import create_app
    from edge.api.tokens import ApiRole, Tokens
    from edge.config import read_config

    fill(folder / "journal.sqlite")
    with closing(Tokens(folder / "tokens.db")) as tokens:
        texts = [tokens.make(f"a-{role.value}", role, 30.0, "fuzz") for role in ApiRole]
    config, _ = read_config(LINE_FILE)
    app = create_app(config, folder, https=False, monotonic=_leaping(), wall=lambda: 1.7955e9)

    def once(raw: bytes) -> object:
        who, form = (raw + b"\0\0")[:2]
        headers = {"authorization": f"Bearer {texts[who % len(texts)]}", "content-type": MEDIA[form % len(MEDIA)]}
        return asked(app, raw[2:], headers)

    return once


def _leaping() -> Callable[[], float]:
    """A clock by which nobody ever asks too often."""
    ticks = count(1)
    return lambda: 10.0 * next(ticks)
