"""The whole service closes the loop on another stack's plant, and what a PLC may do to it is met as on our own."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from plant_hand import Plant, line_file, plant
from second_stack import installed

from edge.errors import RecorderError
from edge.record.canonical import decode, encode
from edge.record.journal import Journal
from edge.record.replay import replay_journal
from edge.record.verify import verify

PATIENCE_S = 120.0
SPEED = 20.0


@pytest.fixture(scope="module", autouse=True)
def stack() -> Path:
    return installed()


@dataclass
class Loop:
    """The plant, the service's process, and its record."""

    plant: Plant
    journal: Path
    process: asyncio.subprocess.Process
    seq: int = 0

    def cycles(self, after: int = 0) -> list[dict[str, Any]]:
        try:
            with Journal.open_reader(self.journal) as journal:
                return [{"seq": row.seq, **decode(row.body)} for row in journal.rows(after_seq=after, kind="cycle")]
        except RecorderError:
            return []  # not begun yet

    def acts(self, after: int) -> list[dict[str, Any]]:
        with Journal.open_reader(self.journal) as journal:
            return [decode(row.body) for row in journal.rows(after_seq=after, kind="act")]

    def mark(self) -> int:
        """The newest record now."""
        with Journal.open_reader(self.journal) as journal:
            row = journal.last()
            return 0 if row is None else row.seq

    def ask(self, mode: str) -> None:
        body = {"action": "mode", "value": mode, "user": "test", "reason": "test", "cycle_seq": None}
        with Journal.open_existing(self.journal) as journal:
            journal.append("request", time.time(), encode(body))

    async def until(self, what: Callable[[], bool], why: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not what():
            assert time.monotonic() < deadline, f"waited {PATIENCE_S:.0f} s in vain: {why}"
            assert self.process.returncode is None, "the service has ended"
            await asyncio.sleep(0.1)

    async def until_thought(self, what: Callable[[dict[str, Any]], bool], why: str) -> dict[str, Any]:
        """The first cycle from now on whose thought or sample is as wanted."""
        after = self.mark()
        found: list[dict[str, Any]] = []
        await self.until(lambda: bool(found.extend(c for c in self.cycles(after) if what(c)) or found), why)
        return found[0]

    async def remote(self, why: str) -> dict[str, Any]:
        await self.plant.until(lambda s: s["remote"], why)
        return await self.until_thought(lambda c: bool(c["thought"]["command"]["writes"]), f"moves: {why}")


@asynccontextmanager
async def running(folder: Path, **analyser: str) -> AsyncIterator[Loop]:
    async with plant(folder, speed=SPEED) as there:
        file = line_file(folder, there.url, **analyser)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "deploy.cli", "run", str(file),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        loop = Loop(there, folder / "journal.sqlite", process)
        try:
            await loop.until(lambda: len(loop.cycles()) >= 3, "the service's first cycles")
            yield loop
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            await process.wait()


@pytest.mark.timeout(500)
def test_the_loop_closes_and_meets_what_the_plant_does(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path, find='"adi"') as loop:
            begun = await loop.plant.do("state")
            assert begun["apc"]["ModeRequest"] == 1, "advice: the plant hears of us and moves nothing"
            assert begun["accepted"] == 0
            loop.ask("closed")
            await loop.remote("the loop is closed")
            for step in (
                _clamped, _refused, _ignored, _operator_takes_over, _plc_stands_still, _no_answer, _dropped, _restarted,
            ):  # fmt: skip
                await step(loop)
            await _ended_in_good_order(loop)

    asyncio.run(story())


async def _clamped(loop: Loop) -> None:
    """A limit tightened below where the PLC works: what comes back as applied is the limit, and control goes on."""
    now = (await loop.plant.do("state"))["working"]["FeederApi"]
    limit = now - 0.03
    await loop.plant.do("set", mv={"FeederApi": {"high": limit}})
    at_limit = await loop.until_thought(
        lambda c: abs(c["sample"]["readings"]["FeederApi.SP_Working"]["value"] - limit) < 1e-9, "the limit is read back"
    )
    later = await loop.until_thought(lambda c: c["seq"] > at_limit["seq"], "goes on")
    assert later["thought"]["command"]["recommended"]["FeederApi"] <= limit + 1e-9, "it knows the live limit"
    assert (await loop.plant.do("state"))["remote"], "and is not thrown out for it"
    await loop.plant.do("set", mv={"FeederApi": {"high": 5.0}})


async def _refused(loop: Loop) -> None:
    """Setpoints refused by status code: on the record as such, nothing moves, and it mends itself."""
    after = loop.mark()
    await loop.plant.do("set", plant={"refusing": True})
    await loop.until(lambda: any(a["result"] == "refused" for a in loop.acts(after)), "a refusal on the record")
    refused = next(a for a in loop.acts(after) if a["result"] == "refused")
    assert "BadUserAccessDenied" in refused["codes"].values()
    await loop.plant.do("set", plant={"refusing": False})
    await _again(loop, "after refusals")


async def _ignored(loop: Loop) -> None:
    """Writes acknowledged but not taken: the missing echo takes authority away within a few cycles."""
    before = (await loop.plant.do("set", plant={"ignoring": True}))["accepted"]
    await loop.until_thought(lambda c: not c["thought"]["command"]["writes"], "it stops moving")
    state = await loop.plant.do("state")
    assert state["accepted"] == before
    await loop.plant.do("set", plant={"ignoring": False})
    await _again(loop, "after ignored writes")


async def _operator_takes_over(loop: Loop) -> None:
    """Local in mid-move: the plant holds, the service asks for nothing until the operator gives it back."""
    state = await loop.plant.do("set", apc={"OperatorEnable": False})
    state = await loop.plant.until(lambda s: not s["remote"], "the PLC goes local")
    assert state["shedReason"] == 2
    held = state["working"]
    await loop.until_thought(lambda c: not c["thought"]["command"]["writes"], "the service sees it")
    await asyncio.sleep(1.0)
    assert (await loop.plant.do("state"))["working"] == held
    await loop.plant.do("set", apc={"OperatorEnable": True})
    await _again(loop, "given back")


async def _plc_stands_still(loop: Loop) -> None:
    """The PLC's heartbeat stops while everything else moves: no authority without it."""
    await loop.plant.do("set", plant={"heartbeatStopped": True})
    held = await loop.until_thought(lambda c: not c["thought"]["command"]["writes"], "it stops moving")
    assert "heartbeat" in " ".join((held["thought"]["authority"], *held["thought"]["command"]["reasons"]))
    await loop.plant.do("set", plant={"heartbeatStopped": False})
    await _again(loop, "the heartbeat is back")


async def _no_answer(loop: Loop) -> None:
    """The server accepts what is sent and says nothing for longer than a call may take: its fate is not known."""
    before = loop.cycles()[-1]["sample"]["epoch"]
    await loop.plant.do("hang", ms=4000)
    back = await loop.until_thought(lambda c: c["sample"]["epoch"] > before, "a new connection, its own session")
    assert not back["thought"]["command"]["writes"], "nothing is moved before a new handshake"
    await _again(loop, "after the silence")


async def _dropped(loop: Loop) -> None:
    """Every connection is torn down without a word."""
    before = loop.cycles()[-1]["sample"]["epoch"]
    await loop.plant.do("drop")
    await loop.until_thought(lambda c: c["sample"]["epoch"] > before, "a new connection")
    await _again(loop, "after the connections were torn down")


async def _restarted(loop: Loop) -> None:
    """The whole server goes and comes back with its namespaces in another order: a new epoch, a new handshake."""
    before = loop.cycles()[-1]["sample"]["epoch"]
    await loop.plant.stop()
    await loop.until_thought(lambda c: c["sample"]["link"] == "lost", "the link is lost")
    await loop.plant.start(foreign=2)
    back = await loop.until_thought(lambda c: c["sample"]["link"] == "online", "it is back")
    assert back["sample"]["epoch"] == before + 1
    assert not back["thought"]["command"]["writes"], "nothing is moved before a new handshake"
    await _again(loop, "a new handshake")


async def _ended_in_good_order(loop: Loop) -> None:
    loop.process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(loop.process.wait(), 30) == 0
    state = await loop.plant.until(lambda s: not s["remote"], "given back")
    assert state["apc"]["Request"] is False
    assert state["shedReason"] == 0, "in good order, not by a watchdog"
    await loop.plant.until(lambda s: s["sessions"] == 0, "no session is left behind")
    assert verify(loop.journal).ok
    found = replay_journal(loop.journal, None, None, lambda *_: None)
    assert found.identical, found.first_difference
    assert found.n_cycles == len(loop.cycles())


async def _again(loop: Loop, why: str) -> None:
    """Moves again, in remote; a PLC that has shed, now or a moment later, is reset by its operator."""
    after, deadline = loop.mark(), time.monotonic() + PATIENCE_S
    while True:
        state = await loop.plant.do("state")
        if state["remote"] and any(c["thought"]["command"]["writes"] for c in loop.cycles(after)):
            return
        assert time.monotonic() < deadline, f"waited in vain: {why}; {state}"
        if state["mode"] == 3 and not state["apc"]["Request"]:
            await loop.plant.do("set", apc={"Reset": True})
        await asyncio.sleep(0.2)
