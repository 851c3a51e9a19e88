"""Writers of the journal are killed at random instants: nothing that was acknowledged is lost (`make kills`, short)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

KILLS = 40


def test_what_was_acknowledged_survives_every_kill(tmp_path: Path) -> None:
    """In a process of its own: the campaign forks, and a test runner has threads."""
    command = [sys.executable, "-m", "deploy.crash.kills", "--count", str(KILLS), "--seed", "3"]
    told = tmp_path / "kills.json"
    ended = subprocess.run(
        [*command, "--out", str(told)], capture_output=True, text=True, timeout=100, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = json.loads(told.read_text())
    assert found["wrong"] == []
    assert found["kills"] == KILLS
    assert found["service_kills"] == KILLS // 10
    assert found["acknowledged"] > KILLS, "the writers were killed at work"
    assert found["gaps"] > 10, "restarts own up to the time that was lost"
    assert found["retired"] > 0, "some were killed while they retired old records"
    assert found["extra"] > 0, "some were killed between commit and acknowledgement"
    assert found["control_found"] > 0, "a writer that reports too early is found"
