"""model + test spectra -> how the value answers to small, known disturbances; pure, the noise from a seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter1d

from soft_sensors.bundle import Bundle
from soft_sensors.dossier.material import TestSet
from soft_sensors.dossier.sensitivity import noise
from soft_sensors.predictions import predict
from soft_sensors.signals import FloatArray, Quality

CAUGHT = 0.90  # our choice: a disturbance that so many spectra are marked for does not pass unnoticed


@dataclass(frozen=True)
class Effect:
    """One disturbance: mean and root mean square change of the value (target's unit), share of spectra not good."""

    name: str
    size: str
    mean: float
    rms: float
    not_good: float

    @property
    def caught(self) -> bool:
        """Whether nearly every disturbed spectrum is marked."""
        return self.not_good >= CAUGHT


def effects(model: Bundle, test: TestSet, sizes: Mapping[str, float], seed: int) -> list[Effect]:
    """The effect of each disturbance of the plan's sizes on every test spectrum that has a number undisturbed."""
    card = model.card
    clean = np.array([p.value for p in test.predictions])
    rows = np.flatnonzero(np.isfinite(clean)).tolist()
    spectra = test.table.values[rows]
    masses = None if test.masses is None else test.masses[rows]
    found = [_measure(model, test, rows, masses, "none (test set as measured)", "", lambda x: x)]
    for name, size, change in _disturbances(card.axis, card.window, spectra, sizes, card.axis_unit, seed):
        found.append(_measure(model, test, rows, masses, name, size, change))
    return found


def _measure(
    model: Bundle, test: TestSet, rows: list[int], masses: FloatArray | None, name: str, size: str,
    change: Callable[[FloatArray], FloatArray],
) -> Effect:
    table = replace(test.table, sample_ids=tuple(test.table.sample_ids[k] for k in rows),
                    values=change(test.table.values[rows]))
    disturbed = list(predict(model, table, masses))
    moved = np.array([p.value for p in disturbed]) - np.array([test.predictions[k].value for k in rows])
    number = moved[np.isfinite(moved)]
    mean, rms = (float(number.mean()), float(np.sqrt(np.mean(number**2)))) if number.size else (np.nan, np.nan)
    return Effect(name, size, mean, rms, float(np.mean([p.quality != Quality.GOOD.value for p in disturbed])))


def _disturbances(
    axis: FloatArray, used: slice, spectra: FloatArray, sizes: Mapping[str, float], unit: str, seed: int
) -> list[tuple[str, str, Callable[[FloatArray], FloatArray]]]:
    shown = unit.replace("cm-1", "cm⁻¹")
    channel = float(np.median(np.abs(np.diff(axis))))
    ramp = np.linspace(0.0, 1.0, axis.size) - 0.5
    inside = (axis.size - 1) / max(used.stop - used.start - 1, 1)  # the ramp's size is meant over the region
    drawn = np.random.default_rng(seed).normal(0.0, 1.0, spectra.shape)
    extra = noise(spectra[:, used]) * np.sqrt(max(sizes["noise_factor"] ** 2 - 1.0, 0.0))
    gain = sizes["gain_pct"] / 100
    found: list[tuple[str, str, Callable[[FloatArray], FloatArray]]] = []
    for sign in (1.0, -1.0):
        shift, offset, tilt = (sign * sizes[name] for name in ("axis_shift", "offset", "tilt"))
        found += [
            ("axis shift", f"{shift:+g} {shown}", partial(_shifted, axis, shift)),
            ("offset", f"{offset:+g}", partial(np.add, offset)),
            ("baseline tilt", f"{tilt:+g}", partial(np.add, tilt * inside * ramp)),
            ("gain or path length", f"{100 * sign * gain:+g} %", partial(np.multiply, 1 + sign * gain)),
        ]
    found.sort(key=lambda item: item[0])
    found += [
        ("band broadening (as by warming)", f"{sizes['broadening']:g} {shown}",
         lambda x: gaussian_filter1d(x, sizes["broadening"] / channel, axis=1)),
        ("noise", f"{sizes['noise_factor']:g} times", lambda x: x + extra * drawn),
    ]
    return found


def _shifted(axis: FloatArray, shift: float, spectra: FloatArray) -> FloatArray:
    """The spectra as an instrument sees them whose axis is off by so much."""
    order = np.argsort(axis)
    values = CubicSpline(axis[order], spectra[:, order], axis=1)(axis - shift)
    return np.asarray(values, dtype=np.float64)
