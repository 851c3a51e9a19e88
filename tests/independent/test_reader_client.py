"""A client of another stack uses the box's server as it is meant: soft sensors by type, alarms, requests."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from opcua_server_hand import LINE, PASSWORD, site
from second_stack import HERE, identity, installed

from edge.people import passwords
from edge.record.canonical import encode
from edge.signals import Alarm

URI = "urn:historian:client"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing at its cheapest: this test is about the server."""
    monkeypatch.setattr(passwords, "PasswordHasher", lambda: PasswordHasher(1, 8, 1))


@pytest.mark.timeout(240)
def test_another_stack_finds_the_soft_sensor_hears_the_alarm_and_asks(tmp_path: Path) -> None:
    node = installed()

    async def story() -> None:
        async with site(tmp_path, cycles=0) as here:
            start = here.shift.journal.last("start").content()
            here.shift.journal.append("start", here.shift.time_s, encode({**start, "sensor_hash": "ab" * 32}))
            await here.cycle(2)
            mine = identity(tmp_path / "historian", "historian", URI)
            shutil.copy(mine["der"], here.place.trusted / "historian.der")
            told = {
                "url": here.url, "applicationUri": URI, "scratch": str(tmp_path / "scratch"), "user": "maria",
                "password": PASSWORD, "line": LINE, **mine,
            }  # fmt: skip
            process = await asyncio.create_subprocess_exec(
                node, HERE / "reader.mjs", cwd=HERE, limit=2**20,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(told).encode())
            process.stdin.close()
            while (line := await asyncio.wait_for(process.stdout.readline(), 90)) != b"listening\n":
                assert line, (await process.communicate())[1].decode()[-2000:]
            at_s = here.shift.time_s
            here.shift.alarms = (Alarm("hidden_loss", "FeederApi delivers -3 %", 1, at_s, at_s),)
            await here.cycle()
            out, err = await asyncio.wait_for(process.communicate(), 90)
            lines = [each for each in out.decode().splitlines() if each.startswith("{")]
            assert lines, err.decode()[-2000:]
            report = json.loads(lines[-1])
            (model,) = report["models"]
            assert (model["name"], model["outputs"]) == ("cdc_api_nir", ["Prediction"])
            assert model["prediction"]["status"] == "Good"
            assert model["prediction"]["value"] == pytest.approx(10.0, abs=0.5)
            assert model["prediction"]["sourceMs"] / 1000 == pytest.approx(at_s, abs=0.01)
            assert model["alarmState"] == 0
            assert model["alarmLimits"] == pytest.approx({"low": 9.5, "high": 10.5})
            assert (model["unit"], model["t2"], model["channels"]) == ("% w/w", 3.0, 125)
            assert model["source"], "the process variable names its data source"
            (event,) = report["events"]
            expected = {"name": "hidden_loss", "severity": 800, "text": "FeederApi delivers -3 %"}
            assert event == {**expected, "retain": True, "active": True}
            assert report["acknowledged"] == "Good"
            assert report["mode"]["status"] == "Good"
            assert report["arguments"] == ["mode", "reason"]
            asked = [(r["action"], r["value"], r["user"], r["reason"]) for r in here.requests()]
            assert asked == [
                ("ack", "hidden_loss", "maria", "seen from afar"), ("mode", "monitor", "maria", "asked from afar"),
            ]  # fmt: skip

    asyncio.run(story())
