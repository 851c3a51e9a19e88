"""Log lines: one JSON object each with where they belong, readable on a terminal, and never a secret."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from control.signals import Command, LabResult, Mode
from edge.logs import HIDDEN, Quiet, Teller, configure, hide
from edge.signals import Alarm, Context, Link, Scan, Thought

TOKEN = "pat1_0123456789ab_" + "A" * 43


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def scan(link: Link = Link.ONLINE, epoch: int = 1, context: Context | None = None, *lims: LabResult) -> Scan:
    return Scan(1.0, link, epoch, 7, {}, reason="" if link is Link.ONLINE else "no answer", context=context, lims=lims)


def thought(mode: Mode = Mode.ADVISE, *alarms: Alarm, holding: bool = False, answered: tuple[int, ...] = ()) -> Thought:
    command = Command(mode, {}, {}, holding=holding, divert=False, reasons=("hold: test",) if holding else ())
    return Thought(mode, None, None, None, None, command, alarms, "off", "", (), answered)


def test_every_line_is_json_with_time_level_and_logger() -> None:
    out = io.StringIO()
    configure(out)
    logging.getLogger("patloop.service").error("the journal cannot be written, holding: %s", "disk full")
    structlog.get_logger("patloop.x").info("thing", number=3)
    first, second = lines(out)
    assert first["event"] == "the journal cannot be written, holding: disk full"
    assert (first["level"], first["logger"], second["number"]) == ("error", "patloop.service", 3)
    assert first["time"].endswith("Z")


def test_an_exception_is_one_line() -> None:
    out = io.StringIO()
    configure(out)
    try:
        raise ValueError("what happened")
    except ValueError:
        logging.getLogger("patloop").exception("a bug")
    (line,) = lines(out)
    assert "ValueError: what happened" in line["exception"]


def test_no_secret_comes_out_in_any_way() -> None:
    out = io.StringIO()
    configure(out)
    hide("s3cret-of-the-plc")
    log, plain = structlog.get_logger("patloop"), logging.getLogger("asyncio")
    nested = {"Authorization": "Bearer c", "deep": [TOKEN, {"secret_key": "d"}]}
    log.info("x", password="a", api_token="b", nested=nested)
    log.info(f"came with {TOKEN} and s3cret-of-the-plc")
    plain.warning("user %s gave %s", "edge", "s3cret-of-the-plc")
    try:
        raise RuntimeError(f"refused: s3cret-of-the-plc, {TOKEN}")
    except RuntimeError:
        plain.exception("failed")
    said = out.getvalue()
    assert "s3cret" not in said
    assert "A" * 43 not in said
    assert said.count(HIDDEN) >= 8
    assert lines(out)[0]["password"] == HIDDEN
    assert lines(out)[0]["nested"]["Authorization"] == HIDDEN


def test_people_at_a_terminal_read_words() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    configure(out)
    structlog.get_logger("patloop").info("holding", reasons=["x"])
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(out.getvalue())
    assert "holding" in out.getvalue()


def test_a_library_is_heard_once_a_minute_and_without_its_traceback() -> None:
    now = [0.0]
    quiet = Quiet(("asyncua",), lambda: now[0])

    def record(name: str, text: str) -> logging.LogRecord:
        try:
            raise OSError("gone")
        except OSError as error:
            info = (OSError, error, error.__traceback__)
            return logging.LogRecord(name, logging.ERROR, "f", 1, text, (), info)

    first = record("asyncua.client", "lost")
    assert quiet.filter(first)
    assert first.exc_info is None
    assert not quiet.filter(record("asyncua.client", "lost"))
    assert quiet.filter(record("asyncua.client", "another"))
    ours = record("patloop.service", "lost")
    assert quiet.filter(ours)
    assert ours.exc_info is not None
    now[0] = 61.0
    assert quiet.filter(record("asyncua.client", "lost"))


def test_what_changes_is_told_and_nothing_else() -> None:
    out = io.StringIO()
    configure(out)
    teller = Teller(5.0)
    alarm = Alarm("nir_stale", "no spectrum", 2, 0.0, 0.0)
    batch = Context("B-1", "P", {"FeederApi": "L"}, "tags")
    for _ in range(3):
        teller.cycle(scan(), thought(), 0.02)
    assert [line["event"] for line in lines(out)] == ["link", "mode"]
    teller.cycle(scan(Link.LOST), thought(Mode.ADVISE, alarm, holding=True), 0.02)
    teller.cycle(scan(Link.ONLINE, 2, batch), thought(Mode.CLOSED, answered=(12,)), 4.5)
    told = lines(out)[2:]
    assert [(line["event"], line["level"]) for line in told] == [
        ("link", "warning"), ("holding", "info"), ("alarm raised", "warning"),
        ("cycle slow", "warning"), ("link", "info"), ("mode", "info"), ("no longer holding", "info"),
        ("context", "info"), ("alarm cleared", "info"), ("request taken up", "info"),
    ]  # fmt: skip
    assert {(line["cycle"], line["epoch"], line["batch"]) for line in told[3:]} == {(4, 2, "B-1")}
    assert told[0]["reason"] == "no answer"


def test_each_cycle_is_told_to_who_wants_it() -> None:
    out = io.StringIO()
    configure(out, level=logging.DEBUG)
    Teller(5.0).cycle(scan(), thought(), 0.0213)
    assert lines(out)[0] | {"took_ms": 21.3} == lines(out)[0]
