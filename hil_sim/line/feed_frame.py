"""Chute with its level, and the feed frame: the last powder before the dies."""

from __future__ import annotations

from math import exp, sqrt
from random import Random

from hil_sim.line.material import MGST, Masses, Plug, Tank, powder_of
from hil_sim.line.parameters import ChuteParameters, FeedFrameParameters


class Chute:
    """Plug flow between blender and feed frame; its fill is the press hopper level."""

    def __init__(self, parameters: ChuteParameters, fractions: Masses, flow_kg_h: float, seed: str) -> None:
        held_kg = parameters.transit_s * flow_kg_h / 3600.0
        self.capacity_kg = held_kg * 100.0 / parameters.level_pct
        self._noise_pct = parameters.level_noise_pct
        self._random = Random(seed)
        slices = 60
        self.powder = Plug([powder_of(fractions, held_kg / slices) for _ in range(slices)])

    @property
    def level_pct(self) -> float:
        """True fill, % of capacity."""
        return 100.0 * self.powder.total_kg / self.capacity_kg

    def measure_level_pct(self) -> float:
        """What the level probe says, % of capacity."""
        return self.level_pct + self._random.gauss(0.0, self._noise_pct)


class FeedFrame:
    """One mixed hold-up with paddles; wanders in bulk density and lubricates the powder."""

    def __init__(self, parameters: FeedFrameParameters, fractions: Masses, flow_kg_h: float, seed: str) -> None:
        self._p = parameters
        self._random = Random(seed)
        self._nominal_flow_kg_s = flow_kg_h / 3600.0
        self.paddle_rpm = parameters.paddle_rpm
        self.density_ratio = 1.0
        self.powder = Tank(powder_of(fractions, parameters.holdup_kg))

    @property
    def fill(self) -> float:
        """Fill as a share of the nominal hold-up."""
        return self.powder.total_kg / self._p.holdup_kg

    def room_kg(self) -> float:
        """How much powder it can take from the chute now, kg."""
        return max(0.0, self._p.holdup_kg - self.powder.total_kg)

    def wander(self, dt_s: float) -> None:
        """Let the bulk density wander by one step of dt_s."""
        p = self._p
        keep = exp(-dt_s / p.density_tau_s)
        kick = sqrt(1.0 - keep * keep) * p.density_sd * self._random.gauss(0.0, 1.0)
        self.density_ratio = 1.0 + keep * (self.density_ratio - 1.0) + kick

    def strength_factor(self, flow_kg_s: float) -> float:
        """Tablet strength left after lubrication, relative to the reference state.

        Form of Kushner and Moore (IJP 2010): (1-b) + b exp(-g c K), c stearate, K shear = paddle speed x residence.
        """
        p = self._p
        total = self.powder.total_kg
        if total <= 0.0 or flow_kg_s <= 0.0:
            return 1.0
        stearate = self.powder.masses[MGST] / total / 0.01
        shear = self.paddle_rpm / p.paddle_rpm * (total / p.holdup_kg) * (self._nominal_flow_kg_s / flow_kg_s)
        loss, rate = p.lubrication_loss, p.lubrication_rate
        left = 1.0 - loss + loss * exp(-rate * stearate * shear)
        return left / (1.0 - loss + loss * exp(-rate))
