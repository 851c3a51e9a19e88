"""feeders -> ratio that a starving one can be followed with: the others deliver what fits what it really gives.

A bridge of a minute is over before any feedback could act on it (blender dead time); what helps is to slow the other
feeders down at once, so that the blend keeps its ratio and only the throughput suffers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from control.settings import ControlSettings
from control.signals import FeederReading, Quality

STARVES_BELOW = 0.85  # of what it was asked for; flow readings are noisy by some per cent
STEADY_WITHIN = 0.03  # of what it was asked for: it delivers as it should again
LEAST, MOST = 0.5, 1.25  # the press hopper may neither run empty nor over: beyond, the line is for the operator
REMEMBERED = 6  # cycles of setpoints: a reading lags behind a new setpoint by its own filter; and to be steady for


@dataclass(frozen=True)
class CrossMemory:
    """Setpoints asked of late (kg/h, by feeder, oldest first), and since how many cycles a wild feeder is steady again.

    A feeder is wild from when it starves until it has been steady for a while: its own drive overshoots after a bridge.
    """

    asked: Mapping[str, tuple[float, ...]]
    wild: Mapping[str, int] = field(default_factory=dict)


def cross_limit(
    settings: ControlSettings,
    feeders: Mapping[str, FeederReading],
    working: Mapping[str, float],
    memory: CrossMemory | None,
) -> tuple[dict[str, float], CrossMemory]:
    """Factors on the ratio by setpoint (1 when no feeder is wild; a wild one keeps its own), and the memory."""
    before = memory or CrossMemory({})
    asked = {n: (*before.asked.get(n, ()), working[n])[-REMEMBERED:] for n in feeders}
    shares, wild = {}, {}
    minor = settings.named("lubricant")  # a hundredth of the blend leads nothing
    for name, feeder in feeders.items():
        weighed = not feeder.volumetric and feeder.flow_kg_h.quality is Quality.GOOD
        if name == minor or not weighed or not min(asked[name]) > 0:
            continue
        share, steady_for = feeder.flow_kg_h.value / min(asked[name]), before.wild.get(name)
        if steady_for is None and share >= STARVES_BELOW:
            continue
        steady = 0 if steady_for is None or abs(share - 1) > STEADY_WITHIN else steady_for + 1
        if steady < REMEMBERED:
            shares[name], wild[name] = share, steady
    factors = dict.fromkeys((mv.name for mv in settings.mv), 1.0)
    if shares:
        lead = min(shares.values(), key=lambda share: (share >= 1, -abs(share - 1)))
        for mv in settings.mv:
            if mv.role != "force" and mv.name not in shares:
                factors[mv.name] = min(max(lead, LEAST), MOST)
    return factors, CrossMemory(asked, wild)
