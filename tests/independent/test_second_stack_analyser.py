"""Our client on another stack's server: the analyser by flat tags and by type, its faults told apart, names moved."""

from __future__ import annotations

import asyncio
import contextlib
import math
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plant_hand import Plant, line_file, plant
from second_stack import identity, installed

from edge.acquire.opcua import OpcUaLine
from edge.config import read_config
from edge.pki import credentials
from edge.signals import Link, Scan
from soft_sensors.bundle import load_bundle
from soft_sensors.estimate import estimate
from soft_sensors.signals import Estimate, Quality
from soft_sensors.validate import Previous, validate

BUNDLE = Path(__file__).parents[2] / "deploy" / "models" / "cdc_api_nir"
CYCLE_S = 5
GOOD, UNCERTAIN, BAD = Quality.GOOD, Quality.UNCERTAIN, Quality.BAD


@pytest.fixture(scope="module", autouse=True)
def stack() -> Path:
    return installed()


@dataclass
class Look:
    """The client, and what was seen by it last."""

    plant: Plant
    line: OpcUaLine
    previous: Previous
    scan: Scan | None = None

    async def after(self, seconds: int = CYCLE_S, **disturb: Any) -> Scan:
        """Disturb the analyser, let line time go on, and look."""
        await self.plant.do("set", disturb=disturb)
        await self.plant.do("tick", seconds=seconds)
        self.scan = await self.line.scan()
        assert self.scan.link is Link.ONLINE, self.scan.reason
        return self.scan

    async def until(self, link: Link) -> Scan:
        for _ in range(600):
            self.scan = await self.line.scan()
            if self.scan.link is link:
                return self.scan
            await asyncio.sleep(0.05)
        raise AssertionError(f"never {link}: {self.scan}")

    def quality(self) -> tuple[Quality, str]:
        assert self.scan is not None
        assert self.scan.spectrum is not None
        return self.scan.spectrum.quality, self.scan.spectrum.reason

    def told(self) -> dict[str, str]:
        assert self.scan is not None
        return {finding.name: finding.text for finding in self.scan.told}

    def estimated(self) -> Estimate:
        """What the soft sensor makes of the spectrum, validated as in the loop."""
        assert self.scan is not None
        assert self.scan.spectrum is not None
        bundle = load_bundle(BUNDLE)
        verdict, self.previous = validate(
            bundle.card, self.scan.spectrum, self.previous, now_s=self.scan.time_s, max_age_s=12.0
        )
        return estimate(bundle, self.scan.spectrum, verdict)


@contextlib.asynccontextmanager
async def looking(
    folder: Path, *, parameter_set: bool = True, channel_s: float = 3600.0, **analyser: str
) -> AsyncIterator[Look]:
    async with plant(folder, speed=0.0, parameter_set=parameter_set) as there:
        file = line_file(folder, there.url, **analyser)
        file.write_text(file.read_text().replace("[opcua]\n", f"[opcua]\nsecure_channel_timeout_s = {channel_s}\n"))
        config, _ = read_config(file)
        line = OpcUaLine(config, credentials(folder))
        look = Look(there, line, Previous.none())
        await there.do("tick", seconds=CYCLE_S)
        await look.until(Link.ONLINE)
        try:
            yield look
        finally:
            await line.close()


@pytest.mark.parametrize("find", ["tags", "adi"])
def test_acquisitions_are_told_apart(tmp_path: Path, find: str) -> None:
    async def story() -> None:
        async with looking(tmp_path, find=f'"{find}"') as look:
            first = await look.after()
            assert look.quality() == (GOOD, "")
            assert first.spectrum is not None
            assert first.spectrum.values.shape == (125,)
            assert first.spectrum.axis[0] == pytest.approx(908.1)
            assert first.spectrum.axis_unit == "nm"
            assert look.estimated().value == pytest.approx(10.0, abs=0.7)
            again = await look.line.scan()
            assert again.spectrum is not None
            assert (again.spectrum.counter, look.told()) == (first.spectrum.counter, {}), "duplicated: seen before"
            await look.after(freeze=True)
            assert look.quality()[0] is BAD
            assert "frozen" in look.quality()[1]
            await look.after()
            assert look.quality()[0] is GOOD
            await look.after(skip=3)
            assert "3 acquisitions were skipped" in look.told()["nir_skipped"]
            assert look.quality()[0] is GOOD, "the one that came is as good as any"
            await look.after(seconds=20, stall=True)
            assert "stands still" in look.told()["nir_stalled"]
            assert look.estimated().quality is BAD, "too old to act on"
            await look.after()
            assert look.quality()[0] is GOOD

    asyncio.run(story())


@pytest.mark.parametrize("find", ["tags", "adi"])
def test_a_prediction_is_made_only_of_what_the_analyser_stands_by(tmp_path: Path, find: str) -> None:
    cases: list[tuple[dict[str, Any], Quality]] = [
        ({"quality": "uncertain"}, UNCERTAIN), ({"quality": "bad"}, BAD), ({"result": 2}, BAD), ({"result": 4}, BAD),
        ({"active": False}, BAD), ({"cycle": 2}, BAD), ({"cycle": 4}, BAD), ({"diagnostic": 1}, BAD),
        ({"diagnostic": 3}, UNCERTAIN),
    ]  # fmt: skip

    async def story() -> None:
        async with looking(tmp_path, find=f'"{find}"') as look:
            for disturb, expected in cases:
                await look.after(**disturb)
                assert look.quality()[0] is expected, disturb
                assert look.quality()[1] != "", disturb
                assert look.estimated().quality.rank >= expected.rank
                await look.after()
                assert look.quality() == (GOOD, ""), f"after {disturb}"

    asyncio.run(story())


def test_spectra_of_a_wrong_shape_are_bad_and_never_a_number_to_act_on(tmp_path: Path) -> None:
    async def story() -> None:
        async with looking(tmp_path) as look:
            for shape in ("nan", "inf", "short", "empty", "spike", "shift"):
                await look.after(shape=shape)
                found = look.estimated()
                assert found.quality is BAD, shape
                assert found.reason, shape
                await look.after()
                assert look.estimated().quality is GOOD, f"after {shape}"
            await look.after(timeOffsetS=-600)
            assert look.estimated().quality is BAD, "an old time"
            await look.after(timeOffsetS=600)
            assert look.estimated().quality is BAD, "a future time"

    asyncio.run(story())


@pytest.mark.parametrize("parameter_set", [True, False])
def test_channel_and_device_of_adi_have_their_say(tmp_path: Path, parameter_set: bool) -> None:
    async def story() -> None:
        named = {"find": '"adi"', "device": '"SN-4711"', "channel": '"Channel1"', "stream": '"Stream1"'}
        async with looking(tmp_path, parameter_set=parameter_set, **named) as look:
            cases = {
                "activeStream": "Stream2", "channelState": "Maintenance", "deviceState": "Local",
                "channelDiagnostic": 1, "deviceDiagnostic": 2,
            }  # fmt: skip
            for name, value in cases.items():
                await look.plant.do("set", plant={name: value})
                await look.after()
                assert look.quality()[0] is BAD, name
                await look.plant.do("set", plant={name: None})
                await look.after()
                assert look.quality() == (GOOD, ""), f"after {name}"

    asyncio.run(story())


def test_another_order_of_namespaces_after_a_restart_is_learned_anew(tmp_path: Path) -> None:
    async def story() -> None:
        async with looking(tmp_path, find='"adi"') as look:
            before = await look.after()
            await look.plant.stop()
            await look.until(Link.LOST)
            await look.plant.start(foreign=3)
            await look.plant.do("tick", seconds=CYCLE_S)
            await look.until(Link.ONLINE)
            after = await look.after()
            assert after.epoch == before.epoch + 1
            assert after.session_id != before.session_id
            assert after.readings["FeederApi.SP_Working"].value == 2.0
            assert after.spectrum is not None
            assert np.isfinite(after.spectrum.values).all()
            assert look.quality()[0] in (GOOD, BAD), "its counter began anew"
            await look.after()
            assert look.quality() == (GOOD, "")

    asyncio.run(story())


def test_the_secure_channel_is_renewed_without_losing_anything(tmp_path: Path) -> None:
    async def story() -> None:
        async with looking(tmp_path, channel_s=2.0) as look:
            epoch, tokens = (await look.after()).epoch, set()
            for _ in range(40):
                await look.after()
                assert look.quality() == (GOOD, "")
                client = look.line._plc.session_of(epoch).client  # type: ignore[union-attr]
                tokens.add(client.uaclient.protocol._connection.security_token.TokenId)
                await asyncio.sleep(0.2)
            assert look.line.epoch == epoch, "one connection all the time"
            assert len(tokens) >= 4, "renewed again and again"

    asyncio.run(story())


def test_a_swapped_server_certificate_is_refused_and_told(tmp_path: Path) -> None:
    async def story() -> None:
        async with looking(tmp_path) as look:
            await look.plant.stop()
            await look.until(Link.LOST)
            shutil.rmtree(tmp_path / "plant")
            identity(tmp_path / "plant", "plant", "urn:second:stack:plant")
            await look.plant.start(pinned=False)
            for _ in range(600):
                look.scan = await look.line.scan()
                if "line_refused" in look.told():
                    break
                await asyncio.sleep(0.05)
            assert "line_refused" in look.told()
            assert look.scan is not None
            assert look.scan.link is Link.LOST
            assert math.isfinite(look.scan.time_s)
            assert look.scan.readings == {}

    asyncio.run(story())
