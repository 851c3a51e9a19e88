"""Faults of what lies before the probe."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d

from soft_sensors.challenge.scene import Fault, Scene, fixed
from soft_sensors.signals import FloatArray

Random = np.random.Generator


def _strange(scene: Scene, random: Random) -> FloatArray:
    """A material nobody calibrated: broad bands at random places, with the level and span of the real spectrum."""
    bands = sum(random.uniform(0.2, 1.0) * np.exp(-0.5 * ((scene.place - c) / random.uniform(0.03, 0.2)) ** 2)
                for c in random.uniform(-1.0, 1.0, 8))
    shape: FloatArray = np.asarray(bands, dtype=np.float64)
    low = float(scene.values.min())
    unit = (shape - float(shape.min())) / max(float(np.ptp(shape)), 1e-12)
    return low + scene.span * unit


def _wrong_material(scene: Scene, severity: float, random: Random) -> FloatArray:
    return (1.0 - severity) * scene.values + severity * _strange(scene, random)


def _impurity(scene: Scene, severity: float, random: Random) -> FloatArray:
    centre = random.uniform(-0.8, 0.8)
    return scene.values + 0.2 * severity * scene.span * np.exp(-0.5 * ((scene.place - centre) / 0.03) ** 2)


def _temperature(scene: Scene, severity: float, random: Random) -> FloatArray:
    """Hydrogen-bonded bands move and widen, others stay: the shift differs along the axis."""
    where = 0.5 + 0.5 * np.sin(np.pi * 2.0 * scene.place + random.uniform(0.0, 2.0 * np.pi))
    moved = scene.moved(scene.nm(2.0 * severity, 2.0 * severity) * where)
    return np.asarray(gaussian_filter1d(moved, 0.002 * severity * moved.size), dtype=np.float64)


def _distance(scene: Scene, severity: float) -> FloatArray:
    light = scene.light
    return scene.seen(light * (1.0 - 0.4 * severity) + 0.02 * severity * float(np.median(light)))


def _packing(scene: Scene, severity: float) -> FloatArray:
    """Scatter multiplies the path, more so at short waves."""
    return scene.values * (1.0 + 0.2 * severity * (1.0 - 0.5 * scene.place)) + 0.1 * severity * scene.span


SAMPLE = (
    Fault("wrong material", "another product or excipient", "only the strange material", _wrong_material),
    Fault("foreign band", "contamination, solvent, wrong grade", "a band of 20 % of the span", _impurity),
    Fault("temperature", "bonded bands move and widen", "about 20 K: bands move up to 2 nm (Raman 2 cm-1)",
          _temperature),
    Fault("probe distance", "gap between probe and powder", "40 % of the light, 2 % gloss", fixed(_distance)),
    Fault("packing", "density and particle size outside the calibration", "path +20 %, +-10 % along the axis",
          fixed(_packing)),
)  # fmt: skip
