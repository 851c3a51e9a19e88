"""The main job, short: a shift over the wire with all that it leaves behind; and the check of a line that is there."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.record.canonical import decode
from edge.record.journal import Journal
from edge.record.replay import replay_journal
from edge.record.verify import verify
from hil_sim.scenario import Scenario

PATLOOP = [sys.executable, "-m", "deploy.cli"]
QUIET = Scenario(name="quiet", description="nothing happens to the line", hours=2.0)


def gone(group: int) -> bool:
    """Whether a process group has died out, within a while."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.timeout(300)
def test_a_short_demo_leaves_journal_table_figure_and_page(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    argv = [*PATLOOP, "demo", "--scenario", "nominal", "--hours", "0.3", "--out", str(out)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "over OPC UA (Basic256Sha256, SignAndEncrypt)" in done.stdout
    rows = json.loads((out / "kpi.json").read_text())
    assert [r["controller"] for r in rows] == ["ratio", "pid", "mpc", "mpc on the wire"]
    assert (out / "shift.png").stat().st_size > 50_000
    page = (out / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert 'src="http' not in page
    found = verify(out / "journal.sqlite")
    assert found.ok, found.reason
    again = replay_journal(out / "journal.sqlite", None, None, lambda *_: None)
    assert again.first_difference is None
    with Journal.open_reader(out / "journal.sqlite") as journal:
        bodies = [decode(row.body) for row in journal.rows(kind="cycle")]
    assert again.n_cycles == len(bodies) >= 200  # a loaded machine may miss one
    written = [b for b in bodies if b["thought"]["command"]["writes"]]
    assert len(written) > 150, "the loop was closed over the wire"
    late = [b for b in bodies[20:] if b["sample"]["acted"]["outcome"] not in ("good", "none")]
    assert len(late) <= 2, [b["sample"]["acted"] for b in late]


@pytest.mark.timeout(120)
def test_an_interrupted_demo_stops_everything_and_can_be_run_again(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    argv = [*PATLOOP, "demo", "--scenario", "nominal", "--hours", "2", "--out", str(out)]
    demo = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while not (out / "journal.sqlite").exists():
            assert time.monotonic() < deadline
            time.sleep(0.2)
        time.sleep(2)
        os.killpg(demo.pid, signal.SIGINT)
        _, said = demo.communicate(timeout=30)
    finally:
        if demo.poll() is None:
            os.killpg(demo.pid, signal.SIGKILL)
            demo.wait()
    assert demo.returncode != 0
    assert "Traceback" not in said
    assert verify(out / "journal.sqlite").ok
    assert gone(demo.pid), "no process of it is left"


def test_a_demo_does_not_touch_a_folder_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("do not lose")
    done = subprocess.run([*PATLOOP, "demo", "--out", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "not a demo's" in done.stderr
    assert (tmp_path / "precious").read_text() == "do not lose"


@pytest.mark.timeout(120)
def test_check_tells_a_ready_line_from_one_that_is_not(tmp_path: Path, served: Callable[..., Any]) -> None:
    async def run(*argv: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *PATLOOP, "check", *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        said, _ = await process.communicate()
        return process.returncode or 0, said.decode()

    async def play() -> None:
        async with served(tmp_path, QUIET, speed=5) as wire:
            await wire.until(lambda: wire.rig.acquisition.counter > 0, "a first spectrum")
            line_file = wire.stage.line_file
            code, said = await run(str(line_file))
            assert code == 0, said
            assert "125 channels in nm" in said
            assert "ready" in said
            text = line_file.read_text()
            line_file.write_text(text.replace('unit = "kN"', 'unit = "kg/h"'))
            code, said = await run(str(line_file))
            assert code == 2, "the bundle was built for other settings"
            assert "built for other settings" in said
            line_file.write_text(text)
            (wire.stage.out / "pki" / "server.der").write_bytes((wire.stage.out / "pki" / "edge_cert.der").read_bytes())
            code, said = await run(str(line_file))
            assert code == 1, "a server that is not the pinned one"
            assert "not ready" in said
            (wire.stage.out / "pki" / "password").chmod(0o644)
            code, said = await run(str(line_file), "--offline")
            assert code == 1
            assert "can be read by others" in said

    asyncio.run(play())
