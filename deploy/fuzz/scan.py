"""Target: whatever a PLC and its analyser may put into a tag, cycle after cycle, through to_scan, think and guard.

From a loop that is closed and settled, the bytes say which tags hold what: any OPC UA type, any status, any stamp. What
comes out is judged as in the trials (hil_sim.trial_judge), and by what must hold whatever comes in.
"""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import numpy as np
from asyncua import ua

from control.decide.mpc import Mpc
from control.rti import Rti
from control.signals import Mode, Quality
from deploy.fuzz.files import LINE_FILE
from deploy.fuzz.target import Broken, Once, Target
from edge.acquire.raw import Raw, made, plain
from edge.acquire.tags import to_scan, wanted
from edge.cycle import Loop, begin, cycle, think
from edge.line import Line
from edge.record.canonical import decode, encode
from edge.record.recorder import SampleReader
from edge.signals import Acted, Link, Sample, Scan, Thought
from hil_sim import bench
from hil_sim.mishaps import FaultyController, FaultySolver, Script
from hil_sim.rig import Rig
from hil_sim.scenario import Scenario
from hil_sim.trial_judge import breaches

SETTLE_CYCLES = 40
EXTREMES = (0.0, -0.0, -1.0, 1.0, 1e-310, 1e308, -1e308, math.nan, math.inf, -math.inf, 2.0**63, 1e9, 0.5)
STATUSES = (0x00000000, 0x00300000, 0x40000000, 0x40920000, 0x80000000, 0x80340000, 0x808A0000, 0x80310000, 0x00000480)
STAMPS = (
    None, datetime(1601, 1, 1), datetime(9999, 12, 31, 23, 59, 59), datetime(1969, 12, 31, 23, 59),
    datetime(2038, 1, 20),
)  # fmt: skip
JUMPS_S = (5.0, 5.0, 5.0, 5.0, 0.0, 0.5, -5.0, 60.0, 3600.0, 1e9, -1e9)


def targets() -> tuple[Target, ...]:
    """One: the loop."""
    watched = ("edge/acquire", "edge/cycle.py", "edge/sensing.py", "edge/situation.py", "edge/understand.py",
               "edge/material.py", "edge/actuate", "control/guard.py")  # fmt: skip
    return (Target("scan", _seeds, _prepare, (), watched, most=600),)


def _seeds() -> Sequence[bytes]:
    random = np.random.default_rng(7)
    return [b"", bytes(64), *(random.bytes(n) for n in (16, 40, 80, 160, 320, 600))]


class Drawn:
    """Bytes as a source of choices; zeros when they are used up."""

    def __init__(self, raw: bytes) -> None:
        self._raw, self._at = raw, 0

    def byte(self) -> int:
        """The next byte."""
        self._at += 1
        return self._raw[self._at - 1] if self._at <= len(self._raw) else 0

    def take(self, n: int) -> bytes:
        """The next n bytes."""
        return bytes(self.byte() for _ in range(n))

    def number(self) -> float:
        """A float: an extreme one or any."""
        kind = self.byte()
        if kind < 128:
            return EXTREMES[kind % len(EXTREMES)]
        found: float = struct.unpack("<d", self.take(8))[0]
        return found


@dataclass(frozen=True)
class Settled:
    """A line whose loop is closed: where each input begins. The parts that are watched for the judge beside it."""

    line: Line
    loop: Loop
    acted: Acted
    number: int
    rig: Rig
    session: int
    axis: tuple[np.ndarray, str]
    solver: FaultySolver
    controller: FaultyController


def _prepare(_folder: Path) -> Once:
    settled = _settle()
    healthy = {name: bench.raw_of(tag) for name, tag in settled.rig.read().items()}
    tags = tuple(t for t in wanted(settled.line.config) if t in healthy)

    def once(raw: bytes) -> object:
        return _play(settled, healthy, tags, Drawn(raw))

    return once


def _settle() -> Settled:
    line = bench.compose_for(LINE_FILE, "mpc")
    control = line.control
    assert control is not None, "the shipped line is controlled"
    assert isinstance(control.controller, Mpc), "by its model-predictive controller"
    script = Script(())
    solver = FaultySolver(script)
    controller = FaultyController(replace(control.controller, solver=Rti(control.bundle, solver)), script)
    line = replace(line, control=replace(control, controller=controller))
    rig = Rig(Scenario(name="fuzz", description="a quiet line, settled", hours=10.0), 1)
    wire, recorder = bench.RigLine(rig, line.config, 1), bench.ScriptedRecorder()
    loop, acted, session = begin(line), Acted("none"), 0

    async def play() -> None:
        nonlocal loop, acted, session
        for number in range(SETTLE_CYCLES):
            _, loop, acted = await cycle(line, loop, number, acted, wire, wire, recorder, wire)
            session = loop.handshake.session_id
            for _ in range(round(line.config.line.cycle_s / bench.STEP_S)):
                rig.step(bench.STEP_S)

    asyncio.run(play())
    if recorder.last is None or not recorder.last.command.writes:
        raise Broken("the loop that every input begins in is not closed")
    return Settled(line, loop, acted, SETTLE_CYCLES, rig, session, (np.array(rig.axis), "nm"), solver, controller)


def _play(settled: Settled, healthy: Mapping[str, Raw], tags: tuple[str, ...], drawn: Drawn) -> Thought | None:
    loop, acted, now_s, session, epoch = settled.loop, settled.acted, settled.rig.time_s, settled.session, 1
    thought: Thought | None = None
    for turn in range(1 + drawn.byte() % 3):
        raw = dict(healthy)
        raw["Apc.HeartbeatOut"] = healthy["Apc.HeartbeatOut"]._replace(value=1000 + turn)
        for _ in range(drawn.byte() % 12):
            tag = tags[int.from_bytes(drawn.take(2), "little") % len(tags)]
            raw[tag] = _raw(_value(drawn), now_s)
        if drawn.byte() > 240:
            session, epoch = session + 1, epoch + 1
        scan = to_scan(settled.line.config, raw, settled.axis, now_s=now_s, epoch=epoch, session_id=session)
        if drawn.byte() > 250:
            scan = Scan(now_s, Link.LOST, epoch, 0, {}, reason="drawn")
        sample = Sample(settled.number + turn, scan, (), acted)
        settled.solver.last = settled.controller.situation = None
        thought, loop = think(settled.line, loop, sample)
        _judge(settled, sample, thought, loop)
        _recorded(sample, thought)
        acted = Acted("good") if thought.wire else Acted("none")
        now_s += JUMPS_S[drawn.byte() % len(JUMPS_S)]
    return thought


def _judge(settled: Settled, sample: Sample, thought: Thought, loop: Loop) -> None:
    scan, writes = sample.scan, thought.command.writes
    control = settled.line.control
    assert control is not None, "the shipped line is controlled"
    wrong = breaches(control.settings, scan, thought, settled.controller.situation, settled.solver.last, writes)
    wrong += [f"{tag} = {value} goes to the wire" for tag, value in thought.wire if not math.isfinite(value)]
    if writes:
        remote = scan.readings.get("Apc.RemoteActive")
        if remote is None or remote.quality is Quality.BAD or remote.value == 0:
            wrong.append("setpoints without RemoteActive")
        if loop.mode is not Mode.CLOSED or scan.link is not Link.ONLINE or thought.command.holding:
            wrong.append("setpoints although not closed, not online or holding")
        if not set(writes) <= {mv.name for mv in control.settings.setpoints}:
            wrong.append(f"setpoints nobody knows: {sorted(writes)}")
    if wrong:
        raise Broken("; ".join(wrong)[:300])


def _recorded(sample: Sample, thought: Thought) -> None:
    """What was seen and thought fits into a record, and comes out of it as it was."""
    from edge.record.journal import Journal, Row
    from edge.record.recorder import JournalRecorder

    kept: list[tuple[bytes, bytes | None]] = []

    class Kept:
        def append(self, kind: str, time_s: float, body: bytes, blob: bytes | None = None) -> Row:
            kept.append((body, blob))
            return Row(len(kept), time_s, kind, body, blob, b"", b"")

        def last(self, _kind: str | None = None) -> None:
            return None

    journal: Any = Kept()
    assert hasattr(Journal, "append"), "the stand-in stands for this"
    JournalRecorder(journal).cycle(sample, thought)
    body, blob = kept[-1]
    again = SampleReader().sample(decode(body)["sample"], blob)
    if encode(replace(again, scan=_bare(again.scan))) != encode(replace(sample, scan=_bare(sample.scan))):
        raise Broken("the sample does not read back as it was")


def _bare(scan: Scan) -> Scan:
    spectrum = scan.spectrum
    if spectrum is None:
        return scan
    return replace(scan, spectrum=replace(spectrum, values=np.asarray(spectrum.values, dtype=np.float64)))


def _raw(value: ua.DataValue, now_s: float) -> Raw:
    times = [None if t is None else cast(float, plain(t)) for t in (value.SourceTimestamp, value.ServerTimestamp)]
    return made(plain(value.Value.Value), value.StatusCode, times[0], times[1], now_s)


def _value(drawn: Drawn) -> ua.DataValue:
    """Any content that the wire can carry."""
    return ua.DataValue(
        _variant(drawn), ua.StatusCode(ua.UInt32(_status(drawn))), SourceTimestamp=_stamp(drawn),
        ServerTimestamp=_stamp(drawn),
    )  # fmt: skip


def _status(drawn: Drawn) -> int:
    kind = drawn.byte()
    return int.from_bytes(drawn.take(4), "little") if kind > 230 else STATUSES[kind % len(STATUSES)] if kind > 90 else 0


def _stamp(drawn: Drawn) -> datetime | None:
    kind = drawn.byte()
    if kind < 20:
        return datetime.fromtimestamp(1.76e9 + 200.0, UTC)
    return STAMPS[kind % len(STAMPS)]


def _variant(drawn: Drawn) -> ua.Variant | None:
    """A plain number most of the time, then any other type, now and then an array."""
    kind = drawn.byte()
    if kind < 100:
        return ua.Variant(drawn.number(), ua.VariantType.Double)
    if kind < 140:
        return ua.Variant([drawn.number() for _ in range((0, 1, 2, 125, 125, 126)[drawn.byte() % 6])],
                          ua.VariantType.Double)  # fmt: skip
    if kind < 160:
        return ua.Variant(int.from_bytes(drawn.take(4), "little", signed=True), ua.VariantType.Int32)
    others: tuple[Any, ...] = (
        None, ua.Variant(None), ua.Variant(bool(drawn.byte() & 1), ua.VariantType.Boolean),
        ua.Variant(2**64 - 1, ua.VariantType.UInt64), ua.Variant("1.5", ua.VariantType.String),
        ua.Variant("\ud800é\0", ua.VariantType.String), ua.Variant(b"\xff\0", ua.VariantType.ByteString),
        ua.Variant(datetime(1601, 1, 1), ua.VariantType.DateTime), ua.Variant(UUID(int=0), ua.VariantType.Guid),
        ua.Variant([], ua.VariantType.String), ua.Variant(["a", None], ua.VariantType.String),
        ua.Variant([[1.0, 2.0], [3.0, 4.0]], ua.VariantType.Double), ua.Variant([True, False], ua.VariantType.Boolean),
        ua.Variant(ua.LocalizedText("x"), ua.VariantType.LocalizedText),
        ua.Variant(ua.NodeId(1, 2), ua.VariantType.NodeId),
        ua.Variant(ua.Range(0, 1), ua.VariantType.ExtensionObject),
        ua.Variant([None] * 125, ua.VariantType.Double), ua.Variant([datetime(9999, 12, 31)], ua.VariantType.DateTime),
        ua.Variant(datetime(9999, 12, 31), ua.VariantType.DateTime),
        ua.Variant([ua.Variant(1.0, ua.VariantType.Double)], ua.VariantType.Variant),
    )  # fmt: skip
    found: ua.Variant | None = others[kind % len(others)]
    return found
