"""The way from feeder to probe as dead time and lag: what the classical controllers know of the line."""

from __future__ import annotations

import math
from dataclasses import dataclass

from control.settings import Plant

LONGEST = 240  # cycles of inlet remembered: twice the dead time of the slowest throughput at a 5 s cycle


@dataclass(frozen=True)
class Way:
    """First order plus dead time, seconds; gain 1: API trimmed in at the feeder comes out at the probe in full."""

    dead_s: float
    lag_s: float


@dataclass(frozen=True)
class OnTheWay:
    """What entered and has passed the lag, newest first; past[0] is what the lag holds now."""

    past: tuple[float, ...]


def way(plant: Plant, throughput_kg_h: float) -> Way:
    """Dead time and lag with the mean and the variance of the model's residence time at a throughput.

    Feeder lag, then tanks in series of mass m at flow F: mean sum(m / F), variance sum of the squares (Levenspiel,
    Chemical Reaction Engineering, ch. 14); first order plus dead time has mean theta + tau and variance tau^2.
    """
    flow_kg_s = throughput_kg_h / 3600
    blender_s = plant.blender_kg / flow_kg_s
    transport_s = plant.transport_kg / flow_kg_s
    frame_s = plant.feed_frame_kg / flow_kg_s
    mean_s = plant.feeder_lag_s + blender_s + transport_s + frame_s
    variance = (
        plant.feeder_lag_s**2
        + blender_s**2 / plant.blender_tanks
        + transport_s**2 / plant.transport_tanks
        + frame_s**2
    )
    lag_s = min(math.sqrt(variance), mean_s)
    return Way(mean_s - lag_s, lag_s)


def steady(value: float) -> OnTheWay:
    """A line that has been fed with value for long."""
    return OnTheWay((value,))


def feed(on: OnTheWay, entered: float, passed: Way, cycle_s: float) -> OnTheWay:
    """One cycle later, with `entered` fed in."""
    now = on.past[0] + (1.0 - math.exp(-cycle_s / passed.lag_s)) * (entered - on.past[0])
    return OnTheWay((now, *on.past)[:LONGEST])


def arrived(on: OnTheWay, passed: Way, cycle_s: float) -> float:
    """What is at the probe now."""
    return on.past[min(round(passed.dead_s / cycle_s), len(on.past) - 1)]
