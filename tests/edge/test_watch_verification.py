"""The instrument's verification as the service acquires it: what it says, and that nobody passes one by editing it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from edge.acquire.verification import RecordFile
from edge.sensing import verdict_of
from edge.signals import Verification
from soft_sensors.signals import Quality
from soft_sensors.watch.instrument import Figure, InstrumentRecord
from soft_sensors.watch.records import write_record

T0 = 1_760_000_000.0
GOOD = InstrumentRecord("NIR-1", T0, T0 + 30 * 86400.0, (Figure("axis at 1200", 0.2, -1.0, 1.0, "nm"),))
FAILED = replace(GOOD, figures=(Figure("axis at 1200", 1.4, -1.0, 1.0, "nm"),))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "record.json"


def says(found: Verification, now_s: float = T0 + 60.0) -> tuple[Quality, str]:
    verdict = verdict_of(found, now_s)
    return verdict.quality, verdict.reason


def test_a_passed_record_is_good_and_read_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_record(GOOD, path)
    reads = []
    plain = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda self: reads.append(self) or plain(self))
    file = RecordFile(path, None)
    found = [file.acquire(T0 + k) for k in range(5)]
    assert says(found[-1]) == (Quality.GOOD, "")
    assert reads == [path]
    assert (found[0].instrument, found[0].valid_until_s) == ("NIR-1", GOOD.valid_until_s)


@pytest.mark.parametrize(
    ("every_h", "now_s", "quality", "word"),
    [
        (None, T0 + 29 * 86400.0, Quality.GOOD, ""),
        (None, T0 + 31 * 86400.0, Quality.UNCERTAIN, "overdue by 1.0 days"),
        (24.0, T0 + 23 * 3600.0, Quality.GOOD, ""),
        (24.0, T0 + 30 * 3600.0, Quality.UNCERTAIN, "overdue by 6.0 h"),
        (24.0 * 400, T0 + 31 * 86400.0, Quality.UNCERTAIN, "overdue by 1.0 days"),
        (None, T0 - 60.0, Quality.UNCERTAIN, "in the future"),
    ],
)
def test_the_schedule_of_record_and_line(
    path: Path, every_h: float | None, now_s: float, quality: Quality, word: str
) -> None:
    write_record(GOOD, path)
    found = says(RecordFile(path, every_h).acquire(now_s), now_s)
    assert found[0] is quality
    assert word in found[1]


def test_a_failed_one_is_bad_and_names_the_figure(path: Path) -> None:
    write_record(FAILED, path)
    quality, reason = says(RecordFile(path, None).acquire(T0))
    assert quality is Quality.BAD
    assert "axis at 1200 1.4 nm" in reason


def test_a_figure_that_was_not_found_is_a_failure(path: Path) -> None:
    write_record(replace(GOOD, figures=(Figure("axis at 1200", math.nan, -1.0, 1.0, "nm"),)), path)
    assert says(RecordFile(path, None).acquire(T0))[0] is Quality.BAD


def test_a_missing_one_is_uncertain_and_a_new_one_mends_it(path: Path) -> None:
    file = RecordFile(path, None)
    quality, reason = says(file.acquire(T0))
    assert quality is Quality.UNCERTAIN
    assert "patloop sensor instrument" in reason
    write_record(GOOD, path)
    assert says(file.acquire(T0 + 60.0)) == (Quality.GOOD, "")


@pytest.mark.parametrize("text", ["", "{}", "\xff not json", '{"instrument": "NIR-1", "passed": true}'])
def test_what_is_no_record_counts_as_failed(path: Path, text: str) -> None:
    path.write_bytes(text.encode("latin-1"))
    quality, reason = says(RecordFile(path, None).acquire(T0))
    assert quality is Quality.BAD
    assert "not as it was written" in reason


def test_a_verdict_that_its_figures_deny_counts_as_failed(path: Path) -> None:
    write_record(FAILED, path)
    path.write_text(path.read_text().replace('"passed": false', '"passed": true'))
    assert says(RecordFile(path, None).acquire(T0))[0] is Quality.BAD


def edited(path: Path) -> None:
    write_record(GOOD, path)  # the same time, other figures: agrees with itself


def older(path: Path) -> None:
    write_record(replace(GOOD, time_s=T0 - 86400.0), path)


def removed(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(("trick", "word"), [(edited, "was changed after"), (older, "is older than"), (removed, "1.4")])
def test_a_failure_is_not_mended_by_the_file(path: Path, trick: object, word: str, restart: bool) -> None:
    write_record(FAILED, path)
    file = RecordFile(path, None)
    last = file.acquire(T0 + 60.0)
    trick(path)  # type: ignore[operator]
    if restart:
        file = RecordFile(path, None)
        file.resume(last)
    quality, reason = says(file.acquire(T0 + 120.0))
    assert quality is Quality.BAD
    assert word in reason
    write_record(replace(GOOD, time_s=T0 + 180.0), path)
    assert says(file.acquire(T0 + 240.0), T0 + 240.0) == (Quality.GOOD, ""), "a new verification mends it"


def test_the_record_that_was_read_may_be_put_back(path: Path) -> None:
    write_record(GOOD, path)
    file, kept = RecordFile(path, None), path.read_bytes()
    file.acquire(T0 + 60.0)
    path.write_text("{}")
    assert says(file.acquire(T0 + 120.0))[0] is Quality.BAD
    path.write_bytes(kept)
    assert says(file.acquire(T0 + 180.0)) == (Quality.GOOD, "")


def test_one_dated_into_the_future_can_be_replaced(path: Path) -> None:
    write_record(replace(GOOD, time_s=T0 + 10 * 86400.0), path)
    file = RecordFile(path, None)
    assert says(file.acquire(T0))[0] is Quality.UNCERTAIN
    write_record(GOOD, path)
    assert says(file.acquire(T0 + 60.0)) == (Quality.GOOD, "")
