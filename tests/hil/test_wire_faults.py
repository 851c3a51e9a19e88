"""On the real wire: a killed service, a cut connection, a restart; the PLC goes local, nothing late moves the plant."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.record.replay import replay_journal
from edge.record.verify import verify
from hil_sim.faults import LostConnection
from hil_sim.scenario import RecipeStep, Scenario

QUIET = Scenario(name="quiet", description="nothing happens to the line", hours=2.0)


@pytest.mark.timeout(240)
def test_a_killed_service_sheds_the_plc_and_comes_back_in_advise(tmp_path: Path, served: Callable[..., Any]) -> None:
    async def play() -> None:
        async with served(tmp_path, QUIET, speed=40) as wire:
            await wire.start_service()
            await wire.close_loop()
            at = wire.rig.time_s
            await wire.until(lambda: wire.rig.time_s > at + 60, "a minute of closed loop")
            await wire.kill_service(signal.SIGKILL)
            killed_at, before = wire.rig.time_s, dict(wire.rig.truth().setpoints)
            recorded = len(wire.cycles())
            assert verify(wire.stage.journal).ok, "the journal verifies right after the kill"
            await wire.until(lambda: not wire.rig.plc.authority.remote_active, "the PLC sheds")
            authority = wire.rig.plc.authority
            assert authority.shed_reason == 1, "by its watchdog"
            assert authority.shed_time_s - killed_at <= authority.watchdog_timeout_ms / 1000 + 6
            await wire.start_service()
            await wire.until(lambda: len(wire.cycles()) >= recorded + 6, "the service is back")
            again = wire.cycles()
            assert [c["sample"]["cycle"] for c in again[recorded : recorded + 3]] == [0, 1, 2], "no record lost"
            assert {c["thought"]["mode"] for c in again[recorded:]} == {"advise"}
            assert not any(c["thought"]["command"]["writes"] for c in again[recorded:])
            after = wire.rig.truth().setpoints
            assert all(after[n] == pytest.approx(v, rel=0.03) for n, v in before.items()), "bumpless"
            assert not wire.rig.plc.authority.remote_active
            await wire.kill_service(signal.SIGTERM)
            assert verify(wire.stage.journal).ok
            found = replay_journal(wire.stage.journal, None, None, lambda *_: None)
            assert found.identical, found.first_difference
            assert found.n_cycles == len(wire.cycles())

    asyncio.run(play())


@pytest.mark.timeout(240)
def test_a_cut_connection_lets_nothing_late_move_the_plant(tmp_path: Path, served: Callable[..., Any]) -> None:
    """The target rises just before the cut, so setpoints are on their way when the link dies for 30 s."""
    cut_min = 5.0
    scenario = Scenario(
        name="cut",
        description="grade change and, with setpoints in flight, 30 s without a link",
        hours=2.0,
        fault=(LostConnection(kind="lost_connection", at_min=cut_min, duration_s=30.0),),
        recipe=(RecipeStep(at_min=cut_min - 0.05, api_pct=12.0),),
    )

    async def play() -> None:
        async with served(tmp_path, scenario, speed=15) as wire:
            rig, file = wire.rig, wire.stage.line_file
            file.write_text(file.read_text().replace("timeout_s = 2.0", "timeout_s = 0.5"))  # the cut lasts 2 s here
            await wire.start_service()
            await wire.close_loop()
            await wire.until(lambda: not rig.link_up, "the cut")
            epoch = wire.cycles()[-1]["sample"]["epoch"]
            await wire.until(lambda: not rig.plc.authority.remote_active, "the PLC sheds")
            shed = dict(rig.truth().setpoints)
            await wire.until(lambda: rig.link_up, "the link is back, with what was in flight")
            back_at = rig.time_s
            while not rig.plc.authority.remote_active:
                now = rig.truth().setpoints
                assert all(now[n] == pytest.approx(v, abs=1e-9) for n, v in shed.items()), (
                    "a late write moved the plant"
                )
                await asyncio.sleep(0.02)
                assert rig.time_s < back_at + 600, "the loop returns"
            await wire.until(
                lambda: any(
                    c["thought"]["command"]["writes"] for c in wire.cycles() if c["sample"]["time_s"] > back_at
                ),
                "moves again",
            )
            later = [c for c in wire.cycles() if c["sample"]["time_s"] > back_at]
            assert later[-1]["sample"]["epoch"] > epoch, "a new connection"
            phases = [c["thought"]["handshake"] for c in later]
            assert "requested" in phases, "and a new handshake"
            first = next(i for i, c in enumerate(later) if c["thought"]["command"]["writes"])
            assert phases[first] == "remote"
            await wire.kill_service(signal.SIGTERM)
            assert verify(wire.stage.journal).ok

    asyncio.run(play())
