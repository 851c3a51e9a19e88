"""A real simulated line on a real encrypted wire, and the real service as a process beside it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from deploy.commands import free_port
from deploy.demo import LINE_FILE, Stage, prepare
from edge.errors import RecorderError
from edge.line import Line, compose
from edge.record.canonical import decode, encode
from edge.record.journal import Journal
from hil_sim.credentials import server_credentials
from hil_sim.endpoint import Endpoint
from hil_sim.pace import Pace
from hil_sim.rig import Rig
from hil_sim.scenario import Scenario
from hil_sim.server import LineServer

sys.path.insert(0, str(Path(__file__).parent))  # lets the tests here share opcua_hand
PATIENCE_S = 60.0


class Wire:
    """The served rig, the stage it is on, and the service processes that were started."""

    def __init__(self, rig: Rig, stage: Stage) -> None:
        self.rig, self.stage = rig, stage
        self.service: asyncio.subprocess.Process | None = None

    async def start_service(self) -> None:
        self.service = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "deploy.cli", "run", str(self.stage.line_file),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

    async def kill_service(self, how: signal.Signals) -> None:
        assert self.service is not None
        with contextlib.suppress(ProcessLookupError):
            self.service.send_signal(how)
        await asyncio.wait_for(self.service.wait(), 20)

    async def until(self, what: Callable[[], bool], why: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not what():
            assert time.monotonic() < deadline, f"waited {PATIENCE_S:.0f} s in vain: {why}"
            await asyncio.sleep(0.02)

    def cycles(self) -> list[dict]:  # type: ignore[type-arg]
        try:
            with Journal.open_reader(self.stage.journal) as journal:
                return [decode(row.body) for row in journal.rows(kind="cycle")]
        except RecorderError:
            return []  # not begun yet

    def ask(self, mode: str) -> None:
        with Journal.open(self.stage.journal, "CDC-REF-1") as journal:
            body = {"action": "mode", "value": mode, "user": "test", "reason": "test", "cycle_seq": None}
            journal.append("request", time.time(), encode(body))

    async def close_loop(self) -> None:
        await self.until(lambda: len(self.cycles()) >= 3, "the service's first cycles")
        self.ask("closed")
        await self.until(lambda: self.rig.plc.authority.remote_active, "remote active")


@asynccontextmanager
async def _served(folder: Path, scenario: Scenario, *, speed: float, seed: int = 1) -> AsyncIterator[Wire]:
    port = free_port()
    stage = prepare(folder / "stage", port)
    rig = Rig(scenario, seed, start_time_s=float(int(time.time())))
    server = LineServer(
        rig, Endpoint(url=f"opc.tcp://127.0.0.1:{port}"), server_credentials(stage.sim_state), Pace(speed)
    )
    await server.start()
    stop = asyncio.Event()
    playing = asyncio.create_task(server.run(stop))
    wire = Wire(rig, stage)
    try:
        yield wire
    finally:
        stop.set()
        if wire.service is not None and wire.service.returncode is None:
            await wire.kill_service(signal.SIGKILL)
        await asyncio.wait_for(playing, 10)
        await server.close()


Served = Callable[..., AbstractAsyncContextManager[Wire]]


@pytest.fixture
def served() -> Served:
    """served(folder, scenario, speed=...) -> async context with the wire."""
    return _served


@pytest.fixture(scope="session")
def reference_line() -> Line:
    """The reference line, composed once; tests give it tables of their own."""
    return compose(LINE_FILE)


@pytest.fixture(scope="session")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates and accounts of both ends, made once: a folder to copy from."""
    folder = tmp_path_factory.mktemp("secrets") / "stage"
    prepare(folder, free_port())
    pki = folder / "pki"
    (pki / "analyser.der").write_bytes((pki / "server.der").read_bytes())
    (pki / "analyser_password").touch(mode=0o600)
    (pki / "analyser_password").write_text((pki / "password").read_text())
    return folder
