"""The press's handles over a real connection: written, followed, read back; given back without a bump; plainer PLCs."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from opcua_hand import Stand, standing

from edge.line import Line, compose

LINE_FILE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_press_1.toml"
HANDLES = ("FillDepth", "Thickness", "TurretSpeed")


@pytest.fixture(scope="module")
def press_line() -> Line:
    return compose(LINE_FILE)


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 60))


def working(stand: Stand) -> dict[str, float]:
    return {name: stand.rig.plc.slots[name].working for name in HANDLES}


@pytest.mark.parametrize("plc", ["full", "plain"])
def test_lighter_tablets_by_handles_that_are_read_back(
    tmp_path: Path, press_line: Line, secrets: Path, plc: Any
) -> None:
    async def story() -> None:
        opcua = {"handshake": ["SP_Working"]} if plc == "plain" else {}
        async with standing(tmp_path, press_line, secrets, plc=plc, opcua=opcua) as stand:
            await stand.close_loop()
            assert not stand.told(), "no tag is missed"
            before = working(stand)
            stand.rig.plc.change_recipe(tablet_weight_mg=245.0)
            await stand.turn(16)
            assert stand.recorder.outcomes[-1].outcome == "good"
            after = working(stand)
            assert before["FillDepth"] - after["FillDepth"] > 0.08
            assert before["Thickness"] - after["Thickness"] > 0.03, "thinner, so that they are as hard as before"
            for name in HANDLES:
                seen = stand.scan.readings[f"{name}.SP_Working"].value
                assert seen == pytest.approx(stand.loop.sent.working[name], abs=0.11)
            assert abs(stand.rig.line.tablets.weight_mg - 245.0) < 3.0

    run(story())


def test_a_cut_connection_gives_the_handles_back_without_a_bump(
    tmp_path: Path, press_line: Line, secrets: Path
) -> None:
    async def story() -> None:
        async with standing(tmp_path, press_line, secrets) as stand:
            await stand.close_loop()
            stand.rig.plc.change_recipe(tablet_weight_mg=245.0)
            await stand.turn(12)
            set_to = working(stand)
            depth_mm, rpm = stand.rig.line.press.fill_depth_mm, stand.rig.line.press.turret_rpm
            stand.server.link.cut()
            for _ in range(60):
                stand.rig.step(0.5)  # the PLC's watchdog sheds
            assert not stand.rig.plc.authority.remote_active
            assert working(stand)["Thickness"] == pytest.approx(set_to["Thickness"])
            assert abs(stand.rig.line.press.turret_rpm - rpm) < 2.0
            assert abs(stand.rig.line.press.fill_depth_mm - depth_mm) < 0.3

    run(story())
