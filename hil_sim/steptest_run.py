"""A step test on the simulated line: the service's own cycle and guard play it, and the truth says how good it was."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from control.decide.ratio import ratio_setpoints
from control.errors import ControlError
from control.identify import Identified, Order, identify
from control.settings import StepTestSettings
from control.signals import Quality, Target
from control.steptest import Design, design
from edge.config import read_config
from edge.errors import ConfigError
from edge.line import Line, compose_config
from edge.signals import Thought
from hil_sim.bench import run_one
from hil_sim.line.parameters import load_parameters
from hil_sim.rig import Truth
from hil_sim.scenario import Scenario

FloatArray = NDArray[np.float64]
START_S = 60.0  # the operator closes the loop within this


@dataclass(frozen=True)
class Record:
    """One cycle a row: seconds since the start, the flow asked (kg/h, refill feed-forward taken out), the level, the
    NIR estimate (% w/w, NaN where there was no new good one), the true API (% w/w)."""

    time_s: FloatArray
    applied_kg_h: FloatArray
    level: FloatArray
    estimate_pct: FloatArray
    true_pct: FloatArray


@dataclass(frozen=True)
class Outcome:
    """What became of a test: its design, whether it was aborted and why, what was identified (None when aborted or not
    identifiable, with the reason), the true gain (% w/w a kg/h), and how far the true API went (% of target)."""

    made: Design
    aborted: str
    found: Identified | None
    not_found: str
    true_gain: float
    largest_off_lc_pct: float
    limit_lc_pct: float
    record: Record

    @property
    def good(self) -> bool:
        """The test ran to its end inside its limit and the gain's interval leaves out zero."""
        told = self.found is not None and (self.found.gain.low > 0 or self.found.gain.high < 0)
        return told and not self.aborted and self.largest_off_lc_pct <= self.limit_lc_pct


def compose_test(line_file: Path, asked: StepTestSettings) -> tuple[Line, Design, Target]:
    """The line with the test as its controller, and the test's design for the simulated recipe. Raises ConfigError."""
    config, digest = read_config(line_file)
    if config.controller is None:
        raise ConfigError(f"{line_file}: has no [controller]; a step test needs a controlled line")
    chosen = config.controller.model_validate({**dict(config.controller), "name": "steptest", "steptest": asked})
    line = compose_config(config.model_copy(update={"controller": chosen}), digest)
    recipe = load_parameters().recipe
    target = Target(recipe.api_pct, recipe.throughput_kg_h, recipe.tablet_weight_mg)
    settings = config.control()
    if settings is None:
        raise ConfigError(f"{line_file}: has no control tables; a step test needs a controlled line")
    try:
        return line, design(settings, asked, target), target
    except ControlError as error:
        raise ConfigError(str(error)) from error


def play(
    line: Line, made: Design, target: Target, asked: StepTestSettings, scenario: Scenario, seed: int,
    order: Order = "fopdt", told: Callable[[float], None] = lambda _: None,
) -> Outcome:  # fmt: skip
    """Play the test in lock-step and read its answer; told: called with the share that is done."""
    if line.control is None:
        raise ConfigError("a step test needs a controlled line")
    rows: list[tuple[float, float, float, float, float]] = []
    aborted: list[str] = []
    counters: set[int] = set()

    def watch(truth: Truth, thought: Thought) -> None:
        decision, seen = thought.decision, thought.estimate
        if decision is None:
            return
        fresh = seen is not None and seen.quality is Quality.GOOD and seen.counter not in counters
        counters.add(seen.counter if seen is not None else -1)
        if decision.figures["aborted"] and not aborted:
            aborted.append(decision.reason)
        rows.append((truth.time_s, decision.figures["applied_kg_h"], decision.figures["level"],
                     seen.value if fresh and seen is not None else math.nan, truth.api_pct))  # fmt: skip
        told(min(1.0, decision.figures["elapsed_s"] / made.length_s))

    run_one(line, scenario, seed, (made.length_s + START_S) / 3600, watch)
    table = np.array(rows)
    table[:, 0] -= table[0, 0]
    record = Record(*table.T)
    found, why = None, aborted[0] if aborted else ""
    if not aborted:
        try:
            found = identify(record.time_s, record.applied_kg_h, record.estimate_pct, order)
        except ControlError as error:
            why = str(error)
    flow = ratio_setpoints(line.control.settings, target)[made.variable]
    own = 100.0 if made.variable == line.control.settings.named("api") else 0.0
    true_gain = (own - target.api_pct) / target.throughput_kg_h  # of a mass balance: d(api)/d(flow), others held
    off = float(np.abs(record.true_pct / target.api_pct - 1).max()) * 100
    assert flow > 0, "a feeder of the recipe delivers something"
    return Outcome(made, aborted[0] if aborted else "", found, why, true_gain, off, asked.api_limit_lc_pct, record)


def write_report(outcome: Outcome, out: Path, asked: dict[str, Any]) -> None:
    """Write report.json and report.png into out."""
    out.mkdir(parents=True, exist_ok=True)
    found = None if outcome.found is None else asdict(outcome.found)
    made = {**asdict(outcome.made), "length_s": outcome.made.length_s}
    body = {"asked": asked, "design": made, "aborted": outcome.aborted, "identified": found,
            "not_identified": outcome.not_found, "true_gain": outcome.true_gain,
            "largest_true_off_lc_pct": outcome.largest_off_lc_pct, "limit_lc_pct": outcome.limit_lc_pct,
            "good": outcome.good}  # fmt: skip
    (out / "report.json").write_text(json.dumps(body, indent=1) + "\n")
    _draw(outcome, out / "report.png")


def _draw(outcome: Outcome, png: Path) -> None:
    from matplotlib.figure import Figure

    record, made, found = outcome.record, outcome.made, outcome.found
    minutes = record.time_s / 60
    figure = Figure(figsize=(10.0, 6.0), layout="constrained", dpi=110)
    top, low = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.4))
    target = 100 * float(np.median(record.true_pct)) / 100
    band = outcome.limit_lc_pct * target / 100
    top.axhspan(target - band, target + band, color="#e6efe6", linewidth=0)
    top.plot(minutes, record.estimate_pct, ".", ms=2.5, color="#b9b9b9", label="NIR estimate")
    top.plot(minutes, record.true_pct, color="#222222", lw=1.0, label="truth")
    if found is not None:
        top.plot(minutes, _fitted(outcome), color="#0b6e99", lw=1.6, label="model")
        top.set_title(
            f"gain {found.gain.value:.2f} ({found.gain.low:.2f} to {found.gain.high:.2f}) % w/w a kg/h, lag "
            f"{found.time_constant_s.value:.0f} s ({found.time_constant_s.low:.0f} to "
            f"{found.time_constant_s.high:.0f}), dead time {found.dead_time_s.value:.0f} s "
            f"({found.dead_time_s.low:.0f} to {found.dead_time_s.high:.0f})", loc="left", fontsize=10)  # fmt: skip
    else:
        top.set_title(outcome.not_found, loc="left", fontsize=10, color="#a33b20")
    top.set_ylabel("API, % w/w (band: limit)")
    top.legend(frameon=False, fontsize=9, ncols=3, loc="lower left")
    low.step(minutes, record.applied_kg_h, where="post", color="#0b6e99", lw=1.2)
    low.set(ylabel=f"{made.variable}, kg/h", xlabel="min")
    for ax in (top, low):
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(png, metadata={"Software": None})


def _fitted(outcome: Outcome) -> FloatArray:
    """The model's answer about the record's own mean."""
    from control.identify import LAGS, response

    record, found = outcome.record, outcome.found
    assert found is not None, "only what was identified is drawn"
    u = record.applied_kg_h - record.applied_kg_h[0]
    step = float(record.time_s[1] - record.time_s[0])
    moved = response(u, step, found.dead_time_s.value, found.time_constant_s.value, LAGS[found.order])
    return np.asarray(found.gain.value * (moved - moved.mean()) + np.nanmean(record.estimate_pct))
