"""Faults of the wavelength scale."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from soft_sensors.challenge.scene import Fault, Scene, fixed, whole
from soft_sensors.signals import FloatArray

Random = np.random.Generator


def _sign(random: Random) -> float:
    return float(random.choice([-1.0, 1.0]))


def _shift(scene: Scene, severity: float, random: Random) -> FloatArray:
    return scene.moved(scene.nm(2.0 * severity, 4.0 * severity) * _sign(random))


def _stretch(scene: Scene, severity: float, random: Random) -> FloatArray:
    return scene.moved(scene.nm(2.0 * severity, 4.0 * severity) * _sign(random) * scene.place)


def _warp(scene: Scene, severity: float, random: Random) -> FloatArray:
    bow = 1.5 * scene.place**2 - 0.5
    return scene.moved(scene.nm(2.0 * severity, 4.0 * severity) * _sign(random) * bow)


def _mirrored(scene: Scene) -> FloatArray:
    return scene.values[::-1].copy()


def _off_by_channels(scene: Scene, severity: float) -> FloatArray:
    return np.roll(scene.values, int(np.ceil(5 * severity)))


def _other_instrument(scene: Scene, severity: float, random: Random) -> FloatArray:
    moved = scene.moved(scene.nm(1.0 * severity, 2.0 * severity))
    broad = np.asarray(gaussian_filter1d(moved, 0.003 * severity * moved.size), dtype=np.float64)
    response = np.cos(2.0 * np.pi * scene.place + random.uniform(0.0, 2.0 * np.pi))
    return broad * (1.0 + 0.05 * severity) + 0.03 * severity * scene.span * response


AXIS = (
    Fault("axis shift", "grating or laser moved", "2 nm (Raman 4 cm-1), rigid", _shift),
    Fault("axis stretch", "thermal drift of the dispersion", "2 nm (Raman 4 cm-1) at both ends, opposite", _stretch),
    Fault("axis bow", "a wrong polynomial in the wavelength calibration", "2 nm (Raman 4 cm-1) at the ends", _warp),
    Fault("mirrored axis", "channels handed out in the other direction", "all channels",
          whole(_mirrored), graded=False),
    Fault("axis off by channels", "wrong first pixel", "5 channels", fixed(_off_by_channels)),
    Fault("other instrument", "spectrometer swapped without a transfer",
          "1 nm, resolution 0.3 % of the axis, response 3 % of the span, gain 5 %", _other_instrument),
)  # fmt: skip
