"""prepared line -> records, each reported the instant it was acknowledged: the processes that are killed."""

from __future__ import annotations

import asyncio
import os
import struct
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from deploy.crash.cycles import Prepared, SteppedLine
from edge.notify import Notifier
from edge.record.canonical import encode
from edge.record.journal import Journal, Row
from edge.record.recorder import JournalRecorder
from edge.record.retention import Pace, Retention
from edge.record.settings import RecordTable
from edge.record.upkeep import Upkeep
from edge.service import serve, start_body
from edge.signals import Acted

LINE_FILE = Path(__file__).parents[1] / "lines" / "cdc_ref_1.toml"
FOLDING = "wal_autocheckpoint = 12"  # folds the log into the file every few records, so that this is hit as well
ARCHIVE = "archive"
RESERVE = 4096  # bytes: the room that is kept is not what is tried here
RETIRING = Pace(rows=400, least=1, removed=8, newest=6)  # a piece ends where a writer was ended, or packs anew
ACKNOWLEDGED = struct.Struct(">q32s")  # number and hash of a record
FAILED = 70  # exit status of a writer that ended by an error of its own


@dataclass(frozen=True)
class Task:
    """What a writer works on: the journal's path, the line's cycles, and the line's time at its start.

    pragmas: how this writer's SQLite differs from the product's.
    """

    path: Path
    prepared: Prepared
    now_s: float
    pragmas: tuple[str, ...] = ()


Work = Callable[[Task, Callable[[Row], object]], None]


class ReportingJournal(Journal):
    """A journal that tells the world of each record as soon as it is acknowledged, its head noted and all."""

    report: Callable[[Row], object] = staticmethod(lambda _row: None)

    def _note_head(self, row: Row) -> None:
        super()._note_head(row)
        self.report(row)


class HastyJournal(ReportingJournal):
    """What the product must never do, and a campaign must find: it reports a record before that is committed."""

    def _insert(self, *given: Any, **named: Any) -> Row:
        row = super()._insert(*given, **named)
        self.report(row)
        time.sleep(0.002)
        return row


def write_cycles(task: Task, report: Callable[[Row], object], most: int | None = None) -> None:
    """Start, then record cycle after cycle with its outcome (over and over, or `most` of them)."""
    with _opened(task, report) as journal:
        recorder, line = JournalRecorder(journal), task.prepared.line
        recorder.start(task.now_s, start_body(line), line.artefacts())
        done = 0
        while most is None or done < most:
            sample, thought = task.prepared.cycles[done % len(task.prepared.cycles)]
            recorder.cycle(sample, thought)
            recorder.acted(sample, Acted("good"))
            done += 1


def write_and_retire(task: Task, report: Callable[[Row], object], most: int | None = None) -> None:
    """The same, with old cycles retired to an archive after each, as fast as they come."""
    with _opened(task, report) as journal:
        kept = Retention(journal, RecordTable(archive=task.path.with_name(ARCHIVE), max_gb=1e-6), "crash", RETIRING)
        recorder, line = JournalRecorder(journal, upkeep=Upkeep(journal, kept, RESERVE)), task.prepared.line
        recorder.start(task.now_s, start_body(line), line.artefacts())
        done = 0
        while most is None or done < most:
            sample, thought = task.prepared.cycles[done % len(task.prepared.cycles)]
            recorder.cycle(sample, thought)
            done += 1
            for hurry in range(3):
                recorder.tidy(task.now_s + 300.0 * done + 100.0 * hurry)


def write_requests(task: Task, report: Callable[[Row], object]) -> None:
    """Append requests as the operator's page does, from a process of its own."""
    with _opened(task, report) as journal:
        while True:
            body = {"action": "mode", "value": "advise", "user": "crash", "reason": "", "cycle_seq": None}
            journal.append("request", task.now_s, encode(body))


def run_service(task: Task, report: Callable[[Row], object]) -> None:
    """The service itself on the simulated line, in lock-step."""
    line, wire = task.prepared.line, SteppedLine(task.prepared.line, seed=1)
    with _opened(task, report) as journal:
        recorder = JournalRecorder(journal)
        recorder.start(task.now_s, start_body(line), line.artefacts())
        asyncio.run(serve(line, wire, wire, recorder, wire, notifier=Notifier(None), stop=asyncio.Event()))


def write_hastily(task: Task, report: Callable[[Row], object]) -> None:
    """Append requests and report each too early."""
    with _opened(task, report, HastyJournal) as journal:
        while True:
            journal.append("request", task.now_s, encode({}))


def forked(work: Work, task: Task) -> tuple[int, int]:
    """Run `work` in a child of its own: its process id, and the pipe's end that tells what was acknowledged.

    A fork of a warm interpreter, so that thousands of kills take minutes; the parent holds no journal open.
    """
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        _work(work, task, tell)
    os.close(tell)
    return child, told


def _work(work: Work, task: Task, tell: int) -> NoReturn:
    try:
        work(task, lambda row: os.write(tell, ACKNOWLEDGED.pack(row.seq, row.hash)))
    except BaseException:  # noqa: BLE001 - a child never returns into its parent's code, whatever happened
        traceback.print_exc()
    os._exit(FAILED)


def _opened(
    task: Task, report: Callable[[Row], object], form: type[ReportingJournal] = ReportingJournal
) -> ReportingJournal:
    journal = form.open(task.path, task.prepared.line.config.line.name, now=lambda: task.now_s)
    assert isinstance(journal, form), "open is a class method"
    for pragma in task.pragmas:
        journal._connection.execute(f"PRAGMA {pragma}")
    journal.report = report
    first = journal.get(1)
    assert first is not None, "open has begun it"
    report(first)
    return journal
