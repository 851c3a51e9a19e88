"""Target: requests to the operator's pages, from somebody who is logged in: always an answer."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from urllib.parse import quote

import httpx
from fastapi import FastAPI

from deploy.fuzz.target import Broken, Once, Target

LINE = "CDC-REF-1"
HOST = "http://127.0.0.1:8000"
WORD = "a-long-enough-passphrase-7"
TOKEN = b"@TOKEN@"
FORM = "application/x-www-form-urlencoded"
METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH")
SEEDS = (
    b"GET /\n", b"GET /live\n", b"GET /live?minutes=30\n", b"GET /close-loop\n", b"GET /password\n", b"GET /static/x\n",
    b"POST /request\naction=mode&value=closed&reason=ready&token=@TOKEN@",
    b"POST /request\naction=ack&value=hold&reason=&token=@TOKEN@",
    b"POST /request\naction=decline&value=FeederApi&reason=no&token=@TOKEN@",
    b"POST /password\nold=x&new=y&again=y&token=@TOKEN@", b"POST /login\nname=ann&password=x&token=@TOKEN@",
)  # fmt: skip


def targets() -> tuple[Target, ...]:
    """The pages."""
    words = (TOKEN, b"%00", b"%ff", b"&action=", b"../", b"<script>", b"\xc3", b"application/json", b"=" * 9)
    return (Target("pages", lambda: SEEDS, _prepare, (), ("edge/hmi", "edge/people"), words, most=4000),)


def _prepare(folder: Path) -> Once:
    from deploy.fuzz.records import fill
    from edge.hmi.app import create_app
    from edge.people.accounts import Accounts, Role

    journal, people = folder / "journal.sqlite", folder / "people.sqlite"
    fill(journal)
    accounts = Accounts(people)
    first = accounts.add("ann", next(r for r in Role if r.may_ask), "fuzz")
    if accounts.change_password("ann", first, WORD) is not None:
        raise Broken("the account of the pages cannot be made ready")
    accounts.close()
    app = create_app(journal, people, LINE)
    token, cookies = asyncio.run(_log_in(app))

    def once(raw: bytes) -> object:
        return asked(app, raw.replace(TOKEN, token), {"content-type": FORM}, cookies)

    return once


def asked(app: FastAPI, raw: bytes, headers: dict[str, str], cookies: httpx.Cookies | None = None) -> int:
    """The status of the answer to `METHOD target`, and on the next lines the body; Broken for a failure of ours."""
    head, _, body = raw.partition(b"\n")
    method, _, target = head.decode("latin-1").partition(" ")
    name = method if method in METHODS else "POST"
    path = "/" + quote(target, safe="/?&=%").lstrip("/")

    async def sent() -> int:
        async with _client(app, cookies) as client:
            return (await client.request(name, path, content=body, headers=headers)).status_code

    status = asyncio.run(sent())
    if status >= 500:
        raise Broken(f"answered {status}")
    return status


def _client(app: FastAPI, cookies: httpx.Cookies | None = None) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HOST, cookies=cookies)


async def _log_in(app: FastAPI) -> tuple[bytes, httpx.Cookies]:
    """A session's form token, as its page shows it, and its cookies."""
    async with _client(app) as client:

        async def token(path: str) -> str:
            found = re.search(r'name="token"\s+value="([0-9a-f]+)"', (await client.get(path)).text)
            if found is None:
                raise Broken(f"{path} shows no form")
            return found.group(1)

        fields = {"name": "ann", "password": WORD, "token": await token("/login")}
        answer = await client.post("/login", data=fields)
        if answer.status_code >= 400:
            raise Broken(f"the log-in was answered with {answer.status_code}")
        return (await token("/password")).encode(), client.cookies
