"""Service and pages that begin the same new journal at the same instant: one begins it, all of them have it."""

from __future__ import annotations

import threading
from pathlib import Path

from edge.record.journal import Journal

ROUNDS, AT_ONCE = 12, 6


def test_whoever_comes_at_the_same_instant_finds_it_begun(tmp_path: Path) -> None:
    for number in range(ROUNDS):
        path, ready, failed = tmp_path / str(number) / "journal.sqlite", threading.Barrier(AT_ONCE), []

        def begin(path: Path = path, ready: threading.Barrier = ready, failed: list[Exception] = failed) -> None:
            ready.wait()
            try:
                with Journal.open(path, "A") as journal:
                    journal.append("request", 0.0, b"{}")
            except Exception as error:  # noqa: BLE001 - whatever it was, the test tells it
                failed.append(error)

        threads = [threading.Thread(target=begin) for _ in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert failed == []
        with Journal.open_reader(path) as journal:
            assert [row.kind for row in journal.rows()] == ["genesis"] + ["request"] * AT_ONCE
