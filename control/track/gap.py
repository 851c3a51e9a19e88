"""NIR, laboratory -> gap: by how much the material at the probe differs from what the feeders say was fed into it.

The gap holds all that feeders cannot see (loss, wrong assay) and how far the residence is off. It is estimated as a
level with a slope by a Kalman filter on NIR readings, whose bias only the laboratory tells: what is not settled by it
stays in the interval. A CUSUM (Page 1954) on the innovations opens the filter when something has begun.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from control.settings import ObserverSettings
from control.signals import LabResult
from control.track.settings import TrackSettings
from soft_sensors.signals import FloatArray

LEVEL, SLOPE, BIAS = 0, 1, 2
SWING_S = 15.0  # a change that the CUSUM finds has been going on for about so long
CLIP_SIGMAS = 3.0
SLOW_LC_PCT = 2.0
AROUND_S, LOOKS = 30.0, 5  # a laboratory sample is met by the NIR's looks so far around it, if there are so many
NIR = np.array([1.0, 0.0, 1.0])
# A walk of the bias that leaves the reading as it is: a change that the NIR shows is the product's until the laboratory
# says otherwise, but how far the bias may have gone meanwhile is in the interval.
EITHER = np.array([1.0, 0.0, -1.0])

Entry = TypeVar("Entry", tuple[float, float], tuple[float, float, float])


@dataclass(frozen=True)
class NirSeen:
    """One estimate of the material at the probe: % w/w with sigma, and when it was measured."""

    value_pct: float
    sigma_pct: float
    time_s: float


@dataclass(frozen=True)
class Gap:
    """Gap, its slope (1/s) and the NIR's bias, % w/w, with covariance; slow_pct: the gap's mean of some minutes.

    settled: what was in the line at the start has left; confirmed: sample time of the last laboratory result, and how
    far it moved the gap; said, looks: what was held to be at the probe and what the NIR showed, newest last (time_s,
    % w/w, and the NIR's sigma), so that a late laboratory value meets them.
    """

    time_s: float
    mean: FloatArray
    cov: FloatArray
    slow_pct: float = 0.0
    cusum: tuple[float, float] = (0.0, 0.0)
    nir_time_s: float = -math.inf
    lab_counter: int = 0
    settled: bool = False
    confirmed: tuple[float, float] = (-math.inf, 0.0)
    said: tuple[tuple[float, float], ...] = ()
    looks: tuple[tuple[float, float, float], ...] = ()

    @property
    def pct(self) -> float:
        """The gap now, % w/w."""
        return float(self.mean[LEVEL])

    @property
    def sigma_pct(self) -> float:
        """Its standard deviation, the NIR's bias included."""
        return math.sqrt(max(0.0, float(self.cov[LEVEL, LEVEL])))

    @property
    def slope_pct_s(self) -> tuple[float, float]:
        """Its slope and the slope's standard deviation, % w/w a second."""
        return float(self.mean[SLOPE]), math.sqrt(max(0.0, float(self.cov[SLOPE, SLOPE])))


def begin(time_s: float, noise: ObserverSettings, target_pct: float) -> Gap:
    """Nothing known yet: what is in the line at the start may be anything within a tenth of the target."""
    sigmas = np.array([0.1 * target_pct, 1e-6, noise.nir_bias_start_pct])
    return Gap(time_s, np.zeros(3), np.diag(sigmas**2))


@dataclass(frozen=True)
class Fed:
    """What the feeders say is at the probe: % w/w, how far it moves for a hold-up one sigma off, residence in s.

    unknown: share of what is there that was in the line before the first look.
    """

    pct: float
    doubt_pct: float
    residence_s: float
    unknown: float = 0.0


def follow(
    gap: Gap, time_s: float, fed: Fed, nir: NirSeen | None, lab: LabResult | None, target_pct: float,
    settings: TrackSettings, noise: ObserverSettings,
) -> Gap:  # fmt: skip
    """The gap one cycle on; an estimate or laboratory value that was used before changes nothing."""
    silent_s = time_s - gap.nir_time_s
    if settings.nir_gap_s < silent_s < math.inf:  # a loss may have come unseen: the feeders can vouch for nothing
        gap = replace(gap, settled=True)
    gap = _predict(gap, time_s, fed, target_pct, settings)
    if nir is not None and nir.time_s > gap.nir_time_s and math.isfinite(nir.value_pct + nir.sigma_pct):
        gap = _measure(gap, fed, nir, target_pct / 100.0, settings)
        looks = _since(gap.looks, time_s - noise.memory_s)
        gap = replace(gap, looks=(*looks, (nir.time_s, nir.value_pct, nir.sigma_pct)))
    gap = _settle(gap, fed, target_pct / 100.0, settings)
    horizon_s = time_s - noise.memory_s
    gap = replace(gap, said=(*_since(gap.said, horizon_s), (time_s, fed.pct + gap.pct)))
    if lab is not None and lab.counter != gap.lab_counter and math.isfinite(lab.assay_pct):
        gap = replace(confirm(gap, lab, noise), lab_counter=lab.counter)
    return gap


def _predict(gap: Gap, time_s: float, fed: Fed, target_pct: float, settings: TrackSettings) -> Gap:
    passed_s, lc = max(0.0, time_s - gap.time_s), target_pct / 100.0
    advance = np.eye(3)
    advance[LEVEL, SLOPE] = passed_s
    # What began upstream has come through after about half the residence: no slope lasts longer.
    advance[SLOPE, SLOPE] = math.exp(-passed_s / max(1.0, 0.5 * fed.residence_s))
    walk = np.diag([
        (settings.drift_lc_pct * lc) ** 2 + (0.25 * fed.doubt_pct) ** 2 / 20.0, (settings.slope_lc_pct * lc) ** 2, 0.0
    ]) + np.outer(EITHER, EITHER) * (settings.nir_walk_lc_pct * lc) ** 2 / 3600.0  # fmt: skip
    cov = advance @ gap.cov @ advance.T + walk * passed_s
    mean = advance @ gap.mean
    # Bounded, so that a big gap, whatever made it, needs minutes to be taken for granted.
    away = min(SLOW_LC_PCT * lc, max(-SLOW_LC_PCT * lc, float(mean[LEVEL]) - gap.slow_pct))
    slow_pct = gap.slow_pct + (1.0 - math.exp(-passed_s / settings.gap_memory_s)) * away
    return replace(gap, time_s=time_s, mean=mean, cov=cov, slow_pct=slow_pct)


def _measure(gap: Gap, fed: Fed, nir: NirSeen, lc: float, settings: TrackSettings) -> Gap:
    cov, silent_s = gap.cov, nir.time_s - gap.nir_time_s
    if settings.nir_gap_s < silent_s < math.inf:
        # Whatever may have come through unseen is not bounded by what was seen before.
        cov = cov + np.diag([(settings.silence_lc_pct * lc * silent_s) ** 2, 0.0, 0.0])
    innovation = nir.value_pct - fed.pct - float(NIR @ gap.mean)
    expected = math.sqrt(float(NIR @ cov @ NIR) + nir.sigma_pct**2)
    signed = min(CLIP_SIGMAS, max(-CLIP_SIGMAS, innovation / expected))
    cusum = (
        max(0.0, gap.cusum[0] + signed - settings.swing_slack),
        max(0.0, gap.cusum[1] - signed - settings.swing_slack),
    )
    if max(cusum) > settings.swing_threshold:
        swing = np.array([SWING_S, 1.0, 0.0]) * settings.swing_slope_lc_pct * lc
        cov, cusum = cov + np.outer(swing, swing), (0.0, 0.0)
    gain = cov @ NIR / (float(NIR @ cov @ NIR) + nir.sigma_pct**2)
    cov = cov - np.outer(gain, NIR @ cov)
    return replace(gap, mean=gap.mean + gain * innovation, cov=0.5 * (cov + cov.T), cusum=cusum, nir_time_s=nir.time_s)


def _settle(gap: Gap, fed: Fed, lc: float, settings: TrackSettings) -> Gap:
    """Once only weighed material is left, and NIR does not gainsay it, the feeders vouch for where the gap begins."""
    if gap.settled or fed.unknown > 0.01:
        return gap
    gap = replace(gap, settled=True)
    variance = float(gap.cov[LEVEL, LEVEL]) + (settings.start_gap_lc_pct * lc) ** 2
    if gap.pct**2 > 9.0 * variance:
        return gap
    return _update(gap, LEVEL, -gap.pct, variance)


def confirm(gap: Gap, lab: LabResult, noise: ObserverSettings) -> Gap:
    """The laboratory's word on the NIR's bias, at its sample's time; a sample older than the memory is left alone.

    So is a correction of another result than the last one: what that had moved is not known any more.
    """
    oldest_s = gap.said[0][0] if gap.said else math.inf
    if lab.sample_time_s < oldest_s - 1.0 or not math.isfinite(lab.assay_pct):
        return gap
    if lab.corrects and lab.sample_time_s != gap.confirmed[0]:
        return gap
    moved_pct = gap.confirmed[1] if lab.corrects else 0.0
    before_pct = gap.pct - moved_pct
    then = _seen_at(gap, lab.sample_time_s) or _said_at(gap, lab.sample_time_s, moved_pct)
    gap = _believed(gap, lab, then, noise)
    return replace(gap, confirmed=(lab.sample_time_s, gap.pct - before_pct))


def _since(entries: tuple[Entry, ...], horizon_s: float) -> tuple[Entry, ...]:
    """The entries from a time on; the time is the first of each."""
    return entries[next((i for i, entry in enumerate(entries) if entry[0] >= horizon_s), len(entries)) :]


def _seen_at(gap: Gap, time_s: float) -> tuple[float, float] | None:
    """What was at the probe by the NIR's looks before and after, its bias as it is believed now taken off, and how sure
    that is, % w/w; None when there are too few looks on either side.

    On a change that is on its way the filter lags behind: looks that came later know better what passed.
    """
    near = np.array([look for look in gap.looks if abs(look[0] - time_s) <= AROUND_S])
    if len(near) < LOOKS or not near[0, 0] <= time_s <= near[-1, 0]:
        return None
    weights = 1.0 / near[:, 2] ** 2
    line = np.stack([np.ones(len(near)), near[:, 0] - time_s])
    cov = np.linalg.inv(line * weights @ line.T)
    value = float(cov[0] @ (line * weights @ near[:, 1]))
    return value - float(gap.mean[BIAS]), math.sqrt(float(cov[0, 0]))


def _said_at(gap: Gap, time_s: float, moved_pct: float) -> tuple[float, float]:
    """What was held to be at the probe then, and how sure that is; between two moments far apart it may be either's."""
    after = next((i for i, (said_s, _) in enumerate(gap.said) if said_s >= time_s), len(gap.said) - 1)
    times, values = np.array(gap.said[max(0, after - 1) : after + 1]).T
    # What was said then is as good as the filter without its bias is now.
    own = max(0.0, float(gap.cov[LEVEL, LEVEL] - gap.cov[LEVEL, BIAS] ** 2 / gap.cov[BIAS, BIAS]))
    apart_pct = 0.5 * float(np.ptp(values))
    return moved_pct + float(np.interp(time_s, times, values)), math.hypot(math.sqrt(own), apart_pct)


def _believed(gap: Gap, lab: LabResult, then: tuple[float, float], noise: ObserverSettings) -> Gap:
    """The bias after a result, against what was at the probe when its sample passed, with its sigma, % w/w."""
    surprise, doubt = then[0] - lab.assay_pct, (noise.lab_assay_rel * lab.assay_pct) ** 2 + then[1] ** 2
    variance = float(gap.cov[BIAS, BIAS]) + doubt
    if surprise**2 > 2.0 * variance:  # the bias went further than it usually walks
        gap = replace(gap, cov=gap.cov + np.outer(EITHER, EITHER) * (surprise**2 - variance))
        variance = surprise**2
    return _update(gap, BIAS, surprise, variance)


def _update(gap: Gap, state: int, innovation: float, variance: float) -> Gap:
    """A direct look at one state: its innovation, and the variance of that."""
    gain = gap.cov[:, state] / variance
    cov = gap.cov - np.outer(gain, gap.cov[state])
    return replace(gap, mean=gap.mean + gain * innovation, cov=0.5 * (cov + cov.T))
