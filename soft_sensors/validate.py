"""VALIDATE: Spectrum -> Verdict, before any model sees it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from soft_sensors.card import Card
from soft_sensors.signals import FloatArray, Quality, Spectrum, Verdict

FUTURE_S = 1.0  # our choice: clocks that agree better than this are synchronised
AXIS_TOLERANCE = 0.02  # of a channel's width, our choice: far below any instrument's axis specification


@dataclass(frozen=True)
class Previous:
    """What is remembered of the last spectrum: counter (None: there was none), end of acquisition, hash of values."""

    counter: int | None
    time_s: float
    digest: str

    @classmethod
    def none(cls) -> Previous:
        """Nothing was seen yet."""
        return cls(counter=None, time_s=-np.inf, digest="")


def validate(
    card: Card, spectrum: Spectrum, previous: Previous, now_s: float, max_age_s: float
) -> tuple[Verdict, Previous]:
    """May this spectrum be used, and what to remember of it for the next call.

    now_s: seconds since the epoch, UTC; max_age_s: the oldest usable end of acquisition. The first reason found is
    the verdict's. Pure: all memory is in previous. Raises nothing: whatever is wrong with a spectrum is a verdict.
    """
    seen = Previous(spectrum.counter, spectrum.time_s, _digest(spectrum.values))
    reason = (
        _source(spectrum)
        or axis_fault(card, spectrum.axis, spectrum.axis_unit)
        or _numbers(card, spectrum)
        or _time(spectrum, now_s, max_age_s)
        or _sequence(seen, previous)
        or _signal(card, spectrum.values)
    )
    if reason:
        return Verdict(Quality.BAD, reason), seen
    return Verdict(spectrum.quality, spectrum.reason), seen


def axis_fault(card: Card, axis: FloatArray, axis_unit: str) -> str:
    """Why this axis is not the card's, or an empty text."""
    if axis_unit != card.axis_unit:
        return f"axis unit {axis_unit!r} is not the model's {card.axis_unit!r}"
    if axis.shape != card.axis.shape:
        return f"axis has {axis.size} channels, the model {card.axis.size}"
    wrong = np.flatnonzero(~(np.abs(axis - card.axis) <= AXIS_TOLERANCE * card.channel_width))
    if wrong.size:
        k = int(wrong[0])
        return f"axis differs at channel {k}: {axis[k]:g} {axis_unit}, the model has {card.axis[k]:g}"
    return ""


def _digest(values: FloatArray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def _source(spectrum: Spectrum) -> str:
    if spectrum.quality is Quality.BAD:
        return spectrum.reason or "the analyser says bad"
    return ""


def _numbers(card: Card, spectrum: Spectrum) -> str:
    values = spectrum.values
    if values.shape != card.axis.shape:
        return f"spectrum has {values.size} values, the model needs {card.axis.size}"
    not_finite = np.flatnonzero(~np.isfinite(values))
    if not_finite.size:
        kind = "NaN" if np.isnan(values[not_finite[0]]) else "Inf"
        return f"{kind} in {not_finite.size} channel(s), first at {card.axis[not_finite[0]]:g} {card.axis_unit}"
    return ""


def _time(spectrum: Spectrum, now_s: float, max_age_s: float) -> str:
    age_s = now_s - spectrum.time_s
    if not np.isfinite(age_s):
        return "the spectrum has no time"
    if age_s > max_age_s:
        return f"stale: {age_s:.1f} s old, allowed {max_age_s:g} s"
    if age_s < -FUTURE_S:
        return f"time is {-age_s:.1f} s in the future: check the clocks"
    return ""


def _sequence(seen: Previous, previous: Previous) -> str:
    if previous.counter is None or seen.counter is None:
        return ""
    if seen.counter == previous.counter:
        return f"no new scan: acquisition {seen.counter} was seen before"
    if seen.counter < previous.counter:
        return f"acquisition counter went back from {previous.counter} to {seen.counter}"
    if seen.digest == previous.digest:
        return f"frozen: acquisition {seen.counter} repeats the values of {previous.counter}"
    if seen.time_s < previous.time_s:
        return f"time went back by {previous.time_s - seen.time_s:.1f} s"
    return ""


def _signal(card: Card, values: FloatArray) -> str:
    """Saturation, clipping and intensity, on the part of the axis that the model uses."""
    inside = values[card.window]
    top = int(np.argmax(inside))
    if inside[top] > card.saturation:
        return f"saturated: {inside[top]:.4g} is above the limit {card.saturation:.4g}"
    flat = longest_flat_run(inside)
    if flat >= card.flat_run:
        return f"saturated: {flat} neighbouring channels are exactly equal"
    mean = float(inside.mean())
    if not card.intensity_low <= mean <= card.intensity_high:
        low, high = card.intensity_low, card.intensity_high
        return f"intensity {mean:.4g} outside {low:.4g} to {high:.4g}: empty probe, fouling or lamp"
    return ""


def longest_flat_run(values: FloatArray) -> int:
    """Length of the longest run of exactly equal neighbours (1 when there is none)."""
    if (values[1:] != values[:-1]).all():
        return 1
    steps = np.flatnonzero(np.concatenate(([True], np.diff(values) != 0.0, [True])))
    return int(np.diff(steps).max())
