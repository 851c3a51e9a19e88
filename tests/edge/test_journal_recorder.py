"""The recorder signs what it recorded, and a start owns up to the time that was lost."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from journal_hand import LINE

from control.signals import Command, Mode
from edge.record.canonical import encode
from edge.record.checkpoint import signer
from edge.record.journal import Journal
from edge.record.recorder import JournalRecorder, SampleReader
from edge.record.verify import verify
from edge.signals import Acted, Link, Sample, Scan, Thought
from soft_sensors.signals import Spectrum

T0 = 1_700_000_000.0
START: dict[str, Any] = {"config": {"line": {"cycle_s": 5.0}}}
AXIS = np.linspace(900.0, 1700.0, 125)


def seen_and_thought(i: int) -> tuple[Sample, Thought]:
    time_s = T0 + 5 * i
    spectrum = Spectrum(AXIS, "nm", np.sin(AXIS / 100 + i), i, time_s)
    command = Command(Mode.MONITOR, {}, {}, holding=False, divert=False, reasons=())
    thought = Thought(Mode.MONITOR, None, None, None, None, command, (), "off", "", ())
    return Sample(i, Scan(time_s, Link.ONLINE, 1, 7, {}, spectrum)), thought


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def kinds(path: Path) -> list[str]:
    with Journal.open_reader(path) as journal:
        return [row.kind for row in journal.rows()]


def test_the_head_is_signed_at_start_and_stop_and_when_it_is_due(path: Path) -> None:
    with Journal.open(path, LINE) as journal:
        recorder = JournalRecorder(journal, signer(path.parent / "pki"), sign_cycles=3, sign_s=100.0)
        recorder.start(T0, START, {})
        for i in range(7):
            recorder.cycle(*seen_and_thought(i))
            recorder.tidy(T0 + 5 * i)
        recorder.tidy(T0 + 99.0 + 25.0)  # 99 s after the last: not yet
        recorder.tidy(T0 + 100.0 + 25.0)
        recorder.tidy(T0 + 300.0)  # nothing new since: nothing to sign
        recorder.stop(T0 + 301.0, "test")
    signed = ["cycle", "cycle", "cycle", "checkpoint"]
    assert kinds(path) == [
        "genesis",
        "start",
        "checkpoint",
        *signed,
        *signed,
        "cycle",
        "checkpoint",
        "stop",
        "checkpoint",
    ]
    found = verify(path)
    assert (found.ok, found.signed_to) == (True, found.n - 1)


def test_without_a_key_nothing_is_signed(path: Path) -> None:
    with Journal.open(path, LINE) as journal:
        recorder = JournalRecorder(journal, sign_cycles=1)
        recorder.start(T0, START, {})
        recorder.cycle(*seen_and_thought(0))
        recorder.tidy(T0)
    assert kinds(path) == ["genesis", "start", "cycle"]


def test_what_follows_a_checkpoint_needs_nothing_before_it(path: Path) -> None:
    """Older records can be retired: bodies are packed anew and the axis is written again."""
    with Journal.open(path, LINE) as journal:
        recorder = JournalRecorder(journal, signer(path.parent / "pki"), sign_cycles=4)
        recorder.start(T0, START, {})
        for i in range(9):
            recorder.cycle(*seen_and_thought(i))
            recorder.tidy(T0 + 5 * i)
        rows = list(journal.rows(kind="cycle"))
    axes = [row.content()["sample"]["spectrum"]["axis"] is not None for row in rows]
    assert axes == [True, False, False, False, True, False, False, False, True]
    reader = SampleReader()
    for i, row in enumerate(rows[4:], 4):
        spectrum = reader.sample(row.content()["sample"], row.blob).scan.spectrum
        assert spectrum is not None
        assert spectrum.axis.tobytes() == AXIS.tobytes()
        assert spectrum.values.tobytes() == np.sin(AXIS / 100 + i).tobytes()


@pytest.mark.parametrize("before_seq", [0, 1, 2])
def test_a_request_is_read_wherever_it_stands_between_our_own_records(path: Path, before_seq: int) -> None:
    """Our own records are stepped over unread, but never anybody else's."""
    asked = encode({"action": "mode", "value": "closed", "user": "anna", "reason": "", "cycle_seq": None})
    with Journal.open(path, LINE) as journal, Journal.open(path, LINE) as another:
        recorder = JournalRecorder(journal)
        recorder.start(T0, START, {})
        recorder.requests()
        for i in range(3):
            if i == before_seq:
                another.append("request", T0, asked)
            sample, thought = seen_and_thought(i)
            recorder.cycle(sample, thought)
            recorder.acted(sample, Acted("good"))
        assert [r.user for r in recorder.requests()] == ["anna"]
        assert recorder.requests() == ()


def start_after(path: Path, lost_s: float, *, stopped: bool) -> list[str]:
    with Journal.open(path, LINE) as journal:
        recorder = JournalRecorder(journal)
        recorder.start(T0, START, {})
        recorder.cycle(*seen_and_thought(0))
        if stopped:
            recorder.stop(T0 + 1.0, "test")
    with Journal.open(path, LINE) as journal:
        JournalRecorder(journal).start(T0 + lost_s, START, {})
    return kinds(path)[2 + stopped + 1 :]


@pytest.mark.parametrize(
    ("lost_s", "stopped", "told"),
    [(60.0, False, ["gap", "start"]), (9.0, False, ["start"]), (60.0, True, ["start"]), (-60.0, False, ["start"])],
)
def test_time_lost_without_an_orderly_stop_is_told(path: Path, lost_s: float, stopped: bool, told: list[str]) -> None:
    assert start_after(path, lost_s, stopped=stopped) == told
    with Journal.open_reader(path) as journal:
        gap = journal.last("gap")
    if "gap" in told:
        assert gap is not None
        said = gap.content()
        assert (said["from_s"], said["to_s"], said["seconds"], said["after"]) == (T0, T0 + 60.0, 60.0, 3)
        assert said["why"] == "no orderly stop"
        assert math.isclose(gap.time_s, T0 + 60.0)
