"""The power fails at random instants under a writer on a logged disk: nothing acknowledged is lost (short form)."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.crash.disk import Entry, Mood, Op, after_cut, whole

GENTLE, HARSH = Mood(1.0, 1.0, stale=False), Mood(0.0, 0.0, stale=False)


def wrote(offset: int, data: bytes) -> Entry:
    return Entry(Op.WRITE, 7, offset, "", data)


def named(op: Op, file: int, name: str, to: str = "") -> Entry:
    return Entry(op, file, 0, name, to.encode())


@pytest.mark.skipif(shutil.which("cc") is None and shutil.which("gcc") is None, reason="needs a C compiler: gcc")
def test_what_was_acknowledged_survives_every_power_cut(tmp_path: Path) -> None:
    """In a process of its own: the log of the disk is preloaded into it. The controls must lose."""
    command = [sys.executable, "-m", "deploy.crash.powercuts", "--sessions", "5", "--seed", "4"]
    told = tmp_path / "powercuts.json"
    ended = subprocess.run(
        [*command, "--out", str(told)], capture_output=True, text=True, timeout=110, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = json.loads(told.read_text())
    assert found["wrong"] == []
    assert (found["cuts"], found["restarts"]) == (100, 5)
    assert found["acknowledged"] > 0
    assert found["unflushed"] > found["cuts"], "there was something to lose and to re-order"
    assert found["controls"]["normal"]["found"] > 10
    assert found["controls"]["off"]["found"] > 10


def test_what_was_flushed_stays_and_what_was_not_may_go() -> None:
    begun, ended = Entry(Op.SYNC_BEGIN, 7, 0, "", b""), Entry(Op.SYNC_END, 7, 0, "", b"")
    log = [wrote(0, b"a" * 600), begun, ended, wrote(100, b"b" * 600), begun]
    before = {"file": (7, b"")}
    assert after_cut(before, log, 5, HARSH, random.Random(1))["file"] == b"a" * 600, "a flush that did not return"
    assert after_cut(before, log, 5, GENTLE, random.Random(1))["file"] == b"a" * 100 + b"b" * 600
    torn = {after_cut(before, log, 5, Mood(0.5, 0.0, stale=False), random.Random(i))["file"] for i in range(30)}
    sectors = (b"a" * 100 + b"b" * 412, b"a" * 512), (b"b" * 188, b"a" * 88)
    assert torn == {first + second for first in sectors[0] for second in sectors[1]}, "each sector by itself"


def test_a_write_that_came_in_during_a_flush_is_not_flushed_by_it() -> None:
    log = [Entry(Op.SYNC_BEGIN, 7, 0, "", b""), wrote(0, b"late"), Entry(Op.SYNC_END, 7, 0, "", b"")]
    assert after_cut({"file": (7, b"")}, log, 3, HARSH, random.Random(1))["file"] == b""


def test_names_arrive_in_order_and_surely_with_a_flush_of_the_folder() -> None:
    log = [
        named(Op.CREATE, 1, "draft"), named(Op.RENAME, 0, "draft", "head"), Entry(Op.FOLDER_BEGIN, 9, 0, "", b""),
        Entry(Op.FOLDER_END, 9, 0, "", b""), named(Op.CREATE, 2, "wal"), named(Op.UNLINK, 0, "head"),
    ]  # fmt: skip
    seen = {tuple(sorted(after_cut({}, log, 6, HARSH, random.Random(i)))) for i in range(40)}
    assert seen == {("head",), ("head", "wal"), ("wal",)}
    assert {tuple(after_cut({}, log, 2, HARSH, random.Random(i))) for i in range(40)} == {(), ("draft",), ("head",)}
    assert list(whole({}, log)) == ["wal"]
