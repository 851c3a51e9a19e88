"""trace of the truth -> key figures of a run (definitions in each function; only what is pressed counts)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from hil_sim.rig import Truth

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

WARM_UP_S = 600.0
OOS_API_PCT = 5.0
OOS_WEIGHT_PCT = 5.0
HARDNESS_N = (60.0, 120.0)
SETTLED_PCT, SETTLED_FOR_S, SETTLING_MEAN_S = 2.0, 300.0, 60.0
BACK_PCT, FIRST_PCT = 1.0, 3.0
STANDSTILL_KG_H = 0.1  # a turret that runs out makes nothing worth judging


@dataclass(frozen=True)
class Trace:
    """True values, equally spaced in time, one row a sample; all arrays have the same length.

    time_s from the start of the run; api_lc_pct % of the recipe's target at that moment; throughput_kg_h of tablets;
    setpoints: the PLC's working setpoint of each manipulated variable.
    """

    time_s: FloatArray
    api_lc_pct: FloatArray
    target_api_pct: FloatArray
    weight_mg: FloatArray
    target_weight_mg: FloatArray
    hardness_n: FloatArray
    throughput_kg_h: FloatArray
    diverted: BoolArray
    setpoints: Mapping[str, FloatArray]

    @classmethod
    def of(cls, truths: Sequence[Truth]) -> Trace:
        """A trace from equally spaced truths; raises ValueError when there is none."""
        if not truths:
            raise ValueError("a trace needs at least one sample")

        def column(name: str) -> FloatArray:
            return np.array([getattr(truth, name) for truth in truths], dtype=np.float64)

        return cls(
            time_s=column("time_s") - truths[0].time_s,
            api_lc_pct=column("api_lc_pct"),
            target_api_pct=column("target_api_pct"),
            weight_mg=column("tablet_weight_mg"),
            target_weight_mg=column("target_weight_mg"),
            hardness_n=column("hardness_n"),
            throughput_kg_h=column("throughput_kg_h"),
            diverted=np.array([truth.diverted for truth in truths], dtype=bool),
            setpoints={
                name: np.array([truth.setpoints[name] for truth in truths], dtype=np.float64)
                for name in truths[0].setpoints
            },
        )


def kpis(trace: Trace, from_s: float = WARM_UP_S, loss_at_s: float | None = None) -> dict[str, float | None]:
    """Compute the figures by name; raises ValueError when fewer than two samples lie after from_s.

    from_s: judged from then on (s after the start); loss_at_s: when API began to be lost unseen. Percentages of label
    claim or of the time in which tablets are made; weight_rms_pct: from the weight's target; iae: integral of |error|,
    % min; travel in % of each variable's mean, summed over all; ideal_diverted_kg: mass that truly was out of
    specification; the rest in minutes, None where it was never met: settling_min from the last change of the API target
    (None without one), first_within_min from from_s until the 60 s mean of the API stays within 3 % for 5 min,
    back_within_1pct_min from loss_at_s until it stays within 1 % for 5 min.
    """
    time_s = np.asarray(trace.time_s, dtype=np.float64)
    judged = time_s - time_s[0] >= from_s if time_s.size else np.zeros(0, dtype=bool)
    keep = judged & (trace.throughput_kg_h > STANDSTILL_KG_H)
    if int(keep.sum()) < 2:
        raise ValueError(f"the trace is too short: it needs more than {from_s / 60.0:.0f} min of line time")
    dt_s = float(time_s[1] - time_s[0])
    last_hour = keep & (time_s >= time_s[-1] - 3600.0)
    api, weight, hardness = trace.api_lc_pct[keep], trace.weight_mg[keep], trace.hardness_n[keep]
    deviation = np.abs(api - 100.0)
    step_kg = trace.throughput_kg_h[keep] * dt_s / 3600.0
    hard = (hardness >= HARDNESS_N[0]) & (hardness <= HARDNESS_N[1])
    off_weight = np.abs(weight / trace.target_weight_mg[keep] - 1.0) * 100.0 > OOS_WEIGHT_PCT
    oos = (deviation > OOS_API_PCT) | off_weight | ~hard
    diverted = trace.diverted[keep]
    return {
        "rsd_pct": _rsd_pct(api),
        "mean_error_pct": float(api.mean()) - 100.0,
        "mean_error_last_h_pct": float(trace.api_lc_pct[last_hour].mean()) - 100.0 if last_hour.any() else None,
        "iae": float(deviation.sum()) * dt_s / 60.0,
        "max_deviation_pct": float(deviation.max()),
        "time_outside_3pct": _share_pct(deviation > 3.0),
        "time_outside_5pct": _share_pct(deviation > 5.0),
        "weight_rsd_pct": _rsd_pct(weight),
        "weight_rms_pct": _rms_pct(weight / trace.target_weight_mg[keep]),
        "hardness_rsd_pct": _rsd_pct(hardness),
        "weight_mean_error_pct": 100.0 * float((weight / trace.target_weight_mg[keep]).mean()) - 100.0,
        "hardness_in_limits_pct": _share_pct(hard),
        "released_oos_kg": float(step_kg[oos & ~diverted].sum()),
        "diverted_kg": float(step_kg[diverted].sum()),
        "ideal_diverted_kg": float(step_kg[oos].sum()),
        "travel": sum(_travel_pct(np.asarray(values)[keep]) for values in trace.setpoints.values()),
        "settling_min": settling_min(trace),
        "first_within_min": _stays_min(trace.api_lc_pct[judged], dt_s, FIRST_PCT),
        "back_within_1pct_min": _back_min(trace, dt_s, loss_at_s),
    }


def settling_min(trace: Trace) -> float | None:
    """Minutes from the last change of the API target until the API's 60 s mean is within 2 % for 5 minutes."""
    changes = np.flatnonzero(np.diff(trace.target_api_pct))
    if changes.size == 0:
        return None
    start = int(changes[-1]) + 1
    # The mean looks back only over samples judged against the new target.
    return _stays_min(trace.api_lc_pct[start:], float(trace.time_s[1] - trace.time_s[0]), SETTLED_PCT)


def _back_min(trace: Trace, dt_s: float, loss_at_s: float | None) -> float | None:
    if loss_at_s is None:
        return None
    return _stays_min(trace.api_lc_pct[trace.time_s >= loss_at_s], dt_s, BACK_PCT)


def _stays_min(api_lc_pct: FloatArray, dt_s: float, within_pct: float) -> float | None:
    """Minutes from the first sample until the mean over the last 60 s is within a limit and stays so for 5 minutes."""
    width = max(1, round(SETTLING_MEAN_S / dt_s))
    total = np.concatenate(([0.0], np.cumsum(api_lc_pct)))
    last = np.arange(1, total.size)
    first = np.maximum(0, last - width)
    inside = np.abs((total[last] - total[first]) / (last - first) - 100.0) <= within_pct
    need = math.ceil(SETTLED_FOR_S / dt_s)
    run = 0
    for i, good in enumerate(inside):
        run = run + 1 if good else 0
        if run == need:
            return (i + 1 - need) * dt_s / 60.0
    return None


def _rsd_pct(values: FloatArray) -> float:
    return 100.0 * float(values.std()) / float(values.mean())


def _rms_pct(of_target: FloatArray) -> float:
    return 100.0 * math.sqrt(float(np.mean((of_target - 1.0) ** 2)))


def _share_pct(flags: BoolArray) -> float:
    return 100.0 * float(flags.mean())


def _travel_pct(values: FloatArray) -> float:
    mean = float(np.abs(values).mean())
    return 100.0 * float(np.abs(np.diff(values)).sum()) / mean if mean > 0.0 else 0.0
