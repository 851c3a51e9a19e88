"""hold-ups -> residence: which share of what leaves now was fed when, in kilograms fed instead of seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from control.settings import Plant
from soft_sensors.signals import FloatArray

POINTS = 2000
UNSEEN = 1e-18  # weight of a term that changes nothing any more
REACH = 5.0  # in means: beyond it less than 1e-6 of the material of three tanks or more is left


@dataclass(frozen=True)
class Residence:
    """The residence of tanks in series, on a grid of mass: share of what was fed `mass_kg` ago that has left by now.

    Levenspiel, Chemical Reaction Engineering, ch. 14; in the mass coordinate it does not depend on throughput.
    """

    mass_kg: FloatArray
    left: FloatArray

    @cached_property
    def mean_kg(self) -> float:
        """The mean residence, kg: the sum of the hold-ups."""
        return float(np.trapezoid(1.0 - self.left, self.mass_kg))

    @property
    def reach_kg(self) -> float:
        """What was fed longer ago than this has left."""
        return float(self.mass_kg[-1])

    def quantile_kg(self, share: float) -> float:
        """Mass that has to be fed until this share (0 to 1) of what was fed before it has left."""
        return float(np.interp(share, self.left, self.mass_kg))

    def shares(self, edges_kg: FloatArray, at_kg: float, scale: float) -> tuple[FloatArray, float]:
        """Of what leaves when at_kg have been fed: the share of each parcel, and of what was there before the first.

        edges_kg [n + 1]: kilograms fed when each of the n parcels began, and when the last one ended, ascending; scale
        stretches every hold-up. What is fed after the last edge counts as the last parcel's.
        """
        with np.errstate(over="ignore"):  # masses that no line can feed: beyond the curve's end either way
            passed_kg = (at_kg - edges_kg) / scale
        left = np.interp(passed_kg, self.mass_kg, self.left, left=0.0, right=1.0)
        left[-1] = 0.0
        return left[:-1] - left[1:], float(1.0 - left[0])


def residence(plant: Plant) -> Residence:
    """The residence between feeders and gate that the controller's model of the line has."""
    tanks = [plant.blender_kg / plant.blender_tanks] * plant.blender_tanks
    tanks += [plant.transport_kg / plant.transport_tanks] * plant.transport_tanks
    tanks.append(plant.feed_frame_kg)
    rate = np.diag([-1.0 / kg for kg in tanks]) + np.diag([1.0 / kg for kg in tanks[1:]], k=-1)
    grid = np.linspace(0.0, REACH * sum(tanks), POINTS)
    advance = _advance(rate, float(grid[1]))
    absent, left = np.ones(len(tanks)), np.empty(POINTS)  # step response: what of the old material each tank still has
    for i in range(POINTS):
        left[i] = 1.0 - absent[-1]
        absent = advance @ absent
    return Residence(grid, np.maximum.accumulate(np.clip(left, 0.0, 1.0)))


def _advance(rate: FloatArray, mass_kg: float) -> FloatArray:
    """exp(rate * mass_kg) by uniformization (Jensen 1953): all terms positive for rates of leaving and arriving.

    As exact as scipy's, whose import alone would be a tenth of the service's start. One step of the grid moves little
    between tanks, so that few terms are left.
    """
    most = float(np.max(-np.diag(rate))) * mass_kg  # jumps expected from the smallest tank
    parts = 1 + int(most)  # each part's share of them is below one, so that no weight is lost to underflow
    jumps = np.eye(len(rate)) + rate * (mass_kg / most)
    power, weight, found, k = np.eye(len(rate)), math.exp(-most / parts), np.zeros_like(rate), 0
    while weight > UNSEEN:
        found = found + weight * power
        k += 1
        power, weight = jumps @ power, weight * most / parts / k
    return np.linalg.matrix_power(found, parts)
