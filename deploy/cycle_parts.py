"""What stands before and beside the parts of a cycle for its bench: clocks, a solver that repeats itself, bare ends."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

from control.blocks import Bounds
from control.rti import Move, Plan, Prepared, Rti
from edge.acquire.opcua import OpcUaLine
from edge.acquire.types import variant
from edge.actuate.opcua import OpcUaActuator
from edge.config import LineConfig
from edge.errors import PatloopError
from edge.pki import ClientCredentials
from edge.ports import Recorder
from edge.signals import Acted, Request, Sample, Scan, Thought
from soft_sensors.signals import FloatArray

CLOSE_AFTER = 3
PATIENCE_S = 60.0


class Timed:
    """Stands before a part and adds up what its calls take, in ms, by name."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    def add(self, name: str, since_ns: int) -> None:
        """What passed since then belongs to name."""
        self.spent[name] = self.spent.get(name, 0.0) + (time.perf_counter_ns() - since_ns) / 1e6


class TimedRecorder:
    """The journal's recorder with times; the operator who closes the loop; keeps the bytes of the newest cycle."""

    def __init__(self, inner: Recorder, timed: Timed) -> None:
        self._inner, self._timed = inner, timed
        self.cycles = 0

    def cycle(self, sample: Sample, thought: Thought) -> None:
        """As the journal, timed."""
        began = time.perf_counter_ns()
        self._inner.cycle(sample, thought)
        self._timed.add("record the cycle", began)
        self.cycles += 1

    def acted(self, sample: Sample, acted: Acted) -> None:
        """As the journal, timed."""
        began = time.perf_counter_ns()
        self._inner.acted(sample, acted)
        self._timed.add("record the outcome", began)

    def requests(self) -> tuple[Request, ...]:
        """The operator closes the loop once."""
        if self.cycles != CLOSE_AFTER:
            return ()
        return (Request(0, "mode", "closed", "bench", "bench"),)

    def artefact(self, time_s: float, name: str, digest: str, folder: Path) -> None:
        """As the journal."""
        self._inner.artefact(time_s, name, digest, folder)


class TimedEnds:
    """Source and actuator with times."""

    def __init__(self, line: OpcUaLine, timed: Timed) -> None:
        self._line, self._actuator, self._timed = line, OpcUaActuator(line), timed
        self.done_ns = 0

    async def scan(self) -> Scan:
        """The look at the line."""
        began = time.perf_counter_ns()
        found = await self._line.scan()
        self._timed.add("look", began)
        return found

    async def write(self, wire: tuple[tuple[str, float], ...], epoch: int | None = None) -> Acted:
        """The verified write."""
        began = time.perf_counter_ns()
        found = await self._actuator.write(wire, epoch)
        self._timed.add("write", began)
        self.done_ns = time.perf_counter_ns()
        return found


class Bare:
    """The parts with nothing round them: a client of the stack, a table of SQLite, the solver."""

    def __init__(self, client: Client, table: sqlite3.Connection, tags: tuple[str, ...], index: int) -> None:
        self._client, self._table, self._index = client, table, index
        self._read = [ua.NodeId(tag, index) for tag in tags]
        self._types: dict[str, ua.VariantType] = {}

    async def once(
        self, wire: tuple[tuple[str, float], ...], content: bytes, solver: Kept
    ) -> dict[str, float]:
        """Read, solve, commit, write; ms of each."""
        spent, nodes = Timed(), [ua.NodeId(tag, self._index) for tag, _ in wire]
        if not self._types.keys() >= {tag for tag, _ in wire}:
            seen = await self._client.uaclient.read_attributes(nodes, ua.AttributeIds.Value)
            self._types |= {tag: value.Value.VariantType for (tag, _), value in zip(wire, seen, strict=True)}
        values = [ua.DataValue(variant(value, self._types[tag])) for tag, value in wire]
        began = time.perf_counter_ns()
        await self._client.uaclient.read_attributes(self._read, ua.AttributeIds.Value)
        spent.add("bare read", began)
        began = time.perf_counter_ns()
        solver.again()
        spent.add("bare solver", began)
        began = time.perf_counter_ns()
        self._table.execute("BEGIN IMMEDIATE")
        self._table.execute("INSERT INTO plain (content) VALUES (?)", (content,))
        self._table.execute("COMMIT")
        spent.add("bare commit", began)
        began = time.perf_counter_ns()
        await self._client.uaclient.write_attributes(nodes, values, ua.AttributeIds.Value)
        spent.add("bare write", began)
        return spent.spent


@dataclass(frozen=True)
class Kept(Rti):
    """The solver that keeps what it was last called with, to be called so again."""

    calls: dict[str, tuple[Any, ...]] = field(default_factory=dict)

    def feedback(self, prepared: Prepared, x0: FloatArray, before: FloatArray, bounds: Bounds) -> Move:
        """As ever."""
        self.calls["feedback"] = (prepared, x0, before, bounds)
        return super().feedback(prepared, x0, before, bounds)

    def settled(
        self, move: Move, prepared: Prepared, x0: FloatArray, before: FloatArray, P: FloatArray, bounds: Bounds
    ) -> tuple[Move, Plan, float]:
        """As ever."""
        self.calls["settled"] = (prepared, x0, before, P, bounds)
        return super().settled(move, prepared, x0, before, P, bounds)

    def again(self) -> None:
        """The newest call once more, with nothing round it."""
        move = super().feedback(*self.calls["feedback"])
        super().settled(move, *self.calls["settled"])


async def bare_client(config: LineConfig, keys: ClientCredentials) -> Client:
    """A client of the stack, with the service's own certificate; waits until the line answers."""
    table = config.opcua
    if table is None:
        raise PatloopError("the bench needs a line with [opcua]")
    deadline = time.monotonic() + PATIENCE_S
    while True:
        client = Client(table.url, timeout=4)
        client.application_uri = keys.application_uri
        client.set_user(table.user)
        client.set_password(keys.password)
        await client.set_security(
            SecurityPolicyBasic256Sha256, certificate=str(keys.certificate), private_key=str(keys.private_key),
            server_certificate=str(keys.server_certificate), mode=ua.MessageSecurityMode.SignAndEncrypt,
        )  # fmt: skip
        try:
            await client.connect()
        except (OSError, TimeoutError, ua.UaError) as error:
            if time.monotonic() > deadline:
                raise PatloopError(f"the line of the bench does not answer: {error}") from error
            await asyncio.sleep(0.2)
        else:
            return client
