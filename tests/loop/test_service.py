"""The service's own loop on a real journal: ends in good order, feeds the watchdog, and stops moving on a full disk."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from control.signals import Mode
from edge.line import Line, compose
from edge.record.canonical import decode, encode
from edge.record.journal import Journal
from edge.record.recorder import JournalRecorder
from edge.record.verify import verify
from edge.service import serve
from edge.signals import Acted, Thought
from hil_sim.bench import RigLine
from hil_sim.rig import Rig
from hil_sim.scenario import load_scenario

LINE_FILE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml"


@pytest.fixture(scope="module")
def line() -> Line:
    return compose(LINE_FILE)


class Stepped(RigLine):
    """A rig that moves on while the service sleeps, and remembers what was written to it."""

    ahead_s = 0.0

    def __init__(self, rig: Rig, line: Line) -> None:
        super().__init__(rig, line.config, 1)
        self.written: list[tuple[float, str]] = []

    def now_s(self) -> float:
        return self.rig.time_s + self.ahead_s

    async def sleep_until(self, time_s: float) -> None:
        while self.rig.time_s < time_s:
            self.rig.step(0.5)
        await asyncio.sleep(0)

    async def write(self, wire: tuple[tuple[str, float], ...], epoch: int | None = None) -> Acted:
        self.written += [(self.rig.time_s, tag) for tag, _ in wire]
        return await super().write(wire, epoch)


class Told:
    """A notifier that remembers."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def ready(self) -> None:
        self.words.append("ready")

    def watchdog(self) -> None:
        self.words.append("watchdog")

    def status(self, text: str) -> None:
        self.words.append(text)


def play(line: Line, wire: Stepped, journal: Journal, minutes: float) -> tuple[list[Thought], Told]:
    thoughts: list[Thought] = []
    told, stop = Told(), asyncio.Event()
    end_s = wire.rig.time_s + 60 * minutes

    def watch(thought: Thought) -> None:
        thoughts.append(thought)
        if wire.rig.time_s >= end_s:
            stop.set()

    async def go() -> None:
        running = serve(
            line,
            wire,
            wire,
            JournalRecorder(journal),
            wire,
            notifier=told,
            stop=stop,
            on_cycle=watch,  # type: ignore[arg-type]
        )
        await asyncio.wait_for(running, 60)

    asyncio.run(go())
    return thoughts, told


def close_loop(journal: Journal) -> None:
    body = {"action": "mode", "value": "closed", "user": "test", "reason": "", "cycle_seq": None}
    journal.append("request", 0.0, encode(body))


def test_it_starts_in_advise_and_ends_in_good_order(line: Line, tmp_path: Path) -> None:
    wire = Stepped(Rig(load_scenario("nominal"), 1), line)
    with Journal.open(tmp_path / "journal.sqlite", line.config.line.name) as journal:
        thoughts, told = play(line, wire, journal, 1.0)
        assert {t.mode for t in thoughts} == {Mode.ADVISE}
        assert not any("SP_Remote" in tag for _, tag in wire.written)
        assert told.words[0] == "ready"
        assert told.words.count("watchdog") == len(thoughts)
        wire.rig.step(0.5)  # one scan of the PLC
        assert not wire.rig.plc.authority.request
        assert wire.rig.plc.authority.mode == 0, "the PLC is local after an orderly end"
        kinds = [row.kind for row in journal.rows()]
        assert kinds.count("cycle") == len(thoughts)
        assert kinds.count("act") == len(thoughts)
    assert verify(tmp_path / "journal.sqlite").ok


def test_requests_are_answered_in_the_next_cycle(line: Line, tmp_path: Path) -> None:
    with Journal.open(tmp_path / "journal.sqlite", line.config.line.name) as journal:
        recorder = JournalRecorder(journal)
        close_loop(journal)
        asked = recorder.requests()
        assert [(r.action, r.value) for r in asked] == [("mode", "closed")]
        assert recorder.requests() == (), "once"


def test_a_full_disk_stops_every_write_and_keeps_the_watchdog_fed(line: Line, tmp_path: Path) -> None:
    """A real SQLite 'database or disk is full': nothing can be recorded, so nothing is sent, and the PLC sheds."""
    wire = Stepped(Rig(load_scenario("nominal"), 1), line)
    with Journal.open(tmp_path / "journal.sqlite", line.config.line.name) as journal:
        pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
        journal._connection.execute(f"PRAGMA max_page_count = {pages + 9}")
        told, stop = Told(), asyncio.Event()

        async def go() -> None:
            running = asyncio.create_task(
                serve(line, wire, wire, JournalRecorder(journal), wire, notifier=told, stop=stop)  # type: ignore[arg-type]
            )
            while wire.rig.elapsed_s < 300:
                await asyncio.sleep(0)
                assert not running.done(), "a full disk does not end the service"
            stop.set()
            await asyncio.wait_for(running, 10)

        asyncio.run(go())
        full_at = next(i for i, word in enumerate(told.words) if word.startswith("HOLD: journal"))
        recorded = [row.time_s for row in journal.rows(kind="cycle")]
        assert 3 < len(recorded) < 40
        late = [tag for at, tag in wire.written if at > recorded[-1] + 5 and tag != "Apc.HeartbeatIn"]
        assert not any("SP_Remote" in tag for tag in late)
        assert told.words[full_at:].count("watchdog") > 5, "systemd must not restart it for that"
        assert not wire.rig.plc.authority.watchdog_ok, "the PLC saw the heartbeat stop"
    assert verify(tmp_path / "journal.sqlite").ok


def test_a_move_that_comes_too_late_is_not_sent(line: Line, tmp_path: Path) -> None:
    wire = Stepped(Rig(load_scenario("nominal"), 1), line)
    wire.ahead_s = 4.5  # of a cycle of 5 s have passed since the look at the line
    with Journal.open(tmp_path / "journal.sqlite", line.config.line.name) as journal:
        play(line, wire, journal, 1.0)
        results = {decode(row.body)["result"] for row in journal.rows(kind="act")}
    assert results == {"late"}
    assert {tag for _, tag in wire.written} <= {"Apc.Request", "Apc.ModeRequest", "Apc.HeartbeatIn"}, "but the goodbye"
