"""Whatever is edited in a registry or its bundles: a running loop holds at once, and a restarted one never moves."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from governed_hand import BORN_S, SHIPPED, TESTED, Office, Stand, moves, reform, variant

from control.signals import Mode
from edge.errors import ConfigError
from soft_sensors.registry.entries import Role
from soft_sensors.registry.events import parse, sign
from soft_sensors.registry.keys import public_hex

SETTLE = 25  # cycles
Edit = Callable[[Office], None]


def lines(office: Office) -> list[bytes]:
    return (office.folder / "log.jsonl").read_bytes().splitlines()


def write(office: Office, found: list[bytes]) -> None:
    (office.folder / "log.jsonl").write_bytes(b"".join(line + b"\n" for line in found))


def edited(k: int, old: bytes, new: bytes) -> Edit:
    def edit(office: Office) -> None:
        found = lines(office)
        assert old in found[k], "the test's premise"
        write(office, [*found[:k], found[k].replace(old, new), *found[k + 1 :]])

    return edit


def without(k: int) -> Edit:
    return lambda office: write(office, [line for i, line in enumerate(lines(office)) if i != k % len(lines(office))])


def swapped(office: Office) -> None:
    found = lines(office)
    write(office, [*found[:4], found[5], found[4], *found[6:]])


def cut(office: Office) -> None:
    log = office.folder / "log.jsonl"
    log.write_bytes(log.read_bytes()[:-20])


def copied_signature(office: Office) -> None:
    found = lines(office)
    approval, activation = json.loads(found[6]), json.loads(found[7])
    assert approval["action"] == "approve", "the test's premise"
    activation["signature"] = approval["signature"]
    write(office, [*found[:7], json.dumps(activation, sort_keys=True, separators=(",", ":")).encode()])


def other_public_key(office: Office) -> None:
    """The forger puts a public key of his own in the place of the approver's, and signs the approvals anew."""
    forger = Ed25519PrivateKey.generate()
    found = lines(office)
    old = public_hex(office.keys[Role.APPROVER]).encode()
    assert old in found[3], "the test's premise"
    write(office, [*found[:3], found[3].replace(old, public_hex(forger).encode()), *found[4:]])


def signed_by_a_stranger(office: Office) -> None:
    found = lines(office)
    event = parse(found[7], 7)
    forged = sign(Ed25519PrivateKey.generate(), seq=7, prev=event.prev, time_s=event.time_s, action=event.action,
                  person=event.person, body=event.body)  # fmt: skip
    write(office, [*found[:7], forged.line()])


def another_registry(office: Office) -> None:
    """A whole, sound registry of the forger's own, in the place of the one that the line file names."""
    forged = Office(office.folder.with_name("forged"))
    forged.effective(SHIPPED)
    shutil.copy(forged.folder / "log.jsonl", office.folder / "log.jsonl")


LOG_EDITS: dict[str, Edit] = {
    "role widened": edited(1, b'"author"', b'"approver"'),
    "criteria widened": edited(4, b'"max_rmsep":0.2', b'"max_rmsep":2.0'),
    "expiry moved": edited(4, b'"valid_until_s":2500000000.0', b'"valid_until_s":2600000000.0'),
    "skill raised": edited(4, b'"skill":', b'"skill":1'),
    "figures improved": edited(5, b'"rmsep":0.13', b'"rmsep":0.03'),
    "approver renamed": edited(6, b'"Paul"', b'"Adam"'),
    "a space added": edited(6, b'"approve",', b'"approve", '),
    "founding removed": without(0),
    "an event removed": without(5),
    "the last event removed": without(-1),
    "events in another order": swapped,
    "half a line": cut,
    "everything removed": lambda office: write(office, []),
    "log deleted": lambda office: (office.folder / "log.jsonl").unlink(),
    "log is noise": lambda office: (office.folder / "log.jsonl").write_bytes(b"\xff\x00{}\n"),
    "a signature copied": copied_signature,
    "a public key replaced": other_public_key,
    "signed by a stranger": signed_by_a_stranger,
    "another registry in its place": another_registry,
}


def never_moves(office: Office) -> None:
    """A service that is started now does not start, or never moves the plant."""
    try:
        stand = Stand(office.line())
    except ConfigError as error:
        # It must be the model that keeps it from starting, not a slip in the test's own line file.
        if not any(word in str(error) for word in ("registry", "bundle", "model", str(office.folder))):
            pytest.fail(f"not started for another reason: {error}")
        return
    thoughts = stand.run(SETTLE)
    assert thoughts[-1].mode is Mode.CLOSED
    assert not moves(thoughts)
    assert thoughts[-1].unlicensed
    assert "model_licence" in {a.name for a in thoughts[-1].alarms}


@pytest.mark.parametrize("name", LOG_EDITS)
def test_an_edited_log_holds_the_running_loop_and_a_new_one(tmp_path: Path, name: str) -> None:
    office = Office(tmp_path / "registry")
    office.effective(SHIPPED)
    stand = Stand(office.line())
    assert moves(stand.run(SETTLE)), "the test's premise: the loop is closed and moving"
    LOG_EDITS[name](office)
    held = stand.run(3)
    assert not moves(held)
    assert all(t.command.holding and t.command.reasons[0].startswith("hold: model:") for t in held)
    assert held[-1].alarms[0].name == "model_licence", "the most urgent alarm says so"
    assert held[-1].estimate is not None, "estimates are shown all the same"
    never_moves(office)


@pytest.mark.parametrize("part", ["graph.onnx", "card.toml", "golden.npz", "hashes.toml"])
def test_an_altered_part_of_the_bundle_never_starts(tmp_path: Path, part: str) -> None:
    office = Office(tmp_path / "registry")
    file = office.folder / "models" / office.effective(SHIPPED) / part
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    never_moves(office)


def test_a_card_edited_with_hashes_that_agree_never_starts(tmp_path: Path) -> None:
    office = Office(tmp_path / "registry")
    reform(office.folder / "models" / office.effective(SHIPPED), {"half_width": "0.001"})
    with pytest.raises(ConfigError, match="restore the approved bundle"):
        office.line()


def test_another_bundle_under_the_approved_hash_never_starts(tmp_path: Path) -> None:
    office = Office(tmp_path / "registry")
    there = office.folder / "models" / office.effective(SHIPPED)
    shutil.rmtree(there)
    variant(there, {"half_width": "0.5"})
    with pytest.raises(ConfigError, match="restore the approved bundle"):
        office.line()


@pytest.mark.parametrize("state", ["draft", "failed", "verified", "approved", "retired"])
def test_only_the_effective_one_moves_the_plant(tmp_path: Path, state: str) -> None:
    office = Office(tmp_path / "registry")
    if state == "retired":
        digest = office.effective(SHIPPED)
        office.sign(Role.APPROVER, "retire", bundle=digest, reason="r")
    elif state == "failed":
        digest = office.register(SHIPPED)
        office.sign(Role.VERIFIER, "fail", bundle=digest, **TESTED)
    else:
        {"draft": office.register, "verified": office.verified, "approved": office.approved}[state](SHIPPED)
    never_moves(office)


def test_a_model_that_expired_holds_at_that_moment(tmp_path: Path) -> None:
    office = Office(tmp_path / "registry")
    office.effective(SHIPPED, valid_until_s=1_760_000_000.0 + 200.0)
    stand = Stand(office.line())
    start_s = stand.rig.time_s
    before = stand.run(SETTLE)
    assert moves(before)
    assert "model_expires" in {a.name for a in before[-1].alarms}, "told in time"
    after = stand.run(40)
    late = [t for t, i in zip(after, range(SETTLE, SETTLE + 40), strict=True) if start_s + 5 * i >= 1_760_000_200.0]
    assert len(late) > 10
    assert not moves(late)
    assert "expired on 2025-10-09" in late[-1].command.reasons[0]


def test_a_card_without_skill_never_moves_whatever_its_author_declared(tmp_path: Path) -> None:
    office = Office(tmp_path / "registry")
    office.effective(variant(tmp_path / "poor", {"skill": "0.0"}), skill=0.9)
    never_moves(office)


def test_a_retired_model_does_not_come_back_when_the_last_line_is_deleted(tmp_path: Path) -> None:
    office = Office(tmp_path / "registry")
    digest = office.effective(SHIPPED)
    stand = Stand(office.line())
    assert moves(stand.run(SETTLE))
    office.sign(Role.APPROVER, "retire", bundle=digest, reason="r")
    assert not moves(stand.run(2))
    write(office, lines(office)[:-1])
    held = stand.run(3)
    assert not moves(held)
    assert "is gone or another" in held[-1].unlicensed


def test_a_lock_on_time_cannot_be_turned_back(tmp_path: Path) -> None:
    office = Office(tmp_path / "registry")
    office.effective(SHIPPED)
    line = office.line()
    stand = Stand(line)
    line.licences.resume(line.licences.acquire(BORN_S), stand.rig.time_s + 3600.0)
    thoughts = stand.run(SETTLE)
    assert not moves(thoughts)
    assert "clock" in thoughts[-1].unlicensed
