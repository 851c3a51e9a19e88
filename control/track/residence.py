"""hold-ups -> residence: which share of what leaves now was fed when, in kilograms fed instead of seconds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import expm

from control.settings import Plant
from soft_sensors.signals import FloatArray

POINTS = 2000
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
    advance = expm(rate * (grid[1] - grid[0]))
    absent, left = np.ones(len(tanks)), np.empty(POINTS)  # step response: what of the old material each tank still has
    for i in range(POINTS):
        left[i] = 1.0 - absent[-1]
        absent = advance @ absent
    return Residence(grid, np.maximum.accumulate(np.clip(left, 0.0, 1.0)))
