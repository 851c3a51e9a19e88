"""Continuous blender: dead time and mixed tanks in the mass coordinate, hold-up by speed and flow."""

from __future__ import annotations

from hil_sim.line.material import Masses, Plug, Tank, powder_of, total_kg
from hil_sim.line.parameters import BlenderParameters


class Blender:
    """Dead time, then equal tanks with F = F0 ((M/M0) (rpm/rpm0)^a)^(1/b) each (inverse of the hold-up law)."""

    def __init__(self, parameters: BlenderParameters, fractions: Masses, flow_kg_h: float) -> None:
        self._p = parameters
        self.rpm = parameters.rpm
        p = parameters
        self._flow_kg_s = p.flow_kg_h / 3600.0
        dead_kg = p.dead_time_s * self._flow_kg_s
        count = round(p.tanks)
        self._tank_kg = (p.holdup_kg - dead_kg) / count
        steady_kg = self._tank_kg * (flow_kg_h / p.flow_kg_h) ** p.flow_exponent
        self._dead = Plug([powder_of(fractions, dead_kg)])
        self._tanks = [Tank(powder_of(fractions, steady_kg)) for _ in range(count)]

    @property
    def masses(self) -> Masses:
        """Component masses held, kg."""
        parts = [self._dead.masses, *(tank.masses for tank in self._tanks)]
        return [sum(column) for column in zip(*parts, strict=True)]

    def step(self, dt_s: float, inflow: Masses) -> Masses:
        """Push inflow (kg a component) in, advance by dt_s, return what leaves, kg a component."""
        p = self._p
        self._dead.push(inflow)
        stream = self._dead.pull(total_kg(inflow))
        speed = (self.rpm / p.rpm) ** p.speed_exponent
        for tank in self._tanks:
            drive = tank.total_kg / self._tank_kg * speed
            stream = tank.exchange(stream, self._flow_kg_s * drive ** (1.0 / p.flow_exponent) * dt_s)
        return stream
