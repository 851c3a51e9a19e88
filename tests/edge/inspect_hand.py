"""A shift by hand: cycles, requests and faults as the inspector's tests need them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from control.signals import Command, Decision, LabResult, Mode, Reading, Target
from edge.record.canonical import encode
from edge.record.facts import Facts, gather
from edge.record.journal import Journal
from edge.record.recorder import JournalRecorder
from edge.signals import Acted, Alarm, Context, Licence, Link, Request, Sample, Scan, Thought
from soft_sensors.signals import Estimate, Quality, Spectrum

AXIS = np.linspace(900.0, 1700.0, 4)
T0 = 1_700_000_040.0  # 2023-11-14 22:14:00 UTC, a whole minute
START = {
    "line": "CDC-REF-1", "mode": "advise", "software": "patloop 0.1.0", "sensor_hash": "aa" * 32,
    "controller_hash": "cc" * 32,
    "config": {"line": {"cycle_s": 5.0}, "mv": [{"name": "FeederApi", "unit": "kg/h"}], "sensor": {"bias": 0}},
}  # fmt: skip


def cycle(i: int, working: float, **how: Any) -> tuple[Sample, Thought]:
    """One cycle; working: the setpoint in force; the rest as it is given."""
    time_s = T0 + 5 * i
    mode, write = Mode(how.get("mode", "closed")), how.get("write")
    writes = {} if write is None else {"FeederApi": write}
    scan = Scan(
        time_s, Link(how.get("link", "online")), 1, 7, {"FeederApi.SP_Working": Reading(working, time_s)},
        Spectrum(AXIS, "nm", AXIS / 10 + i, i, time_s), how.get("lab"), how.get("reason", ""),
        context=how.get("context"),
    )  # fmt: skip
    estimate = Estimate(9.9, 0.1, 9.7, 10.1, 3.0, 9.0, 0.5, 1.0, Quality.GOOD, "", i, time_s)
    decision = Decision("mpc", {"FeederApi": write or working}, "API low", "ok", 5.0, {}, {})
    command = Command(mode, writes, writes, how.get("holding", False), False, how.get("reasons", ()))
    thought = Thought(mode, Target(10, 20, 250), estimate, None, decision, command, how.get("alarms", ()), "", "", ())
    licence = Licence("aa" * 32, how.get("state", "effective"), 2e9, registry_id="ee" * 32, head_seq=4, head_hash="1f")
    return Sample(i, scan, how.get("requests", ()), Acted("good"), licence), thought


def shift(found: Path) -> Path:
    """Eight cycles: ann closes the loop, the PLC takes half of a move, its operator moves one; a gap; an alarm."""
    alarm = Alarm("nir_drift", "NIR drifts <b>", 2, T0 + 10, T0 + 10)
    ask = Request(4, "mode", "closed", "ann", "settled <script>alert(1)</script>")
    lab = LabResult(1, T0, T0 + 20, 9.95, math.nan, math.nan)
    cycles = [
        cycle(0, 2.0, mode="advise"),
        cycle(1, 2.0, write=2.1, requests=(ask,)),
        cycle(2, 2.1, write=2.3, alarms=(alarm,), context=Context("B-7", "T", {}, "tags")),
        cycle(3, 2.2, alarms=(alarm,), holding=True, reasons=("hold: FeederApi.PV: stale",), context=Context("B-7")),
        cycle(4, 2.2, lab=lab, link="lost", reason="no answer"),
        cycle(5, 2.2, link="lost", reason="no answer"),
        cycle(6, 2.5, state="retired"),
        cycle(30, 2.5),
    ]
    with Journal.open(found, "CDC-REF-1", now=lambda: T0 - 10) as journal:
        recorder = JournalRecorder(journal)
        journal.append("start", T0 - 5, encode(START))
        journal.append("people", T0 - 2, encode({"event": "login", "name": "ann", "by": "ann", "reason": ""}))
        asked = {"action": "mode", "value": "closed", "user": "ann", "reason": "settled <script>alert(1)</script>"}
        for i, (sample, thought) in enumerate(cycles):
            if i == 1:
                journal.append("request", T0 + 4, encode({**asked, "cycle_seq": 4}))
            recorder.cycle(sample, thought)
            if thought.command.writes:
                recorder.acted(sample, Acted("good"))
        journal.append("start", T0 + 160, encode({**START, "config": {**START["config"], "sensor": {"bias": 1}}}))
    return found


def facts_of(path: Path, from_s: float | None = None, to_s: float | None = None) -> Facts:
    with Journal.open_reader(path) as journal:
        return gather(journal, from_s, to_s, lambda *_: None)
