"""python -m deploy.faults.line_end: the simulated line at its end of the wire, writing down all that happens to it.

Writes line.jsonl in its folder: a row each line second (`what` = "tick") and one for every setpoint that a client asked
for ("setpoint"), with wall times. Ends on SIGTERM.
"""

from __future__ import annotations

import asyncio
import json
import math
import signal
import time
from pathlib import Path
from typing import Any, TextIO

import click
import numpy as np
from asyncua import ua

from hil_sim.credentials import ServerCredentials, server_credentials
from hil_sim.endpoint import Endpoint
from hil_sim.pace import Pace
from hil_sim.rig import Rig
from hil_sim.scenario import OperatorAct, RecipeStep, Scenario
from hil_sim.server import LineServer

LOG = "line.jsonl"
GET_READY_S = 4.0
RESET_AFTER_S = 1.0  # the operator of this line is quick
SCENARIO = Scenario(
    name="network_faults", description="A quiet line whose network is bad.", hours=240.0, reset_after_s=RESET_AFTER_S,
    operator=(OperatorAct(at_min=0.0, action="enable"),),
)  # fmt: skip


def busy(seed: int, hours: float) -> Scenario:
    """The same line with people about: recipes that change, an operator who takes the loop away and gives it back."""
    random = np.random.default_rng(seed)
    at, recipe, acts = 2.0, list[RecipeStep](), list(SCENARIO.operator)
    while at < 60 * hours:
        what = random.random()
        if what < 0.35:
            recipe.append(RecipeStep(at_min=at, api_pct=float(random.uniform(9.0, 11.5))))
        elif what < 0.6:
            recipe.append(RecipeStep(at_min=at, throughput_kg_h=float(random.uniform(16.0, 22.0))))
        else:
            back = at + float(random.uniform(0.1, 1.0))
            acts += [OperatorAct(at_min=at, action="disable"), OperatorAct(at_min=back, action="enable")]
        at += float(random.uniform(1.2, 6.0))
    return SCENARIO.model_copy(update={"recipe": tuple(recipe), "operator": tuple(acts)})


def extra_tags(n: int) -> tuple[str, ...]:
    """Names of tags that only a measurement of size has."""
    return tuple(f"Extra.T{number:05d}" for number in range(n))


class WatchedLine(LineServer):
    """A line server that writes down what it was asked for and how it stands."""

    def __init__(self, rig: Rig, endpoint: Endpoint, credentials: ServerCredentials, pace: Pace, log: TextIO) -> None:
        super().__init__(rig, endpoint, credentials, pace)
        self._log = log

    async def take(self, item: ua.WriteValue, user: str) -> ua.StatusCode:
        """As the line does, and written down."""
        code = await super().take(item, user)
        tag = str(item.NodeId.Identifier)
        if tag.endswith(".SP_Remote"):
            authority = self.rig.plc.authority
            self.note(
                "setpoint", tag=tag, value=item.Value.Value.Value, code=code.name, remote=authority.remote_active,
                session=authority.session_id,
            )  # fmt: skip
        return code

    def note(self, what: str, **facts: Any) -> None:
        """One row."""
        self._log.write(json.dumps({"what": what, "wall_s": time.time(), **facts}) + "\n")
        self._log.flush()

    async def widen(self, extra: int) -> None:
        """So many more tags, for a service that reads them all."""
        if extra == 0:
            return
        index = await self._server.get_namespace_index(self.endpoint.namespace)
        folder = await self._server.nodes.objects.add_folder(ua.NodeId("Extra", index), f"{index}:Extra")
        for tag in extra_tags(extra):
            await folder.add_variable(ua.NodeId(tag, index), f"{index}:{tag}", 1.5)

    def tick(self, rig: Rig) -> None:
        """A line second has passed."""
        authority, inner = rig.plc.authority, self._server.iserver
        self.note(
            "tick", time_s=rig.time_s, remote=authority.remote_active, mode=int(authority.mode),
            shed=int(authority.shed_reason), session=authority.session_id, heartbeat=authority.heartbeat_in,
            working={name: slot.working for name, slot in rig.plc.slots.items()},
            connections=len(self._server.bserver.clients), tasks=len(asyncio.all_tasks()),
            subscriptions=len(inner.subscription_service.subscriptions),
        )  # fmt: skip


async def _serve(rig: Rig, folder: Path, url: str, state: Path, extra: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with (folder / LOG).open("a", encoding="utf-8") as log:
        pace = Pace(1.0, patience_s=0.0)  # a real line does not wait for its controller
        server = WatchedLine(rig, Endpoint(url=url), server_credentials(state), pace, log)
        await server.start()
        try:
            await server.widen(extra)
            # Line time is wall time from here on, so that what both ends write down can be laid side by side.
            await asyncio.sleep(max(0.0, rig.time_s - time.time()))
            await server.run(stop, server.tick)
        finally:
            await server.close()


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--url", required=True)
@click.option("--state", type=click.Path(path_type=Path), required=True)
@click.option("--watchdog-ms", type=int, required=True)
@click.option("--seed", type=int, default=1)
@click.option("--extra", type=int, default=0, help="so many more tags")
@click.option("--people-hours", "people_h", type=float, default=0.0, help="so long people change this and that")
def main(folder: Path, url: str, state: Path, watchdog_ms: int, seed: int, extra: int, people_h: float) -> None:
    """Serve a line at URL, with the certificates and accounts in STATE.

    \b
    Example:
      python -m deploy.faults.line_end out/wire --url opc.tcp://10.77.0.2:48400 --state out/wire/simulated_line
    """
    scenario = busy(seed, people_h) if people_h else SCENARIO
    rig = Rig(scenario, seed, start_time_s=float(math.ceil(time.time() + GET_READY_S)))
    rig.plc.authority.watchdog_timeout_ms = watchdog_ms
    asyncio.run(_serve(rig, folder, url, state, extra))


if __name__ == "__main__":
    main()
