"""spectra of standards -> is the instrument fit for use? -> may the sensor be trusted?

Limits after USP <856> (NIR) and <858> (Raman) as this project knows them; the texts are not in the repository: a site
confirms every limit against the edition in force and sets it in the plan.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from soft_sensors.errors import SensorError
from soft_sensors.signals import FloatArray, Quality, Verdict

SEARCH = 8.0  # axis units each side of a certified position, our choice: bands of standards stand farther apart
SEGMENT_NM = 100.0


class VerificationError(SensorError):
    """The spectra of the standards do not allow a judgement."""


@dataclass(frozen=True)
class Figure:
    """One measured figure and its limits, both in unit; low <= value <= high passes."""

    name: str
    value: float
    low: float
    high: float
    unit: str

    @property
    def passed(self) -> bool:
        """Within its limits; what is not a number fails."""
        return self.low <= self.value <= self.high


@dataclass(frozen=True)
class InstrumentRecord:
    """One verification: of which instrument, when (s since the epoch, UTC), until when it holds, and its figures."""

    instrument: str
    time_s: float
    valid_until_s: float
    figures: tuple[Figure, ...]

    @property
    def passed(self) -> bool:
        """All figures passed, and there is at least one."""
        return bool(self.figures) and all(figure.passed for figure in self.figures)


def instrument_verdict(record: InstrumentRecord | None, now_s: float) -> Verdict:
    """What a verification does to every estimate: failed is bad; never done, overdue or of the future is uncertain."""
    if record is None:
        return Verdict(Quality.UNCERTAIN, "the instrument was never verified")
    if not record.passed:
        first = next((f for f in record.figures if not f.passed), None)
        what = "no figures" if first is None else f"{first.name} {first.value:.4g} {first.unit}".strip()
        return Verdict(Quality.BAD, f"instrument {record.instrument} failed its verification: {what}")
    return schedule_verdict(record.instrument, record.time_s, record.valid_until_s, now_s)


def schedule_verdict(instrument: str, time_s: float, valid_until_s: float, now_s: float) -> Verdict:
    """What the time since a passed verification does: overdue, or of the future, is uncertain (s since the epoch)."""
    if not now_s <= valid_until_s:
        late_s = now_s - valid_until_s
        late = f"{late_s / 86400.0:.1f} days" if late_s >= 86400.0 else f"{late_s / 3600.0:.1f} h"
        return Verdict(Quality.UNCERTAIN, f"instrument {instrument}: verification overdue by {late}")
    if now_s < time_s:
        return Verdict(Quality.UNCERTAIN, f"instrument {instrument}: verified in the future; check the clocks")
    return Verdict(Quality.GOOD)


def peak_position(axis: FloatArray, values: FloatArray, near: float, search: float = SEARCH) -> float:
    """The position of the band maximum nearest the certified one, to a fraction of a channel; NaN where there is none.

    A parabola through the highest channel within search of near and its two neighbours (local coordinates).
    """
    inside = np.flatnonzero(np.abs(axis - near) <= search)
    if inside.size < 3:
        return math.nan
    k = int(inside[np.argmax(values[inside])])
    if k in (int(inside[0]), int(inside[-1])):
        return math.nan  # the maximum lies outside: whatever is here is no band
    x, y = axis[k - 1 : k + 2] - axis[k], values[k - 1 : k + 2]
    a, b, _ = np.polyfit(x, y, 2)
    return float(axis[k] - b / (2 * a)) if a < 0 else math.nan


def wavelength_figures(
    axis: FloatArray, values: FloatArray, certified: FloatArray, tolerance: FloatArray, unit: str
) -> tuple[Figure, ...]:
    """Measured minus certified position of each band of a standard [k], against +-tolerance [k], in the axis' unit."""
    found = [peak_position(axis, values, float(c)) for c in certified]
    return tuple(Figure(f"axis at {c:g}", p - float(c), -float(t), float(t), unit)
                 for c, p, t in zip(certified, found, tolerance, strict=True))


def nir_tolerance_nm(certified: FloatArray) -> FloatArray:
    """+-1.0 nm up to 2000 nm, +-1.5 nm above (USP <856>; the site confirms)."""
    return np.where(certified <= 2000.0, 1.0, 1.5)


def linearity_figures(certified: FloatArray, measured: FloatArray) -> tuple[Figure, ...]:
    """Slope 1.00+-0.05 and intercept 0.00+-0.05 of measured on certified absorbance (USP <856>; the site confirms).

    VerificationError with fewer than three different standards: two always lie on a line.
    """
    if np.unique(certified).size < 3:
        raise VerificationError(f"photometric linearity: {certified.size} standards; three different ones are needed")
    slope, intercept = (float(v) for v in np.polyfit(certified, measured, 1))
    return (Figure("photometric slope", slope, 0.95, 1.05, ""),
            Figure("photometric intercept", intercept, -0.05, 0.05, "AU"))


def noise_figures(axis: FloatArray, values: FloatArray, high: float, name: str) -> tuple[Figure, ...]:
    """Mean RMS noise over 100 nm segments of a spectrum of the standard against itself, in absorbance.

    high: 0.3e-3 at high flux, 1e-3 at low flux (USP <856>; the site confirms). Each segment is freed of its straight
    line. VerificationError when no segment of 100 nm has ten channels.
    """
    first, last = float(axis.min()), float(axis.max())
    starts = np.arange(first, last - SEGMENT_NM + 1e-9, SEGMENT_NM)
    rms = [_rms(axis[part], values[part]) for s in starts
           if (part := (axis >= s) & (axis < s + SEGMENT_NM)).sum() >= 10]
    if not rms:
        raise VerificationError(f"noise: no {SEGMENT_NM:g} nm segment has ten channels between {first:g} and {last:g}")
    return (Figure(name, float(np.mean(rms)), 0.0, high, "AU"),)


def _rms(axis: FloatArray, values: FloatArray) -> float:
    x = axis - axis.mean()
    left = values - values.mean() - x * float(x @ values) / float(x @ x)
    return float(np.sqrt(np.mean(left**2)))
