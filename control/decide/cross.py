"""feeders -> ratio that a starving one can be followed with: the others deliver no more than fits what it really gives.

A bridge of a minute is over before any feedback could act on it (blender dead time); what helps is to slow the other
feeders down at once, so that the blend keeps its ratio and only the throughput suffers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from control.settings import ControlSettings
from control.signals import FeederReading, Quality

STARVES_BELOW = 0.85  # of what it was asked for; flow readings are noisy by some per cent
WELL_ABOVE = 0.95
LEAST = 0.5  # the press hopper must not run empty: below this the line is for the operator to stop
REMEMBERED = 6  # cycles of setpoints: a reading lags behind a new setpoint by its own filter


@dataclass(frozen=True)
class CrossMemory:
    """Setpoints asked of late (kg/h, by feeder, oldest first), and which feeders starve."""

    asked: Mapping[str, tuple[float, ...]]
    starving: frozenset[str] = frozenset()


def cross_limit(
    settings: ControlSettings,
    feeders: Mapping[str, FeederReading],
    working: Mapping[str, float],
    memory: CrossMemory | None,
) -> tuple[dict[str, float], CrossMemory]:
    """Factors on the ratio by setpoint (1 when nothing starves; a starving feeder keeps its own), and the memory."""
    before = memory or CrossMemory({})
    asked = {n: (*before.asked.get(n, ()), working[n])[-REMEMBERED:] for n in feeders}
    shares = {}
    for name, feeder in feeders.items():
        if feeder.volumetric or feeder.flow_kg_h.quality is not Quality.GOOD or min(asked[name]) <= 0:
            continue
        share = feeder.flow_kg_h.value / min(asked[name])
        if share < (WELL_ABOVE if name in before.starving else STARVES_BELOW):
            shares[name] = share
    factors = dict.fromkeys((mv.name for mv in settings.mv), 1.0)
    for mv in settings.mv:
        others = [share for name, share in shares.items() if name != mv.name]
        if mv.role != "force" and others and mv.name not in shares:
            factors[mv.name] = max(LEAST, min(1.0, *others))
    return factors, CrossMemory(asked, frozenset(shares))
