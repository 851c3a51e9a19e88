"""A starving feeder leads the others under every controller, and a line chooses whether a new recipe is overshot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.signals import Thought
from hil_sim.bench import compose_for, run_one
from hil_sim.rig import Truth
from hil_sim.scenario import Scenario, load_scenario
from hil_sim.upsets import upset
from hil_sim.variants import compose_variant, variant

LINE_FILE = Path(__file__).parents[2] / "deploy" / "lines" / "cdc_ref_1.toml"
HOURS, AT_MIN = 0.35, 12.0


def _early(name: str) -> Scenario:
    """The shipped scenario with what happens brought forward."""
    whole = load_scenario(name)
    fault = [one.model_copy(update={"at_min": AT_MIN}) for one in whole.fault]
    return whole.model_copy(
        update={"fault": fault, "recipe": [one.model_copy(update={"at_min": AT_MIN}) for one in whole.recipe]}
    )


def test_a_line_full_of_placebo_is_filled_in_ratio_unless_it_may_be_hurried() -> None:
    def most_pct(passes: float) -> float:
        """How far the API's setpoint goes above the recipe's while the line fills, %."""
        line = compose_variant(variant(LINE_FILE, "mpc", (("authority.overshoot_passes", passes),)))
        trace = run_one(line, load_scenario("start_up"), 2, 0.3).trace
        filling = np.asarray(trace.api_lc_pct) < 90.0
        return 100.0 * float(np.asarray(trace.setpoints["FeederApi"])[filling].max() / 2.0 - 1.0)

    assert most_pct(0.01) < 0.1
    assert most_pct(1.5) > 1.0


@pytest.mark.parametrize("controller", ["ratio", "pid", "smith", "hybrid", "mpc"])
def test_a_bridge_slows_the_others_down_at_once(controller: str) -> None:
    trace = run_one(compose_for(LINE_FILE, controller), _early("bridge"), 1, HOURS).trace
    began = np.asarray(trace.time_s) >= 60 * AT_MIN
    for name in ("FeederMcc", "FeederLac", "FeederMgst"):
        asked = np.asarray(trace.setpoints[name])
        assert asked[began].min() < 0.75 * asked[~began].mean(), "half of the API's flow is missing"
        assert asked[-1] == pytest.approx(asked[~began].mean(), rel=0.05), "and back"
    assert np.abs(trace.api_lc_pct[began] - 100.0).max() < 5.0


def test_a_bridge_teaches_nothing_of_the_feeder_s_drive() -> None:
    line, told = compose_for(LINE_FILE, "mpc"), []
    assert line.control is not None
    drive = line.control.bundle.state("api_flow_bias_kg_h")

    def watch(_: Truth, thought: Thought) -> None:
        if thought.belief is not None:
            told.append(thought.belief.state[drive])

    run_one(line, _early("bridge"), 1, HOURS, watch)
    assert len(told) > 200
    assert np.abs(told).max() < 0.01, "kg/h: what the bridge took is half of 2 kg/h, and no bias"


def test_a_deep_bridge_is_seen_as_what_it_is() -> None:
    """Upset 3036: 5 % of the API's flow for two minutes, and a laboratory sample on the steepest part of the dip."""
    line, seen = compose_for(LINE_FILE, "mpc"), []

    def watch(truth: Truth, thought: Thought) -> None:
        if thought.belief is not None:
            seen.append((truth, thought.belief))

    one = upset(3036)
    run_one(line, one.scenario, one.number, 0.42, watch)
    began_s = seen[0][0].time_s
    off = [(t.time_s - began_s, b.api_pct * 10 - t.api_lc_pct) for t, b in seen if t.time_s - began_s > 540]
    blind = [abs(error) for time_s, error in off if time_s < 660]
    assert max(blind) < 1.0, "the dip is still on its way: what is in the feed frame is as it was"
    assert max(abs(error) for _, error in off) < 9.0, "how steep it arrives the model knows only so well"
    after = [abs(error) for time_s, error in off if time_s > 1080]
    assert max(after) < 1.5
    assert all(abs(b.api_gain - 1.0) < 0.01 for _, b in seen), "nothing was lost"
    assert all(abs(t.api_lc_pct - 100.0) < 3.0 for t, _ in seen if t.time_s - began_s > 1150), "nor trimmed for it"


def test_a_new_grade_is_overshot_where_the_line_file_says_so() -> None:
    def most(passes: float) -> tuple[float, float]:
        """Largest API setpoint after the change over the last one, and minutes more than 3 % off."""
        line = compose_variant(variant(LINE_FILE, "mpc", (("authority.overshoot_passes", passes),)))
        trace = run_one(line, _early("grade_change"), 1, HOURS + 0.1).trace
        after = np.asarray(trace.time_s) >= 60 * AT_MIN
        asked, off = np.asarray(trace.setpoints["FeederApi"])[after], np.abs(trace.api_lc_pct[after] - 100.0) > 3.0
        return float(asked.max() / asked[-1]), float(off.sum()) / 60

    (steps, slow_min), (overshoots, quick_min) = most(0.01), most(1.5)
    assert steps < 1.03
    assert overshoots > 1.05
    assert quick_min < slow_min - 0.5
    assert most(0.0)[0] < 1.03, "no haste at all is allowed, too"
