"""A step test on the simulated line: the service's own cycle and guard play it, and the truth says how good it was."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from control.decide.ratio import ratio_setpoints
from control.errors import ControlError
from control.identify import Identified, Order, fitted, identify
from control.settings import ControlSettings, StepTestSettings
from control.signals import Quality, Target
from control.steptest import Design, design
from edge.config import read_config
from edge.errors import ConfigError
from edge.line import Line, compose_config
from edge.signals import Acted, Request, Sample, Thought
from hil_sim.bench import run_one
from hil_sim.line.parameters import load_parameters
from hil_sim.rig import Truth
from hil_sim.scenario import Scenario

FloatArray = NDArray[np.float64]
START_S = 60.0  # the operator closes the loop within this


@dataclass(frozen=True)
class Record:
    """One cycle a row: seconds since the start, the flow asked (kg/h, refill feed-forward taken out), the NIR estimate
    (% w/w, NaN where there was no new good one), what the feeders' own weights say that went in beside the test (%
    w/w), and the true API (% w/w)."""

    time_s: FloatArray
    applied_kg_h: FloatArray
    estimate_pct: FloatArray
    known_pct: FloatArray
    true_pct: FloatArray


class Watcher:
    """A recorder that keeps what the identification needs; it answers no requests and stores no artefacts."""

    def __init__(self, settings: ControlSettings, made: Design, ratio: Mapping[str, float],
                 told: Callable[[float], None]) -> None:  # fmt: skip
        self._made, self._ratio, self._told = made, ratio, told
        self._feeders = [mv.name for mv in settings.mv if mv.role != "force"]
        self._api = settings.named("api")
        self._seen_counters: set[int] = set()
        self.rows: list[tuple[float, float, float, float]] = []
        self.aborted = ""

    def cycle(self, sample: Sample, thought: Thought) -> None:
        """One row a cycle with a decision."""
        decision, seen = thought.decision, thought.estimate
        if decision is None:
            return
        counter = -1 if seen is None else seen.counter
        fresh = seen is not None and seen.quality is Quality.GOOD and counter not in self._seen_counters
        self._seen_counters.add(counter)
        if decision.figures["aborted"] and not self.aborted:
            self.aborted = decision.reason
        applied = decision.figures["applied_kg_h"]
        self.rows.append((sample.scan.time_s, applied, seen.value if seen is not None and fresh else math.nan,
                          self._known_pct(sample, applied)))  # fmt: skip
        self._told(min(1.0, decision.figures["elapsed_s"] / self._made.length_s))

    def acted(self, sample: Sample, acted: Acted) -> None:
        """Not needed."""

    def artefact(self, time_s: float, name: str, digest: str, folder: Path) -> None:
        """Not needed."""

    def requests(self) -> tuple[Request, ...]:
        """Nobody asks for anything."""
        return ()

    def _known_pct(self, sample: Sample, applied: float) -> float:
        weighed = {name: sample.scan.readings[f"{name}.PV"].value for name in self._feeders}
        planned = {**{name: self._ratio[name] for name in self._feeders}, self._made.variable: applied}
        found = 100 * (weighed[self._api] / sum(weighed.values()) - planned[self._api] / sum(planned.values()))
        return found if math.isfinite(found) else 0.0


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
    target_pct: float
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
        return line, design(settings, asked, ratio_setpoints(settings, target)), target
    except ControlError as error:
        raise ConfigError(str(error)) from error


def play(
    line: Line, made: Design, target: Target, asked: StepTestSettings, scenario: Scenario, seed: int,
    order: Order = "fopdt", told: Callable[[float], None] = lambda _: None,
) -> Outcome:  # fmt: skip
    """Play the test in lock-step and read its answer; told: called with the share that is done."""
    if line.control is None:
        raise ConfigError("a step test needs a controlled line")
    settings, truths = line.control.settings, list[tuple[float, float]]()
    watcher = Watcher(settings, made, ratio_setpoints(settings, target), told)

    def truth(now: Truth, thought: Thought) -> None:  # noqa: ARG001 - the watcher keeps the thought
        truths.append((now.time_s, now.api_pct))

    run_one(line, scenario, seed, (made.length_s + START_S) / 3600, truth, watcher)
    if not watcher.rows:
        raise ConfigError("the line was never ready for a decision; nothing was played")
    time_s, applied, estimate, known = np.array(watcher.rows).T
    true_pct = np.interp(time_s, *np.array(truths).T)
    record = Record(time_s - time_s[0], applied, estimate, known, true_pct)
    found, why = None, watcher.aborted
    if not watcher.aborted:
        try:
            found = identify(record.time_s, record.applied_kg_h, record.estimate_pct, order, record.known_pct)
        except ControlError as error:
            why = str(error)
    own = 100.0 if made.variable == settings.named("api") else 0.0
    true_gain = (own - target.api_pct) / target.throughput_kg_h  # of a mass balance: d(api)/d(flow), others held
    off = float(np.abs(true_pct / target.api_pct - 1).max()) * 100
    return Outcome(made, watcher.aborted, found, why, true_gain, off, asked.api_limit_lc_pct, target.api_pct, record)


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
    target, band = outcome.target_pct, outcome.limit_lc_pct * outcome.target_pct / 100
    top.axhspan(target - band, target + band, color="#e6efe6", linewidth=0)
    top.plot(minutes, record.estimate_pct, ".", ms=2.5, color="#b9b9b9", label="NIR estimate")
    top.plot(minutes, record.true_pct, color="#222222", lw=1.0, label="truth")
    if found is not None:
        model = fitted(found, record.time_s, record.applied_kg_h, record.known_pct)
        top.plot(minutes, model, color="#0b6e99", lw=1.6, label="model")
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
