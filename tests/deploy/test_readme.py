"""What the README tells a newcomer to type works as it stands: the real fermentation, from file to record."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from edge.record.canonical import decode
from edge.record.journal import Journal
from edge.record.replay import replay_journal
from edge.record.verify import verify

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", README, flags=re.S)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the README's block on the reader's own spectra was run, line by line."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copytree(ROOT / "examples", folder / "examples")
    shutil.copytree(ROOT / "deploy" / "lines", folder / "deploy" / "lines")
    block = next(b for b in BLOCKS if "fermentation_csv.py" in b)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-ec", block], cwd=folder, capture_output=True, text=True, env={**os.environ, "PATH": path}, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "out" / "fermentation"


@pytest.mark.timeout(240)
def test_the_real_stream_is_on_the_record_with_intervals_and_quality(played: Path) -> None:
    journal_path = played / "state" / "journal.sqlite"
    assert verify(journal_path).ok
    with Journal.open_reader(journal_path) as journal:
        bodies = [decode(row.body) for row in journal.rows(kind="cycle")]
        kinds = {row.kind for row in journal.rows()}
    assert len(bodies) == 1629
    assert {"genesis", "artefact", "start", "cycle", "stop"} <= kinds
    assert "act" not in kinds, "monitor: nothing was ever sent"
    estimates = [b["thought"]["estimate"] for b in bodies]
    assert all(e["quality"] in ("good", "uncertain", "bad") for e in estimates)
    assert all(e["reason"] for e in estimates if e["quality"] != "good")
    finite = [e for e in estimates if math.isfinite(e["value"])]
    assert len(finite) > 1600
    assert all(e["lower"] < e["value"] < e["upper"] for e in finite)
    first, last = (sum(e["value"] for e in finite[i : i + 100]) / 100 for i in (0, len(finite) - 100))
    assert first - last > 15, "glucose is eaten: about 30 g/L at first, nothing at the end"


@pytest.mark.timeout(240)
def test_every_estimate_of_the_real_stream_is_computed_again_identically(played: Path) -> None:
    found = replay_journal(played / "state" / "journal.sqlite", None, None, lambda *_: None)
    assert found.first_difference is None
    assert (found.identical, found.n_cycles) == (True, 1629)


@pytest.mark.timeout(240)
def test_the_export_has_a_row_a_cycle(played: Path) -> None:
    assert len((played / "cycles.csv").read_text().splitlines()) == 1630


def test_every_command_the_readme_names_exists() -> None:
    known = {p.name for p in entry_points(group="patloop.commands")}
    named = set(re.findall(r"`?(?:^|[`\s])patloop ([a-z]+)", README, flags=re.M))
    assert named
    assert named <= known
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    assert set(re.findall(r"(?:^|`)make ([a-z]+)", README, flags=re.M)) <= targets


def test_every_picture_and_file_the_readme_shows_is_there() -> None:
    for name in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (ROOT / name).is_file(), name
