"""The types that travel through soft_sensors, frozen, with units in their names."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


class Quality(StrEnum):
    """How far a number may be trusted; travels with every number."""

    GOOD = "good"
    UNCERTAIN = "uncertain"
    BAD = "bad"

    @property
    def rank(self) -> int:
        """0 good, 1 uncertain, 2 bad: the worst of several is the one with the highest rank."""
        return ("good", "uncertain", "bad").index(self.value)


def worst(*qualities: Quality) -> Quality:
    """The least trustworthy of the given qualities (good when none is given)."""
    return max(qualities, key=lambda q: q.rank, default=Quality.GOOD)


@dataclass(frozen=True)
class Spectrum:
    """One acquisition of an analyser.

    values: absorbance [n_channels]; axis: [n_channels] in axis_unit ("nm" or "cm-1");
    counter: the analyser's acquisition counter; time_s: end of acquisition, seconds since the epoch, UTC;
    quality and reason: what the source said of it (status, stream state), before any look at the numbers.
    """

    axis: FloatArray
    axis_unit: str
    values: FloatArray
    counter: int
    time_s: float
    quality: Quality = Quality.GOOD
    reason: str = ""


@dataclass(frozen=True)
class Verdict:
    """What validate says of a spectrum: may it be used, and if not, why."""

    quality: Quality
    reason: str = ""


@dataclass(frozen=True)
class Contribution:
    """The share (of 1) that the channel at a place on the axis has in a statistic, "T2" or "Q"."""

    statistic: str
    axis: float
    share: float


class Outcome(StrEnum):
    """What may be concluded from an estimate.

    within, outside: the whole interval lies inside or outside the acceptance limits; decided: there are none on the
    card, but the estimate can be relied on; undecided: evidence is short, the reason says why.
    """

    WITHIN = "within"
    OUTSIDE = "outside"
    DECIDED = "decided"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Estimate:
    """A predicted CQA with all that is known about its trustworthiness.

    value, sigma, lower, upper in the card's unit; lower/upper: 90 % prediction interval; sigma: the interval's
    half width divided by 1.645; t2, q and their limits: Hotelling T2 and squared spectral residual; time_s: end of
    acquisition of the spectrum. A bad estimate has a reason; its numbers, where it has any, are for the record only.
    distance: to the nearest calibration sample in standardised scores; contributions: the channels behind T2 and Q;
    outcome: what may be concluded, and undecided says what is short.
    """

    value: float
    sigma: float
    lower: float
    upper: float
    t2: float
    t2_limit: float
    q: float
    q_limit: float
    quality: Quality
    reason: str
    counter: int
    time_s: float
    distance: float = float("nan")
    distance_limit: float = float("inf")
    contributions: tuple[Contribution, ...] = ()
    outcome: Outcome = Outcome.UNDECIDED
    undecided: str = ""
