"""A line server, the product's client and its loop in one process, over a real encrypted connection.

Line time moves only when a test says so, so that nothing here depends on how fast the machine is.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from deploy.commands import free_port
from edge.acquire.opcua import OpcUaLine
from edge.actuate.opcua import OpcUaActuator
from edge.config import LineConfig
from edge.cycle import Loop, begin, cycle
from edge.line import Line
from edge.pki import analyser_credentials, credentials
from edge.signals import Acted, Link, Sample, Scan, Thought
from hil_sim.bench import ScriptedRecorder
from hil_sim.credentials import server_credentials
from hil_sim.endpoint import Endpoint
from hil_sim.pace import Pace
from hil_sim.rig import PlcKind, Rig
from hil_sim.scenario import OperatorAct, Scenario
from hil_sim.server import LineServer
from hil_sim.tags import TagValue

QUIET = Scenario(
    name="quiet", description="For tests over the wire.", hours=20.0, reset_after_s=None,
    operator=(OperatorAct(at_min=0.0, action="enable"),),
)  # fmt: skip
OTHERS = ("urn:vendor:one", "urn:vendor:two", "urn:vendor:three")
Change = Callable[[TagValue], TagValue]


class Watching(ScriptedRecorder):
    """A recorder that keeps samples and outcomes."""

    def __init__(self) -> None:
        super().__init__()
        self.samples: list[Sample] = []
        self.outcomes: list[Acted] = []

    def cycle(self, sample: Sample, thought: Thought) -> None:
        super().cycle(sample, thought)
        self.samples.append(sample)

    def acted(self, sample: Sample, acted: Acted) -> None:
        super().acted(sample, acted)
        self.outcomes.append(acted)


class Stand:
    """Rig, server, client and loop; `change` alters what the line shows, by tag."""

    def __init__(self, folder: Path, line: Line, rig: Rig, port: int, namespaces: tuple[str, ...] = ()) -> None:
        self.folder, self.line, self.rig, self.port = folder, line, rig, port
        self.change: dict[str, Change] = {}
        self.server = self._server(namespaces)
        shown = rig.read
        rig.read = lambda: self._changed(shown())  # type: ignore[method-assign]
        far = analyser_credentials(folder) if line.config.analyser.url else None
        self.remote = OpcUaLine(line.config, credentials(folder), far)
        self.actuator = OpcUaActuator(self.remote)
        self.recorder = Watching()
        self.loop: Loop = begin(line)
        self.acted, self.number = Acted("none"), 0

    def now_s(self) -> float:
        return self.rig.time_s

    async def sleep_until(self, time_s: float) -> None:
        """The test moves line time itself."""

    async def think(self) -> Thought:
        """One cycle, without line time."""
        thought, self.loop, self.acted = await cycle(
            self.line, self.loop, self.number, self.acted, self.remote, self.actuator, self.recorder, self
        )
        self.number += 1
        return thought

    async def tick(self, seconds: float = 5.0) -> None:
        """Line time alone."""
        for _ in range(round(seconds / 0.5)):
            self.rig.step(0.5)
        await self.server.publish()

    async def turn(self, cycles: int = 1) -> list[Thought]:
        """Cycles with line time after each."""
        thoughts = []
        for _ in range(cycles):
            thoughts.append(await self.think())
            await self.tick()
        return thoughts

    async def until(self, what: Callable[[], bool], cycles: int = 40) -> list[Thought]:
        """Turn until it is so."""
        thoughts: list[Thought] = []
        for _ in range(cycles):
            if what():
                return thoughts
            thoughts += await self.turn()
        raise AssertionError(f"not so after {cycles} cycles: {self.scan.reason}, {thoughts[-1].authority}")

    async def close_loop(self) -> None:
        """Until setpoints go out."""
        await self.until(self.moving)

    def moving(self) -> bool:
        """Whether setpoints went out on the present connection."""
        return bool(self.loop.sent.asked) and self.loop.sent.session_id == self.scan.session_id

    async def online(self) -> None:
        """Until the client is connected, by cycles without line time."""
        for _ in range(400):
            scan = await self.remote.scan()
            if scan.link is Link.ONLINE:
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"no connection: {scan.reason}")

    @property
    def scan(self) -> Scan:
        """The last look."""
        return self.recorder.samples[-1].scan

    def told(self) -> dict[str, str]:
        """What the last look told people."""
        return {f.name: f.text for f in self.scan.told}

    async def restart(self, namespaces: tuple[str, ...] = (), state: str = "simulated_line") -> None:
        """Another server process at the same address, with other namespaces first or another certificate."""
        await self.server.close()
        self.server = self._server(namespaces, state)
        await self.server.start()

    def _server(self, namespaces: tuple[str, ...], state: str = "simulated_line") -> LineServer:
        endpoint = Endpoint(url=f"opc.tcp://127.0.0.1:{self.port}")
        secrets = server_credentials(self.folder / state)
        return LineServer(self.rig, endpoint, secrets, Pace(1.0), namespaces)

    def _changed(self, tags: Mapping[str, TagValue]) -> dict[str, TagValue]:
        return {name: self.change[name](tag) if name in self.change else tag for name, tag in tags.items()}


def configured(line: Line, port: int, opcua: Mapping[str, Any], analyser: Mapping[str, Any]) -> Line:
    """The line with other tables; its url is the served one."""
    tables = line.config.model_dump(mode="json")
    tables["opcua"] |= {"url": f"opc.tcp://127.0.0.1:{port}", "timeout_s": 2.0, **opcua}
    tables["analyser"] |= {k: v.format(port=port) if isinstance(v, str) else v for k, v in analyser.items()}
    return replace(line, config=LineConfig.model_validate(tables))


@asynccontextmanager
async def standing(
    folder: Path, line: Line, secrets: Path, *, scenario: Scenario = QUIET, plc: PlcKind = "full",
    opcua: Mapping[str, Any] | None = None, analyser: Mapping[str, Any] | None = None, namespaces: tuple[str, ...] = (),
) -> AsyncIterator[Stand]:  # fmt: skip
    """A served rig with its first spectrum there, and a client that has not connected yet."""
    shutil.copytree(secrets, folder, dirs_exist_ok=True)
    port = free_port()
    rig = Rig(scenario, 1, plc=plc)
    stand = Stand(folder, configured(line, port, opcua or {}, analyser or {}), rig, port, namespaces)
    await stand.server.start()
    await stand.tick(6.0)
    try:
        yield stand
    finally:
        stand.server.link.mend()
        await stand.remote.close()
        await stand.server.close()
