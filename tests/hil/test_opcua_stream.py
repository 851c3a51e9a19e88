"""Spectra over the real wire: acquisitions told apart, and whatever a spectrum, its clock or its status can be."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from opcua_hand import Stand, standing

from control.signals import Quality
from edge.line import Line
from hil_sim.address import shown
from hil_sim.tags import TAGS, TagValue


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 60))


def value(change: Callable[[Any], Any]) -> Callable[[TagValue], TagValue]:
    return lambda tag: replace(tag, value=change(tag.value))


async def estimated(stand: Stand) -> Any:
    thought = (await stand.turn())[0]
    assert thought.estimate is not None
    return thought.estimate


def test_good_acquisitions_are_new_each_with_its_own_estimate(
    tmp_path: Path, reference_line: Line, secrets: Path
) -> None:
    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets) as stand:
            thoughts = await stand.turn(5)
            counters = [t.estimate.counter for t in thoughts if t.estimate]
            assert counters == [1, 2, 3, 4, 5]
            assert {t.estimate.quality for t in thoughts if t.estimate} == {Quality.GOOD}
            assert not any(name.startswith("nir_") for name in stand.told())

    run(story())


def test_a_frozen_array_is_not_a_stalled_stream(tmp_path: Path, reference_line: Line, secrets: Path) -> None:
    """Frozen: the counter runs over the very same bits. Stalled: nothing moves; the PLC's heartbeat does."""

    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets) as stand:
            await stand.turn(2)
            array = stand.rig.acquisition.absorbance
            stand.change["Nir.ScaledData"] = value(lambda _: array)
            await stand.tick()
            await stand.turn()
            found = await estimated(stand)
            assert found.quality is Quality.BAD
            assert "frozen" in found.reason
            assert "the very values" in stand.told()["nir_frozen"]
            del stand.change["Nir.ScaledData"]
            await stand.turn(2)
            taken = stand.rig.acquisition
            for name, part in (("Counter", taken.counter), ("EndTime", taken.end_time_s)):
                stand.change[f"Nir.Acquisition{name}"] = lambda tag, p=part: replace(
                    tag, value=p, source_time_s=taken.end_time_s
                )
            stand.change["Nir.ScaledData"] = lambda tag: replace(
                tag, value=taken.absorbance, source_time_s=taken.end_time_s
            )
            await stand.tick()
            await stand.turn(4)
            assert "stands still" in stand.told()["nir_stalled"]
            assert f"acquisition {taken.counter} is the newest" in stand.told()["nir_stalled"]
            found = await estimated(stand)
            assert found.quality is Quality.BAD
            assert "no new spectrum for" in found.reason

    run(story())


def test_duplicated_skipped_and_restarted_counters(tmp_path: Path, reference_line: Line, secrets: Path) -> None:
    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets) as stand:
            await stand.turn(3)
            first = await stand.think()
            again = await stand.think()
            assert first.estimate is not None
            assert again.estimate == first.estimate, "seen before: counted once"
            assert not any(name.startswith("nir_") for name in stand.told())
            stand.change["Nir.AcquisitionCounter"] = value(lambda n: n + 7)
            await stand.tick()
            found = await estimated(stand)
            assert found.quality is Quality.GOOD, "what is there may be used"
            assert stand.told()["nir_skipped"].startswith("7 acquisitions were skipped")
            stand.change["Nir.AcquisitionCounter"] = value(lambda n: n - 3)
            found = await estimated(stand)  # the look before the next publication: still the old counter
            found = await estimated(stand)
            assert found.quality is Quality.BAD
            assert "the analyser was restarted: its counter went from" in stand.told()["nir_reset"]
            found = await estimated(stand)
            assert found.quality is Quality.GOOD, "and goes on from there"

    run(story())


def test_a_torn_read_is_made_good_or_not_used(tmp_path: Path, reference_line: Line, secrets: Path) -> None:
    """Array and counter of two acquisitions: read once more, and left out where that does not help."""

    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets) as stand:
            await stand.turn(2)
            rig, tree = stand.rig, stand.server.tree
            old = shown(TAGS["Nir.AcquisitionCounter"], rig.read()["Nir.AcquisitionCounter"])
            await stand.tick()
            whole = shown(TAGS["Nir.AcquisitionCounter"], rig.read()["Nir.AcquisitionCounter"])
            await tree.put("Nir.AcquisitionCounter", old)  # the server has written the array, not yet the counter
            thought = await stand.think()
            assert "torn" in stand.told()["nir_torn"]
            assert stand.scan.spectrum is None
            assert thought.estimate is not None
            assert thought.estimate.counter == old.Value.Value - 1, "the last whole one"
            session = stand.remote._plc.session_of(stand.remote.epoch)
            assert session is not None
            look = session.look
            calls: list[int] = []

            async def healing(nodes: Any) -> Any:
                calls.append(len(nodes))
                got = await look(nodes)
                await tree.put("Nir.AcquisitionCounter", whole)
                return got

            session.look = healing  # type: ignore[method-assign]
            thought = await stand.think()
            assert len(calls) == 2, "read once more, and only the stream"
            assert calls[1] < calls[0] / 3
            assert thought.estimate is not None
            assert (thought.estimate.counter, thought.estimate.quality) == (whole.Value.Value, Quality.GOOD)

    run(story())


def at(values: tuple[float, ...], places: range, number: float) -> tuple[float, ...]:
    return tuple(number if i in places else v for i, v in enumerate(values))


SPOILT: dict[str, tuple[Callable[[Any], Any], str]] = {
    "nan": (lambda v: at(v, range(60, 61), math.nan), "NaN in 1 channel"),
    "inf": (lambda v: at(v, range(60, 61), math.inf), "Inf in 1 channel"),
    "short": (lambda v: v[:100], "spectrum has 100 values"),
    "empty": (lambda v: v[:0], "0 values"),
    "spiked": (lambda v: at(v, range(60, 61), 25.0), "saturated"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_spoilt_array_is_named_and_not_used(tmp_path: Path, reference_line: Line, secrets: Path, name: str) -> None:
    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets) as stand:
            await stand.turn(2)
            change, word = SPOILT[name]
            stand.change["Nir.ScaledData"] = value(change)
            await stand.tick()
            await stand.turn()
            found = await estimated(stand)
            assert found.quality is Quality.BAD
            assert word in found.reason
            del stand.change["Nir.ScaledData"]
            await stand.turn(2)
            assert (await estimated(stand)).quality is Quality.GOOD

    run(story())


@pytest.mark.parametrize("channels", [10, -10])
def test_a_shifted_spectrum_is_outside_what_the_model_knows(
    tmp_path: Path, reference_line: Line, secrets: Path, channels: int
) -> None:
    """A wavelength shift leaves every number plausible: it is the model's own statistics that see it."""

    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets) as stand:
            await stand.turn(2)
            stand.change["Nir.ScaledData"] = value(lambda v: v[channels:] + v[:channels])
            await stand.tick()
            await stand.turn()
            found = await estimated(stand)
            assert found.quality is not Quality.GOOD
            assert found.q > found.q_limit or found.t2 > found.t2_limit

    run(story())


def test_quality_decides_not_the_number(tmp_path: Path, reference_line: Line, secrets: Path) -> None:
    """Bad and Uncertain of every part of the stream, and every state in which nothing may be predicted."""

    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets) as stand:
            await stand.turn(2)
            for tag, status, quality in (
                ("Nir.ScaledData", "bad", Quality.BAD),
                ("Nir.ScaledData", "uncertain", Quality.UNCERTAIN),
                ("Nir.IsActive", "bad", Quality.BAD),
                ("Nir.AcquisitionEndTime", "bad", Quality.BAD),
            ):
                stand.change = {tag: lambda t, s=status: replace(t, status=s)}
                await stand.tick()
                assert (await estimated(stand)).quality is quality, (tag, status)
            for tag, number, word in (
                ("Nir.IsActive", False, "not active"),
                ("Nir.ExecutionCycle", 4, "not sampling"),
                ("Nir.ExecutionCycle", 8, "not sampling"),
                ("Nir.ExecutionCycle", 2, "not sampling"),
                ("Nir.AcquisitionResultStatus", 4, "not good"),
                ("Nir.DiagnosticStatus", 1, "failure"),
                ("Nir.DiagnosticStatus", 2, "check function"),
            ):
                stand.change = {tag: value(lambda _, n=number: n)}
                await stand.tick()
                found = await estimated(stand)
                assert found.quality is Quality.BAD, tag
                assert word in found.reason
            stand.change = {"Nir.DiagnosticStatus": value(lambda _: 4)}
            await stand.tick()
            assert (await estimated(stand)).quality is Quality.UNCERTAIN, "maintenance required: not out of order"
            stand.change = {}
            await stand.tick()
            assert (await estimated(stand)).quality is Quality.GOOD

    run(story())


def test_one_bad_or_lost_node_does_not_take_the_others_with_it(
    tmp_path: Path, reference_line: Line, secrets: Path
) -> None:
    async def story() -> None:
        async with standing(tmp_path, reference_line, secrets) as stand:
            await stand.turn(2)
            tree = stand.server.tree
            bad = ua.DataValue(None, ua.StatusCode(ua.UInt32(ua.StatusCodes.BadSensorFailure)))
            await tree.put("FeederLac.HopperKg", bad)
            await stand.server._server.delete_nodes([stand.server._server.get_node(tree._nodes["Press.ThicknessMm"])])
            await stand.think()
            readings = stand.scan.readings
            assert readings["FeederLac.HopperKg"].quality is Quality.BAD
            assert "BadSensorFailure" in readings["FeederLac.HopperKg"].reason
            assert readings["Press.ThicknessMm"].quality is Quality.BAD
            assert readings["FeederApi.PV"].quality is Quality.GOOD
            assert "2 of" in stand.told()["tags_bad"]
            health = {h.tag: h for h in stand.remote.health()}
            assert health["FeederLac.HopperKg"].seen
            assert health["FeederApi.PV"].server_s is not None
            assert health["FeederApi.PV"].age_s(stand.scan.time_s) == 0.0

    run(story())
