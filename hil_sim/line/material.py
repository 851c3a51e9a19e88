"""Powder as component masses, and the two ways it is kept: mixed (Tank) or in its order (Plug)."""

from __future__ import annotations

from collections import deque

COMPONENTS = ("api", "mcc", "lac", "mgst", "water")
API, MCC, LAC, MGST, WATER = range(5)

Masses = list[float]
"""Component masses in kg, in the order of COMPONENTS."""


class Tank:
    """Ideally mixed powder; masses in kg.

    Mass is moved, never recomputed from concentrations, so the balance closes to rounding.
    """

    def __init__(self, masses: Masses) -> None:
        self.masses = list(masses)

    @property
    def total_kg(self) -> float:
        """Hold-up in kg."""
        return sum(self.masses)

    def exchange(self, inflow: Masses, out_kg: float) -> Masses:
        """Take inflow in, mix, give out_kg (all there is, if less) out; returns what left, kg a component."""
        a, b, c, d, e = self.masses
        a += inflow[0]
        b += inflow[1]
        c += inflow[2]
        d += inflow[3]
        e += inflow[4]
        total = a + b + c + d + e
        share = min(1.0, out_kg / total) if total > 0.0 else 0.0
        left = [a * share, b * share, c * share, d * share, e * share]
        self.masses = [a - left[0], b - left[1], c - left[2], d - left[3], e - left[4]]
        return left


class Plug:
    """Powder that keeps its order (plug flow in the mass coordinate); masses in kg."""

    def __init__(self, parcels: list[Masses]) -> None:
        self._parcels: deque[Masses] = deque(list(parcel) for parcel in parcels)
        self._total_kg = sum(sum(parcel) for parcel in parcels)

    @property
    def total_kg(self) -> float:
        """Hold-up in kg."""
        return self._total_kg

    @property
    def masses(self) -> Masses:
        """Component masses held, kg."""
        return [sum(column) for column in zip(*self._parcels, strict=True)] if self._parcels else [0.0] * 5

    def push(self, parcel: Masses) -> None:
        """Add a parcel behind the others."""
        mass = sum(parcel)
        if mass > 0.0:
            self._parcels.append(list(parcel))
            self._total_kg += mass

    def pull(self, out_kg: float) -> Masses:
        """Take the oldest out_kg (all there is, if less); returns kg a component."""
        out = [0.0] * 5
        parcels = self._parcels
        while out_kg > 0.0 and parcels:
            head = parcels[0]
            mass = sum(head)
            share = 1.0 if mass <= out_kg else out_kg / mass
            for i in range(5):
                moved = head[i] * share
                out[i] += moved
                head[i] -= moved
            out_kg -= mass * share
            self._total_kg -= mass * share
            if share == 1.0:
                parcels.popleft()
        return out
