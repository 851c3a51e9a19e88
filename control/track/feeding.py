"""hopper weights -> parcels: what was fed in each cycle, laid end to end by kilograms fed.

A hopper's weight loses what the feeder delivers, whatever a flow signal's filter makes of it; only while it is being
refilled the flow signal has to stand in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from soft_sensors.signals import FloatArray


@dataclass(frozen=True)
class FeederSeen:
    """A feeder as one cycle saw it; NaN where it is not known. flow_kg_h: the last one that was good."""

    hopper_kg: float
    flow_kg_h: float
    refilling: bool


@dataclass(frozen=True)
class Parcels:
    """What was fed, oldest first: edges_kg [n + 1] in kilograms fed since the start, edges_s [n + 1], api_pct [n].

    fed_kg and blind_kg: all that was fed since the start, and what of it was not weighed.
    """

    edges_kg: FloatArray
    edges_s: FloatArray
    api_pct: FloatArray
    seen: Mapping[str, FeederSeen]
    fed_kg: float = 0.0
    blind_kg: float = 0.0

    @property
    def now_kg(self) -> float:
        """Kilograms fed since the start."""
        return float(self.edges_kg[-1])

    @property
    def rate_kg_s(self) -> float:
        """Feed rate over the newest parcels (about half a minute), kg/s; 0 when nothing was fed yet."""
        first = max(0, len(self.edges_s) - 7)
        passed_s = float(self.edges_s[-1] - self.edges_s[first])
        return float(self.edges_kg[-1] - self.edges_kg[first]) / passed_s if passed_s > 0 else 0.0


def begin(time_s: float, seen: Mapping[str, FeederSeen]) -> Parcels:
    """Nothing fed yet."""
    return Parcels(np.zeros(1), np.array([time_s]), np.zeros(0), seen)


def feed(before: Parcels, time_s: float, seen: Mapping[str, FeederSeen], api: str, reach_kg: float) -> Parcels:
    """The parcels with what was fed until time_s; those older than reach_kg are dropped.

    api: the name of the feeder whose powder is the active. When the mass of a feeder cannot be told nothing is added:
    the next cycle that can tell adds all that was fed since.
    """
    passed_s = time_s - float(before.edges_s[-1])
    if passed_s <= 0:
        return before
    told = {name: _fed_kg(before.seen.get(name), now, passed_s) for name, now in seen.items()}
    held = {name: _merge(before.seen.get(name), now) for name, now in seen.items()}
    if not told or any(kg is None for kg, _ in told.values()):
        return before
    total_kg = sum(kg for kg, _ in told.values() if kg is not None)
    blind_kg = sum(kg for kg, weighed in told.values() if kg is not None and not weighed)
    api_kg = told[api][0]
    if total_kg <= 0.0 or api_kg is None:
        return before
    edges_kg = np.append(before.edges_kg, before.now_kg + total_kg)
    first = max(0, int(np.searchsorted(edges_kg, edges_kg[-1] - reach_kg)) - 1)
    return Parcels(
        edges_kg[first:],
        np.append(before.edges_s, time_s)[first:],
        np.append(before.api_pct, 100.0 * api_kg / total_kg)[first:],
        held,
        before.fed_kg + total_kg,
        before.blind_kg + blind_kg,
    )


def _fed_kg(before: FeederSeen | None, now: FeederSeen, passed_s: float) -> tuple[float | None, bool]:
    """Kilograms a feeder delivered, and whether they were weighed; None when there is nothing to tell them by."""
    if before is not None and not before.refilling and not now.refilling:
        lost_kg = before.hopper_kg - now.hopper_kg
        if math.isfinite(lost_kg) and lost_kg >= 0.0:
            return lost_kg, True
    for flow in (now.flow_kg_h, before.flow_kg_h if before is not None else math.nan):
        if math.isfinite(flow):
            return max(0.0, flow) * passed_s / 3600.0, False
    return None, False


def _merge(before: FeederSeen | None, now: FeederSeen) -> FeederSeen:
    """A flow that is not known now is the one known before."""
    if math.isfinite(now.flow_kg_h) or before is None:
        return now
    return replace(now, flow_kg_h=before.flow_kg_h)
