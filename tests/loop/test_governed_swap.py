"""Activation, rollback, bias and shadow while the service runs: in one cycle, on the record, the same when replayed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner
from governed_hand import LINE_FILE, SHIPPED, Office, Stand, moves, variant

from control.signals import Mode
from edge.config import SensorTable, read_config
from edge.cycle import think
from edge.errors import ConfigError
from edge.line import compose_config
from edge.record.canonical import decode, encode
from edge.record.commands import shadow
from edge.record.journal import Journal
from edge.record.recorder import JournalRecorder, pack_folder, unpack_folder
from edge.record.replay import replay_journal
from edge.service import start_body
from edge.signals import Sample
from soft_sensors.errors import RegistryError
from soft_sensors.estimate import conclude
from soft_sensors.registry.entries import Role
from soft_sensors.registry.evidence import figures_of, read_pairs
from soft_sensors.registry.log import read_registry

SETTLE = 25  # cycles
TRIAL = {"min_results": 2, "max_ratio": 5.0, "min_coverage": 0.1}


@pytest.fixture
def office(tmp_path: Path) -> Office:
    made = Office(tmp_path / "registry")
    made.effective(SHIPPED)
    return made


def recorded(office: Office, path: Path) -> tuple[Stand, Journal]:
    line = office.line()
    journal = Journal.open(path, line.config.line.name)
    recorder = JournalRecorder(journal)
    recorder.start(1_760_000_000.0, start_body(line), line.artefacts())
    return Stand(line, recorder), journal


def test_activation_and_rollback_take_one_cycle_and_replay_is_identical(office: Office, tmp_path: Path) -> None:
    first = next(iter(read_registry(office.folder).entries))
    second = office.approved(variant(tmp_path / "second", {"refuse_factor": "5.5"}))
    stand, journal = recorded(office, tmp_path / "journal.sqlite")
    with journal:
        assert moves(stand.run(SETTLE))
        office.sign(Role.APPROVER, "activate", bundle=second, reason="better")
        swapped = stand.run(3)
        assert [stand.loop.sensed.model[0], moves(swapped), swapped[0].unlicensed] == [second, True, ""]
        office.sign(Role.APPROVER, "rollback", bundle=first, reason="worse")
        back = stand.run(1)
        assert stand.loop.sensed.model[0] == first
        assert moves(back)
        bodies = [decode(row.body) for row in journal.rows(kind="cycle")]
        names = [b["sample"]["licence"]["bundle_hash"] for b in bodies]
        assert names == [first] * SETTLE + [second] * 3 + [first]
        kinds = [row.kind for row in journal.rows()]
        arrived = len(kinds) - 1 - kinds[::-1].index("artefact")
        assert kinds[arrived + 1] == "cycle", "the bundle is on the record before the first cycle that uses it"
    found = replay_journal(tmp_path / "journal.sqlite", None, None, lambda *_: None)
    assert found.first_difference is None
    assert found.n_cycles == SETTLE + 4


def test_the_old_models_estimate_is_replaced_even_without_a_new_spectrum(office: Office) -> None:
    stand = Stand(office.line())
    before = stand.run(SETTLE)[-1].estimate
    assert before is not None
    scan = asyncio.run(stand.wire.scan())
    sample = Sample(stand.number, scan, (), stand.acted, stand.line.licences.acquire(scan.time_s))
    once, loop = think(stand.line, stand.loop, sample)
    digest = next(iter(read_registry(office.folder).entries))
    office.sign(Role.APPROVER, "bias", bundle=digest, value=0.25, reason="12 laboratory results")
    again = Sample(stand.number, scan, (), stand.acted, stand.line.licences.acquire(scan.time_s))
    shifted, _ = think(stand.line, loop, again)
    assert once.estimate is not None
    assert shifted.estimate is not None
    assert shifted.estimate.value == once.estimate.value + 0.25
    assert shifted.estimate.lower == once.estimate.lower + 0.25
    assert shifted.estimate.upper == once.estimate.upper + 0.25
    assert "bias +0.25 applied" in shifted.estimate.reason
    moved = shifted.estimate
    concluded = conclude(stand.line.sensor.card, moved.lower, moved.value, moved.upper, moved.quality)
    assert (moved.outcome, moved.undecided) == concluded
    assert shifted.estimate.quality == once.estimate.quality


def test_a_bias_beyond_its_bound_is_not_signed(office: Office) -> None:
    digest = next(iter(read_registry(office.folder).entries))
    with pytest.raises(RegistryError, match="beyond the declared bound"):
        office.sign(Role.APPROVER, "bias", bundle=digest, value=0.31, reason="r")
    assert office.line().licences.acquire(0.0).bias == 0.0


def test_a_shadow_estimate_is_recorded_and_used_by_nothing(office: Office, tmp_path: Path) -> None:
    challenger = office.verified(variant(tmp_path / "second", {"t2_limit": "1e-9"}))
    alone, beside = Stand(office.line()), None
    plain = alone.run(SETTLE)
    office.sign(Role.APPROVER, "challenge", bundle=challenger, trial=TRIAL, reason="r")
    beside = Stand(office.line())
    shadowed = beside.run(SETTLE)
    seen = [t.shadow for t in shadowed if t.shadow is not None]
    assert seen
    assert all(s.quality == "bad" for s in seen), "the challenger refuses everything here"
    for without, with_shadow in zip(plain, shadowed, strict=True):
        one, other = decode(encode(without)), decode(encode(with_shadow))
        assert one.pop("shadow") is None
        other.pop("shadow")
        assert encode(one) == encode(other)


def test_a_challenger_that_does_not_load_is_told_and_stops_nothing(office: Office, tmp_path: Path) -> None:
    challenger = office.verified(variant(tmp_path / "second", {"refuse_factor": "5.5"}))
    office.sign(Role.APPROVER, "challenge", bundle=challenger, trial=TRIAL, reason="r")
    (office.folder / "models" / challenger / "graph.onnx").write_bytes(b"")
    thoughts = Stand(office.line()).run(SETTLE)
    assert moves(thoughts)
    assert "model_shadow" in {a.name for a in thoughts[-1].alarms}


def test_a_journals_shadow_estimates_decide_a_trial(office: Office, tmp_path: Path) -> None:
    """Three laboratory results of a real loop: the first two decide, and a challenger as good as the champion wins."""
    champion = next(iter(read_registry(office.folder).entries))
    challenger = office.verified(variant(tmp_path / "second", {"refuse_factor": "5.5"}))
    registry = office.sign(Role.APPROVER, "challenge", bundle=challenger, trial=TRIAL, reason="r")
    stand, journal = recorded(office, tmp_path / "journal.sqlite")
    with journal:
        stand.run(800)
    made = CliRunner().invoke(shadow, [str(tmp_path / "journal.sqlite"), "--out", str(tmp_path / "shadow.csv")])
    assert made.exit_code == 0, made.output
    assert "3 laboratory results" in made.output
    trial = registry.entries[challenger].trial
    assert trial is not None
    figures = figures_of(read_pairs(tmp_path / "shadow.csv"), trial, champion, challenger)
    assert figures["n"] == 2
    assert figures["rmsep"] == pytest.approx(figures["champion_rmsep"])
    evidence = {"bundle": challenger, "champion": champion, "evidence_sha256": "e"}
    with pytest.raises(RegistryError, match="exactly the declared 2"):
        office.sign(Role.APPROVER, "promote", **evidence, figures={**figures, "n": 3})
    with pytest.raises(RegistryError, match="coverage"):
        office.sign(Role.APPROVER, "promote", **evidence, figures={**figures, "coverage": 0.0})
    office.sign(Role.APPROVER, "promote", **evidence, figures=figures)
    promoted = office.line().licences.acquire(0.0)
    assert (promoted.bundle_hash, promoted.state, promoted.challenger_hash) == (challenger, "effective", None)


def test_a_log_that_lost_what_the_record_saw_holds_after_a_restart(office: Office, tmp_path: Path) -> None:
    stand, journal = recorded(office, tmp_path / "journal.sqlite")
    log = office.folder / "log.jsonl"
    kept = log.read_bytes()
    with journal:
        digest = stand.loop.sensed.model[0] or next(iter(read_registry(office.folder).entries))
        office.sign(Role.APPROVER, "bias", bundle=digest, value=0.1, reason="r")
        stand.run(3)
        log.write_bytes(kept)
        line = office.line()
        line.licences.resume(*JournalRecorder(journal).last_licence())
        held = Stand(line).run(SETTLE)
        assert not moves(held)
        assert "is gone or another" in held[-1].unlicensed
        other = Office(tmp_path / "other")
        other.effective(SHIPPED)
        line = other.line()
        line.licences.resume(*JournalRecorder(journal).last_licence())
        held = Stand(line).run(SETTLE)
        assert not moves(held)
        assert "new state folder" in held[-1].unlicensed


def test_without_a_registry_there_is_advice_and_never_closed_loop() -> None:
    config, digest = read_config(LINE_FILE)
    free = config.model_copy(update={"sensor": SensorTable(bundle=SHIPPED)})
    with pytest.raises(ConfigError, match="mode_ceiling to 'advise'"):
        compose_config(free, digest)
    table = config.line.model_copy(update={"mode_ceiling": Mode.ADVISE})
    advised = Stand(compose_config(free.model_copy(update={"line": table}), digest)).run(SETTLE)
    assert not moves(advised)
    assert advised[-1].command.recommended
    assert "advice only" in " ".join(advised[-1].command.reasons)


def test_a_sample_without_a_licence_moves_nothing(office: Office) -> None:
    stand = Stand(office.line())
    assert moves(stand.run(SETTLE))
    scan = asyncio.run(stand.wire.scan())
    licence = stand.line.licences.acquire(scan.time_s)
    with_one, _ = think(stand.line, stand.loop, Sample(stand.number, scan, (), stand.acted, licence))
    without, _ = think(stand.line, stand.loop, Sample(stand.number, scan, (), stand.acted))
    assert with_one.command.writes
    assert without.command.writes == {}


def test_a_packed_bundle_holds_what_the_service_loads_and_no_calibration_spectra(tmp_path: Path) -> None:
    assert (SHIPPED / "calibration.npz").exists(), "the test's premise"
    unpack_folder(pack_folder(SHIPPED), tmp_path)
    assert {f.name for f in tmp_path.iterdir()} == {"graph.onnx", "card.toml", "golden.npz", "hashes.toml"}
