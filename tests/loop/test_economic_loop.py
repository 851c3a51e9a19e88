"""The throughput goes up in closed loop while quality backs it, and what is made stays what it was."""

from __future__ import annotations

from pathlib import Path

from edge.signals import Thought
from hil_sim.bench import run_one
from hil_sim.rig import Truth
from hil_sim.scenario import load_scenario
from hil_sim.variants import compose_variant, variant

LINE_FILE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml"
RANGE = (("controller.economic.throughput_most_kg_h", 21.5), ("controller.economic.ramp_kg_h_min", 0.3))


def test_more_is_made_of_the_same_quality() -> None:
    line, flows, reasons = compose_variant(variant(LINE_FILE, "mpc", RANGE)), [], []

    def watch(truth: Truth, thought: Thought) -> None:
        flows.append(truth.throughput_kg_h)
        reasons.append("" if thought.economy is None else thought.economy.reason)

    row = run_one(line, load_scenario("nominal"), 1, 0.45, watch=watch).row
    assert row["time_outside_3pct"] == 0.0
    assert row["released_oos_kg"] == 0.0
    assert sum(flows[-60:]) / 60 > 21.0
    assert max(flows) < 23.0
    assert reasons[-1] == "at the end of the registered range"
    assert any(reason for reason in reasons[:60]), "a start is no time to hurry"
