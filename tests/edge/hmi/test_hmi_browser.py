"""The page in a real browser: log in, look, ask, and never take old values for live ones."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.hmi.app import first_account
from edge.people.accounts import Accounts, Role

sync_api = pytest.importorskip("playwright.sync_api")

Shift = House = Any  # the fixtures of conftest.py
CHROMIUM = Path("/usr/bin/chromium")
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
OWN = "a long own one"

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not on this machine")


class Beat:
    """The service, going on: one cycle a quarter of a second until told to stop."""

    def __init__(self, shift: Shift) -> None:
        self._shift, self._stop = shift, threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.25):
            self._shift.step()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)


@pytest.fixture
def beat(shift: Shift) -> Iterator[Callable[[], Beat]]:
    """Sets the service going; it stops with the test at the latest."""
    running: list[Beat] = []

    def begin() -> Beat:
        running.append(Beat(shift))
        return running[-1]

    yield begin
    for one in running:
        one.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """One browser for this file; not for the whole session, for it leaves an event loop in the main thread."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGS)
        yield browser
        browser.close()


@pytest.fixture
def page(house: House, chromium: Any) -> Iterator[Any]:
    """A page in Chromium; what it complains of is kept in page.complaints."""
    complaints: list[str] = []
    with chromium.new_context(viewport={"width": 1280, "height": 800}) as context:
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.complaints = complaints
        page.goto(house.url)
        yield page


def enter(page: Any, name: str, password: str) -> None:
    page.fill("[name=name]", name)
    page.fill("[name=password]", password)
    page.click("button")


def operator(shift: Shift, people: Path, page: Any) -> None:
    accounts = Accounts(people, shift.journal)
    first = accounts.add("maria", Role.OPERATOR, "test")
    assert accounts.change_password("maria", first, OWN) is None
    accounts.close()
    enter(page, "maria", OWN)
    page.wait_for_selector("#now")


def test_from_one_time_password_to_a_request_on_the_record(
    shift: Shift, people: Path, house: House, page: Any, beat: Callable[[], Beat]
) -> None:
    first = first_account(shift.path, people, "CDC-REF-1")
    enter(page, "operator", first)
    page.fill("[name=old]", first)
    page.fill("[name=new]", OWN)
    page.fill("[name=again]", OWN)
    page.click("button")
    assert page.inner_text("#mode") == "ADVISE"
    assert "96.4" in page.inner_text(".bigs")
    assert page.inner_text("tr.moves").split() == ["FeederApi", "2.000", "2.075", "+0.075", "kg/h"]
    assert page.locator("svg polyline.move").count() == 1

    service = beat()
    shown = int(page.get_attribute("#now", "data-seq"))
    page.wait_for_selector(f"#now:not([data-seq='{shown}'])", state="attached")  # it is live
    page.click("#accept")
    page.wait_for_selector(".asked .done")  # the service took it up
    page.fill("#why", "sieve is blocked")
    page.click("#decline")
    page.wait_for_selector(".asked li:has-text('decline') .done")
    service.stop()
    asked = [row.content() for row in shift.journal.rows(kind="request")]
    assert [(r["action"], r["reason"], r["user"]) for r in asked] == [
        ("accept", "", "operator"),
        ("decline", "sieve is blocked", "operator"),
    ]
    assert all(shift.journal.get(r["cycle_seq"]).kind == "cycle" for r in asked)
    assert asked[0]["cycle_seq"] >= shown
    assert page.complaints == []


def test_the_loop_is_closed_by_keyboard_only_after_a_question(
    shift: Shift, people: Path, house: House, page: Any
) -> None:
    operator(shift, people, page)
    page.focus("#mode-closed")
    page.keyboard.press("Enter")
    page.wait_for_selector("h1:has-text('Close the loop on CDC-REF-1?')")
    page.wait_for_selector("a:has-text('No, go back'):focus")
    page.keyboard.press("Enter")
    page.wait_for_selector("#now")
    assert list(shift.journal.rows(kind="request")) == []
    page.click("#mode-closed")
    page.fill("[name=reason]", "settled")
    page.keyboard.press("Enter")
    page.wait_for_selector(".asked .waits")
    (row,) = shift.journal.rows(kind="request")
    assert (row.content()["value"], row.content()["reason"]) == ("closed", "settled")
    assert page.complaints == []


def test_a_typed_reason_and_the_focus_outlive_the_refresh(shift: Shift, people: Path, house: House, page: Any) -> None:
    operator(shift, people, page)
    page.fill("#why", "half a sent")
    shift.run(1)
    newest = shift.journal.last().seq
    page.wait_for_selector(f"#now[data-seq='{newest}']", state="attached")
    assert page.input_value("#why") == "half a sent"
    assert page.evaluate("document.activeElement.id") == "why"


def test_when_the_service_stops_the_values_are_shown_as_old(
    shift: Shift, people: Path, house: House, page: Any, beat: Callable[[], Beat]
) -> None:
    operator(shift, people, page)
    assert page.locator("#stale").count() == 0
    shift.cycle_s = 0.5
    shift.start()
    shift.run(1)
    page.wait_for_selector("#stale:has-text('No new cycle for')")
    assert page.locator("#now.stale").count() == 1
    assert page.is_disabled("#accept")
    assert page.complaints == []
    beat()
    page.wait_for_selector("#now:not(.stale)")
    page.wait_for_selector("#accept:enabled")


def test_when_the_page_loses_its_server_it_says_so(shift: Shift, people: Path, house: House, page: Any) -> None:
    operator(shift, people, page)
    house.close()
    page.wait_for_selector("#lost:visible")
    assert page.is_disabled("#accept")
    assert page.locator("#now.stale").count() == 1


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1024, 768)])
def test_it_fits_the_screen(shift: Shift, people: Path, house: House, page: Any, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    operator(shift, people, page)
    page.wait_for_load_state("load")  # with its style sheet, however slow the machine
    fits = f"document.documentElement.scrollHeight <= {height}"
    page.wait_for_function(fits)
    size = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
    assert size[0] <= width
    assert size[1] <= height
    assert page.is_visible("#accept")


CONTRAST = """
() => {
  const parts = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const colour = parts(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const bad = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
    if (!own || !node.checkVisibility() || node.disabled) continue;
    const svg = node instanceof SVGElement;
    const style = getComputedStyle(node);
    const [a, b] = [light(parts(svg ? style.fill : style.color)), light(ground(svg ? node.closest(".card") : node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.push(`${node.tagName} ${node.className} ${node.textContent.trim()}: ${ratio.toFixed(2)}`);
  }
  return bad;
}
"""


def test_every_text_has_the_contrast_of_wcag_aa(shift: Shift, people: Path, house: House, page: Any) -> None:
    assert page.evaluate(CONTRAST) == []
    operator(shift, people, page)
    assert page.evaluate(CONTRAST) == []
    shift.cycle_s = 0.5
    shift.start()
    shift.run(1)
    page.wait_for_selector("#stale")
    assert page.evaluate(CONTRAST) == []
