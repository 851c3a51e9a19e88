"""The plant of the second stack as a process: started with what the line file names, told what to do over a pipe."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from second_stack import HERE, identity, installed

from edge.pki import make_certificate
from hil_sim.line.material import API
from hil_sim.probe.nir import NirProbe, Presentation
from hil_sim.tags import MVS, NAMESPACE, PRESS_MVS, TAGS

LINE_FILE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml"
MODELS = LINE_FILE.parent.parent / "models"
SERVER_URI = "urn:second:stack:plant"
PASSWORD = "plum-tree-at-noon"
START = {"FeederApi": 2.0, "FeederMcc": 10.8, "FeederLac": 7.0, "FeederMgst": 0.2, "MainForce": 9.55}
LAG_S = {"MainForce": 8.0}
LEVELS = np.arange(6.0, 14.01, 0.5)
MEMBERS = 6
PATIENCE_S = 90.0


def spectra(seed: int = 5) -> dict[str, Any]:
    """What the plant's analyser may see: spectra at steps of API, several of each."""
    probe = NirProbe(seed)
    rest = np.array([0.0, 0.54, 0.35, 0.01, 0.0])
    members = []
    for level in LEVELS:
        mix = rest * (1.0 - level / 100.0 - 0.025) / rest.sum()
        mix[API], mix[4] = level / 100.0, 0.025
        seen = [probe.measure(list(mix), Presentation(temperature_c=25.0)) for _ in range(MEMBERS)]
        members.append([[float(x) for x in values] for values in seen])
    return {"axis": [float(x) for x in probe.axis_nm], "levels": [float(x) for x in LEVELS], "members": members}


def settings(folder: Path, port: int, speed: float, foreign: int, parameter_set: bool) -> dict[str, Any]:
    """Everything the plant's process is told at its start."""
    ours = identity(folder / "plant", "plant", SERVER_URI)
    scratch = folder / "plant" / "scratch"
    scratch.mkdir(exist_ok=True)
    tags = [
        {"name": t.name, "kind": t.kind, "unit": t.unit, "writer": t.writer}
        for t in TAGS.values() if t.name.partition(".")[0] not in {mv.name for mv in PRESS_MVS}
    ]  # fmt: skip
    mvs = [
        {
            "name": mv.name, "start": START[mv.name], "low": mv.low, "high": mv.high, "euLow": mv.eu_low,
            "euHigh": mv.eu_high, "rate": mv.rate_per_s, "devLimit": mv.dev_limit, "lagS": LAG_S.get(mv.name, 12.0),
            "feeder": "" if mv.name == "MainForce" else "api" if mv.name == "FeederApi" else "other", "rpmPerKgH": 8.0,
        }
        for mv in MVS
    ]  # fmt: skip
    return {
        "port": port, "certificate": ours["certificate"], "privateKey": ours["privateKey"],
        "trusted": [str(make_certificate(folder / "pki"))], "users": {"edge": PASSWORD}, "scratch": str(scratch),
        "applicationUri": SERVER_URI, "namespace": NAMESPACE, "foreign": foreign, "speed": speed, "cycleS": 5.0,
        "parameterSet": parameter_set,
        "tags": tags, "plant": {"mvs": mvs, "spectra": spectra(), "startS": float(int(time.time()))},
    }  # fmt: skip


@dataclass
class Plant:
    """A running plant; `do` tells it something and returns its state afterwards."""

    folder: Path
    port: int
    speed: float
    parameter_set: bool = True
    process: asyncio.subprocess.Process | None = None
    last: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}"

    async def start(self, foreign: int = 0, *, pinned: bool = True) -> None:
        """Start it; pinned: the box trusts the certificate it has now."""
        told = settings(self.folder, self.port, self.speed, foreign, self.parameter_set)
        if pinned:
            shutil.copy(self.folder / "plant" / "plant_cert.der", self.folder / "pki" / "server.der")
        self.process = await asyncio.create_subprocess_exec(
            installed(), HERE / "server.mjs", cwd=HERE, limit=2**20,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        ready = await self._said(told)
        assert ready.get("ready"), ready

    async def do(self, verb: str, **what: Any) -> dict[str, Any]:
        self.last = await self._said({"do": verb, **what})
        assert self.last.get("done") == verb, self.last
        return self.last

    async def until(self, what: Callable[[dict[str, Any]], bool], why: str) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE_S
        while not what(await self.do("state")):
            assert time.monotonic() < deadline, f"waited {PATIENCE_S:.0f} s in vain: {why}; {self.last}"
            await asyncio.sleep(0.05)
        return self.last

    async def stop(self) -> None:
        if self.process is None or self.process.returncode is not None:
            return
        self.process.kill()
        await self.process.wait()

    async def _said(self, told: dict[str, Any]) -> dict[str, Any]:
        process = self.process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(told).encode() + b"\n")
        await process.stdin.drain()
        while True:
            line = await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)
            assert line, "the plant's process ended"
            if line.startswith(b"{"):
                found: dict[str, Any] = json.loads(line)
                return found


@contextlib.asynccontextmanager
async def plant(
    folder: Path, *, speed: float = 20.0, foreign: int = 0, parameter_set: bool = True
) -> AsyncIterator[Plant]:
    """A plant on a free port, with the box's certificate and password in folder/pki as the service wants them."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    there = Plant(folder, port, speed, parameter_set)
    await there.start(foreign)
    secret = folder / "pki" / "password"
    secret.touch(mode=0o600)
    secret.write_text(PASSWORD)
    try:
        yield there
    finally:
        await there.stop()


def line_file(folder: Path, url: str, **analyser: str) -> Path:
    """The reference line's file for this plant; analyser: further keys of its table, as TOML."""
    text = LINE_FILE.read_text()
    text = text.replace('url = "opc.tcp://127.0.0.1:48400"', f'url = "{url}"')
    text = text.replace('state_dir = "../../var/cdc_ref_1"', 'state_dir = "."').replace("../models", str(MODELS))
    more = "".join(f"{key} = {value}\n" for key, value in analyser.items())
    path = folder / "line.toml"
    path.write_text(text.replace('[analyser]\nkind = "opcua"\n', f'[analyser]\nkind = "opcua"\n{more}'))
    return path
