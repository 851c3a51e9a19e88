"""The running loop watches its sensor: interval, drift, instrument; all of it on the record, the same when replayed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from governed_hand import LINE_FILE, SHIPPED, Office, moves, variant
from governed_hand import Stand as Plain

from control.signals import LabResult, Mode
from edge.config import LineConfig, SensorTable, read_config
from edge.cycle import begin
from edge.line import Line, compose_config
from edge.notify import Notifier
from edge.record.canonical import decode
from edge.record.journal import Journal
from edge.record.recorder import JournalRecorder
from edge.record.replay import replay_journal
from edge.service import serve, start_body
from edge.signals import Acted, Scan, Thought
from hil_sim.bench import RigLine, ScriptedRecorder
from hil_sim.rig import Rig
from hil_sim.scenario import load_scenario
from soft_sensors.registry.entries import Role
from soft_sensors.signals import Quality
from soft_sensors.watch.instrument import Figure, InstrumentRecord
from soft_sensors.watch.records import write_record

SETTLE = 25  # cycles
T0 = 1_760_000_000.0  # the rig's clock at its start
GOOD = InstrumentRecord("NIR-1", T0 - 3600.0, T0 + 86400.0, (Figure("axis at 1200", 0.2, -1.0, 1.0, "nm"),))
Tamper = Callable[[Scan], Scan]


class Tampered(RigLine):
    """The rig's line with something between it and the service."""

    tamper: Tamper | None = None

    async def scan(self) -> Scan:
        seen = await super().scan()
        return seen if self.tamper is None else self.tamper(seen)


class Stand(Plain):
    """The governed loop, with the wire in reach and any scenario."""

    def __init__(self, line: Line, recorder: Any = None, scenario: str = "nominal", at_min: float = 0.0) -> None:
        played = load_scenario(scenario)
        faults = tuple(f.model_copy(update={"at_min": at_min}) for f in played.fault)
        self.line, self.rig = line, Rig(played.model_copy(update={"fault": faults}), 5)
        self.wire: Tampered = Tampered(self.rig, line.config, 5)
        self.script = ScriptedRecorder(recorder)
        self.loop, self.acted, self.number = begin(line), Acted("none"), 0


def config_of(**analyser: Any) -> tuple[LineConfig, str]:
    config, digest = read_config(LINE_FILE)
    return config.model_copy(update={"analyser": config.analyser.model_copy(update=analyser)}), digest


def recorded(line: Line, path: Path) -> tuple[Stand, Journal]:
    journal = Journal.open(path, line.config.line.name)
    recorder = JournalRecorder(journal)
    recorder.start(T0, start_body(line), line.artefacts())
    return Stand(line, recorder), journal


def replays(path: Path, cycles: int) -> None:
    found = replay_journal(path, None, None, lambda *_: None)
    assert found.first_difference is None
    assert found.n_cycles == cycles


def result(taken_s: float, assay_pct: float) -> Tamper:
    return lambda scan: replace(scan, lab=LabResult(1, taken_s, taken_s + 60.0, assay_pct, 250.0, 90.0))


def test_a_missed_result_widens_the_interval_on_the_record_and_a_new_model_starts_anew(tmp_path: Path) -> None:
    office = Office(tmp_path / "registry")
    office.effective(SHIPPED)
    second = office.approved(variant(tmp_path / "second", {"refuse_factor": "5.5"}))
    line = office.line()
    stand, journal = recorded(line, tmp_path / "journal.sqlite")
    with journal:
        thoughts = stand.run(SETTLE)
        stand.wire.tamper = result(stand.rig.time_s - 60.0, 10.6)
        thoughts += stand.run(5)
        factors = [t.interval_factor for t in thoughts]
        assert factors[:SETTLE] == [1.0] * SETTLE
        assert set(factors[SETTLE:]) == {factors[-1]}, "one result, shown for five cycles, counts once"
        assert 1.1 < factors[-1] < 1.2
        assert (thoughts[-6].covered, thoughts[-1].covered) == ((0, 0), (0, 1))
        half = [0.5 * (t.estimate.upper - t.estimate.lower) for t in (thoughts[-1], thoughts[-6]) if t.estimate]
        assert half[0] == pytest.approx(factors[-1] * half[1])
        office.sign(Role.APPROVER, "activate", bundle=second, reason="better")
        assert [t.interval_factor for t in stand.run(3)] == [1.0] * 3
        bodies = [decode(row.body)["thought"] for row in journal.rows(kind="cycle")]
        assert [b["interval_factor"] for b in bodies] == factors + [1.0] * 3
    replays(tmp_path / "journal.sqlite", SETTLE + 8)


def served(line: Line, journal: Journal, after_s: float) -> list[float]:
    """The interval factors of a start of the service, after_s into the rig's day; a result misses half way through."""
    wire = Tampered(Rig(load_scenario("nominal"), 5), line.config, 5)
    while wire.rig.time_s < T0 + after_s:
        wire.rig.step(0.5)
    start_s, missed = wire.rig.time_s, result(wire.rig.time_s + 60.0, 10.7)
    wire.tamper = lambda scan: missed(scan) if scan.time_s > start_s + 90.0 else replace(scan, lab=None)
    recorder, stop, factors = JournalRecorder(journal), asyncio.Event(), list[float]()
    recorder.start(start_s, start_body(line), line.artefacts())

    def watch(thought: Thought) -> None:
        factors.append(thought.interval_factor)
        for _ in range(10):
            wire.rig.step(0.5)
        if len(factors) == SETTLE:
            stop.set()

    asyncio.run(serve(line, wire, None, recorder, wire, notifier=Notifier(None), stop=stop, on_cycle=watch))
    return factors


def test_a_restart_keeps_the_width_and_replays_the_same(tmp_path: Path) -> None:
    line = compose_config(*read_config(LINE_FILE))
    with Journal.open(tmp_path / "journal.sqlite", line.config.line.name) as journal:
        first, second = served(line, journal, 0.0), served(line, journal, 600.0)
    assert first[0] == 1.0
    assert first[-1] == pytest.approx(1.1445, abs=1e-3)
    assert second[0] == first[-1], "what a result has shown is not forgotten"
    assert second[-1] == pytest.approx(1.1445**2, abs=1e-3)
    replays(tmp_path / "journal.sqlite", 2 * SETTLE)


def test_a_result_inside_the_interval_leaves_it_as_it_is() -> None:
    stand = Stand(compose_config(*read_config(LINE_FILE)))
    stand.run(SETTLE)
    stand.wire.tamper = result(stand.rig.time_s - 60.0, 10.0)
    thoughts = stand.run(5)
    assert {t.interval_factor for t in thoughts} == {1.0}
    assert thoughts[-1].covered == (1, 1)


def test_a_failed_verification_takes_the_nir_away_in_one_cycle_and_a_new_one_gives_it_back(tmp_path: Path) -> None:
    record = tmp_path / "nir.json"
    write_record(GOOD, record)
    line = compose_config(*config_of(verification=record))
    stand, journal = recorded(line, tmp_path / "journal.sqlite")
    with journal:
        settled = stand.run(SETTLE)
        assert moves(settled)
        assert settled[-1].unverified == ""
        failed = replace(GOOD, time_s=stand.rig.time_s - 1.0, figures=(Figure("axis at 1200", 1.4, -1.0, 1.0, "nm"),))
        write_record(failed, record)
        without = stand.run(3)
        said = "instrument NIR-1 failed its verification: axis at 1200 1.4 nm"
        for thought in without:
            assert thought.estimate is not None
            assert thought.estimate.quality is Quality.BAD
            assert said in thought.estimate.reason
            assert said in thought.unverified
        alarms = {a.name: a.text for a in without[-1].alarms}
        assert said in alarms["nir_bad"]
        record.unlink()
        for thought in stand.run(3):
            assert thought.estimate is not None
            assert thought.estimate.quality is Quality.BAD, "a failure does not go away with its record"
        write_record(replace(GOOD, time_s=stand.rig.time_s - 1.0), record)
        again = stand.run(SETTLE)
        assert moves(again)
        assert again[-1].estimate is not None
        assert again[-1].estimate.quality is Quality.GOOD
        sample = decode(next(iter(journal.rows(kind="cycle"))).body)["sample"]
        assert sample["verification"]["instrument"] == "NIR-1"
        assert len(sample["verification"]["sha256"]) == 64
    replays(tmp_path / "journal.sqlite", 2 * SETTLE + 6)


def test_the_service_holds_the_record_to_what_the_journal_saw(tmp_path: Path) -> None:
    record = tmp_path / "nir.json"
    write_record(replace(GOOD, figures=(Figure("axis at 1200", 1.4, -1.0, 1.0, "nm"),)), record)
    line = compose_config(*config_of(verification=record))
    stand, journal = recorded(line, tmp_path / "journal.sqlite")
    with journal:
        stand.run(3)
        write_record(GOOD, record)  # edited while the service was down
        again = compose_config(*config_of(verification=record))
        assert again.instrument is not None
        again.instrument.resume(JournalRecorder(journal).last_verification())
        thoughts = Stand(again).run(SETTLE)
        assert {t.estimate.quality for t in thoughts if t.estimate is not None} == {Quality.BAD}
        assert {t.room.pat for t in thoughts if t.room is not None} == {0.0}, "never seen: no room at all"
        assert "was changed after it was read" in thoughts[-1].unverified


@pytest.mark.parametrize(
    ("record", "every_h", "word"),
    [
        (None, None, "no instrument verification"),
        (replace(GOOD, time_s=T0 - 30 * 3600.0), 24.0, "overdue by 6"),
        (replace(GOOD, valid_until_s=T0 - 2 * 86400.0), None, "overdue by 2.0 days"),
    ],
)
def test_missing_or_overdue_is_uncertain_and_the_loop_goes_on(
    tmp_path: Path, record: InstrumentRecord | None, every_h: float | None, word: str
) -> None:
    path = tmp_path / "nir.json"
    if record is not None:
        write_record(record, path)
    line = compose_config(*config_of(verification=path, verification_every_h=every_h))
    thoughts = Stand(line).run(SETTLE)
    now = thoughts[-1].estimate
    assert now is not None
    assert now.quality is Quality.UNCERTAIN
    assert word in now.reason
    assert now.undecided == "the estimate is uncertain"
    assert moves(thoughts)
    assert word in next(a.text for a in thoughts[-1].alarms if a.name == "nir_uncertain")


def test_a_line_that_asks_for_no_verification_is_as_it_was() -> None:
    thought = Stand(compose_config(*read_config(LINE_FILE))).run(SETTLE)[-1]
    assert thought.unverified == ""
    assert thought.estimate is not None
    assert thought.estimate.quality is Quality.GOOD


def test_fouling_is_told_as_a_trend_of_q_with_its_channels(tmp_path: Path) -> None:
    stand = Stand(compose_config(*read_config(LINE_FILE)), scenario="probe_fouling", at_min=27.0)
    thoughts = stand.run(400)
    alarms = {a.name: a.text for t in thoughts for a in t.alarms}
    assert "nir_q_trend" in alarms
    assert "of its limit (Q: " in alarms["nir_q_trend"]
    assert "clean the probe window" in alarms["nir_q_trend"]
    assert "(Q: " in alarms["nir_bad"], "and what is refused names its channels"
    assert "nir_q_trend" not in {a.name for t in thoughts[:324] for a in t.alarms}, "not before the fault"


def test_a_line_that_is_only_watched_has_its_alarms_too(tmp_path: Path) -> None:
    config, digest = config_of(verification=tmp_path / "none.json")
    table = config.line.model_copy(update={"mode_ceiling": Mode.MONITOR, "start_mode": Mode.MONITOR})
    bare = {"recipe": None, "mv": (), "plant": None, "controller": None, "line": table}
    bare["sensor"] = SensorTable(bundle=SHIPPED)
    thoughts = Stand(compose_config(config.model_copy(update=bare), digest)).run(SETTLE)
    assert [a.name for a in thoughts[-1].alarms] == ["nir_uncertain"]
    assert "no instrument verification" in thoughts[-1].unverified
