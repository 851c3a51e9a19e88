"""The page's doors: who gets in, what may be asked, and that everything asked is on the record."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from control.signals import Mode
from edge.errors import ConfigError
from edge.hmi.app import COOKIE, create_app, first_account
from edge.hmi.commands import hmi
from edge.hmi.sessions import ATTEMPTS, SHIFT_S, WINDOW_S, Sessions
from edge.people.accounts import Accounts, Role
from edge.signals import Alarm

Shift = House = Any  # the fixtures of conftest.py
OWN = "a long own one"


def token(answer: httpx.Response) -> str:
    found = re.search(r'name="token" value="([0-9a-f]{64})"', answer.text)
    assert found, answer.text
    return found[1]


def enter(browser: httpx.Client, name: str, password: str) -> httpx.Response:
    door = browser.get("/login")
    return browser.post("/login", data={"name": name, "password": password, "token": token(door)})


def member(shift: Shift, people: Path, browser: httpx.Client, role: Role = Role.OPERATOR) -> httpx.Client:
    """A browser whose person is in, with a password of their own."""
    accounts = Accounts(people, shift.journal)
    name = f"a-{role.value}"
    first = accounts.add(name, role, "test")
    assert accounts.change_password(name, first, OWN) is None
    accounts.close()
    assert enter(browser, name, OWN).headers["location"] == "/"
    return browser


def requests(shift: Shift) -> list[dict[str, Any]]:
    return [row.content() for row in shift.journal.rows(kind="request")]


def test_the_first_account_is_made_once(shift: Shift, people: Path) -> None:
    first = first_account(shift.path, people, "CDC-REF-1")
    assert first is not None
    assert first_account(shift.path, people, "CDC-REF-1") is None


def test_the_way_in_from_one_time_password_to_page(shift: Shift, people: Path, house: House) -> None:
    first = first_account(shift.path, people, "CDC-REF-1")
    assert first is not None
    browser = house.browse()
    assert browser.get("/").headers["location"] == "/login"
    assert enter(browser, "operator", first).headers["location"] == "/password"
    for path in ("/", "/close-loop"):
        assert browser.get(path).headers["location"] == "/password"
    form = {"old": first, "again": OWN, "token": token(browser.get("/password"))}
    for new, words in (("short", "differ"), (OWN + "x", "differ")):
        assert words in browser.post("/password", data={**form, "new": new}).text
    assert "at least 10" in browser.post("/password", data={**form, "new": "short", "again": "short"}).text
    wrong = browser.post("/password", data={**form, "old": "wrong", "new": OWN})
    assert wrong.status_code == 401
    before = browser.cookies[COOKIE]
    assert browser.post("/password", data={**form, "new": OWN}).headers["location"] == "/"
    assert browser.cookies[COOKIE] != before
    page = browser.get("/")
    assert page.status_code == 200
    assert "96.4" in page.text
    out = browser.post("/logout", data={"token": token(page)})
    assert out.headers["location"] == "/login"
    events = [row.content()["event"] for row in shift.journal.rows(kind="people")]
    assert events == [
        "added", "login", "login", "login_refused", "login", "password_changed", "logout",
    ]  # fmt: skip


def test_a_session_that_was_ended_elsewhere_is_out(shift: Shift, people: Path, house: House) -> None:
    browser = member(shift, people, house.browse())
    key = browser.cookies[COOKIE]
    browser.post("/logout", data={"token": token(browser.get("/"))})
    thief = house.browse()
    thief.cookies.set(COOKIE, key)
    assert thief.get("/").headers["location"] == "/login"
    assert thief.get("/live").status_code == 401


def test_a_disabled_account_is_out_at_once(shift: Shift, people: Path, house: House) -> None:
    browser = member(shift, people, house.browse())
    assert browser.get("/live").status_code == 200
    accounts = Accounts(people)
    accounts.disable("a-operator", "test")
    accounts.close()
    assert browser.get("/live").status_code == 401


def test_wrong_names_and_passwords_look_alike_and_are_braked(house: House) -> None:
    browser = house.browse()
    answers = [enter(browser, name, "x") for name in ("operator", "nobody", "<b>", "'--")]
    assert {answer.status_code for answer in answers} == {401}
    assert all("Name or password is wrong" in answer.text for answer in answers)
    codes = [enter(browser, "nobody", "x").status_code for _ in range(ATTEMPTS)]
    assert codes[-1] == 429
    assert codes.count(401) == ATTEMPTS - len(answers)


def test_a_log_in_form_from_elsewhere_is_refused(house: House) -> None:
    browser = house.browse()
    browser.get("/login")
    for bad in ("", "0" * 64):
        assert browser.post("/login", data={"name": "a", "password": "b", "token": bad}).status_code == 403


def test_headers_and_cookies_are_strict(shift: Shift, people: Path, house: House) -> None:
    browser = house.browse()
    answers = [browser.get(path) for path in ("/", "/login", "/live", "/static/page.js", "/nothing")]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"
    cookie = answers[1].headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    page = member(shift, people, browser).get("/").text
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|javascript:|https?://", page)


def test_another_host_name_is_refused(house: House) -> None:
    assert house.browse().get("/login", headers={"host": "evil.example"}).status_code == 400


def test_what_is_asked_is_on_the_record(shift: Shift, people: Path, house: House) -> None:
    browser = member(shift, people, house.browse())
    form = {"token": token(browser.get("/")), "seq": "5"}
    for asked in (
        {"action": "accept"},
        {"action": "decline", "reason": " sieve is blocked "},
        {"action": "mode", "value": "monitor"},
        {"action": "mode", "value": "closed", "reason": "settled"},
        {"action": "ack", "value": "hidden_loss"},
        {"action": "run_down", "value": "start"},
        {"action": "run_down", "value": "cancel", "reason": "not today"},
    ):
        answer = browser.post("/request", data={**form, **asked})
        assert (answer.status_code, answer.headers.get("location")) == (303, "/")
    assert [(r["action"], r["value"], r["reason"], r["user"], r["cycle_seq"]) for r in requests(shift)] == [
        ("accept", "", "", "a-operator", 5),
        ("decline", "", "sieve is blocked", "a-operator", 5),
        ("mode", "monitor", "", "a-operator", 5),
        ("mode", "closed", "settled", "a-operator", 5),
        ("ack", "hidden_loss", "", "a-operator", 5),
        ("run_down", "start", "", "a-operator", 5),
        ("run_down", "cancel", "not today", "a-operator", 5),
    ]
    handed_on = [(asked.action, asked.value) for asked in shift.recorder.requests()]
    assert handed_on[-2:] == [("run_down", "start"), ("run_down", "cancel")], "to the service, as any other"
    assert "waits for the service" in browser.get("/live").text


def test_a_line_that_runs_down_offers_the_way_back(shift: Shift, people: Path, house: House) -> None:
    browser = member(shift, people, house.browse())
    page = browser.get("/").text
    assert 'id="run-down-start"' in page
    assert 'id="run-down-cancel"' not in page
    for name in ("run_down", "ready_to_stop"):
        shift.alarms = (Alarm(name, "running down in ratio to 9.5: 14.0 kg/h", 3, shift.time_s, shift.time_s),)
        shift.step()
        page = browser.get("/").text
        assert 'id="run-down-cancel"' in page
        assert 'id="run-down-start"' not in page


@pytest.mark.parametrize(
    ("asked", "status", "words"),
    [
        ({"action": "decline", "reason": "  "}, 422, "needs a reason"),
        ({"action": "mode", "value": "warp"}, 409, "does not allow"),
        ({"action": "format"}, 422, "not known"),
        ({"action": "ack"}, 422, "not known"),
        ({"action": "run_down", "value": "faster"}, 422, "not known"),
        ({"action": "accept", "token": "0" * 64}, 403, "did not come from this page"),
        ({"action": "accept", "token": ""}, 403, "did not come from this page"),
        ({}, 422, ""),
        ({"action": "decline", "reason": "x" * 400}, 422, ""),
    ],
)
def test_what_cannot_be_asked_is_told_and_not_recorded(
    shift: Shift, people: Path, house: House, asked: dict[str, str], status: int, words: str
) -> None:
    browser = member(shift, people, house.browse())
    answer = browser.post("/request", data={"token": token(browser.get("/")), **asked})
    assert answer.status_code == status
    assert words in answer.text
    assert requests(shift) == []


def test_without_a_log_in_nothing_can_be_asked(shift: Shift, house: House) -> None:
    assert house.browse().post("/request", data={"action": "accept"}).headers["location"] == "/login"
    assert requests(shift) == []


def test_qa_looks_only(shift: Shift, people: Path, house: House) -> None:
    browser = member(shift, people, house.browse(), Role.QA)
    page = browser.get("/")
    assert "looks only" in page.text
    assert 'id="accept"' not in page.text
    answer = browser.post("/request", data={"action": "accept", "token": token(page)})
    assert answer.status_code == 403
    assert requests(shift) == []


@pytest.mark.parametrize("mode", [Mode.MONITOR, Mode.CLOSED])
def test_only_advice_can_be_answered(shift: Shift, people: Path, house: House, mode: Mode) -> None:
    browser = member(shift, people, house.browse())
    shift.mode = mode
    shift.run(1)
    page = browser.get("/")
    assert re.search(r'id="accept" disabled', page.text)
    answer = browser.post("/request", data={"action": "accept", "token": token(page)})
    assert (answer.status_code, requests(shift)) == (409, [])


def test_the_loop_cannot_be_closed_above_the_ceiling_or_on_old_values(
    shift: Shift, people: Path, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = member(shift, people, house.browse())
    form = {"action": "mode", "value": "closed", "token": token(browser.get("/"))}
    shift.start(ceiling="advise")
    shift.run(1)
    assert browser.post("/request", data=form).status_code == 409
    shift.start()
    assert browser.post("/request", data=form).status_code == 303
    later_s = time.monotonic() + 600
    monkeypatch.setattr(house.page._follower, "_monotonic", lambda: later_s)
    for asked in (form, {**form, "action": "run_down", "value": "start"}):
        answer = browser.post("/request", data=asked)
        assert answer.status_code == 409
        assert "no new cycle" in answer.text


def test_words_from_people_and_devices_are_never_markup(shift: Shift, people: Path, house: House) -> None:
    browser = member(shift, people, house.browse())
    asked = {"action": "ack", "value": "<script>x</script>", "token": token(browser.get("/"))}
    assert browser.post("/request", data=asked).status_code == 303
    text = browser.get("/live").text
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_a_journal_that_cannot_be_written_is_told(shift: Shift, people: Path, house: House) -> None:
    browser = member(shift, people, house.browse())
    house.page._journal._sick = "the disk is full"
    answer = browser.post("/request", data={"action": "accept", "token": token(browser.get("/"))})
    assert answer.status_code == 503
    assert "the disk is full" in answer.text


def test_sessions_end_after_a_shift_and_attempts_are_forgotten() -> None:
    now = [0.0]
    sessions = Sessions(lambda: now[0])
    session = sessions.begin("maria")
    assert sessions.find(session.key) == session
    assert all(sessions.may_try("here") for _ in range(ATTEMPTS))
    assert not sessions.may_try("here")
    assert sessions.may_try("there")
    now[0] = WINDOW_S + 1
    assert sessions.may_try("here")
    now[0] = SHIFT_S + 1
    assert sessions.find(session.key) is None
    assert sessions.find(None) is None


def test_the_page_of_another_line_is_not_opened(shift: Shift, people: Path) -> None:
    with pytest.raises(ConfigError, match="not of 'OTHER'"):
        create_app(shift.path, people, "OTHER")


def test_the_command_refuses_a_bad_line_file_and_a_taken_port(tmp_path: Path) -> None:
    missing = CliRunner().invoke(hmi, [str(tmp_path / "none.toml")])
    assert missing.exit_code == 2
    assert "cannot be read" in missing.output
    line_file = Path(__file__).parents[3] / "deploy" / "lines" / "cdc_ref_1.toml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(hmi, [str(line_file), "--state", str(tmp_path), "--port", port])
    assert result.exit_code == 2
    assert "choose another --port" in result.output
    assert list(tmp_path.iterdir()) == []
