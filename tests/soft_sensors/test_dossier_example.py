"""The worked example of a dossier, on the public tablets, exactly as its script says."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import real

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_tablets_become_a_dossier(tmp_path: Path) -> None:
    real("idrc2002_tablets_dev_cal_val")
    folder = Path(os.environ.get("PATLOOP_DATA", ROOT.parent / "shared" / "data"))
    script = [sys.executable, str(ROOT / "examples" / "idrc_dossier.py")]
    said = subprocess.run([*script, str(folder / "idrc2002_tablets_dev_cal_val.npz"), str(tmp_path / "t")], check=True,
                          capture_output=True, text=True, timeout=60)
    commands = [shlex.split(line) for line in said.stdout.replace("\\\n", " ").splitlines() if line.strip()]
    assert [c[2] for c in commands] == ["calibrate", "challenge", "dossier"]
    for command in commands:
        done = subprocess.run([str(Path(sys.executable).parent / command[0]), *command[1:]], capture_output=True,
                              text=True, timeout=300, check=False)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
    page = (tmp_path / "t" / "dossier" / "dossier.html").read_text()
    assert [number for number in range(1, 19) if f"<h2>{number}&ensp;" not in page] == []
    assert (tmp_path / "t" / "dossier" / "dossier.pdf").read_bytes().startswith(b"%PDF")
    faults = json.loads((tmp_path / "t" / "faults.json").read_text())
    assert faults["caught"] >= 0.95
    assert faults["refused"] <= 0.01
