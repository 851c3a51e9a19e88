"""The API's door: nobody without a token, no role beyond its own, no more and nothing larger than is allowed."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from fastapi.routing import APIRoute

from edge.api.app import EVERYBODY
from edge.api.commands import api
from edge.api.door import FAILURES, MOST_BODY_BYTES, MOST_KEYS, REQUESTS, Buckets, Pace
from edge.api.token_commands import token as token_command
from edge.api.tokens import ApiRole, TokenError, Tokens, token_id
from edge.check import findings
from edge.record.canonical import decode
from edge.record.journal import Journal

House = Client = Any  # of conftest.py
LINE_FILE = Path(__file__).parents[3] / "deploy" / "lines" / "cdc_ref_1.toml"

# Written down apart from the code: what each role may do, and nothing else.
MAY = {
    ApiRole.READER: {
        "GET /v1/openapi.json", "GET /v1/state", "GET /v1/estimate", "GET /v1/belief", "GET /v1/decision",
        "GET /v1/alarms", "GET /v1/setpoints", "GET /v1/history", "GET /v1/spectra/{seq}", "GET /v1/genealogy",
        "GET /v1/lab-results", "GET /v1/context", "GET /v1/batches", "GET /v1/requests", "GET /v1/record",
        "GET /metrics",
    },
    ApiRole.LAB: {"GET /v1/openapi.json", "GET /v1/lab-results", "POST /v1/lab-results"},
    ApiRole.MES: {"GET /v1/openapi.json", "GET /v1/context", "GET /v1/batches", "PUT /v1/context"},
}  # fmt: skip
MAY[ApiRole.ENGINEER] = MAY[ApiRole.READER] | {"PUT /v1/context"}


def routes(client: Client) -> list[tuple[str, str]]:
    found = [r for r in client.app.routes if isinstance(r, APIRoute)]
    assert len(found) == len(client.app.routes), "there is nothing beside the table: no page, no mount"
    return [(method, route.path) for route in found for method in sorted(route.methods or ())]


def test_every_route_and_role(house: House, client: Client) -> None:
    table = routes(client)
    assert {f"{m} {p}" for m, p in table} == set().union(*MAY.values())
    for role in EVERYBODY:
        headers = house.token(role)
        for method, path in table:
            house.monotonic_s += 10.0
            answer = client.request(method, path.replace("{seq}", "5"), headers=headers)
            allowed = f"{method} {path}" in MAY[role]
            assert (answer.status_code != 403) is allowed, (role, method, path, answer.status_code)
            assert answer.status_code != 500


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_without_a_token_nothing_answers(house: House, client: Client, method: str) -> None:
    paths = {path for _, path in routes(client)} | {"/", "/docs", "/openapi.json", "/v1", "/static/x", "/v1/../metrics"}
    for path in sorted(paths):
        house.monotonic_s += 20.0
        answer = client.request(method, path)
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"] == "Bearer"


def test_no_verb_but_those_of_the_table_does_anything(house: House, client: Client) -> None:
    headers = house.token(ApiRole.ENGINEER)
    with Journal.open_reader(house.journal) as journal:
        before = journal.last()
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        for path in ("/v1/state", "/v1/history", "/v1/record", "/metrics", "/v1/requests", "/v1/spectra/5"):
            house.monotonic_s += 10.0
            assert client.request(method, path, headers=headers).status_code == 405
    with Journal.open_reader(house.journal) as journal:
        assert journal.last() == before


def test_what_is_no_token_that_holds_is_refused(house: House, client: Client) -> None:
    good = house.token(ApiRole.READER)["Authorization"]
    wrong = [
        "", "Bearer", "Bearer ", good[:-1] + ("A" if good[-1] != "A" else "B"), good.replace("Bearer", "Basic"),
        good + "x", "Bearer " + "x" * 5000, "Bearer pat1_000000000000_" + "A" * 43, good.replace("pat1", "pat2"),
    ]  # fmt: skip
    for text in wrong:
        house.monotonic_s += 30.0
        assert client.get("/v1/state", headers={"Authorization": text}).status_code == 401, text
    assert client.get("/v1/state", headers={"Authorization": good.replace("Bearer", "bEARER")}).status_code == 200


def test_a_token_ends_when_it_expires_and_when_it_is_taken_back(house: House) -> None:
    now = [1000.0]
    with (
        Journal.open(house.journal, house.config.line.name) as journal,
        closing(Tokens(house.folder / "t.db", journal, lambda: now[0])) as tokens,
    ):
        text = tokens.make("historian", ApiRole.READER, 2.0, "local:me")
        other = tokens.make("lims", ApiRole.LAB, 2.0, "local:me")
        found = tokens.check(text)
        assert found is not None
        assert (found.name, found.role) == ("historian", ApiRole.READER)
        tokens.revoke("lims", "local:me")
        assert tokens.check(other) is None
        now[0] += 2 * 86400.0
        assert tokens.check(text) is None
        with pytest.raises(TokenError, match="no token 'historian' that holds"):
            tokens.revoke("historian", "local:me")
        told = [decode(row.body) for row in journal.rows(kind="token")]
    assert [(t["event"], t["name"], t["role"], t["by"]) for t in told] == [
        ("made", "historian", "reader", "local:me"), ("made", "lims", "lab", "local:me"),
        ("revoked", "lims", "lab", "local:me"),
    ]  # fmt: skip


def test_no_secret_is_kept_anywhere(house: House) -> None:
    text = house.token(ApiRole.READER)["Authorization"].removeprefix("Bearer ")
    secret = text[len("pat1_") + 13 :]
    for file in house.folder.rglob("*"):
        if file.is_file():
            assert secret.encode() not in file.read_bytes(), file
    assert (house.folder / "tokens.db").stat().st_mode & 0o077 == 0
    with closing(sqlite3.connect(house.folder / "tokens.db")) as list_:
        assert list_.execute("SELECT sha256 FROM tokens").fetchone()[0] == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("name", "days", "why"), [("X", 1, "no token name"), ("ok", 0, "holds for up to"), ("ok", 800, "holds for up to")]
)
def test_tokens_that_cannot_be(tmp_path: Path, name: str, days: float, why: str) -> None:
    with closing(Tokens(tmp_path / "t.db")) as tokens, pytest.raises(TokenError, match=why):
        tokens.make(name, ApiRole.READER, days, "me")


def test_the_public_part_of_a_token() -> None:
    assert token_id("pat1_0123456789ab_" + "A" * 43) == "0123456789ab"
    for text in ("", "pat1_0123456789ab_" + "A" * 42, "pat1_0123456789ab_" + "é" * 43, "pat1_0123456789AB_" + "A" * 43):
        assert token_id(text) is None


# how much, how often


def test_a_burst_is_let_through_and_then_the_pace(house: House, client: Client) -> None:
    headers = house.token(ApiRole.READER)
    codes = [client.get("/v1/record", headers=headers).status_code for _ in range(int(REQUESTS.burst) + 3)]
    assert codes == [200] * int(REQUESTS.burst) + [429] * 3
    assert client.get("/v1/record", headers=house.token(ApiRole.ENGINEER)).status_code == 200, "others go on"
    house.monotonic_s += 1.001 / REQUESTS.per_s
    assert client.get("/v1/record", headers=headers).status_code == 200


def test_trying_tokens_is_slow(house: House, client: Client) -> None:
    for _ in range(int(FAILURES.burst)):
        assert client.get("/v1/state").status_code == 401
    answer = client.get("/v1/state", headers=house.token(ApiRole.READER))
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "10")
    house.monotonic_s += 1.0 / FAILURES.per_s + 0.1
    assert client.get("/v1/state", headers=house.token(ApiRole.READER)).status_code == 200


def test_the_door_remembers_so_many_senders_at_most() -> None:
    buckets = Buckets(Pace(1.0, 0.001), lambda: 0.0)
    for n in range(3 * MOST_KEYS):
        buckets.take(str(n))
    assert len(buckets._left) == MOST_KEYS


def test_bodies_are_bounded_whatever_they_announce(house: House, client: Client) -> None:
    headers = house.token(ApiRole.LAB)
    announced = client.post("/v1/lab-results", content=b"x" * (MOST_BODY_BYTES + 1), headers=headers)
    assert announced.status_code == 413

    async def drip() -> Any:
        for _ in range(MOST_BODY_BYTES // 4096 + 2):
            yield b"x" * 4096

    json_ = {**headers, "Content-Type": "application/json"}
    assert client.post("/v1/lab-results", content=drip(), headers=json_).status_code == 413
    engineer = {**house.token(ApiRole.ENGINEER), "Content-Type": "application/json"}
    assert client.put("/v1/context", content=drip(), headers=engineer).status_code == 413
    bad = client.post("/v1/lab-results", content=b"x", headers={**headers, "Content-Length": "1e3"})
    assert bad.status_code == 413


def test_every_answer_carries_the_headers(house: House, client: Client) -> None:
    for headers in ({}, house.token(ApiRole.READER)):
        answer = client.get("/v1/state", headers=headers)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["cache-control"] == "no-store"
        assert "max-age" in answer.headers["strict-transport-security"]


def test_a_websocket_is_not_taken(client: Client) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(client.app({"type": "websocket", "path": "/", "headers": []}, receive, send))
    assert sent == []


# the commands


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def test_it_is_served_over_tls_with_a_certificate_of_the_box(house: House) -> None:
    headers, port = house.token(ApiRole.READER), free_port()
    state = ["--state", str(house.folder), "--port", str(port)]
    main = [sys.executable, "-m", "deploy.cli", "api", str(LINE_FILE), *state]
    process = subprocess.Popen(main, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        certificate = house.folder / "pki" / "api_cert.pem"
        answer = _when_up(certificate, port, headers)
        assert answer.json()["line"] == "CDC-REF-1"
        assert "server" not in answer.headers
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://127.0.0.1:{port}/v1/state", headers=headers, trust_env=False)
    finally:
        process.terminate()
        said, _ = process.communicate(timeout=20)
    assert "Traceback" not in said


def _when_up(certificate: Path, port: int, headers: dict[str, str]) -> httpx.Response:
    deadline = time.monotonic() + 30.0
    while True:
        try:
            trusted = ssl.create_default_context(cafile=str(certificate))
            return httpx.get(f"https://127.0.0.1:{port}/v1/state", headers=headers, verify=trusted, trust_env=False)
        except (OSError, httpx.HTTPError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def test_plain_http_is_for_this_machine_alone(house: House) -> None:
    args = [str(LINE_FILE), "--state", str(house.folder), "--plain-http", "--host", "0.0.0.0"]
    done = CliRunner().invoke(api, args)
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert "for this machine alone" in done.output
    none = ["--state", str(house.folder / "none"), "--port", str(free_port())]
    nowhere = CliRunner().invoke(api, [str(LINE_FILE), *none])
    assert nowhere.exit_code == 2
    assert "there is no journal" in nowhere.output


def test_tokens_are_made_listed_and_taken_back(house: House) -> None:
    state = ["--state", str(house.folder)]
    made = CliRunner().invoke(token_command, ["make", str(LINE_FILE), "--role", "lab", "--name", "lims", *state])
    assert made.exit_code == 0, made.output
    text = made.output.strip().splitlines()[-1]
    assert token_id(text) is not None
    again = CliRunner().invoke(token_command, ["make", str(LINE_FILE), "--role", "lab", "--name", "lims", *state])
    assert (again.exit_code, "already" in again.output) == (2, True)
    listed = CliRunner().invoke(token_command, ["list", str(LINE_FILE), *state])
    assert "lims" in listed.output
    assert text not in listed.output
    assert CliRunner().invoke(token_command, ["revoke", str(LINE_FILE), "--name", "lims", *state]).exit_code == 0
    assert "revoked" in CliRunner().invoke(token_command, ["list", str(LINE_FILE), *state]).output
    nowhere = CliRunner().invoke(token_command, ["list", str(LINE_FILE), "--state", str(house.folder / "none")])
    assert (nowhere.exit_code, "there is no journal" in nowhere.output) == (2, True)


def test_check_tells_of_tokens_that_end_soon(house: House) -> None:
    house.token(ApiRole.READER, "soon", days=3.0)
    house.token(ApiRole.LAB, "later", days=300.0)
    told = [verdict.what for verdict in findings(LINE_FILE, house.folder, offline=True)]
    warned = [text for text in told if text.startswith("warning: token")]
    assert len(warned) == 1
    assert "token soon (reader) ends" in warned[0]
    assert warned[0].endswith("in 3 days")
