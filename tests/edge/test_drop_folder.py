"""A drop folder: what is half written is left alone, order is kept, nothing is lost and nothing comes twice."""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

import edge.acquire.folder
from edge.acquire.folder import FolderSource, newest_counter
from edge.acquire.replay import StepClock
from edge.config import LineConfig, parse_config
from edge.errors import ConfigError
from edge.record.canonical import encode
from edge.record.journal import Journal
from edge.signals import Link, Scan

BUNDLE = Path(__file__).parents[2] / "deploy" / "models" / "cdc_api_nir"


def line(tmp_path: Path, **analyser: Any) -> LineConfig:
    """A watched line with a drop folder beside it."""
    (tmp_path / "drop").mkdir(exist_ok=True)
    tables = {
        "line": {
            "name": "drop", "cycle_s": 0.1, "mode_ceiling": "monitor", "start_mode": "monitor", "state_dir": "state",
        },
        "analyser": {"kind": "folder", "folder": "drop", "max_age_s": 60.0, **analyser},
        "sensor": {"bundle": str(BUNDLE)},
    }  # fmt: skip
    return parse_config(tables, tmp_path / "line.toml")


class Watched:
    """A source with a clock of its own and a record that is a list of counters; it can crash and come back."""

    def __init__(self, tmp_path: Path, **analyser: Any) -> None:
        self.config, self.state = line(tmp_path, **analyser), tmp_path / "state"
        self.folder = tmp_path / "drop"
        self.time_s = 100.0
        self.record: list[int] = []
        self.restart()

    def restart(self) -> None:
        self.source = FolderSource(
            self.config, StepClock(time.time()), "nm", self.state / "picked.log", lambda: self.time_s
        )
        self.source.resume(lambda: self.record[-1] if self.record else 0)

    def drop(self, name: str, text: str = "sample_id,1,2\na,1,2\n") -> None:
        (self.folder / name).write_text(text)

    def scan(self, seconds: float = 0.0) -> Scan:
        self.time_s += seconds
        return asyncio.run(self.source.scan())

    def take(self, seconds: float = 0.0) -> float | None:
        """Scan and record; the first value of the spectrum, or None."""
        spectrum = self.scan(seconds).spectrum
        if spectrum is None:
            return None
        self.record.append(spectrum.counter)
        return float(spectrum.values[0])

    def names(self, place: str = ".") -> list[str]:
        return sorted(path.name for path in (self.folder / place).iterdir() if path.is_file())


def numbered(k: int) -> str:
    return f"sample_id,1,2\na,{k},0\n"


def test_a_file_counts_when_it_stood_still(tmp_path: Path) -> None:
    watched = Watched(tmp_path, settle_s=2.0)
    watched.drop("a.csv", "sample_id,1,2\n")
    assert watched.take() is None
    assert watched.take(1.9) is None
    watched.drop("a.csv", numbered(7))  # still being written
    assert watched.take(1.0) is None
    assert watched.take(1.9) is None
    assert watched.names() == ["a.csv"]
    assert watched.take(0.2) == 7.0
    assert watched.names("picked") == ["a.csv"]
    assert watched.take() is None
    assert (watched.names(), watched.names("picked"), watched.names("done")) == ([], [], ["a.csv"])


def test_names_give_the_order_and_an_unsettled_one_holds_back_the_later(tmp_path: Path) -> None:
    watched = Watched(tmp_path, settle_s=2.0)
    watched.drop("b.csv", numbered(2))
    assert watched.take() is None
    watched.drop("a.csv", numbered(1))
    assert watched.take(2.0) is None  # b.csv is ready, a.csv is not
    assert [watched.take(2.0), watched.take(), watched.take()] == [1.0, 2.0, None]


def test_renamed_into_place_counts_at_once_and_other_names_are_left_alone(tmp_path: Path) -> None:
    watched = Watched(tmp_path, settle_s=0.0)
    watched.drop("a.csv.part", numbered(1))
    watched.drop(".b.csv", numbered(2))
    (watched.folder / "folder.csv").mkdir()
    assert watched.take() is None
    (watched.folder / "a.csv.part").rename(watched.folder / "a.csv")
    assert watched.take() == 1.0
    assert watched.names() == [".b.csv"]


def test_what_is_no_spectrum_is_refused_with_a_reason(tmp_path: Path) -> None:
    watched = Watched(tmp_path, settle_s=0.0)
    watched.drop("a.csv", "sample_id,1,2\na,1\n")
    watched.drop("b.csv", "sample_id,1,2\na,1,2\nb,1,2\n")
    watched.drop("c.csv", numbered(3))
    assert [watched.take(), watched.take(), watched.take()] == [None, None, 3.0]
    assert watched.names("refused") == ["a.csv", "a.csv.why.txt", "b.csv", "b.csv.why.txt"]
    assert "'a' has 2 cells, the header 3" in (watched.folder / "refused" / "a.csv.why.txt").read_text()
    assert "holds 2 spectra; drop one a file" in (watched.folder / "refused" / "b.csv.why.txt").read_text()


def test_an_instrument_that_uses_one_name_for_ever(tmp_path: Path) -> None:
    watched = Watched(tmp_path, settle_s=0.0)
    watched.drop("s.csv", numbered(1))
    assert watched.take() == 1.0
    watched.drop("s.csv", numbered(2))  # before the first has moved on
    assert [watched.take(), watched.take()] == [2.0, None]
    assert watched.names("done") == ["s.csv", "s.csv.2"]
    assert (watched.folder / "done" / "s.csv.2").read_text() == numbered(2)
    log = (watched.state / "picked.log").read_text().splitlines()
    assert [text.split()[0] for text in log] == ["1", "2"]
    assert len({text.split()[1] for text in log}) == 2


def test_time_is_the_files_and_the_unit_the_models_where_the_file_says_none(tmp_path: Path) -> None:
    watched = Watched(tmp_path, settle_s=0.0)
    watched.drop("a.csv")
    os.utime(watched.folder / "a.csv", (1000.0, 1000.0))
    spectrum = watched.scan().spectrum
    assert spectrum is not None
    assert (spectrum.time_s, spectrum.axis_unit, spectrum.counter) == (1000.0, "nm", 1)


def test_a_folder_that_went_away_is_a_lost_link(tmp_path: Path) -> None:
    watched = Watched(tmp_path, settle_s=0.0)
    watched.folder.rename(tmp_path / "away")
    scan = watched.scan()
    assert (scan.link, scan.spectrum) == (Link.LOST, None)
    assert "drop" in scan.reason
    (tmp_path / "away").rename(watched.folder)
    watched.drop("a.csv", numbered(1))
    assert watched.take() == 1.0


@pytest.mark.parametrize("seed", range(25))
def test_never_lost_never_twice_whatever_fails(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Crashes between any two steps, a full disk under journal or log: each file is on the record once, in order."""
    draw, watched, seen, dropped = random.Random(seed), Watched(tmp_path, settle_s=0.0), [], 0

    def failing(*_: object) -> None:
        raise OSError("disk full")

    def step(action: str) -> None:
        with monkeypatch.context() as patch:
            if action == "log":
                patch.setattr(edge.acquire.folder, "_append", failing)
            if action == "move":
                patch.setattr(edge.acquire.folder, "move", failing)
            spectrum = watched.scan().spectrum
        if spectrum is not None and action != "journal":  # else: nothing was recorded, the disk was full
            watched.record.append(spectrum.counter)
            seen.append(int(spectrum.values[0]))

    for _ in range(60):
        action = draw.choice(["drop", "drop", "scan", "scan", "crash", "journal", "log", "move", "close"])
        if action == "drop":
            watched.drop(f"{dropped:03d}.csv", numbered(dropped))
            dropped += 1
        elif action == "crash":
            watched.restart()
        elif action == "close":
            watched.source.close()
            watched.restart()
        else:
            step(action)
    for _ in range(dropped + 2):
        step("scan")
    assert seen == list(range(dropped))
    assert watched.record == sorted(set(watched.record))
    assert len(watched.names("done")) == dropped


def test_a_log_cut_by_a_crash_goes_on_and_a_foreign_one_is_refused(tmp_path: Path) -> None:
    watched = Watched(tmp_path, settle_s=0.0)
    watched.drop("a.csv", numbered(1))
    assert watched.take() == 1.0
    log = watched.state / "picked.log"
    whole = log.read_text()
    log.write_text(whole + "2 0123")
    watched.restart()
    assert log.read_text() == whole
    watched.drop("b.csv", numbered(2))
    assert [watched.take(), watched.take()] == [None, 2.0]  # first the file on the record is moved away
    assert watched.record == [1, 2]
    log.write_text("hello\n")
    with pytest.raises(ConfigError, match="not one of picked files"):
        watched.restart()


def test_newest_counter_is_that_of_the_newest_spectrum(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "journal.sqlite", "x") as journal:
        assert newest_counter(journal) == 0
        for counter in (3, 4, None):
            spectrum = None if counter is None else {"counter": counter}
            journal.append("cycle", 0.0, encode({"sample": {"spectrum": spectrum}}))
        journal.append("stop", 0.0, encode({"reason": "stopped"}))
        assert newest_counter(journal) == 4


@pytest.mark.parametrize(
    ("analyser", "words"),
    [
        ({"folder": None}, "needs 'folder'"),
        ({"pattern": "../*.csv"}, "analyser.pattern"),
        ({"settle_s": -1.0}, "analyser.settle_s"),
        ({"settle_s": 60.0}, "settle_s must be below max_age_s"),
        ({"glob": "*.csv"}, "not a key that patloop knows"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, analyser: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        line(tmp_path, **analyser)


def test_what_is_wrong_at_the_start_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"pattern: \*\.xls: ending '\.xls' is not known"):
        Watched(tmp_path, pattern="*.xls")
    config = line(tmp_path)
    (tmp_path / "drop").rename(tmp_path / "away")
    with pytest.raises(ConfigError, match="make it, writable"):
        FolderSource(config, StepClock(0.0), "nm", tmp_path / "picked.log")
