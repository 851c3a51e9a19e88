"""Drives that take steps: setpoints are multiples of them, and the blend is no worse for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from control.settings import ControlSettings
from edge.line import Line
from edge.signals import Thought
from hil_sim.bench import compose_for, run_one
from hil_sim.scenario import load_scenario

LINE_FILE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml"
STEP = {"FeederApi": 0.005, "FeederMcc": 0.02, "FeederLac": 0.02, "FeederMgst": 0.001, "MainForce": 0.01}


def stepped(line: Line) -> Line:
    assert line.control is not None
    settings: ControlSettings = line.control.settings
    mvs = tuple(mv.model_copy(update={"resolution": STEP[mv.name]}) for mv in settings.mv)
    return replace(line, control=replace(line.control, settings=settings.model_copy(update={"mv": mvs})))


def test_the_loop_moves_in_the_drives_own_steps() -> None:
    fine = compose_for(LINE_FILE, "mpc")
    coarse = stepped(fine)
    sent: list[tuple[str, float]] = []

    def watch(_: object, thought: Thought) -> None:
        sent.extend(thought.command.writes.items())

    row = run_one(coarse, load_scenario("nominal"), 1, 0.4, watch=watch).row
    before = run_one(fine, load_scenario("nominal"), 1, 0.4).row
    off = [(name, value) for name, value in sent if value / STEP[name] != pytest.approx(round(value / STEP[name]))]
    assert sent
    assert len(off) < 0.02 * len(sent), "off the steps only where the plant already stood there"
    assert row["time_outside_3pct"] == 0.0
    assert abs(float(row["mean_error_pct"] or 0.0)) < 0.3
    assert float(row["travel"] or 0.0) < 1.3 * float(before["travel"] or 0.0)
    assert float(row["rsd_pct"] or 0.0) < 1.2 * float(before["rsd_pct"] or 0.0)
