"""Every kind of bad input, injected into a running closed loop: a clear hold, nothing written, a bumpless return."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from control.decide.ratio import ratio_setpoints
from control.signals import Mode, Quality, Reading
from edge.cycle import Loop, begin, cycle
from edge.line import Line, compose
from edge.signals import Acted, Link, Scan, Thought
from hil_sim.bench import RigLine, ScriptedRecorder
from hil_sim.rig import Rig
from hil_sim.scenario import load_scenario

LINE_FILE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml"
SETTLE, FAULT, BACK = 30, 4, 30  # cycles
Tamper = Callable[[Scan], Scan]


@pytest.fixture(scope="module")
def line() -> Line:
    return compose(LINE_FILE)


class Tampered(RigLine):
    """The rig's line with something between it and the service."""

    tamper: Tamper | None = None

    async def scan(self) -> Scan:
        seen = await super().scan()
        return seen if self.tamper is None else self.tamper(seen)


class Stand:
    """A closed loop on the rig that can be stepped cycle by cycle."""

    def __init__(self, line: Line, scenario: str = "nominal", seed: int = 5) -> None:
        self.line, self.rig = line, Rig(load_scenario(scenario), seed)
        self.wire = Tampered(self.rig, line.config, seed)
        self.script = ScriptedRecorder()
        self.loop: Loop = begin(line)
        self.acted, self.number = Acted("none"), 0

    def run(self, cycles: int) -> list[Thought]:
        async def go() -> list[Thought]:
            thoughts = []
            for _ in range(cycles):
                thought, self.loop, self.acted = await cycle(
                    self.line, self.loop, self.number, self.acted, self.wire, self.wire, self.script, self.wire
                )
                self.number += 1
                thoughts.append(thought)
                for _ in range(10):
                    self.rig.step(0.5)
            return thoughts

        return asyncio.run(go())


def spectrum(change: Callable[[np.ndarray], np.ndarray]) -> Tamper:
    def tamper(scan: Scan) -> Scan:
        assert scan.spectrum is not None
        return replace(scan, spectrum=replace(scan.spectrum, values=change(scan.spectrum.values.copy())))

    return tamper


def with_spectrum(**changes: object) -> Tamper:
    def tamper(scan: Scan) -> Scan:
        assert scan.spectrum is not None
        return replace(scan, spectrum=replace(scan.spectrum, **changes))  # type: ignore[arg-type]

    return tamper


def tag(name: str, reading: Reading | None) -> Tamper:
    def tamper(scan: Scan) -> Scan:
        readings = {k: v for k, v in scan.readings.items() if k != name}
        return replace(scan, readings=readings if reading is None else {**readings, name: reading})

    return tamper


def at(index: int, value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(values: np.ndarray) -> np.ndarray:
        values[index] = value
        return values

    return change


def old(scan: Scan) -> Scan:
    assert scan.spectrum is not None
    return replace(scan, spectrum=replace(scan.spectrum, time_s=scan.time_s - 60.0))


class Frozen:
    """The counter runs, the array stands."""

    def __init__(self) -> None:
        self.values: np.ndarray | None = None

    def __call__(self, scan: Scan) -> Scan:
        assert scan.spectrum is not None
        self.values = scan.spectrum.values if self.values is None else self.values
        return replace(scan, spectrum=replace(scan.spectrum, values=self.values))


NIR_FAULTS: dict[str, tuple[Callable[[], Tamper], str]] = {
    "nan in the spectrum": (lambda: spectrum(at(60, math.nan)), "NaN in 1 channel"),
    "inf in the spectrum": (lambda: spectrum(at(60, math.inf)), "Inf in 1 channel"),
    "wrong length": (lambda: spectrum(lambda v: v[:100]), "100"),
    "empty spectrum": (lambda: spectrum(lambda v: v[:0]), ""),
    "wrong axis": (lambda: with_spectrum(axis=np.linspace(910.0, 1680.0, 125)), "axis"),
    "wrong axis unit": (lambda: with_spectrum(axis_unit="cm-1"), "axis unit"),
    "saturated": (lambda: spectrum(lambda v: np.minimum(v * 0 + 6.0, 6.0)), ""),
    "stale spectrum": (lambda: old, ""),
    "frozen detector": (Frozen, ""),
    "analyser says bad": (lambda: with_spectrum(quality=Quality.BAD, reason="lamp off"), "lamp off"),
}
FAULTS: dict[str, tuple[Callable[[], Tamper], str]] = {
    "bad recipe tag": (lambda: tag("Recipe.ApiPct", Reading(math.nan, 0.0, Quality.BAD, "BadNoData")), "BadNoData"),
    "uncertain recipe tag": (lambda: tag("Recipe.ApiPct", Reading(10.0, 0.0, Quality.UNCERTAIN, "last")), "last"),
    "impossible recipe": (lambda: tag("Recipe.ThroughputKgH", Reading(1e9, 0.0)), "1e+09 is not possible"),
    "negative recipe": (lambda: tag("Recipe.ApiPct", Reading(-10.0, 0.0)), "-10 is not possible"),
    "flow that is no number": (lambda: tag("FeederMcc.PV", Reading(math.nan, 0.0)), "FeederMcc.PV: not finite"),
    "impossible flow": (lambda: tag("FeederApi.PV", Reading(1e9, 0.0)), "1e+09 kg/h is not possible"),
    "impossible read-back": (lambda: tag("FeederApi.SP_Working", Reading(1e9, 0.0)), "FeederApi is not known"),
    "bad read-back": (lambda: tag("FeederApi.SP_Working", Reading(math.nan, 0.0, Quality.BAD, "BadX")), "BadX"),
    "missing read-back": (lambda: tag("FeederMcc.SP_Working", None), "is not there"),
    "bad flow": (lambda: tag("FeederLac.PV", Reading(math.nan, 0.0, Quality.BAD, "BadOutOfService")), "OutOfService"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_bad_input_holds_and_nothing_is_written(line: Line, name: str) -> None:
    stand = Stand(line)
    settled = stand.run(SETTLE)[-1]
    assert settled.mode is Mode.CLOSED
    assert settled.command.writes, "the test's premise: the loop is closed and moving"
    make, word = FAULTS[name]
    stand.wire.tamper = make()
    before = dict(stand.rig.truth().setpoints)
    for thought in stand.run(FAULT):
        assert thought.command.holding
        assert thought.command.writes == {}
        assert not any("SP_Remote" in tag_name for tag_name, _ in thought.wire)
        assert word in " ".join(thought.command.reasons), thought.command.reasons
    after = stand.rig.truth().setpoints
    assert all(after[n] == pytest.approx(v, rel=1e-3) for n, v in before.items()), "the plant stayed where it was"
    stand.wire.tamper = None
    back = stand.run(BACK)
    assert back[-1].command.writes, "and the loop returns"
    first = next(t for t in back if t.command.writes)
    room = {mv.name: 0.02 * abs(before[mv.name]) for mv in line.config.mv}
    for mv, value in first.command.writes.items():
        assert abs(value - after[mv]) <= room[mv], "without a bump"


@pytest.mark.parametrize("name", NIR_FAULTS)
def test_an_unusable_spectrum_is_named_and_moves_nothing_by_itself(line: Line, name: str) -> None:
    """The loop goes on with what it knows: no bump, no more room than before, an alarm that says why."""
    stand = Stand(line)
    settled = stand.run(SETTLE)[-1]
    assert settled.command.writes
    assert settled.room is not None
    make, word = NIR_FAULTS[name]
    stand.wire.tamper = make()
    if name == "frozen detector":
        stand.run(1)  # the first frozen scan is simply the last good one
    before = dict(stand.rig.truth().setpoints)
    thoughts = stand.run(FAULT)
    for thought in thoughts:
        assert thought.estimate is not None
        assert thought.estimate.quality is Quality.BAD
        assert word in thought.estimate.reason
        assert not thought.command.holding
        assert thought.room is not None
        assert 0.9 * settled.room.pat <= thought.room.pat <= settled.room.pat, "a lost spectrum takes room by its age"
        for mv, value in thought.command.writes.items():
            assert abs(value - before[mv]) <= 0.01 * before[mv], mv
    assert "nir_bad" in {a.name for a in thoughts[-1].alarms}
    stand.wire.tamper = None
    assert stand.run(BACK)[-1].command.writes


def test_without_a_nir_for_long_the_loop_is_plain_ratio_control(line: Line) -> None:
    stand = Stand(line, "hidden_loss")
    stand.run(SETTLE)
    stand.wire.tamper = with_spectrum(quality=Quality.BAD, reason="lamp off")
    control = line.control
    assert control is not None
    gone = round(control.settings.authority.nir_age_none_s / 5.0) + 2
    thoughts = stand.run(gone + 40)
    rooms = [t.room.pat for t in thoughts if t.room is not None]
    assert all(b <= a for a, b in pairwise(rooms)), "never more room with less evidence"
    assert 0 < rooms[gone // 2] < rooms[0]
    for thought in thoughts[gone:]:
        assert thought.room is not None
        assert thought.room.pat == 0.0
        assert "NIR age" in thought.room.reason
        assert thought.decision is not None
        assert thought.decision.figures["trim_pct"] == pytest.approx(0.0, abs=1e-9)
    assert thoughts[-1].target is not None
    wanted = ratio_setpoints(control.settings, thoughts[-1].target)
    assert any(t.command.writes == wanted for t in thoughts[gone:]), "but for feeders in refill, to the last bit"


def test_without_a_link_it_holds_and_sends_nothing(line: Line) -> None:
    stand = Stand(line)
    stand.run(SETTLE)
    stand.wire.tamper = lambda s: Scan(s.time_s, Link.LOST, s.epoch, 0, {}, reason="cable out")
    for thought in stand.run(FAULT):
        assert thought.command.holding
        assert thought.wire == ()
        assert "cable out" in " ".join(thought.command.reasons)


def test_a_fate_unknown_write_holds_the_next_cycle(line: Line) -> None:
    stand = Stand(line)
    stand.run(SETTLE)
    stand.acted = Acted("unknown")
    thought = stand.run(1)[0]
    assert thought.command.holding
    assert "fate of the last write" in " ".join(thought.command.reasons)
    assert stand.run(1)[0].command.writes


def test_a_long_hold_gives_the_plant_back_to_the_plc(line: Line) -> None:
    stand = Stand(line)
    stand.run(SETTLE)
    stand.wire.tamper = tag("FeederLac.PV", Reading(math.nan, 0.0, Quality.BAD, "BadOutOfService"))
    stand.run(int(line.config.freshness.release_after_s / line.config.line.cycle_s) + 4)
    assert not stand.rig.plc.authority.remote_active
    assert stand.rig.plc.authority.shed_reason == 0, "handed back in order, not shed"


def test_advice_equals_what_closed_loop_would_have_sent(line: Line) -> None:
    stand = Stand(line)
    stand.run(SETTLE)
    from edge.cycle import think
    from edge.signals import Sample

    async def look() -> Scan:
        return await stand.wire.scan()

    scan = asyncio.run(look())
    sample = Sample(stand.number, scan, (), stand.acted, line.licences.acquire(scan.time_s))
    closed, _ = think(line, stand.loop, sample)
    advised, _ = think(line, replace(stand.loop, mode=Mode.ADVISE), sample)
    assert closed.command.writes
    assert advised.command.writes == {}
    assert advised.command.recommended == closed.command.writes


def test_thinking_twice_gives_the_identical_thought(line: Line) -> None:
    from edge.cycle import think
    from edge.record.canonical import encode
    from edge.signals import Sample

    stand = Stand(line, "hidden_loss")
    stand.run(SETTLE)
    scan = asyncio.run(stand.wire.scan())
    sample = Sample(stand.number, scan, (), stand.acted, line.licences.acquire(scan.time_s))
    assert encode(think(line, stand.loop, sample)[0]) == encode(think(line, stand.loop, sample)[0])
