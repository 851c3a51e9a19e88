"""An hour of a line's record, sparse, and what enters laboratory results into it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.lab.intake import Intake
from edge.lab.settings import LabTable
from edge.record.canonical import encode
from edge.record.journal import Journal

T0 = 1_780_000_000.0


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "journal.sqlite", "CDC-REF-1", now=lambda: T0) as record:
        for k in range(61):
            sample = {"lims": [], "context": None}
            body = {"sample": sample, "thought": {"target": {"api_pct": 10.0}}}
            record.append("cycle", T0 + 60.0 * k, encode(body))
        yield record


@pytest.fixture
def intake(journal: Journal) -> Intake:
    return Intake(journal, LabTable(), 60.0)
