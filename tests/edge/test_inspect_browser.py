"""The inspector's page in a real browser, at the size of a day: found in seconds, nothing asked of a network."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.record.facts import Facts, Passed
from edge.record.inspect_page import Made, page
from edge.record.minutes import Minute
from edge.record.moves import OUTSIDE, Move
from edge.record.told import Event

sync_api = pytest.importorskip("playwright.sync_api")

CHROMIUM = Path("/usr/bin/chromium")
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
NAMES = ("FeederApi", "FeederMcc", "FeederLac", "FeederMgst", "MainForce")
DAY = 1_700_006_400.0  # 2023-11-15 00:00 UTC
CYCLES = 20_000
MOVED_AT = DAY + (10 * 60 + 42) * 60 + 15  # 10:42:15, by the operator at the PLC

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not on this machine")


def a_day() -> Facts:
    """20 000 cycles of 4 s, five setpoints written in each; one of them is moved at the PLC at 10:42."""
    moves = [
        Move(2 * i, DAY + 4 * i, name, 2.0, 2.0 + 0.01 * math.sin(i), "good", 2.0 + 0.01 * math.sin(i), "closed",
             "mpc in closed mode", "ann: settled", f"API low in cycle {i}")
        for i in range(CYCLES)
        for name in NAMES
    ]  # fmt: skip
    why = "changed at the PLC: by its operator, or by the PLC's own logic"
    moves.append(Move(19257, MOVED_AT, "FeederLac", 7.0, math.nan, "not ours", 7.4, "closed", OUTSIDE, "", why))
    minutes = [
        Minute(DAY + 60 * i, 30 * i, 15, 15, "closed", 10.0, 10 + 0.05 * math.sin(i / 9), 9.7, 10.3, 0.2, 0.3, "good",
               "", 1.0, 10.0, 0.07, 10.02 if i % 60 == 0 else math.nan)
        for i in range(CYCLES // 15)
    ]  # fmt: skip
    events = [
        Event(4, DAY, "request", "ann", "asked the service to run in this mode", "settled", "", "closed"),
        Event(19257, MOVED_AT, "setpoint", OUTSIDE, "set-point FeederLac changed at the PLC", why, "7", "7.4"),
    ]
    passed = [Passed(DAY + 60 * i, DAY + 60 * i + 60, 0.33, 0.0, "", 30 * i) for i in range(CYCLES // 15)]
    return Facts(
        "CDC-REF-1", DAY, DAY + 4 * CYCLES, CYCLES, 4.0, ("B-7",), dict.fromkeys(NAMES, "kg/h"), tuple(events),
        tuple(moves), tuple(minutes), (), (), (), tuple(passed), ("patloop 0.1.0",),
    )  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("day") / "index.html"
    made = Made(
        "Dr. Ann Reviewer", DAY, "patloop 0.1.0", "7 2023-11-15T00:00:00Z aaaa 1234", 40_000, "ab" * 32, "Sound."
    )
    out.write_text(page(a_day(), made), encoding="utf-8")
    return out


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGS)
        yield browser
        browser.close()


@pytest.fixture
def inspector(file: Path, chromium: Any) -> Iterator[Any]:
    """A page in Chromium without any network; what it complains of and asks for is kept."""
    with chromium.new_context(viewport={"width": 1280, "height": 800}) as context:
        page = context.new_page()
        page.set_default_timeout(10_000)  # the time that an inspector is given for an answer
        page.complaints, page.asked = [], []
        page.on("console", lambda said: page.complaints.append(said.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(file.as_uri())
        yield page
        assert page.complaints == []
        assert page.asked == [file.as_uri()], "the page needs itself alone"


def shown(page: Any, section: str) -> list[str]:
    return [row.inner_text() for row in page.query_selector_all(f"#{section} tbody tr:not(.off)")]


def test_who_changed_the_feeder_setpoint_at_10_42(inspector: Any) -> None:
    inspector.fill("#filter", "10:42 FeederLac")
    inspector.wait_for_function("document.getElementById('said').textContent.endsWith('rows match')")
    told = shown(inspector, "setpoints")
    assert len(told) == 2
    ours = next(row for row in told if "mpc in closed mode" in row)
    others = next(row for row in told if OUTSIDE in row)
    assert "asked for by ann: settled" in ours
    assert "2023-11-15 10:42" in ours
    assert "7.4: not ours" in others
    assert "changed at the PLC" in others
    (event,) = shown(inspector, "events")
    assert "set-point FeederLac changed at the PLC" in event
    assert inspector.is_hidden("#material"), "sections without an answer are out of the way"
    assert inspector.inner_text("#n-setpoints") == f"2 of {1334 * 5 + 1}"


def test_nothing_found_is_said_and_all_comes_back(inspector: Any) -> None:
    inspector.fill("#filter", "10:42 nobody")
    inspector.wait_for_function("document.getElementById('said').textContent.startsWith('No row')")
    assert shown(inspector, "setpoints") == []
    inspector.click("#clear")
    inspector.wait_for_function("document.getElementById('said').textContent === ''")
    assert inspector.is_visible("#material")
    assert inspector.inner_text("#n-setpoints") == str(1334 * 5 + 1)


def test_it_fits_its_window_and_prints_without_its_filter(inspector: Any) -> None:
    wide = inspector.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0
    inspector.emulate_media(media="print")
    assert inspector.is_hidden("#filter")
    assert inspector.is_visible("#setpoints")
