"""seed -> random upsets; trace of the truth -> what was released, diverted and unavoidable.

An upset is one of `KINDS` with random size, duration and onset. A release is judged on the truth at the gate alone: API
outside +-5 % of label claim while the gate was not diverting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from hil_sim.faults import Bridge, Fault, HiddenLoss, LoadCellSpan, LostConnection, NirDrift, ProbeFouling
from hil_sim.kpi import BoolArray, FloatArray, Trace
from hil_sim.scenario import Scenario

LIMIT_PCT = 5.0  # of label claim
HOURS = 0.5
ONSET_MIN = (8.0, 11.0)  # after what was in the line at the start has left it
JUDGED_FROM_S = 360.0  # five minutes of filling the record with what is known, and one more
MERGED_S = 60.0
CONFIDENCE = 0.95

Made = tuple[Fault, ...]


@dataclass(frozen=True)
class Upset:
    """One random upset: its number (also the seed of everything random in the run), kind and scenario."""

    number: int
    kind: str
    scenario: Scenario


def upset(number: int) -> Upset:
    """The upset with this number, always the same one; kinds take turns."""
    random = Random(f"upset/{number}")
    kind = tuple(KINDS)[number % len(KINDS)]
    onset_min = random.uniform(*ONSET_MIN)
    scenario = Scenario(
        name="upset",
        description=f"random upset {number}: {kind.replace('_', ' ')}",
        hours=HOURS,
        fault=KINDS[kind](random, onset_min),
        gate_when_silent="reject",
        lab_every_min=60.0 if kind == "late_laboratory" else 12.0,
    )
    return Upset(number, kind, scenario)


def _step(random: Random, at_min: float) -> Made:
    return (HiddenLoss(kind="hidden_loss", at_min=at_min, gain=1.0 - random.uniform(0.03, 0.25)),)


def _ramp(random: Random, at_min: float) -> Made:
    gain, ramp_min = 1.0 - random.uniform(0.05, 0.25), random.uniform(2.0, 10.0)
    return (HiddenLoss(kind="hidden_loss", at_min=at_min, gain=gain, ramp_min=ramp_min),)


def _overfeed(random: Random, at_min: float) -> Made:
    return (
        LoadCellSpan(kind="load_cell_span", at_min=at_min, feeder="api", delivered=1.0 + random.uniform(0.03, 0.25)),
    )


def _bridge(random: Random, at_min: float) -> Made:
    factor, duration_s = random.uniform(0.0, 0.6), random.uniform(30.0, 240.0)
    return (Bridge(kind="bridge", at_min=at_min, feeder="api", flow_factor=factor, duration_s=duration_s),)


def _filler_bridge(random: Random, at_min: float) -> Made:
    feeder: Literal["mcc", "lac"] = "mcc" if random.random() < 0.5 else "lac"
    factor, duration_s = random.uniform(0.0, 0.6), random.uniform(30.0, 240.0)
    return (Bridge(kind="bridge", at_min=at_min, feeder=feeder, flow_factor=factor, duration_s=duration_s),)


def _with_drift(random: Random, at_min: float) -> Made:
    rate = random.choice((-1.0, 1.0)) * random.uniform(1.0, 6.0)
    drift = NirDrift(kind="nir_drift", at_min=at_min - random.uniform(0.0, 8.0), rate_pct_per_h=rate)
    return (*_step(random, at_min), drift)


def _with_fouling(random: Random, at_min: float) -> Made:
    begins_min = at_min + random.uniform(-2.0, 3.0)
    fouling = ProbeFouling(
        kind="probe_fouling", at_min=begins_min, jump=random.uniform(0.02, 0.3),
        ramp_per_min=random.uniform(0.0, 0.02), clean_at_min=begins_min + random.uniform(2.0, 6.0),
    )  # fmt: skip
    return (*_step(random, at_min), fouling)


def _with_lost_link(random: Random, at_min: float) -> Made:
    begins_min, duration_s = at_min + random.uniform(-1.0, 4.0), random.uniform(10.0, 120.0)
    return (*_step(random, at_min), LostConnection(kind="lost_connection", at_min=begins_min, duration_s=duration_s))


KINDS: Mapping[str, Callable[[Random, float], Made]] = {
    "loss_step": _step,
    "loss_ramp": _ramp,
    "overfeed": _overfeed,
    "bridge": _bridge,
    "filler_bridge": _filler_bridge,
    "loss_and_drift": _with_drift,
    "loss_and_fouling": _with_fouling,
    "loss_and_lost_link": _with_lost_link,
    "late_laboratory": _step,
}


@dataclass(frozen=True)
class Score:
    """Masses of one run, kg: released although outside, diverted, truly outside, and the ideal windows'."""

    released_oos_kg: float
    diverted_kg: float
    oos_kg: float
    ideal_kg: float


def score(trace: Trace, cycle_s: float) -> Score:
    """Judge a run from JUDGED_FROM_S on.

    Ideal windows are what a gate that knows the truth would divert when it may move only once a cycle: the samples with
    API outside +-5 % of label claim, windows less than MERGED_S apart taken as one (no gate opens for less), each begun
    at the last decision before its first sample and ended at the first decision after its last one.
    """
    judged = trace.time_s >= JUDGED_FROM_S
    oos = judged & (np.abs(trace.api_lc_pct - 100.0) > LIMIT_PCT)
    step_kg = trace.throughput_kg_h * float(trace.time_s[1] - trace.time_s[0]) / 3600.0
    ideal = _windows(oos, trace.time_s, cycle_s)
    return Score(
        released_oos_kg=_sum(step_kg, oos & ~trace.diverted),
        diverted_kg=_sum(step_kg, judged & trace.diverted),
        oos_kg=_sum(step_kg, oos),
        ideal_kg=_sum(step_kg, ideal & judged),
    )


def _windows(oos: BoolArray, time_s: FloatArray, cycle_s: float) -> BoolArray:
    found = np.zeros(len(oos), dtype=bool)
    at: NDArray[np.intp] = np.flatnonzero(oos)
    if at.size == 0:
        return found
    apart = np.flatnonzero(np.diff(time_s[at]) > MERGED_S)
    for first, last in zip(np.concatenate(([0], apart + 1)), np.concatenate((apart, [at.size - 1])), strict=True):
        begin_s = np.floor(time_s[at[first]] / cycle_s) * cycle_s
        end_s = np.ceil(time_s[at[last]] / cycle_s) * cycle_s
        found |= (time_s >= begin_s) & (time_s <= end_s)
    return found


def _sum(step_kg: FloatArray, chosen: BoolArray) -> float:
    return float(step_kg[chosen].sum())


def upper_limit(failures: int, trials: int, confidence: float = CONFIDENCE) -> float:
    """Largest probability of a failure that `failures` of `trials` do not refute (Clopper and Pearson 1934, one-sided).

    Without a failure it is 1 - (1 - confidence)^(1/trials): about 3/trials at 95 % ("rule of three").
    """
    if failures >= trials:
        return 1.0
    return float(beta.ppf(confidence, failures + 1, trials - failures))


def totals(rows: Sequence[Mapping[str, float | int | str | None]]) -> dict[str, float]:
    """Sums over upsets: masses, how many released anything, and diverted over ideal mass."""
    masses = {name: sum(float(row[name] or 0.0) for row in rows) for name in Score.__dataclass_fields__}
    failures = sum(float(row["released_oos_kg"] or 0.0) > 0.0 for row in rows)
    ideal = masses["ideal_kg"]
    return {
        "upsets": len(rows),
        "outside": sum(float(row["oos_kg"] or 0.0) > 0.0 for row in rows),
        "released_any": failures,
        **masses,
        "diverted_over_ideal": masses["diverted_kg"] / ideal if ideal > 0.0 else float("nan"),
    }
