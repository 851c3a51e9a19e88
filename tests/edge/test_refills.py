"""The request for a refill on its way to the wire and the record: asked where it may be, told where it cannot be."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from control.guard import Permission
from control.signals import WHEN_SET, Command, Mode, Quality, Reading
from edge.acquire.tags import required, wanted, written
from edge.actuate.handshake import Handshake, Phase, wire
from edge.actuate.verified import Step, admit, without_setpoints
from edge.config import LineConfig, parse_config, read_config
from edge.record.canonical import decode, encode, from_plain
from edge.record.compare import differences
from edge.record.recorded import newer_settings, recorded_config, unknown_settings
from edge.refills import told_of_refills
from edge.signals import Link, Scan, Thought

LINE_FILE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml"
API, MCC = "FeederApi", "FeederMcc"
LEVELS = {
    API: {"low_kg": 0.9, "high_kg": 2.4, "early_kg": 1.65, "blind_s": 45.0},
    MCC: {"low_kg": 1.5, "high_kg": 4.56, "early_kg": 3.0, "blind_s": 48.0},
}
ASK_API, ASK_MCC = f"{API}.RefillRequest", f"{MCC}.RefillRequest"
OFF, _ = read_config(LINE_FILE)


def on() -> LineConfig:
    tables = OFF.model_dump(mode="json")
    tables["controller"] |= {"refills": {"levels": LEVELS}}
    return parse_config(tables, LINE_FILE)


ON = on()


def test_the_tags_are_asked_for_only_where_the_line_file_has_the_table() -> None:
    for config, there in ((OFF, set()), (ON, {ASK_API, ASK_MCC})):
        assert {t for t in wanted(config) if t.endswith("RefillRequest")} == there
        assert {t for t in written(config) if t.endswith("RefillRequest")} == there
        assert not {t for t in required(config) if t.endswith("RefillRequest")}, "a PLC may do without"
    assert set(wanted(ON)) - {ASK_API, ASK_MCC} == set(wanted(OFF))
    assert required(ON) == required(OFF)


def test_a_line_without_the_table_tells_nothing_of_it_on_its_start_record() -> None:
    assert "refills" not in OFF.model_dump(mode="json")["controller"]
    assert ON.model_dump(mode="json")["controller"]["refills"]["levels"][API]["low_kg"] == 0.9


def test_a_start_record_gives_the_table_back_and_names_what_it_does_not_know() -> None:
    body = {"config": ON.model_dump(mode="json")}
    assert recorded_config(body, 1).controller == ON.controller
    assert unknown_settings(body) == ()
    assert newer_settings(body, ON) == ()
    body["config"]["controller"]["refills"]["levels"][API]["colour"] = 3
    assert recorded_config(body, 1).controller == ON.controller
    assert unknown_settings(body) == (f"controller.refills.levels.{API}.colour = 3",)


def scan(**tags: Reading) -> Scan:
    return Scan(100.0, Link.ONLINE, 1, 7, {tag.replace("__", "."): found for tag, found in tags.items()})


def test_a_plc_that_takes_no_request_is_named() -> None:
    on_settings, off_settings = ON.control(), OFF.control()
    assert on_settings is not None
    assert off_settings is not None
    there = scan(FeederApi__RefillRequest=Reading(0.0, 100.0))
    found = list(told_of_refills(on_settings, there))
    assert [f.name for f in found] == ["refills_as_they_come"]
    assert ASK_MCC in found[0].text
    assert ASK_API not in found[0].text
    both = scan(FeederApi__RefillRequest=Reading(0.0, 1.0), FeederMcc__RefillRequest=Reading(0.0, 1.0, Quality.BAD))
    assert list(told_of_refills(on_settings, both)) == [], "there, if bad for the moment"
    assert list(told_of_refills(off_settings, there)) == []
    assert list(told_of_refills(on_settings, replace(there, link=Link.LOST))) == []


def test_the_request_goes_with_setpoints_only_and_before_the_heartbeat() -> None:
    state = Handshake(session_id=42, phase=Phase.REMOTE, heartbeat=3)
    quiet = Permission(given=False)
    _, rows = wire(state, Mode.CLOSED, {API: 2.0}, quiet, refill=MCC)
    assert rows[-2:] == ((ASK_MCC, 1.0), ("Apc.HeartbeatIn", 3))
    assert rows == (*wire(state, Mode.CLOSED, {API: 2.0}, quiet)[1][:-1], (ASK_MCC, 1.0), rows[-1])
    assert ASK_MCC not in dict(wire(state, Mode.CLOSED, {}, quiet, refill=MCC)[1])
    assert without_setpoints(rows) == tuple(r for r in rows if r[0].startswith("Apc."))


def thought(*extra: str, mode: Mode = Mode.CLOSED) -> Thought:
    rows = (("Apc.SessionId", 7.0), ("Apc.Request", 1.0), *((tag, 1.0) for tag in extra), ("Apc.HeartbeatIn", 9.0))
    command = Command(mode, {}, {}, holding=False, divert=False, reasons=())
    return Thought(mode, None, None, None, None, command, (), "remote", "", rows)


@pytest.mark.parametrize(
    ("config", "made", "step", "word"),
    [
        (ON, thought(ASK_API), None, ""),
        (ON, thought(ASK_API, ASK_MCC), Step.VERIFY, "one refill at a time"),
        (ON, thought("FeederLac.RefillRequest"), Step.VERIFY, "no feeder"),
        (OFF, thought(ASK_API), Step.VERIFY, "no feeder"),
        (ON, thought(ASK_API, mode=Mode.ADVISE), Step.AUTHORISE, "mode is advise"),
    ],
)
def test_the_second_look_at_the_write(config: LineConfig, made: Thought, step: Step | None, word: str) -> None:
    settings = config.control()
    assert settings is not None
    refusal = admit(settings, scan(), made)
    assert (None if refusal is None else refusal.step) == step
    assert refusal is None or all(word in text for text in refusal.codes.values())


@dataclass(frozen=True)
class Spare:
    always: int = 1
    at_times: str = field(default="", metadata=WHEN_SET)


def test_what_is_not_set_is_not_on_the_record_and_comes_back_as_that() -> None:
    command = Command(Mode.CLOSED, {}, {}, holding=False, divert=False, reasons=())
    assert b"refill" not in encode(command)
    asked = replace(command, refill=MCC)
    assert decode(encode(asked))["refill"] == MCC
    for one in (command, asked):
        assert from_plain(Command, decode(encode(one))) == one
    for spare in (Spare(), Spare(at_times="now"), Spare()):
        assert encode(spare) == encode({"always": 1} | ({"at_times": "now"} if spare.at_times else {}))


def test_what_is_not_set_differs_only_from_what_is() -> None:
    def changes(before: Spare, after: Spare) -> list[str]:
        return [item.path for item in differences("x", decode(encode(before)), after)]

    assert changes(Spare(), Spare()) == []
    assert changes(Spare(at_times="now"), Spare(at_times="now")) == []
    assert changes(Spare(at_times="now"), Spare()) == ["x.at_times"]
    assert changes(Spare(), Spare(at_times="now")) == ["x.at_times"]
