"""`hil serve` in a terminal: the server with a line of progress, ended by the scenario or by Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import math
import signal
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from hil_sim.endpoint import Endpoint, EndpointError
from hil_sim.rig import PlcKind, Rig
from hil_sim.scenario import Scenario
from hil_sim.server import serve_rig

MODES = ("LOCAL", "ADVISORY", "REMOTE", "SHED")


def serve_with_progress(
    endpoint: Endpoint, scenario: Scenario, *, seed: int, speed: float, state: Path, await_controller_s: float = 0.0,
    plc: PlcKind = "full",
) -> None:
    """Serve until the scenario is over or a signal comes; raises EndpointError when the port is taken."""
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # each failed client would be a traceback on the screen
    rig = Rig(scenario, seed, start_time_s=math.floor(time.time()), plc=plc)
    try:
        asyncio.run(_serve(rig, endpoint, state, speed, await_controller_s))
    except OSError as error:
        why = error.strerror or str(error)
        raise EndpointError(
            f"{endpoint.url}: cannot be served ({why}): stop what uses the port, or change [opcua] url"
        ) from error


async def _serve(rig: Rig, endpoint: Endpoint, state: Path, speed: float, await_controller_s: float) -> None:
    ready, stop = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    console = Console(stderr=True)
    console.print(f"{rig.parameters.name} in scenario {rig.scenario.name} on {endpoint.url}; accounts in {state}")
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, console=console, refresh_per_second=4) as progress:
        task = progress.add_task("line time", total=60.0 * rig.scenario.hours, note="")

        def show(now: Rig) -> None:
            truth = now.truth()
            mode = MODES[now.plc.authority.mode]
            note = f"{now.elapsed_s / 60.0:6.1f} min  API {truth.api_lc_pct:6.2f} % of target  {mode}"
            progress.update(task, completed=now.elapsed_s / 60.0, note=note)

        await serve_rig(
            rig, endpoint, state, ready=ready, stop=stop, speed=speed, await_controller_s=await_controller_s,
            on_tick=show,
        )  # fmt: skip
