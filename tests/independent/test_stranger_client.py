"""A client of another stack walks our servers whole and tries everything: nothing open, nothing taken, no NaN."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from hil_wire import served
from opcua_server_hand import PASSWORD, site
from second_stack import identity, installed, pem_of, told_by

from edge.people import passwords
from hil_sim.rig import Rig
from hil_sim.scenario import load_scenario
from hil_sim.tags import TAGS

URI = "urn:stranger:client"
TRIED = {"write: BadNotWritable", "call: BadMethodInvalid", "call: BadArgumentsMissing", "call: BadTooManyArguments",
         "call: BadInvalidArgument", "call: BadUserAccessDenied", "call: BadSubscriptionIdInvalid",
         "call: BadNodeIdUnknown"}  # fmt: skip


@pytest.fixture(scope="module")
def node() -> Path:
    return installed()


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing at its cheapest: these tests are about the servers."""
    monkeypatch.setattr(passwords, "PasswordHasher", lambda: PasswordHasher(1, 8, 1))


def strangers(folder: Path, url: str, certificate: Path, trusted: Path, users: dict[str, str]) -> dict[str, Any]:
    """What the client is told; its good certificate is put where the server trusts it."""
    good = identity(folder / "good", "good", URI)
    shutil.copy(good["der"], trusted / "good.der")
    return {
        "url": url, "serverCertificate": str(pem_of(certificate, folder / "server.pem")),
        "applicationUri": URI, "users": users, "scratch": str(folder / "scratch"),
        "trusted": good, "stranger": identity(folder / "bad", "bad", URI),
    }  # fmt: skip


def nothing_open(report: dict[str, Any]) -> None:
    """Only the right password over an encrypted channel with a trusted certificate comes in."""
    doors = report["doors"]
    assert len(doors) >= 17
    assert doors.pop("known user, trusted certificate") == "in", "else the other refusals would prove nothing"
    assert [how for how, outcome in doors.items() if outcome == "in"] == []
    assert [how for how, outcome in doors.items() if outcome == "no answer"] == [], "a refusal, not silence"
    bare = report["channels"]
    assert len(bare) == 5
    assert [how for how, outcome in bare.items() if outcome == "open"] == []
    taken = report["takeover"]
    assert taken["opened"], "discovery needs an unsecured channel: it was tried through one"
    assert taken["answered"] == []
    assert taken["registered"] != "Good"
    assert "urn:evil" not in taken["servers"]
    assert len(taken["servers"]) == 1
    assert {each["mode"] for each in taken["endpoints"]} == {"SignAndEncrypt"}
    assert {kind for each in taken["endpoints"] for kind in each["tokens"]} == {"UserName"}


@pytest.mark.timeout(240)
def test_the_boxs_own_server_is_closed(tmp_path: Path, node: Path) -> None:
    async def story() -> None:
        async with site(tmp_path, cycles=3) as here:
            running, stop = asyncio.Event(), asyncio.Event()
            serving = asyncio.create_task(here.server.run(stop, lambda _: running.set()))
            before = here.shift.journal.last().seq
            users = {"maria": PASSWORD, "quinn": PASSWORD}
            told = strangers(tmp_path, here.url, here.server.certificate, here.place.trusted, users)
            report = await told_by(node, "client.mjs", told)
            stop.set()
            await serving
            nothing_open(report)
            assert not any("CDC" in each["said"] for each in report["takeover"]["endpoints"])
            for user, found in report["users"].items():
                assert found["variables"] > 1000, "the whole address space"
                assert found["methods"] > 20
                assert (found["written"], found["taken"], found["other"]) == ([], [], []), user
                assert found["called"] == [], user
                assert found["nan"] == [], user
                assert set(found["refusals"]) <= TRIED, found["refusals"]
            assert here.requests() == [], "nothing was asked in anybody's name"
            kinds = {row.kind for row in here.shift.journal.rows(after_seq=before)}
            assert kinds == {"people"}, "its log-ins are on the record, and nothing else"

    asyncio.run(story())


@pytest.mark.timeout(240)
def test_the_simulated_lines_server_is_closed_but_for_the_tags_of_each_role(tmp_path: Path, node: Path) -> None:
    async def story() -> None:
        rig = Rig(load_scenario("nominal"), 1)
        async with served(rig, tmp_path) as line:
            setpoints = dict(rig.truth().setpoints)
            users = dict(line.credentials.passwords)
            told = strangers(tmp_path, line.server.url, line.credentials.certificate, line.credentials.trusted, users)
            report = await told_by(node, "client.mjs", told)
            nothing_open(report)
            for user, found in report["users"].items():
                own = {f"s={name}" for name, tag in TAGS.items() if tag.writer == user}
                assert {_name(each) for each in found["written"]} <= own, user
                assert found["other"] == []
                assert found["called"] == []
                assert found["nan"] == []
                wrong = [each for each in found["taken"] if TAGS[_name(each)[2:]].kind != "string"]
                assert wrong == [], user
                assert {_name(each) for each in found["taken"]} <= own, "a text, where a text belongs"
                assert not any("NaN" in each["what"] or each["what"] == "infinity" for each in found["taken"])
            assert rig.truth().setpoints == setpoints

    asyncio.run(story())


def _name(each: dict[str, str]) -> str:
    return each["node"].partition(";")[2]
