"""errors, setpoints, active constraints -> how the loop conducted itself, and what its limits cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from control.signals import Active
from soft_sensors.signals import FloatArray


@dataclass(frozen=True)
class Cost:
    """What one limit cost: the share of decisions it was active in, and the mean of its multiplier then.

    mean_multiplier: cost of the controller's objective saved a unit by which the limit gives way.
    """

    name: str
    share: float
    mean_multiplier: float


def time_in_control(error: FloatArray, limit: float) -> float:
    """Share (0 to 1) of samples with |error| within the limit, same unit; samples that are not finite count as out."""
    found = np.asarray(error, dtype=np.float64)
    return float(np.mean(np.abs(found) <= limit)) if found.size else 0.0


def travel_pct(setpoints: Mapping[str, FloatArray]) -> dict[str, float]:
    """How far each setpoint was moved: sum of its moves in % of its mean; gaps (NaN) are skipped."""
    found = {}
    for name, values in setpoints.items():
        known = np.asarray(values, dtype=np.float64)
        known = known[np.isfinite(known)]
        mean = float(np.abs(known).mean()) if known.size else 0.0
        found[name] = 100.0 * float(np.abs(np.diff(known)).sum()) / mean if mean > 0.0 else 0.0
    return found


def constraint_costs(decisions: Iterable[Sequence[Active]]) -> tuple[Cost, ...]:
    """What limits cost over many decisions, costliest (share times multiplier) first; a cycle counts its largest."""
    sums: dict[str, list[float]] = {}
    count = 0
    for active in decisions:
        count += 1
        largest: dict[str, float] = {}
        for limit in active:
            name = f"{limit.name} {limit.side}"
            largest[name] = max(largest.get(name, 0.0), limit.multiplier)
        for name, value in largest.items():
            sums.setdefault(name, []).append(value)
    costs = [Cost(name, len(values) / count, sum(values) / len(values)) for name, values in sums.items()]
    return tuple(sorted(costs, key=lambda cost: -cost.share * cost.mean_multiplier))
