"""cycles -> minutes and balance: the genealogy row of each minute, and whether the masses add up."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from control.track.diversion import REASON_CHARS

MINUTE_S = 60.0
SIGMAS = 3.0


@dataclass(frozen=True)
class Passed:
    """What passed the gate in one cycle, and where it came from.

    diverted: what the gate said, the request where it said nothing; fed_from_s, fed_to_s: when the middle 90 % of it
    were fed (line clock).
    """

    start_s: float
    end_s: float
    mass_kg: float
    api_pct: float
    sigma_pct: float
    p_nonconf: float
    diverted: bool
    reason: str
    fed_from_s: float
    fed_to_s: float


@dataclass(frozen=True)
class Minute:
    """One row of the genealogy: a minute of material at the gate.

    api_pct, sigma_pct: mean of the material and its uncertainty, % w/w; p_nonconf: expected share of the released
    mass that is outside the limits (of all when none was released); fed_from_s, fed_to_s: when it was fed (the start of
    tracking for what was in the line before).
    """

    start_s: float
    end_s: float
    mass_kg: float
    released_kg: float
    diverted_kg: float
    api_pct: float
    sigma_pct: float
    p_nonconf: float
    reason: str
    fed_from_s: float
    fed_to_s: float


def close_minute(open_cycles: tuple[Passed, ...], time_s: float) -> tuple[tuple[Passed, ...], Minute | None]:
    """The minute that ended by time_s, with the cycles that are still open; minutes are those of the line's clock."""
    if not open_cycles or math.floor(time_s / MINUTE_S) == math.floor(open_cycles[0].start_s / MINUTE_S):
        return open_cycles, None
    return (), _minute(open_cycles)


def _minute(cycles: tuple[Passed, ...]) -> Minute:
    mass_kg = sum(c.mass_kg for c in cycles)
    diverted_kg = sum(c.mass_kg for c in cycles if c.diverted)
    judged = [c for c in cycles if not c.diverted] or list(cycles)
    weights = [max(c.mass_kg, 1e-9) for c in cycles]
    reasons = tuple(dict.fromkeys(c.reason for c in cycles if c.diverted and c.reason))
    return Minute(
        cycles[0].start_s,
        cycles[-1].end_s,
        mass_kg,
        mass_kg - diverted_kg,
        diverted_kg,
        sum(w * c.api_pct for w, c in zip(weights, cycles, strict=True)) / sum(weights),
        max(c.sigma_pct for c in cycles),
        sum(max(c.mass_kg, 1e-9) * c.p_nonconf for c in judged) / sum(max(c.mass_kg, 1e-9) for c in judged),
        "; ".join(reasons)[:REASON_CHARS],
        min(c.fed_from_s for c in cycles),
        max(c.fed_to_s for c in cycles),
    )


@dataclass(frozen=True)
class Balance:
    """Masses since the start, kg: fed = released + diverted + change of hold-up + residual.

    tablets are counted by turret speed and weighed by the force; missing says what could not be told, and the residual
    is then NaN. beyond: the residual is more than three sigmas.
    """

    fed_kg: float = 0.0
    released_kg: float = 0.0
    diverted_kg: float = 0.0
    holdup_change_kg: float = 0.0
    residual_kg: float = 0.0
    sigma_kg: float = 0.0
    missing: str = ""

    @property
    def beyond(self) -> bool:
        """Whether mass is missing, or there is too much of it."""
        return not self.missing and abs(self.residual_kg) > SIGMAS * self.sigma_kg


@dataclass(frozen=True)
class Doubt:
    """One-sigma doubts of a balance: kg of what was fed, share of the tablets' mass, kg of the hold-up."""

    fed_kg: float
    tablets_rel: float
    holdup_kg: float


def reconcile(before: Balance, fed_kg: float, tablets_kg: float, diverted: bool, holdup_kg: float) -> Balance:
    """Add one cycle: fed_kg since the start, tablets_kg of this cycle, holdup_kg the change since the start."""
    out = "diverted_kg" if diverted else "released_kg"
    moved = replace(before, **{out: getattr(before, out) + tablets_kg})
    residual_kg = fed_kg - moved.released_kg - moved.diverted_kg - holdup_kg
    return replace(moved, fed_kg=fed_kg, holdup_change_kg=holdup_kg, residual_kg=residual_kg)


def with_doubt(balance: Balance, doubt: Doubt, missing: str) -> Balance:
    """The balance with its sigma; where something could not be told it says so and claims nothing."""
    if missing:
        return replace(balance, residual_kg=math.nan, sigma_kg=math.nan, missing=missing)
    made_kg = balance.released_kg + balance.diverted_kg
    return replace(balance, sigma_kg=math.hypot(doubt.fed_kg, doubt.tablets_rel * made_kg, doubt.holdup_kg), missing="")
