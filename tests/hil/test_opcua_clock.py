"""Clocks over the real wire: an analyser or a PLC whose clock is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from opcua_hand import Stand, standing

from control.signals import Quality
from edge.line import Line
from hil_sim.tags import TAGS


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 60))


async def estimated(stand: Stand) -> Any:
    thought = (await stand.turn())[0]
    assert thought.estimate is not None
    return thought.estimate


@pytest.mark.parametrize(("off_s", "word"), [(-60.0, "stale"), (30.0, "in the future")])
def test_an_analyser_whose_clock_is_wrong(
    tmp_path: Path, reference_line: Line, secrets: Path, off_s: float, word: str
) -> None:
    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets) as stand:
            await stand.turn(2)
            for name in TAGS:
                if name.startswith("Nir.Acq") or name == "Nir.ScaledData":
                    stand.change[name] = lambda t: replace(t, source_time_s=t.source_time_s + off_s)
            stand.change["Nir.AcquisitionEndTime"] = lambda t: replace(
                t, value=t.value + off_s, source_time_s=t.source_time_s + off_s
            )
            await stand.tick()
            await stand.turn()
            found = await estimated(stand)
            assert found.quality is Quality.BAD
            assert word in found.reason
            if off_s > 0:
                assert "from the future" in stand.told()["clock_source"]

    run(story())


@pytest.mark.parametrize("off_s", [-300.0, 300.0])
def test_a_plc_whose_clock_is_wrong_is_fresh_as_long_as_it_moves(
    tmp_path: Path, reference_line: Line, secrets: Path, off_s: float
) -> None:
    """No gate on source time alone: its progress counts; that it is skewed is told; that it stands makes it stale."""

    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets) as stand:
            for name in TAGS:
                if name.endswith(".PV"):
                    stand.change[name] = lambda t: replace(t, source_time_s=t.source_time_s + off_s)
            await stand.tick()
            await stand.turn(3)
            flow = stand.scan.readings["FeederApi.PV"]
            assert flow.quality is Quality.GOOD
            assert ("clock_source" in stand.told()) is (off_s > 0)
            seen = stand.rig.read()["FeederApi.PV"]
            stand.change["FeederApi.PV"] = lambda _: seen
            await stand.tick()
            await stand.turn(5)
            assert "stale" in stand.scan.readings["FeederApi.PV"].reason

    run(story())
