"""What a cycle's record is written with quickly is what the plain way writes; requests are found without a search."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from control.signals import Quality, Reading
from edge.record.canonical import encode, encode_with
from edge.record.journal import Journal
from edge.record.readings import encode_readings
from edge.record.recorder import JournalRecorder

NUMBERS = [0.0, -0.0, 1.0, -1.5e-300, 1e16, 0.1 + 0.2, 5e-324, math.nan, math.inf, -math.inf, 7, True, np.float64(2.5)]
TEXTS = ["", "no value", 'says "no"', "back\\slash", "tab\tand\nline", "µm, 30 °C", "~f", "\ud800", "\x00"]


def test_readings_are_written_as_the_plain_way_writes_them() -> None:
    readings, at = {}, 0
    for quality in Quality:
        for number in NUMBERS:
            for text in TEXTS:
                at += 1
                time_s = NUMBERS[at % len(NUMBERS)]
                readings[f"{text.strip('~')}{at}.PV"] = Reading(number, time_s, quality, text)
    assert encode_readings(readings) == encode(readings).decode("ascii")
    assert encode_readings({}) == "{}"


def test_a_tag_that_would_be_taken_for_a_number_is_refused() -> None:
    with pytest.raises(TypeError, match="may not begin with '~'"):
        encode_readings({"~f": Reading(1.0, 0.0)})


@pytest.mark.parametrize("keys", ["", "a", "z", "az", "ambz"])
def test_one_part_that_is_written_already_takes_its_place(keys: str) -> None:
    table: dict[str, object] = {key: [1.5, {"b": None}] for key in keys}
    assert encode_with(table, "n", encode({"x": 1}).decode()) == encode({**table, "n": {"x": 1}})


def test_requests_are_found_whoever_writes_them(tmp_path: Path) -> None:
    """By another process, by this very connection, between our own records; none twice, none forgotten."""
    path = tmp_path / "journal.sqlite"

    def asked(who: Journal, number: int) -> None:
        body = {"action": "ack", "value": str(number), "user": "maria", "reason": ""}
        who.append("request", float(number), encode(body))

    with Journal.open(path, "L1") as ours, Journal.open(path, "L1") as other:
        recorder = JournalRecorder(ours)
        found: list[str] = []
        for number in range(60):
            if number % 3 == 0:
                asked(other, number)
            if number % 5 == 0:
                asked(ours, number)
            if number % 4 == 0:
                ours.append("act", float(number), encode({"cycle": number}))
            taken = [request.value for request in recorder.requests()]
            assert recorder.requests() == ()
            found += taken
            if number == 30:
                recorder.refused(30.0)
                assert [r.value for r in recorder.requests()] == found, "not recorded: handed out again"
    expected = [str(n) for n in range(60) for every in (3, 5) if n % every == 0]
    assert found == expected
