"""Faults of lamp, fibre, probe, window and reference."""

from __future__ import annotations

import numpy as np

from soft_sensors.challenge.scene import Fault, Scene, fixed
from soft_sensors.signals import FloatArray

Random = np.random.Generator
WATER_NM = (970.0, 1190.0, 1450.0, 1940.0)  # overtones and combinations of liquid water (Curcio and Petty 1951)
FIBRE_OH_NM = (945.0, 1246.0, 1383.0)  # OH overtones in silica


def _absorb(scene: Scene, absorbance: FloatArray) -> FloatArray:
    """Something in the beam takes light away."""
    return scene.seen(scene.light * 10.0**-absorbance)


def _stray_light(scene: Scene, severity: float) -> FloatArray:
    light = scene.light
    return scene.seen(light + 0.1 * severity * float(np.quantile(light, 0.95)))


def _lamp_intensity(scene: Scene, severity: float) -> FloatArray:
    return scene.seen(scene.light * (1.0 - 0.5 * severity))


def _lamp_colour(scene: Scene, severity: float) -> FloatArray:
    return scene.seen(scene.light * (1.0 + 0.3 * severity * scene.place))


def _baseline_jump(scene: Scene, severity: float) -> FloatArray:
    return scene.values + 0.5 * severity * scene.span


def _baseline_curve(scene: Scene, severity: float, random: Random) -> FloatArray:
    return scene.values + 0.2 * severity * scene.span * (scene.place - random.uniform(-0.5, 0.5)) ** 2


def _fringes(scene: Scene, severity: float, random: Random) -> FloatArray:
    cycles, phase = random.uniform(8.0, 30.0), random.uniform(0.0, 2 * np.pi)
    return scene.values + 0.05 * severity * scene.span * np.sin(np.pi * cycles * scene.place + phase)


def _empty(scene: Scene, severity: float) -> FloatArray:
    light = scene.light
    if scene.signal == "intensity":
        return scene.seen((1.0 - 0.98 * severity) * light)
    return scene.seen((1.0 - severity) * light + severity * float(light.max()))


def _fouling(scene: Scene, severity: float, random: Random) -> FloatArray:
    light, film = scene.light, 10.0 ** (-0.3 * severity * (0.5 - 0.5 * scene.place) ** 2)
    centre, width = random.uniform(-0.6, 0.6), random.uniform(0.1, 0.4)
    band = np.exp(-0.5 * ((scene.place - centre) / width) ** 2)
    covered = 0.4 * severity
    back = float(np.median(light)) * (1.0 - 0.5 * band)
    return scene.seen((1.0 - covered) * light * film + covered * back)


def _raman_water(scene: Scene, share: float) -> FloatArray:
    """The OH bend at 1640 and the OH stretch near 3250 and 3420 cm-1 of liquid water, of this share of the span."""
    shape = sum(h * np.exp(-0.5 * ((scene.axis - c) / w) ** 2)
                for c, w, h in ((1640.0, 40.0, 0.15), (3250.0, 100.0, 0.8), (3420.0, 90.0, 1.0)))
    return scene.values * (1.0 - 0.3 * share) + share * scene.span * np.asarray(shape)


def _water_film(scene: Scene, severity: float) -> FloatArray:
    if scene.signal == "intensity":
        return _raman_water(scene, 0.5 * severity)
    return _absorb(scene, 0.3 * severity * (scene.bands(WATER_NM, 45.0) + 0.2))


def _moisture(scene: Scene, severity: float) -> FloatArray:
    if scene.signal == "intensity":
        return _raman_water(scene, 0.1 * severity)
    return scene.values + 0.1 * severity * scene.span * scene.bands((1430.0, 1920.0), 30.0)


def _fibre_bend(scene: Scene, severity: float) -> FloatArray:
    far = (0.5 + 0.5 * scene.place) ** 3  # macro-bending loss grows steeply along the axis
    oh = 0.1 * scene.bands(FIBRE_OH_NM, 15.0) if scene.signal == "absorbance" else 0.0
    return _absorb(scene, 0.3 * severity * (far + oh))


def _no_reference(scene: Scene, severity: float) -> FloatArray:
    lamp = np.exp(-0.5 * ((scene.place + 0.2) / 0.7) ** 2)  # the single beam: lamp times detector
    return scene.seen(scene.light * lamp ** severity)


def _stale_reference(scene: Scene, severity: float, random: Random) -> FloatArray:
    ripple = sum(random.normal() / (k + 1) * np.cos(np.pi * (k + 1) * (scene.place + random.uniform(-1.0, 1.0)))
                 for k in range(6))
    return scene.seen(scene.light * (1.0 + 0.05 * severity * np.asarray(ripple)))


def _ambient(scene: Scene, severity: float, random: Random) -> FloatArray:
    light = scene.light
    lines = sum(random.uniform(0.3, 1.0) * np.exp(-0.5 * ((scene.place - c) / 0.01) ** 2)
                for c in random.uniform(-0.95, 0.95, 4))
    return scene.seen(light + 0.2 * severity * float(np.median(light)) * (0.2 + np.asarray(lines)))


def _background(scene: Scene, severity: float, random: Random) -> FloatArray:
    centre = random.uniform(-0.7, 0.7)
    return scene.values + 0.5 * severity * scene.span * np.exp(-0.5 * ((scene.place - centre) / 0.6) ** 2)


def _other_probe(scene: Scene, severity: float) -> FloatArray:
    stray = 0.03 * severity * float(np.median(scene.light))
    return (1.0 - 0.25 * severity) * scene.seen(scene.light + stray) + 0.1 * severity * scene.span * scene.place


def _scratch(scene: Scene, severity: float) -> FloatArray:
    """Light scattered back by the window itself: it grows to short waves and never met the sample."""
    light = scene.light
    return scene.seen(light + 0.2 * severity * float(np.median(light)) * (1.5 - 0.5 * scene.place) ** 4 / 5.0)


OPTICS = (
    Fault("stray light", "light that goes round sample or grating", "10 % of the bright channels", fixed(_stray_light)),
    Fault("lamp intensity drift", "lamp or laser ageing since the reference", "half the light lost",
          fixed(_lamp_intensity)),
    Fault("lamp colour temperature", "lamp voltage drifts: the spectrum tilts", "+-30 % light at the ends",
          fixed(_lamp_colour)),
    Fault("baseline jump", "distance or fill level changes at once", "50 % of the span", fixed(_baseline_jump)),
    Fault("baseline curvature", "scatter changes along the axis", "20 % of the span at the ends", _baseline_curve),
    Fault("etalon fringes", "a thin gap or film: interference", "amplitude 5 % of the span", _fringes),
    Fault("empty chute", "no powder before the probe", "only empty probe", fixed(_empty)),
    Fault("probe fouling", "a film of powder on the window", "40 % covered, 0.3 absorbance of film", _fouling),
    Fault("window water film", "condensate or cleaning water", "0.3 absorbance in the water bands", fixed(_water_film)),
    Fault("water band", "moisture outside the calibration", "10 % of the span in the water bands", fixed(_moisture)),
    Fault("fibre bend", "macro-bending loss and OH of the fibre", "0.3 absorbance at the far end", fixed(_fibre_bend)),
    Fault("reference not taken", "the single beam is taken for a spectrum", "lamp and detector shape in full",
          fixed(_no_reference)),
    Fault("stale reference", "background from another day or temperature", "5 % smooth ripple", _stale_reference),
    Fault("ambient light", "room lamps reach the probe", "lines of 20 % of the median light", _ambient),
    Fault("broad background", "fluorescence, gloss, specular light", "50 % of the span, broad", _background),
    Fault("wrong probe", "another probe head: path, stray light and slope", "path -25 %, slope 10 %, stray light 3 %",
          fixed(_other_probe)),
    Fault("scratched window", "back-scatter of the window, short waves first", "20 % of the median light",
          fixed(_scratch)),
)  # fmt: skip
