"""A quarter of an hour of a closed loop on the record, once a session; each test works on a copy of it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from edge.api.app import create_app
from edge.api.tokens import ApiRole, Tokens
from edge.config import LineConfig, read_config
from edge.record.canonical import encode
from edge.record.journal import Journal
from edge.record.recorder import JournalRecorder
from edge.service import start_body
from hil_sim.bench import compose_for, run_one
from hil_sim.scenario import load_scenario

LINE_FILE = Path(__file__).parents[3] / "deploy" / "lines" / "cdc_ref_1.toml"


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the journal of 15 minutes of the reference line."""
    folder = tmp_path_factory.mktemp("recorded")
    line = compose_for(LINE_FILE, "mpc")
    with Journal.open(folder / "journal.sqlite", line.config.line.name, now=lambda: 1_760_000_000.0) as journal:
        recorder = JournalRecorder(journal)
        recorder.start(1_760_000_000.0, start_body(line), line.artefacts())
        run_one(line, load_scenario("hidden_loss"), 1, 0.25, recorder=recorder)
    return folder


class Client:
    """Another system at some address, asking one thing after the other."""

    def __init__(self, app: FastAPI, host: str) -> None:
        self.app, self._host = app, host

    def request(self, method: str, path: str, **asked: Any) -> httpx.Response:
        return asyncio.run(self._request(method, path, asked))

    def get(self, path: str, **asked: Any) -> httpx.Response:
        return self.request("GET", path, **asked)

    def post(self, path: str, **asked: Any) -> httpx.Response:
        return self.request("POST", path, **asked)

    def put(self, path: str, **asked: Any) -> httpx.Response:
        return self.request("PUT", path, **asked)

    def close(self) -> None:
        asyncio.run(self._end())

    async def _request(self, method: str, path: str, asked: dict[str, Any]) -> httpx.Response:
        wire = httpx.ASGITransport(self.app, client=(self._host, 4711))
        async with httpx.AsyncClient(transport=wire, base_url="https://line.test") as browser:
            return await browser.request(method, path, **asked)

    async def _end(self) -> None:
        async with self.app.router.lifespan_context(self.app):
            pass


@dataclass
class House:
    """A line's state folder with its API; now: clocks that stand still until they are moved."""

    folder: Path
    config: LineConfig
    monotonic_s: float = 100.0
    wall_s: float = 0.0
    texts: dict[str, str] = field(default_factory=dict)

    def client(self, *, host: str = "10.1.2.3", open_metrics: bool = False) -> Client:
        """A client of an API of its own."""
        app = create_app(
            self.config, self.folder, open_metrics=open_metrics, monotonic=lambda: self.monotonic_s,
            wall=lambda: self.wall_s,
        )  # fmt: skip
        return Client(app, host)

    def token(self, role: ApiRole, name: str = "", days: float = 30.0) -> dict[str, str]:
        """The header of a token of that role, made when it is not there."""
        name = name or f"a-{role.value}"
        if name not in self.texts:
            with (
                Journal.open(self.journal, self.config.line.name) as journal,
                closing(Tokens(self.folder / "tokens.db", journal)) as tokens,
            ):
                self.texts[name] = tokens.make(name, role, days, "test")
        return {"Authorization": f"Bearer {self.texts[name]}"}

    @property
    def journal(self) -> Path:
        return self.folder / "journal.sqlite"

    def append(self, kind: str, time_s: float, body: object) -> None:
        """One more record."""
        with Journal.open(self.journal, self.config.line.name) as journal:
            journal.append(kind, time_s, encode(body))


@pytest.fixture
def house(recorded: Path, tmp_path: Path) -> House:
    folder = tmp_path / "state"
    shutil.copytree(recorded, folder)
    config, _ = read_config(LINE_FILE)
    with Journal.open_reader(folder / "journal.sqlite") as journal:
        newest = journal.last("cycle")
    assert newest is not None
    return House(folder, config, wall_s=newest.time_s + 2.0)


@pytest.fixture
def client(house: House) -> Iterator[Client]:
    with closing(house.client()) as browser:
        yield browser
