"""The controller's bundle by its registry: only the released one starts, and taken back it moves nothing more."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from governed_hand import BORN_S, FAR_S, LINE_FILE, ROOT, SHIPPED, Office, Stand, moves

from control.governed import load_any
from control.settings import ControllerSettings
from edge.check import findings
from edge.commands import check
from edge.config import SensorTable, read_config
from edge.errors import ConfigError
from edge.line import Line, compose_config
from edge.record.canonical import decode
from edge.record.journal import Journal
from edge.record.recorder import JournalRecorder
from edge.record.replay import replay_journal
from edge.service import start_body
from soft_sensors.registry.deposit import deposit_by
from soft_sensors.registry.entries import Role

CONTROLLER = ROOT / "deploy" / "models" / "cdc_mpc"
SETTLE = 25  # cycles
NOW_S = 1_760_000_000.0  # the rig's clock at its start
JUDGED = {"figures": {"runs": 2, "hours": 2.0, "time_outside_3pct": 4.0, "fallbacks": 0}, "evidence_sha256": "e"}
STEPS = ("register", "verify", "approve", "activate")


def release(office: Office, bundle: Path = CONTROLLER, until: str = "activate", valid_until_s: float = FAR_S) -> str:
    """Bring a controller bundle to where `until` brings it."""
    digest = deposit_by(load_any, bundle, office.folder).bundle_hash
    criteria = {"scenarios": ["nominal"], "min_runs": 1, "min_hours": 1.0, "max_time_outside_3pct": 10.0,
                "valid_until_s": valid_until_s}  # fmt: skip
    first = {"bundle": digest, "model": "mpc", "criteria": criteria, "reason": "r"}
    office.sign(Role.AUTHOR, "register_controller", **first)
    for step in STEPS[1 : STEPS.index(until) + 1]:
        if step == "verify":
            office.sign(Role.VERIFIER, "verify_controller", bundle=digest, **JUDGED)
        else:
            office.sign(Role.APPROVER, step, bundle=digest, reason="r")
    return digest


def line(office: Office, model: str = "mpc") -> Line:
    """The reference line with both halves governed by this registry."""
    config, digest = read_config(LINE_FILE)
    assert config.controller is not None
    named = {"registry": office.folder, "registry_id": office.registry_id}
    chosen = {**dict(config.controller), "bundle": None, **named, "model": model}
    tables = {"sensor": SensorTable(**named, model="m"), "controller": ControllerSettings.model_validate(chosen)}
    return compose_config(config.model_copy(update=tables), digest)


def again(out: Path) -> Path:
    """The shipped controller with another comment in its card: another, intact bundle."""
    shutil.copytree(CONTROLLER, out)
    card = out / "card.toml"
    card.write_text("# built again\n" + card.read_text())
    return out


@pytest.fixture
def office(tmp_path: Path) -> Office:
    made = Office(tmp_path / "registry")
    made.effective(SHIPPED)
    return made


def test_the_released_bundle_closes_the_loop_and_is_on_the_record(office: Office, tmp_path: Path) -> None:
    digest = release(office)
    made = line(office)
    assert made.control is not None
    assert made.control.folder == office.folder / "models" / digest
    path = tmp_path / "journal.sqlite"
    with Journal.open(path, "l") as journal:
        recorder = JournalRecorder(journal)
        recorder.start(NOW_S, start_body(made), made.artefacts())
        assert moves(Stand(made, recorder).run(SETTLE))
        started = decode(next(iter(journal.rows(kind="start"))).body)
    told = started["controller_release"]
    assert (told["model"], told["bundle"], told["registry_id"]) == ("mpc", digest, office.registry_id)
    assert started["controller_hash"] == digest
    office.sign(Role.APPROVER, "retire", bundle=digest, reason="r")  # a record replays whatever became of its bundle
    report = replay_journal(path, None, None, lambda *_: None)
    assert report.identical, report.first_difference
    assert report.n_cycles == SETTLE


@pytest.mark.parametrize("until", ["register", "verify", "approve"])
def test_what_is_not_effective_never_starts(office: Office, until: str) -> None:
    release(office, until=until)
    with pytest.raises(ConfigError, match=r"no effective 'mpc' \(the newest is (draft|verified|approved)\)"):
        line(office)


def test_an_expired_one_never_starts(office: Office) -> None:
    release(office, valid_until_s=BORN_S + 1000.0)
    with pytest.raises(ConfigError, match="expired on 2023-11-14; register, verify and approve a new one"):
        line(office)


def test_a_name_that_is_a_soft_sensors_or_nobodys_never_starts(office: Office) -> None:
    release(office)
    with pytest.raises(ConfigError, match="'m' is a soft sensor there; name a controller"):
        line(office, model="m")
    with pytest.raises(ConfigError, match="no effective 'nobody'; activate one"):
        line(office, model="nobody")
    config, digest = read_config(LINE_FILE)
    table = SensorTable(registry=office.folder, registry_id=office.registry_id, model="mpc")
    with pytest.raises(ConfigError, match="'mpc' is a controller there; name a soft sensor"):
        compose_config(config.model_copy(update={"sensor": table}), digest)


def altered(held: Path) -> None:
    with (held / "rollout.casadi").open("a") as file:
        file.write(" ")


def exchanged(held: Path) -> None:
    shutil.rmtree(held)
    again(held)


def unhashed(held: Path) -> None:
    card = held / "card.toml"
    card.write_text("\n".join(row for row in card.read_text().splitlines() if not row.startswith('"cost.casadi"')))


def sensor_in_its_place(held: Path) -> None:
    shutil.rmtree(held)
    shutil.copytree(SHIPPED, held)


EDITS: dict[Callable[[Path], None], str] = {
    altered: "rollout.casadi was altered",
    exchanged: "restore the approved bundle",
    unhashed: "does not hash every part",
    sensor_in_its_place: "no controller bundle",
    shutil.rmtree: "no controller bundle",
}


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
def test_an_edited_bundle_never_starts(office: Office, edit: Callable[[Path], None]) -> None:
    held = office.folder / "models" / release(office)
    edit(held)
    with pytest.raises(ConfigError, match=EDITS[edit]) as raised:
        line(office)
    assert "\n" not in str(raised.value)


def test_an_unsigned_release_never_starts(office: Office) -> None:
    release(office, until="approve")
    log = office.folder / "log.jsonl"
    last = json.loads(log.read_bytes().splitlines()[-1])
    forged = {**last, "seq": last["seq"] + 1, "action": "activate"}
    with log.open("a") as file:
        file.write(json.dumps(forged, sort_keys=True, separators=(",", ":")) + "\n")
    with pytest.raises(ConfigError, match="event"):
        line(office)


def test_one_that_was_built_for_another_line_never_starts(office: Office, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    shutil.copytree(CONTROLLER, foreign)
    card = foreign / "card.toml"
    own = next(row for row in card.read_text().splitlines() if row.startswith("settings_hash"))
    card.write_text(card.read_text().replace(own, f'settings_hash = "{"0" * 64}"'))
    release(office, foreign)
    with pytest.raises(ConfigError, match="built for other settings than this line file's"):
        line(office)


def test_taken_back_it_moves_nothing_more(office: Office) -> None:
    digest = release(office)
    stand = Stand(line(office))
    assert moves(stand.run(SETTLE))
    office.sign(Role.APPROVER, "retire", bundle=digest, reason="r")
    held = stand.run(3)
    assert not moves(held)
    assert f"controller bundle {digest[:12]} is retired" in held[-1].unlicensed
    assert held[-1].alarms[0].name == "model_licence"
    with pytest.raises(ConfigError, match="no effective 'mpc'"):
        line(office)


def test_a_newer_one_waits_for_the_next_start_and_a_rollback_does_not(office: Office, tmp_path: Path) -> None:
    old = release(office)
    stand = Stand(line(office))
    assert moves(stand.run(SETTLE))
    new = release(office, again(tmp_path / "again"))
    stand.run(3)
    assert not stand.run(1)[-1].unlicensed, "superseded in good order, it goes on until the next start"
    started = line(office)
    assert started.control is not None
    assert started.control.bundle.bundle_hash == new
    newer = Stand(started)
    assert moves(newer.run(SETTLE))
    office.sign(Role.APPROVER, "rollback", bundle=old, reason="oscillates")
    held = newer.run(2)
    assert not moves(held)
    assert f"controller bundle {new[:12]} is approved: start again" in held[-1].unlicensed
    back = line(office)
    assert back.control is not None
    assert back.control.bundle.bundle_hash == old


def test_it_expires_while_it_runs(office: Office) -> None:
    release(office)
    made = line(office)
    licence = made.licences.acquire(FAR_S - 1.0)
    assert not licence.reason
    assert "expired on" in made.licences.acquire(FAR_S + 1.0).reason


def test_a_second_registry_is_refused(tmp_path: Path) -> None:
    """An old copy of the log could bring a retired bundle back: the record watches the head of one registry."""
    text = LINE_FILE.read_text().replace('bundle = "../models/cdc_mpc"', (
        f'registry = "../other"\nregistry_id = "{"0" * 64}"\nmodel = "mpc"'
    ))  # fmt: skip
    file = tmp_path / "line.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"must name the same 'registry'") as raised:
        read_config(file)
    assert "\n" not in str(raised.value)
    file.write_text(text.replace('model = "mpc"', 'bundle = "b"'))
    with pytest.raises(ConfigError, match="'controller': a governed bundle needs all of"):
        read_config(file)


def test_check_says_whose_bundle_it_is(office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = [c for c in findings(LINE_FILE, tmp_path, offline=True) if "controller bundle" in c.what]
    assert [(c.fine, "is not governed" in c.what) for c in plain] == [(True, True)]
    digest = release(office)
    monkeypatch.setattr("edge.check.compose", lambda _: line(office))
    told = [c.what for c in findings(LINE_FILE, tmp_path, offline=True)]
    assert any(f"bundle {digest[:12]}: effective since" in t and "signed by Paul (activate)" in t for t in told)
    done = CliRunner().invoke(check, [str(LINE_FILE), "--offline", "--state", str(tmp_path)])
    assert "Traceback" not in done.output
