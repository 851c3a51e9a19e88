"""What a fault acts on: one good spectrum, the sample before it, and how light became its numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import comb
from typing import Literal

import numpy as np
from scipy.interpolate import CubicSpline

from soft_sensors.signals import FloatArray

Signal = Literal["absorbance", "intensity"]
DARKEST = 1e-9  # of full light: beyond 9 absorbance units no detector sees anything
NOISE_ORDER = 4  # differences of this order remove bands and leave noise


@dataclass(frozen=True)
class Scene:
    """values [n], finite, on axis [n] in axis_unit; previous [n]: the good sample before.

    signal: "absorbance" (values are -log10 of light: transmittance, reflectance) or "intensity" (values are light:
    Raman, single beam).
    """

    axis: FloatArray
    axis_unit: str
    values: FloatArray
    previous: FloatArray
    signal: Signal

    @property
    def span(self) -> float:
        """Largest minus smallest value, without the outermost per cent of the channels: the scale of severities."""
        low, high = np.quantile(self.values, [0.01, 0.99])
        return float(high - low)

    @property
    def place(self) -> FloatArray:
        """Position on the axis, -1 at the first channel to 1 at the last [n]."""
        return np.linspace(-1.0, 1.0, self.values.size)

    @property
    def light(self) -> FloatArray:
        """What the detector saw [n]; 1 is full light for absorbance, the value itself for intensity."""
        return 10.0**-self.values if self.signal == "absorbance" else self.values.copy()

    def seen(self, light: FloatArray) -> FloatArray:
        """The values that this light gives [n]."""
        if self.signal == "absorbance":
            return -np.log10(np.maximum(light, DARKEST))
        return light

    @property
    def noise_sd(self) -> float:
        """Standard deviation of the channel noise, robustly, from fourth differences along the axis."""
        rough = np.diff(self.values, NOISE_ORDER)
        return 1.4826 * float(np.median(np.abs(rough))) / float(np.sqrt(comb(2 * NOISE_ORDER, NOISE_ORDER)))

    def bands(self, centres_nm: tuple[float, ...], width_nm: float) -> FloatArray:
        """Gaussian bands of height 1 at these wavelengths, on an NIR axis in nm or cm-1 [n]."""
        nm = self.axis if self.axis_unit == "nm" else 1e7 / np.maximum(self.axis, 1.0)
        return np.asarray(sum(np.exp(-0.5 * ((nm - c) / width_nm) ** 2) for c in centres_nm), dtype=np.float64)

    def moved(self, shift: FloatArray) -> FloatArray:
        """The values [n] that a wavelength scale wrong by shift [n], in the axis' unit, would give."""
        order = np.argsort(self.axis)
        return np.asarray(CubicSpline(self.axis[order], self.values[order])(self.axis + shift), dtype=np.float64)

    def nm(self, shift_nm: float, raman_cm1: float) -> FloatArray:
        """A shift in the axis' unit [n]: raman_cm1 for Raman, else shift_nm (on a cm-1 axis, the same in nm)."""
        if self.signal == "intensity":
            return np.full(self.axis.size, raman_cm1)
        if self.axis_unit == "nm":
            return np.full(self.axis.size, shift_nm)
        return self.axis**2 * 1e-7 * shift_nm


Make = Callable[[Scene, float, np.random.Generator], FloatArray]


def fixed(make: Callable[[Scene, float], FloatArray]) -> Make:
    """A fault with nothing random in it."""
    return lambda scene, severity, _random: make(scene, severity)


def whole(make: Callable[[Scene], FloatArray]) -> Make:
    """A fault that does not come by degrees."""
    return lambda scene, _severity, _random: make(scene)


@dataclass(frozen=True)
class Fault:
    """A named kind of spectral fault.

    reason: what breaks; scale: what severity 1 means, in units; make: (scene, severity 0..1, random) -> values [n], the
    same places and shapes for the same random stream at every severity; graded: severity counts (a mirrored axis does
    not come by degrees); repeats: the fault shows in the sequence of scans, not in the scan.
    """

    name: str
    reason: str
    scale: str
    make: Make
    graded: bool = True
    repeats: bool = False
