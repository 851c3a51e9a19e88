"""The main job: a simulated line on a real wire, the service as its client, one shift, and what became of it."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import math
import re
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.errors import PatloopError, RecorderError
from edge.pki import make_certificate
from edge.record.canonical import decode, encode
from edge.record.journal import Journal
from hil_sim.credentials import server_credentials
from hil_sim.endpoint import Endpoint
from hil_sim.pace import Pace
from hil_sim.rig import Rig, Truth
from hil_sim.scenario import ASKED, Scenario
from hil_sim.server import LineServer

LINE_FILE = Path(__file__).with_name("lines") / "cdc_ref_1.toml"
MARK = ".patloop-demo"
CLOSE_AFTER_CYCLES = 3
START_PATIENCE_S = 60.0


@dataclass
class Shift:
    """What a shift left behind: true values each line second, the journal's cycles, and the wall time it took."""

    truths: list[Truth] = field(default_factory=list)
    cycles: list[dict[str, Any]] = field(default_factory=list)
    wall_s: float = 0.0


@dataclass(frozen=True)
class Stage:
    """The folder a demo works in: line file of its own, state of the service, accounts of the simulated line."""

    out: Path
    line_file: Path
    journal: Path
    sim_state: Path


def prepare(out: Path, port: int) -> Stage:
    """Make certificates for both ends (once), pin them, and write the line file. Raises PatloopError."""
    out.mkdir(parents=True, exist_ok=True)
    mark = out / MARK
    if any(out.iterdir()) and not mark.exists():
        raise PatloopError(f"{out} holds something that is not a demo's; give an empty folder with --out")
    mark.touch()
    sim_state, pki = out / "simulated_line", out / "pki"
    for old in out.glob("journal.sqlite*"):
        old.unlink()
    ours = make_certificate(pki)
    theirs = server_credentials(sim_state)
    shutil.copy(ours, theirs.trusted / "edge.der")
    shutil.copy(theirs.certificate, pki / "server.der")
    secret = pki / "password"
    secret.touch(mode=0o600)
    secret.write_text(theirs.passwords["edge"])
    line_file = out / "line.toml"
    line_file.write_text(_line_text(port))
    return Stage(out, line_file, out / "journal.sqlite", sim_state)


def _line_text(port: int) -> str:
    text = LINE_FILE.read_text()
    text = re.sub(r"^url = .*$", f'url = "opc.tcp://127.0.0.1:{port}"', text, flags=re.M)
    text = re.sub(r"^state_dir = .*$", 'state_dir = "."', text, flags=re.M)
    models = (LINE_FILE.parent.parent / "models").resolve().as_posix()
    return re.sub(r'^(bundle|registry) = "\.\./models/', rf'\1 = "{models}/', text, flags=re.M)


async def play(
    stage: Stage,
    port: int,
    scenario: Scenario,
    seed: int,
    speed: float,
    show: Callable[[Shift, Rig, dict[str, Any]], None],
) -> Shift:
    """Play the scenario over the wire; show is called with every new cycle record. Raises PatloopError."""
    shift, started = Shift(), time.monotonic()
    rig = Rig(scenario, seed, start_time_s=float(math.floor(time.time())))
    endpoint = Endpoint(url=f"opc.tcp://127.0.0.1:{port}")
    server = LineServer(rig, endpoint, server_credentials(stage.sim_state), Pace(speed))
    stop, gate = asyncio.Event(), asyncio.Event()
    await server.start()
    service = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy.cli", "run", str(stage.line_file),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    reader = asyncio.create_task(_follow(stage, shift, rig, gate, show))
    line = asyncio.create_task(_line(server, gate, stop, shift, rig))
    died = asyncio.create_task(service.wait())
    try:
        await asyncio.wait({line, died}, return_when=asyncio.FIRST_COMPLETED)
        if died.done():
            raise PatloopError(f"the service ended early: {await _last_words(service)}")
        line.result()
        await asyncio.sleep(0.5)  # the last cycle's record
    finally:
        stop.set()
        reader.cancel()
        with contextlib.suppress(ProcessLookupError):
            service.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(died), 10)
        if not died.done():
            service.kill()
        line.cancel()
        died.cancel()
        await asyncio.gather(reader, line, died, return_exceptions=True)
        await server.close()
    shift.wall_s = time.monotonic() - started
    return shift


async def _line(server: LineServer, gate: asyncio.Event, stop: asyncio.Event, shift: Shift, rig: Rig) -> None:
    """The line waits until the service has looked at it once, then its shift begins."""
    await asyncio.wait_for(gate.wait(), START_PATIENCE_S)
    await server.run(stop, on_tick=lambda _: shift.truths.append(rig.truth()))


async def _follow(
    stage: Stage, shift: Shift, rig: Rig, gate: asyncio.Event, show: Callable[[Shift, Rig, dict[str, Any]], None]
) -> None:
    """Read the journal as any reader does; the operator who closes the loop, and asks for more, appends requests."""
    with await _journal(stage) as journal:
        seen = 0
        asked = False
        acts = sorted((act for act in rig.scenario.operator if act.action in ASKED), key=lambda act: act.at_min)
        while True:
            for row in journal.rows(after_seq=seen):
                seen = row.seq
                if row.kind == "cycle":
                    body = decode(row.body)
                    shift.cycles.append(body)
                    if body["sample"]["link"] == "online":
                        gate.set()
                    show(shift, rig, body)
            if not asked and len(shift.cycles) >= CLOSE_AFTER_CYCLES:
                asked = True
                _ask(stage, journal, ("mode", "closed"), "demonstration shift")
            while asked and acts and rig.elapsed_s >= 60 * acts[0].at_min:
                _ask(stage, journal, ASKED[acts.pop(0).action], "the scenario")
            await asyncio.sleep(0.1)


async def _journal(stage: Stage) -> Journal:
    """The journal, once the service has begun it."""
    journal: Journal | None = None
    while True:
        try:
            journal = Journal.open_reader(stage.journal)
            if journal.last() is not None:
                return journal
            journal.close()
        except RecorderError:
            journal = None  # not there yet, or being made at this moment
        await asyncio.sleep(0.1)


def _ask(stage: Stage, journal: Journal, asked: tuple[str, str], reason: str) -> None:
    first = next(journal.rows(kind="genesis", limit=1))
    name = decode(first.body)["line"]
    body = {
        "action": asked[0], "value": asked[1], "user": f"demo:{getpass.getuser()}", "reason": reason,
        "cycle_seq": None,
    }  # fmt: skip
    with Journal.open(stage.journal, name) as writer:
        writer.append("request", time.time(), encode(body))


async def _last_words(service: asyncio.subprocess.Process) -> str:
    said = b"" if service.stderr is None else await service.stderr.read()
    lines = [line for line in said.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else f"exit code {service.returncode}"
