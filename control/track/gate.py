"""parcels, gap -> gate: what passes the gate until the next decision can act, with its bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from control.signals import Target
from control.track.feeding import Parcels
from control.track.gap import Fed, Gap
from control.track.residence import Residence
from control.track.settings import TrackSettings

DOUBT = 0.5
CORNERS = (-1.0, 0.0, 1.0)  # hold-ups at their mean and one sigma to either side


@dataclass(frozen=True)
class Feed:
    """What the feeders say of the material at the gate, % w/w: now and ahead, one value a hold-up corner.

    unknown: share of it that was in the line before the first parcel, at the corner where most of it still is.
    """

    now_pct: tuple[float, ...]
    ahead_pct: tuple[float, ...]
    residence_s: float
    unknown: float

    @property
    def fed(self) -> Fed:
        """The middle corner and the doubt that the outer ones leave."""
        return Fed(self.now_pct[1], 0.5 * abs(self.now_pct[2] - self.now_pct[0]), self.residence_s, self.unknown)


@dataclass(frozen=True)
class Gate:
    """API of the material that passes until the next decision acts, % of label claim.

    lc_pct, sigma_lc_pct: now; low_lc_pct, high_lc_pct: the bounds at the stated sigmas, by feeders and by NIR,
    whichever is wider; p_nonconf: probability that the material now at the gate is outside the limit.
    """

    lc_pct: float
    sigma_lc_pct: float
    low_lc_pct: float
    high_lc_pct: float
    p_nonconf: float


def feed_side(parcels: Parcels, residence: Residence, target: Target, settings: TrackSettings, ahead_s: float) -> Feed:
    """Weighed composition convolved with the residence, at the corners of what the hold-ups may be.

    What was in the line before the first parcel counts as on target; the gap corrects for what it really was.
    """
    rate_kg_s = parcels.rate_kg_s or target.throughput_kg_h / 3600.0
    now_kg = parcels.now_kg
    values: list[list[float]] = [[], []]
    unknown = 0.0
    for corner in CORNERS:
        scale = max(0.1, 1.0 + corner * settings.holdup_rel)
        for at_kg, found in zip((now_kg, now_kg + rate_kg_s * ahead_s), values, strict=True):
            shares, before = residence.shares(parcels.edges_kg, at_kg, scale)
            found.append(float(shares @ parcels.api_pct) + before * target.api_pct)
            unknown = max(unknown, before)
    return Feed(tuple(values[0]), tuple(values[1]), residence.mean_kg / rate_kg_s, unknown)


def at_gate(
    feed: Feed, gap: Gap, target: Target, limit_lc_pct: float, sigmas: float, ahead_s: float, settings: TrackSettings
) -> Gate:
    """Bounds of the material at the gate, now or when the next decision acts, whichever is further out."""
    per = 100.0 / target.api_pct
    lc_pct, sigma = per * (feed.now_pct[1] + gap.pct), per * gap.sigma_pct
    slope, slope_sigma = gap.slope_pct_s
    known = per * (feed.ahead_pct[1] - feed.now_pct[1] + slope * ahead_s)
    doubt = per * DOUBT * slope_sigma * ahead_s
    margin_lc_pct = settings.margin_lc_pct
    reach = sigmas * sigma + margin_lc_pct
    # A swing that is half sure counts half: until it is found, level and slope lag behind it.
    rise, fall = (settings.swing_doubt_lc_pct * min(1.0, c / settings.swing_threshold) for c in gap.cusum)
    low, high = lc_pct + min(0.0, known - doubt) - reach - fall, lc_pct + max(0.0, known + doubt) + reach + rise
    # A change that the feeders saw is as good as the residence: NIR noise may not talk it away.
    for now, ahead in zip(feed.now_pct, feed.ahead_pct, strict=True):
        low = min(low, per * (min(now, ahead) + gap.slow_pct) - margin_lc_pct)
        high = max(high, per * (max(now, ahead) + gap.slow_pct) + margin_lc_pct)
    spread = per * 0.5 * abs(feed.now_pct[2] - feed.now_pct[0]) * 0.5
    total = math.hypot(sigma, spread, 1e-6)
    return Gate(lc_pct, total, low, high, outside(lc_pct, total, 100.0 - limit_lc_pct, 100.0 + limit_lc_pct))


def outside(value: float, sigma: float, low: float, high: float) -> float:
    """Probability that a normal quantity lies outside low to high; sigma above 0."""
    root = sigma * math.sqrt(2.0)
    return min(1.0, 0.5 * math.erfc((value - low) / root) + 0.5 * math.erfc((high - value) / root))
