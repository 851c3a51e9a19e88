"""trace of the truth -> key figures of a run (definitions in each function; the first ten minutes are ignored)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

WARM_UP_S = 600.0
OOS_API_PCT = 5.0
OOS_WEIGHT_PCT = 5.0
HARDNESS_N = (60.0, 120.0)
SETTLED_PCT, SETTLED_FOR_S, SETTLING_MEAN_S = 2.0, 300.0, 60.0


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


@dataclass(frozen=True)
class Kpis:
    """Key figures; percentages of label claim or of time; travel in % of each variable's mean, summed over all.

    ideal_diverted_kg: mass that truly was out of specification; settling_min: minutes from the last change of the
    API target until it is met, None when there was no change or it was never met.
    """

    rsd_pct: float
    mean_error_pct: float
    max_deviation_pct: float
    time_outside_3pct: float
    time_outside_5pct: float
    weight_rsd_pct: float
    hardness_in_limits_pct: float
    released_oos_kg: float
    diverted_kg: float
    ideal_diverted_kg: float
    travel: float
    settling_min: float | None


def kpis(trace: Trace) -> Kpis:
    """Compute the figures; raises ValueError when fewer than two samples lie after the warm-up."""
    time_s = np.asarray(trace.time_s, dtype=np.float64)
    keep = time_s - time_s[0] >= WARM_UP_S if time_s.size else np.zeros(0, dtype=bool)
    if int(keep.sum()) < 2:
        raise ValueError(f"the trace is too short: it needs more than {WARM_UP_S / 60.0:.0f} min of line time")
    api, weight, hardness = trace.api_lc_pct[keep], trace.weight_mg[keep], trace.hardness_n[keep]
    deviation = np.abs(api - 100.0)
    step_kg = trace.throughput_kg_h[keep] * float(time_s[1] - time_s[0]) / 3600.0
    hard = (hardness >= HARDNESS_N[0]) & (hardness <= HARDNESS_N[1])
    off_weight = np.abs(weight / trace.target_weight_mg[keep] - 1.0) * 100.0 > OOS_WEIGHT_PCT
    oos = (deviation > OOS_API_PCT) | off_weight | ~hard
    diverted = trace.diverted[keep]
    return Kpis(
        rsd_pct=_rsd_pct(api),
        mean_error_pct=float(api.mean()) - 100.0,
        max_deviation_pct=float(deviation.max()),
        time_outside_3pct=_share_pct(deviation > 3.0),
        time_outside_5pct=_share_pct(deviation > 5.0),
        weight_rsd_pct=_rsd_pct(weight),
        hardness_in_limits_pct=_share_pct(hard),
        released_oos_kg=float(step_kg[oos & ~diverted].sum()),
        diverted_kg=float(step_kg[diverted].sum()),
        ideal_diverted_kg=float(step_kg[oos].sum()),
        travel=sum(_travel_pct(np.asarray(values)[keep]) for values in trace.setpoints.values()),
        settling_min=settling_min(trace),
    )


def settling_min(trace: Trace) -> float | None:
    """Minutes from the last change of the API target until the API's 60 s mean is within 2 % for 5 minutes."""
    changes = np.flatnonzero(np.diff(trace.target_api_pct))
    if changes.size == 0:
        return None
    start = int(changes[-1]) + 1
    dt_s = float(trace.time_s[1] - trace.time_s[0])
    width = max(1, round(SETTLING_MEAN_S / dt_s))
    # The mean looks back only over samples judged against the new target.
    total = np.concatenate(([0.0], np.cumsum(trace.api_lc_pct[start:])))
    last = np.arange(1, total.size)
    first = np.maximum(0, last - width)
    inside = np.abs((total[last] - total[first]) / (last - first) - 100.0) <= SETTLED_PCT
    need = math.ceil(SETTLED_FOR_S / dt_s)
    run = 0
    for i, good in enumerate(inside):
        run = run + 1 if good else 0
        if run == need:
            return (i + 1 - need) * dt_s / 60.0
    return None


def _rsd_pct(values: FloatArray) -> float:
    return 100.0 * float(values.std()) / float(values.mean())


def _share_pct(flags: BoolArray) -> float:
    return 100.0 * float(flags.mean())


def _travel_pct(values: FloatArray) -> float:
    mean = float(np.abs(values).mean())
    return 100.0 * float(np.abs(np.diff(values)).sum()) / mean if mean > 0.0 else 0.0
