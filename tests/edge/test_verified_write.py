"""The verified write: every step's refusal by itself, and what the next look says of what was sent."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from control.settings import ControlSettings
from control.signals import Command, Mode, Quality, Reading
from edge.actuate.verified import Sent, Step, admit, read_back, remember, setpoints, without_setpoints
from edge.config import read_config
from edge.signals import Acted, Link, Scan, Thought

CONFIG, _ = read_config(Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml")
A = "FeederApi"
NOW = {"FeederApi": 2.0, "FeederMcc": 10.7, "FeederLac": 6.9, "FeederMgst": 0.2, "MainForce": 9.55}


def settings() -> ControlSettings:
    found = CONFIG.control()
    assert found is not None
    return found


def scan(session: int = 7, link: Link = Link.ONLINE, **tags: float) -> Scan:
    values = {f"{n}.SP_Working": v for n, v in NOW.items()} | {f"{n}.SP_Remote": v for n, v in NOW.items()}
    values |= {tag.replace("__", "."): v for tag, v in tags.items()}
    return Scan(100.0, link, 1, session, {tag: Reading(v, 100.0) for tag, v in values.items()})


def thought(mode: Mode = Mode.CLOSED, shake: str = "remote", authority: str = "", session: float = 7.0,
            request: float = 1.0, **asked: float) -> Thought:  # fmt: skip
    rows = [("Apc.SessionId", session), ("Apc.Request", request)]
    for name, value in asked.items():
        rows += [(f"{name}.SP_Remote", value), (f"{name}.SP_RemoteSeq", 4.0)]
    rows.append(("Apc.HeartbeatIn", 9.0))
    command = Command(mode, {}, {}, holding=False, divert=False, reasons=())
    return Thought(mode, None, None, None, None, command, (), shake, authority, tuple(rows))


def test_what_is_authorised_and_within_all_limits_goes_out() -> None:
    assert admit(settings(), scan(), thought(FeederApi=2.1)) is None
    assert admit(settings(), scan(), thought()) is None, "nothing to refuse"


@pytest.mark.parametrize(
    ("seen", "made", "word"),
    [
        (scan(link=Link.STALE), thought(FeederApi=2.0), "no live connection"),
        (scan(session=0), thought(FeederApi=2.0), "no live connection"),
        (scan(), thought(mode=Mode.ADVISE, FeederApi=2.0), "mode is advise"),
        (scan(), thought(shake="requested", FeederApi=2.0), "no authority: requested"),
        (scan(), thought(authority="the PLC went local", FeederApi=2.0), "no authority: the PLC went local"),
        (scan(), thought(session=8.0, FeederApi=2.0), "of another session"),
        (scan(), thought(request=0.0, FeederApi=2.0), "does not ask for remote"),
    ],
)
def test_what_is_not_authorised_is_refused_by_that_step(seen: Scan, made: Thought, word: str) -> None:
    refusal = admit(settings(), seen, made)
    assert refusal is not None
    assert refusal.step is Step.AUTHORISE
    assert word in refusal.codes[A]


@pytest.mark.parametrize(
    ("tags", "value", "word"),
    [
        ({}, math.nan, "not finite"),
        ({}, math.inf, "not finite"),
        ({"FeederApi__SP_Working": math.nan}, 2.0, "not finite"),
        ({}, 2.3, "more than one cycle's way"),
        ({"FeederApi__DevLimit": 0.05}, 2.1, "more than one cycle's way"),
        ({"FeederApi__SP_RateLim": 0.01}, 2.1, "more than one cycle's way"),
        ({"FeederApi__SP_HiLim": 2.05}, 2.1, "outside 0.5 to 2.05"),
        ({"FeederApi__SP_LoLim": 1.95}, 1.9, "outside 1.95 to 4.5"),
        ({"FeederApi__SP_HiLim": 1.5}, 2.05, "outside 0.5 to 1.5"),
        ({"FeederApi__Available": 0.0}, 2.05, "does not let it move"),
    ],
)
def test_what_is_not_verified_is_refused_by_that_step(tags: dict[str, float], value: float, word: str) -> None:
    refusal = admit(settings(), scan(**tags), thought(FeederApi=value))
    assert refusal is not None
    assert refusal.step is Step.VERIFY
    assert word in refusal.codes[A]
    assert set(refusal.codes) == {A}


def test_the_way_back_inside_tightened_limits_is_open() -> None:
    seen = scan(FeederApi__SP_HiLim=1.5)
    assert admit(settings(), seen, thought(FeederApi=1.9)) is None
    assert admit(settings(), seen, thought(FeederApi=2.0)) is None, "and staying is no move"


def test_a_name_that_is_no_setpoint_of_the_line_is_refused() -> None:
    refusal = admit(settings(), scan(), thought(FeederZinc=2.0))
    assert refusal is not None
    assert refusal.codes == {"FeederZinc": "is no setpoint of this line"}


def test_of_a_refused_write_the_handshake_goes_on() -> None:
    left = dict(without_setpoints(thought(FeederApi=2.1, FeederMcc=10.7).wire))
    assert set(left) == {"Apc.SessionId", "Apc.Request", "Apc.HeartbeatIn"}
    assert setpoints(thought(FeederApi=2.1).wire) == {A: 2.1}


def sent(outcome: str = "good", **asked: float) -> Sent:
    return remember(Sent(), scan(), thought(**(asked or {A: 2.1})), Acted(outcome))


def test_a_setpoint_that_is_there_as_it_was_sent_is_silent() -> None:
    seen = scan(FeederApi__SP_Remote=2.1, FeederApi__SP_Working=2.05)
    acted, kept = read_back(sent(), Acted("good"), seen)
    assert acted == Acted("good")
    assert kept.asked == {A: 2.1}
    single = scan(FeederApi__SP_Remote=2.0999999046325684, FeederApi__SP_Working=2.05)
    assert read_back(sent(), Acted("good"), single)[0].read_back == "", "a Single holds it no better"


def test_a_setpoint_that_is_not_ours_is_foreign_and_then_adopted() -> None:
    seen = scan(FeederApi__SP_Remote=2.4, FeederApi__SP_Working=2.05)
    acted, kept = read_back(sent(), Acted("good"), seen)
    assert acted.read_back == "foreign"
    assert acted.codes == {f"{A}.SP_Remote": "is 2.4, 2.1 was sent"}
    again, _ = read_back(kept, Acted("none"), scan(FeederApi__SP_Remote=2.4, FeederApi__SP_Working=2.1))
    assert again.read_back == "", "said once"


def test_a_clamped_setpoint_is_no_foreign_one() -> None:
    seen = scan(FeederApi__SP_Remote=2.08, FeederApi__SP_Working=2.05)
    acted, kept = read_back(sent(), Acted("good", {f"{A}.SP_Remote": "GoodClamped"}), seen)
    assert acted.read_back == ""
    assert kept.asked == {A: 2.08}, "what was applied is what is held against from now on"


@pytest.mark.parametrize("tags", [{"FeederApi__SP_Remote": 2.1}, {}])
def test_what_nothing_comes_of_is_ignored_at_the_second_look(tags: dict[str, float]) -> None:
    """Either the setpoint is there and nothing moves, or the PLC still has the one before."""
    acted, kept = read_back(sent(), Acted("good"), scan(**tags))
    assert acted.read_back == ""
    kept = remember(kept, scan(**tags), thought(FeederApi=2.1), Acted("good"))
    acted, kept = read_back(kept, Acted("good"), scan(**tags))
    assert acted.read_back == "ignored"
    assert "2.1 was sent" in next(iter(acted.codes.values()))


def test_a_setpoint_that_asks_for_no_move_is_not_ignored() -> None:
    kept = sent(FeederApi=2.0)
    for _ in range(5):
        acted, kept = read_back(kept, Acted("good"), scan())
        assert acted.read_back == ""


@pytest.mark.parametrize(("there", "verdict"), [(2.1, "taken"), (2.0, "not_taken")])
def test_the_fate_of_a_doubtful_write_is_read_at_the_first_look_after(there: float, verdict: str) -> None:
    doubtful = sent("unknown")
    assert doubtful.doubtful
    lost, kept = read_back(doubtful, Acted("none"), scan(link=Link.LOST))
    assert (lost.read_back, kept) == ("", doubtful), "no look, no verdict"
    assert remember(kept, scan(link=Link.LOST), thought(shake="off"), Acted("none")) == doubtful
    acted, kept = read_back(doubtful, Acted("unknown"), scan(session=9, FeederApi__SP_Remote=there))
    assert acted.read_back == verdict
    assert kept == Sent()


def test_what_was_sent_is_forgotten_with_authority_and_with_the_session() -> None:
    assert remember(sent(), scan(), thought(shake="shed"), Acted("good")) == Sent()
    assert remember(sent(), scan(), thought(), Acted("good")).asked == {A: 2.1}, "a held cycle forgets nothing"
    other = scan(session=8, FeederApi__SP_Remote=2.4)
    assert read_back(sent(), Acted("good"), other)[0].read_back == ""


def test_of_a_partly_refused_write_only_what_was_taken_is_expected() -> None:
    codes = {f"{A}.SP_Remote": "BadUserAccessDenied"}
    both = thought(FeederApi=2.1, FeederMcc=10.8)
    kept = remember(sent(FeederApi=2.05, FeederMcc=10.75), scan(), both, Acted("refused", codes, Step.ACCEPT))
    assert kept.asked == {A: 2.05, "FeederMcc": 10.8}
    kept = remember(sent(), scan(), both, Acted("refused", {A: "x"}, Step.VERIFY))
    assert kept.asked == {A: 2.1}, "nothing went out: what was there before is"


def test_a_reading_that_is_bad_says_nothing() -> None:
    seen = scan(FeederApi__SP_Working=2.05)
    bad = Reading(math.nan, 100.0, Quality.BAD, "BadX")
    seen = replace(seen, readings={**seen.readings, f"{A}.SP_Remote": bad})
    assert read_back(sent(), Acted("good"), seen)[0].read_back == ""
