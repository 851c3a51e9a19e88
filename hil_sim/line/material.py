"""Powder as component masses, and the two ways it is kept: mixed (Tank) or in its order (Plug)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

COMPONENTS = ("api", "mcc", "lac", "mgst", "water")
API, MCC, LAC, MGST, WATER = range(5)
LOOSE = 5
PARTS = 6

Masses = list[float]
"""Component masses in kg, in the order of COMPONENTS; last (LOOSE) the bulk volume in litres that this powder takes
beyond what its components take at the density of their reference lots: it travels with the powder but weighs nothing.
"""


def total_kg(powder: Sequence[float]) -> float:
    """Mass of a powder, kg."""
    return powder[0] + powder[1] + powder[2] + powder[3] + powder[4]


def powder_of(fractions: Sequence[float], mass_kg: float) -> Masses:
    """Powder of the reference lots with these mass fractions (order of COMPONENTS)."""
    return [*(mass_kg * fraction for fraction in fractions), 0.0]


class Tank:
    """Ideally mixed powder; masses in kg.

    Mass is moved, never recomputed from concentrations, so the balance closes to rounding.
    """

    def __init__(self, powder: Masses) -> None:
        self.masses = list(powder)

    @property
    def total_kg(self) -> float:
        """Hold-up in kg."""
        return total_kg(self.masses)

    def exchange(self, inflow: Masses, out_kg: float) -> Masses:
        """Take inflow in, mix, give out_kg (all there is, if less) out; returns what left, kg a component."""
        a, b, c, d, e, loose = self.masses
        a += inflow[0]
        b += inflow[1]
        c += inflow[2]
        d += inflow[3]
        e += inflow[4]
        loose += inflow[5]
        total = a + b + c + d + e
        share = min(1.0, out_kg / total) if total > 0.0 else 0.0
        left = [a * share, b * share, c * share, d * share, e * share, loose * share]
        self.masses = [a - left[0], b - left[1], c - left[2], d - left[3], e - left[4], loose - left[5]]
        return left


class Plug:
    """Powder that keeps its order (plug flow in the mass coordinate); masses in kg."""

    def __init__(self, parcels: list[Masses]) -> None:
        self._parcels: deque[Masses] = deque(list(parcel) for parcel in parcels)
        self._total_kg = sum(total_kg(parcel) for parcel in parcels)

    @property
    def total_kg(self) -> float:
        """Hold-up in kg."""
        return self._total_kg

    @property
    def masses(self) -> Masses:
        """Component masses held, kg."""
        return [sum(column) for column in zip(*self._parcels, strict=True)] if self._parcels else [0.0] * PARTS

    def push(self, parcel: Masses) -> None:
        """Add a parcel behind the others."""
        mass = total_kg(parcel)
        if mass > 0.0:
            self._parcels.append(list(parcel))
            self._total_kg += mass

    def pull(self, out_kg: float) -> Masses:
        """Take the oldest out_kg (all there is, if less); returns kg a component."""
        a = b = c = d = e = loose = 0.0
        parcels = self._parcels
        while out_kg > 0.0 and parcels:
            head = parcels[0]
            mass = total_kg(head)
            share = 1.0 if mass <= out_kg else out_kg / mass
            moved = [part * share for part in head]
            a += moved[0]
            b += moved[1]
            c += moved[2]
            d += moved[3]
            e += moved[4]
            loose += moved[5]
            out_kg -= mass * share
            self._total_kg -= mass * share
            if share == 1.0:
                parcels.popleft()
            else:
                parcels[0] = [part - gone for part, gone in zip(head, moved, strict=True)]
        return [a, b, c, d, e, loose]
