"""Faults of detector and electronics."""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import gaussian_filter1d

from soft_sensors.challenge.scene import Fault, Scene, fixed, whole
from soft_sensors.signals import FloatArray

Random = np.random.Generator


def _inside(scene: Scene, random: Random) -> int:
    """A channel that is not at the very edge."""
    n = scene.values.size
    return int(random.integers(n // 20 + 1, n - n // 20 - 1))


def _spikes(scene: Scene, height: float, count: int, random: Random) -> FloatArray:
    values = scene.values.copy()
    for _ in range(count):
        k = _inside(scene, random)
        values[k - 1 : k + 2] += height * np.array([0.2, 1.0, 0.2])
    return values


def _spike(scene: Scene, severity: float, random: Random) -> FloatArray:
    return _spikes(scene, 0.5 * severity * scene.span, 1, random)


def _several_spikes(scene: Scene, severity: float, random: Random) -> FloatArray:
    return _spikes(scene, 0.5 * severity * scene.span, 5, random)


def _dead(scene: Scene, severity: float, first: int, count: int) -> FloatArray:
    light = scene.light
    light[first : first + count] *= 1.0 - 0.99 * severity
    return scene.seen(light)


def _dead_pixel(scene: Scene, severity: float, random: Random) -> FloatArray:
    return _dead(scene, severity, _inside(scene, random), 1)


def _dead_block(scene: Scene, severity: float, random: Random) -> FloatArray:
    count = max(3, scene.values.size // 20)
    return _dead(scene, severity, int(random.integers(0, scene.values.size - count)), count)


def _hot_pixel(scene: Scene, severity: float, random: Random) -> FloatArray:
    light, k = scene.light, _inside(scene, random)
    light[k] += severity * float(light.max())
    return scene.seen(light)


def _saturation(scene: Scene, severity: float) -> FloatArray:
    light = scene.light
    return scene.seen(np.minimum(light, float(np.quantile(light, 1.0 - 0.5 * severity))))


def _noise(scene: Scene, factor: float, random: Random) -> FloatArray:
    added = scene.noise_sd * math.sqrt(max(factor**2 - 1.0, 0.0))
    return scene.values + random.normal(0.0, 1.0, scene.values.size) * added


def _noise_3(scene: Scene, severity: float, random: Random) -> FloatArray:
    return _noise(scene, 1.0 + 2.0 * severity, random)


def _noise_10(scene: Scene, severity: float, random: Random) -> FloatArray:
    return _noise(scene, 1.0 + 9.0 * severity, random)


def _bits(scene: Scene, severity: float) -> FloatArray:
    step = scene.span * 2.0 ** -(16.0 - 11.0 * severity)
    return np.asarray(np.round(scene.values / step) * step)


def _segment_step(scene: Scene, severity: float, random: Random) -> FloatArray:
    values = scene.values.copy()
    n = values.size
    values[int(random.integers(n // 4, 3 * n // 4)) :] += 0.1 * severity * scene.span
    return values


def _dark_current(scene: Scene, severity: float) -> FloatArray:
    light = scene.light
    return scene.seen(light + 0.2 * severity * float(np.median(light)))


def _mains(scene: Scene, severity: float, random: Random) -> FloatArray:
    period, phase = random.uniform(3.0, 12.0), random.uniform(0.0, 2 * np.pi)
    wave: FloatArray = np.sin(2 * np.pi * np.arange(scene.values.size) / period + phase)
    return scene.values + 0.05 * severity * scene.span * wave


def _gain(scene: Scene, severity: float) -> FloatArray:
    return scene.values * (1.0 + 0.3 * severity)


def _nonlinear(scene: Scene, severity: float) -> FloatArray:
    above = scene.values - float(scene.values.min())
    return scene.values - 0.2 * severity * above**2 / max(float(above.max()), 1e-300)


def _dropped(scene: Scene, severity: float, random: Random) -> FloatArray:
    lost, first = int(np.ceil(8 * severity)), _inside(scene, random)
    values = np.delete(scene.values, slice(first, first + lost))
    return np.concatenate([values, np.full(scene.values.size - values.size, values[-1])])


def _smoothed(scene: Scene, severity: float) -> FloatArray:
    return np.asarray(gaussian_filter1d(scene.values, 0.01 * severity * scene.values.size), dtype=np.float64)


def _torn(scene: Scene, severity: float) -> FloatArray:
    values, kept = scene.values.copy(), int(np.ceil(severity * 0.5 * scene.values.size))
    values[-kept:] = scene.previous[-kept:]
    return values


def _frozen(scene: Scene) -> FloatArray:
    return scene.previous.copy()


def _averaged(scene: Scene, severity: float) -> FloatArray:
    return (1.0 - 0.5 * severity) * scene.values + 0.5 * severity * scene.previous


DETECTOR = (
    Fault("spike", "cosmic ray or electrical discharge in one channel", "height 50 % of the span", _spike),
    Fault("several spikes", "cosmic rays, radio noise", "five spikes of 50 % of the span", _several_spikes),
    Fault("dead pixel", "one detector element loses its sensitivity", "99 % of the light of one channel", _dead_pixel),
    Fault("dead pixel block", "a bad bond or dust on the array", "99 % of the light, 5 % of the channels", _dead_block),
    Fault("hot pixel", "leakage current of one element", "adds the brightest channel's light", _hot_pixel),
    Fault("saturation", "too much light: the converter is at its end", "the brightest half is clipped",
          fixed(_saturation)),
    Fault("noise x3", "fewer scans averaged, warm detector", "channel noise times 3", _noise_3),
    Fault("noise x10", "lamp or detector near its end", "channel noise times 10", _noise_10),
    Fault("ADC bits lost", "stuck bits, wrong converter range", "span in 2^5 steps instead of 2^16", fixed(_bits)),
    Fault("detector step", "two detector segments disagree", "step of 10 % of the span", _segment_step),
    Fault("dark current drift", "dark level taken at another temperature", "20 % of the median light",
          fixed(_dark_current)),
    Fault("mains interference", "hum over a scan, ground loop", "amplitude 5 % of the span", _mains),
    Fault("gain error", "wrong amplifier range, other path length", "values times 1.3", fixed(_gain)),
    Fault("detector non-linearity", "response falls off at high signal", "20 % lost at the highest value",
          fixed(_nonlinear)),
    Fault("dropped channels", "bytes lost on the link: the rest moves up", "8 channels", _dropped),
    Fault("resolution loss", "slit opened, fibre core changed, smoothing left on", "Gaussian, 1 % of the axis",
          fixed(_smoothed)),
    Fault("torn scan", "the buffer still holds the end of the last scan", "the last half of the channels",
          fixed(_torn)),
    Fault("frozen scan", "the driver hands out the last scan again", "all values of the sample before", whole(_frozen),
          graded=False, repeats=True),
    Fault("averaged with previous", "running average not reset between samples", "half of the sample before",
          fixed(_averaged)),
)  # fmt: skip
