"""The disk reports an error at a flush: what was not flushed is not taken for written, then or later."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.crash.powercuts import build_shim
from edge.record.journal import Journal
from edge.record.verify import verify

WRITER = """
import ctypes, json, os, sys
from pathlib import Path
from edge.errors import RecorderError
from edge.record.journal import Journal

disk, path, told = ctypes.CDLL(None), Path(sys.argv[1]), {"acknowledged": [], "refused": []}
assert disk.disk_log_begin(os.fsencode(path.parent), os.fsencode(str(path.parent) + ".log")) == 0
with Journal.open(path, "A", now=lambda: 0.0) as journal:
    for number in range(8):
        if number == 4:
            disk.disk_log_fail(1)
        try:
            told["acknowledged"].append(journal.append("act", float(number), b"[1]").seq)
        except RecorderError as error:
            told["refused"].append(str(error))
print(json.dumps(told))
"""


@pytest.mark.skipif(shutil.which("cc") is None and shutil.which("gcc") is None, reason="needs a C compiler: gcc")
def test_after_a_failed_flush_nothing_is_acknowledged_until_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "state" / "journal.sqlite"
    path.parent.mkdir()
    ended = subprocess.run(
        [sys.executable, "-c", WRITER, str(path)], capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "LD_PRELOAD": str(build_shim(tmp_path))}, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["acknowledged"] == [2, 3, 4, 5], "none after the first failure, although the disk is well again"
    assert len(told["refused"]) == 4
    assert all("disk I/O error" in text for text in told["refused"])
    assert all("started again" in text for text in told["refused"][1:]), "without a try"
    with Journal.open(path, "A") as journal:
        assert {2, 3, 4, 5} <= {row.seq for row in journal.rows()}
        journal.append("act", 9.0, b"[1]")
    assert verify(path).ok
