"""A record that no release writes, in a journal whose chain holds: every report names it in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from deploy.fuzz.records import LINE, fill
from edge.record.canonical import encode
from edge.record.commands import journal as group
from edge.record.journal import Journal


@pytest.mark.parametrize("command", ["show", "export", "inspect", "genealogy", "performance", "shadow"])
@pytest.mark.parametrize("thought", [7, {"covered": [1]}, {"estimate": "high", "track": [], "shadow": {}}])
def test_a_record_of_another_shape_is_named(command: str, thought: object, tmp_path: Path) -> None:
    path, out = tmp_path / "journal.sqlite", tmp_path / "out"
    fill(path)
    with Journal.open(path, LINE) as journal:
        newest = journal.last()
        assert newest is not None
        wrong = journal.append("cycle", newest.time_s + 5.0, encode({"sample": 3, "thought": thought}))
    options = ["--out", str(out)] if command in ("export", "inspect", "genealogy", "shadow") else []
    done = CliRunner().invoke(group, [command, str(path), *options])
    assert done.exit_code == 2, done.output
    assert f"record {wrong.seq} (cycle) is not as any release writes it" in done.output
    assert not out.exists(), "no half of a report"
