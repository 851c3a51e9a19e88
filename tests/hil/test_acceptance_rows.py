"""Every row of the acceptance list, and every pitfall, has a test that is there."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest
from acceptance import PITFALLS, ROWS

ROOT = Path(__file__).parents[2]
PROMISED = (
    "late write (a)", "late write (b)", "late write (c)", "muted server", "refused write", "ignored write",
    "no response", "operator takes local", "limits tightened", "PLC heartbeat stopped", "frozen against stalled",
    "duplicated", "skipped", "NaN, Inf, short, empty, spiked", "shifted", "old and future timestamps",
    "Bad and Uncertain", "another namespace order", "certificate swapped", "renewals", "stranger", "plain PLC",
)  # fmt: skip


@cache
def names_in(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text())
    found = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")]
    return frozenset(n.name for n in found)


@pytest.mark.parametrize("row", ROWS)
def test_every_row_has_a_test(row: str) -> None:
    assert ROWS[row]
    for test in ROWS[row]:
        file, _, name = test.partition("::")
        assert name in names_in(file), test


def test_no_row_is_left_out() -> None:
    for promised in PROMISED:
        assert any(promised in row for row in ROWS), promised
    assert sorted(PITFALLS) == list(range(1, 27))


@pytest.mark.parametrize("number", PITFALLS)
def test_every_pitfall_has_a_test_or_a_reason(number: int) -> None:
    told = PITFALLS[number]
    if isinstance(told, str):
        assert len(told.split()) > 4, "a reason that a user would accept"
        return
    for test in told:
        file, _, name = test.partition("::")
        assert name in names_in(file), test
