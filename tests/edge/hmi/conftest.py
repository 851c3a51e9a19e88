"""A shift on the record, as the service would have written it: the API feeder loses, the loop answers."""

from __future__ import annotations

import asyncio
import math
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import pytest
import uvicorn
from argon2 import PasswordHasher

from control.signals import Belief, Command, Decision, LabResult, Mode, Reading, Target
from edge.config import read_config
from edge.hmi.app import create_app
from edge.people import passwords
from edge.record.canonical import encode
from edge.record.journal import Journal
from edge.record.recorder import JournalRecorder
from edge.signals import Acted, Alarm, Link, Request, Sample, Scan, Thought
from soft_sensors.signals import Estimate, Quality, Spectrum

LINE_FILE = Path(__file__).parents[3] / "deploy" / "lines" / "cdc_ref_1.toml"
AXIS = np.linspace(908.0, 1676.0, 125)
T0 = 1_772_335_800.0
RATIO = {"FeederApi": 2.0, "FeederMcc": 10.8, "FeederLac": 7.0, "FeederMgst": 0.2, "MainForce": 9.55}


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing at its cheapest: these tests are about the page."""
    monkeypatch.setattr(passwords, "PasswordHasher", lambda: PasswordHasher(1, 8, 1))


@dataclass
class Shift:
    """Writes cycles as the service does; time_s moves on by the line's cycle."""

    path: Path
    cycle_s: float = 5.0
    mode: Mode = Mode.ADVISE
    link: Link = Link.ONLINE
    quality: Quality = Quality.GOOD
    alarms: tuple[Alarm, ...] = ()
    loss_pct: float = 0.0
    holding: bool = False
    with_target: bool = True
    notes: tuple[str, ...] = ()
    cycle: int = 0
    time_s: float = T0
    noise: np.random.Generator = field(default_factory=lambda: np.random.default_rng(3))

    def __post_init__(self) -> None:
        self.journal = Journal.open(self.path, "CDC-REF-1", now=lambda: self.time_s)
        self.recorder = JournalRecorder(self.journal)

    def start(self, ceiling: str = "closed") -> None:
        config, config_hash = read_config(LINE_FILE)
        plain = config.model_dump(mode="json")
        plain["line"] |= {"cycle_s": self.cycle_s, "mode_ceiling": ceiling}
        self.journal.append("start", self.time_s, encode({"config": plain, "config_hash": config_hash}))

    def run(self, cycles: int) -> None:
        for _ in range(cycles):
            self.step()

    def step(self) -> None:
        """One cycle; requests found on the journal are taken up."""
        self.cycle += 1
        self.time_s += self.cycle_s
        api = 10.0 * (1 - self.loss_pct / 100)
        readings = {f"{n}.SP_Working": Reading(v, self.time_s) for n, v in RATIO.items()}
        spectrum = Spectrum(AXIS, "nm", AXIS / 1000, self.cycle, self.time_s)
        requests: tuple[Request, ...] = self.recorder.requests()
        scan = Scan(self.time_s, self.link, 1, 7, readings, spectrum, self._lab(api))
        thought = self._thought(api, tuple(request.seq for request in requests))
        self.recorder.cycle(Sample(self.cycle, scan, requests, Acted("good")), thought)

    def _lab(self, api: float) -> LabResult | None:
        counter, offset = divmod(self.cycle, 240)
        if counter == 0 or offset > 5:
            return None
        sample_s = self.time_s - 300
        return LabResult(counter, sample_s, self.time_s, api * (1 + 0.003 * math.sin(counter)), 250.0, 90.0)

    def _thought(self, api: float, answered: tuple[int, ...]) -> Thought:
        seen = api + float(self.noise.normal(0, 0.06))
        bad = self.quality is Quality.BAD
        value = math.nan if bad else seen
        estimate = Estimate(
            value, 0.1, value - 0.165, value + 0.165, 3.0, 20.0, 0.1, 1.0,
            self.quality, "no new spectrum for 15 s" if bad else "", self.cycle, self.time_s,
        )  # fmt: skip
        belief = Belief(
            self.time_s, api, 0.035, api / 10, 0.004, 0.02, 0.06, 249.6, 0.1, Quality.GOOD, "", notes=self.notes,
        )  # fmt: skip
        lc = 10 * api
        wanted = {**RATIO, "FeederApi": 2.0 * 10 / api}
        ahead = {
            "api_lc_pct_with_move": tuple(100 - (100 - lc) * math.exp(-i / 8) for i in range(40)),
            "api_lc_pct_held": tuple(lc for _ in range(40)),
        }
        reason = (
            f"API {lc:.1f}±0.6 % LC, delivered gain {api / 10:.3f}±0.007:"
            f" FeederApi 2.000->{wanted['FeederApi']:.3f} kg/h"
        )
        decision = Decision("mpc", wanted, reason, "ok", 15.0, ahead, {"trim_pct": 10 * (10 - api)})
        recommended = wanted if self.mode is not Mode.MONITOR else {}
        reasons = ("hold: Nir: stale",) if self.holding else ()
        command = Command(self.mode, recommended, {}, self.holding, False, reasons)
        target = Target(10.0, 20.0, 250.0) if self.with_target else None
        return Thought(
            self.mode, target, estimate, belief if self.with_target else None,
            decision if self.with_target else None, command, self.alarms, "advisory", "", (), answered,
        )  # fmt: skip


@pytest.fixture
def shift(tmp_path: Path) -> Iterator[Shift]:
    shift = Shift(tmp_path / "journal.sqlite")
    yield shift
    shift.journal.close()


class Gentle(uvicorn.Server):
    """Lets a connection that was accepted in the last turn of its loop become one: else asyncio leaves it open."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listening in sockets or ():
            asyncio.get_running_loop().remove_reader(listening.fileno())
        for _ in range(3):
            await asyncio.sleep(0)
        await super().shutdown(sockets)


class House:
    """The page served for real; browse gives a new visitor."""

    def __init__(self, shift: Shift, people: Path) -> None:
        self.app = create_app(shift.path, people, "CDC-REF-1")
        self.page = next(r.endpoint.__self__ for r in self.app.routes if getattr(r, "path", "") == "/live")
        listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self._server = Gentle(uvicorn.Config(self.app, log_level="warning", timeout_graceful_shutdown=1))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]})
        self._thread.start()
        self._visitors: list[httpx.Client] = []
        while not self._server.started:
            time.sleep(0.01)

    def browse(self) -> httpx.Client:
        self._visitors.append(httpx.Client(base_url=self.url, follow_redirects=False))
        return self._visitors[-1]

    def close(self) -> None:
        for visitor in self._visitors:
            visitor.close()
        self._server.should_exit = True
        self._thread.join(10)


@pytest.fixture
def people(shift: Shift) -> Path:
    return shift.path.with_name("people.db")


@pytest.fixture
def house(shift: Shift, people: Path) -> Iterator[House]:
    """The page of a line that runs in advise and sees API go missing."""
    shift.cycle_s, shift.time_s = 60.0, time.time() - 180  # not stale before three minutes: no race with the clock
    shift.start()
    shift.loss_pct = 3.6
    shift.run(3)
    house = House(shift, people)
    yield house
    house.close()
