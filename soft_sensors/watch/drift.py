"""T2, Q, interval width and residuals of a running sensor -> drift alarms, before single spectra are refused.

Each figure is followed as the logarithm of its ratio to its limit, smoothed (EWMA), and compared with its own first
spectra: a level that was accepted at the start, whatever it was. An alarm is raised and cleared at different levels;
far below the limit there is none, however large the rise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

WEIGHT = 0.05  # our choice: the memory is about 20 spectra
BASELINE = 300  # our choice: spectra that set the level
RAISE, CLEAR = 4.5, 2.5  # standard deviations of the EWMA; see tests for the false alarm rate these give
SMALLEST = math.log(1.5)  # our choice: a level 50 % higher is the smallest that is worth an alarm
FROM, BELOW = math.log(0.25), math.log(0.2)  # our choice: a level under a quarter of its limit is far from refusing
TINY = 1e-9
RUN = 9  # differences to the laboratory on one side, as rule 2 of Nelson 1984


@dataclass(frozen=True)
class Track:
    """One followed figure: sums over the baseline (n, mean, m2, lag product), then level and alarm."""

    n: int = 0
    mean: float = 0.0
    m2: float = 0.0
    lag: float = 0.0
    last: float = 0.0
    level: float = 0.0
    alarm: bool = False

    @property
    def sd(self) -> float:
        """Standard deviation of the EWMA, given that neighbouring spectra are alike (first-order autocorrelation)."""
        variance = self.m2 / max(self.n - 1, 1)
        alike = min(max(self.lag / self.m2 if self.m2 > 0 else 0.0, 0.0), 0.95)
        keep = 1.0 - WEIGHT
        return math.sqrt(variance * WEIGHT / (2.0 - WEIGHT) * (1 + keep * alike) / (1 - keep * alike))


@dataclass(frozen=True)
class Drift:
    """What is remembered of T2, Q, the interval's width and the run of residuals on one side."""

    t2: Track = field(default_factory=Track)
    q: Track = field(default_factory=Track)
    interval: Track = field(default_factory=Track)
    run: int = 0

    @property
    def alarms(self) -> tuple[str, ...]:
        """The alarms that stand, in words."""
        named = (("T2", self.t2), ("Q", self.q), ("the interval", self.interval))
        found = [f"{name} has risen {math.exp(t.level - t.mean):.2g} times" for name, t in named if t.alarm]
        if abs(self.run) >= RUN:
            found.append(f"{abs(self.run)} results in a row {'below' if self.run > 0 else 'above'} the sensor")
        return tuple(found)


def follow(state: Drift, t2_ratio: float, q_ratio: float, width_ratio: float) -> Drift:
    """The state after one more spectrum: T2 and Q over their limits, the half width over the card's.

    A figure that is not finite leaves its track as it was.
    """
    return replace(state, t2=_next(state.t2, t2_ratio), q=_next(state.q, q_ratio),
                   interval=_next(state.interval, width_ratio))


def compare(state: Drift, difference: float) -> Drift:
    """The state after one more laboratory result: difference = sensor minus laboratory."""
    if not math.isfinite(difference) or difference == 0.0:
        return replace(state, run=0) if difference == 0.0 else state
    side = 1 if difference > 0 else -1
    return replace(state, run=state.run + side if state.run * side > 0 else side)


def _next(track: Track, ratio: float) -> Track:
    if not math.isfinite(ratio):
        return track
    x = math.log(max(ratio, TINY))
    if track.n < BASELINE:
        return _learn(track, x)
    level = (1.0 - WEIGHT) * track.level + WEIGHT * x
    rise = level - track.mean
    up = max(RAISE * track.sd, SMALLEST)
    down = up * CLEAR / RAISE
    alarm = rise > down and level > BELOW if track.alarm else rise > up and level > FROM
    return replace(track, level=level, alarm=alarm)


def _learn(track: Track, x: float) -> Track:
    """Welford's running mean and variance, and the product of neighbours for their likeness."""
    n = track.n + 1
    mean = track.mean + (x - track.mean) / n
    lag = track.lag + ((x - mean) * (track.last - mean) if track.n else 0.0)
    return Track(n=n, mean=mean, m2=track.m2 + (x - track.mean) * (x - mean), lag=lag, last=x, level=mean)
