"""The command that asks for a run-down: on the journal as any request; what is no wish is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.commands import request
from edge.record.journal import Journal

LINE_FILE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml"


@pytest.mark.parametrize("wish", ["start", "cancel"])
def test_a_wish_goes_on_the_record(tmp_path: Path, wish: str) -> None:
    Journal.open(tmp_path / "journal.sqlite", "CDC-REF-1").close()
    told = [str(LINE_FILE), "run_down", wish, "--reason", "end of the campaign", "--state", str(tmp_path)]
    done = CliRunner().invoke(request, told)
    assert done.exit_code == 0, done.output
    with Journal.open_reader(tmp_path / "journal.sqlite") as journal:
        (body,) = [row.content() for row in journal.rows(kind="request")]
    assert (body["action"], body["value"], body["reason"]) == ("run_down", wish, "end of the campaign")


def test_what_is_no_wish_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(request, [str(LINE_FILE), "run_down", "faster", "--state", str(tmp_path)])
    assert done.exit_code == 2
    assert "start, cancel" in done.output
