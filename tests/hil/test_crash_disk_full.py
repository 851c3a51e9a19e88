"""The disk of the record fills up under the service: it holds, can still be told things, and goes on by itself."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from control.signals import Mode
from deploy.crash.cycles import SteppedLine
from deploy.crash.writer import LINE_FILE
from edge.line import compose
from edge.record.canonical import encode
from edge.record.journal import Journal
from edge.record.recorder import JournalRecorder
from edge.record.upkeep import Upkeep, WithUpkeep
from edge.record.verify import verify
from edge.service import serve
from edge.signals import Acted

RESERVE = 400_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", disk], capture_output=True, check=False)
    if made.returncode != 0:
        pytest.skip("a small file system can be mounted by root only")
    yield disk
    subprocess.run(["umount", disk], check=True)


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


class Remembering(SteppedLine):
    """A line that remembers what was written to it, and when."""

    written: list[tuple[float, str]]

    async def write(self, wire: tuple[tuple[str, float], ...], epoch: int | None = None) -> Acted:
        self.written += [(self.rig.time_s, tag) for tag, _ in wire]
        return await super().write(wire)


def fill(disk: Path, leave: int) -> Path:
    """A file that takes all of the disk but `leave` bytes."""
    filler = disk / "filler"
    found = os.statvfs(disk)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize - leave)
    return filler


def request(journal: Journal, value: str) -> int:
    body = {"action": "mode", "value": value, "user": "operator", "reason": "", "cycle_seq": None}
    return journal.append("request", 0.0, encode(body)).seq


def test_it_holds_while_the_disk_is_full_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    line, told, stop = compose(LINE_FILE), Told(), asyncio.Event()
    wire = Remembering(line, 1)
    wire.written = []
    path = small_disk / "journal.sqlite"

    async def until(seconds: float) -> None:
        end_s = wire.rig.time_s + seconds
        while wire.rig.time_s < end_s:
            await asyncio.sleep(0)
            assert not running.done(), "a full disk does not end the service"

    async def until_word(start: str) -> float:
        while not any(word.startswith(start) for word in told.words):
            await until(5.0)
        return wire.rig.time_s

    async def go() -> tuple[float, float, int]:
        request(journal, "closed")
        await until(60.0)
        filler = fill(small_disk, leave=150_000)
        full_s = await until_word("HOLD: journal")
        await until(60.0)
        asked = request(journal, "advise")
        told.words.clear()
        await until(60.0)
        assert told.words.count("watchdog") > 10, "the service manager must not restart it for that"
        assert all("HOLD" in word for word in told.words if word != "watchdog")
        assert not (small_disk / "journal.sqlite.reserve").exists()
        filler.unlink()
        free_s = wire.rig.time_s
        await until(60.0)
        stop.set()
        await running
        return full_s, free_s, asked

    async def whole() -> tuple[float, float, int]:
        nonlocal running
        source = WithUpkeep(wire, upkeep)
        running = asyncio.create_task(
            serve(line, source, wire, JournalRecorder(journal, upkeep=upkeep), wire, notifier=told, stop=stop)  # type: ignore[arg-type]
        )
        return await asyncio.wait_for(go(), 60)

    running: asyncio.Task[None]
    with Journal.open(path, line.config.line.name) as journal:
        upkeep = Upkeep(journal, reserve_bytes=RESERVE)
        full_s, free_s, asked = asyncio.run(whole())
        cycles = [(row.time_s, row.content()["thought"]) for row in journal.rows(kind="cycle")]
        disk = [row.content() for row in journal.rows(kind="disk")]
    assert [body["state"] for body in disk] == ["full", "free"], "both are on the record"
    assert disk[1]["held_s"] > 100
    assert (small_disk / "journal.sqlite.reserve").stat().st_size == RESERVE
    before = [thought for time_s, thought in cycles if time_s < full_s]
    assert before[-1]["mode"] == Mode.CLOSED
    assert any(alarm["name"] == "record_disk" for alarm in before[-1]["alarms"]), "people were told in good time"
    assert not [at for at, tag in wire.written if full_s + 5 < at < free_s and "SP_Remote" in tag]
    after = [thought for time_s, thought in cycles if time_s >= free_s]
    assert len(after) > 8, "no restart was needed"
    assert asked in after[0]["answered"], "what was asked meanwhile is answered first"
    assert {thought["mode"] for thought in after} == {Mode.ADVISE}
    assert verify(path).ok
