"""Which part of the axis carries signal: found from the spectra alone, references are not looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import median_filter

from soft_sensors.errors import CalibrationError
from soft_sensors.signals import FloatArray

NOISE_MIN, NOISE_MAX = 0.02, 0.2  # our choice: noise below 2 % of the variation never hurts, above 20 % it always does
NOISE_OVER_TYPICAL = 10.0  # our choice: ten times the noise of the better part of the channels is a detector's end


FEWEST_CHANNELS = 100  # our choice: parts of a narrower window would hold too little to compare


@dataclass(frozen=True)
class Region:
    """A run of channels: its name, first channel, and the one behind its last."""

    name: str
    start: int
    stop: int

    @property
    def window(self) -> slice:
        """The channels as a slice."""
        return slice(self.start, self.stop)


def regions(window: slice) -> tuple[Region, ...]:
    """The whole window first, then (where it is wide enough) its lower and upper two thirds, by channel number."""
    start, stop = window.start, window.stop
    whole, third = Region("whole", start, stop), (stop - start) // 3
    if stop - start < FEWEST_CHANNELS:
        return (whole,)
    return whole, Region("first two thirds", start, stop - third), Region("last two thirds", start + third, stop)


def quiet_window(spectra: FloatArray) -> slice:
    """The longest run of channels whose noise is small against the variation between the spectra [n, m].

    Noise is the scatter of second differences along the axis (a smooth spectrum has none), variation the standard
    deviation between samples. Raises CalibrationError when fewer than ten channels are left.
    """
    second = spectra[:, :-2] - 2 * spectra[:, 1:-1] + spectra[:, 2:]
    noise = np.pad(second.std(axis=0) / np.sqrt(6.0), 1, mode="edge")
    variation = spectra.std(axis=0)
    ratio = np.divide(noise, variation, out=np.ones_like(noise), where=variation > 0)
    ratio = median_filter(ratio, size=max(5, spectra.shape[1] // 40) | 1, mode="nearest")
    limit = np.clip(NOISE_OVER_TYPICAL * np.quantile(ratio, 0.25), NOISE_MIN, NOISE_MAX)
    return _checked(_longest(ratio < limit))


def asked_window(axis: FloatArray, low: float, high: float) -> slice:
    """The channels between two axis values; CalibrationError when fewer than ten are left."""
    return _checked(_longest((axis >= low) & (axis <= high)))


def _longest(chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> slice:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], chosen.astype(int), [0]))))
    runs = list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
    start, stop = max(runs, key=lambda run: run[1] - run[0], default=(0, 0))
    return slice(start, stop)


def _checked(found: slice) -> slice:
    if found.stop - found.start < 10:
        raise CalibrationError(
            f"only {found.stop - found.start} usable channels: the spectra are noise or constant there; "
            "check the file, or name a part of the axis with --range LOW HIGH"
        )
    return found
