"""composition -> NIR absorbance: Kubelka-Munk over pure-component bands, then what a real probe adds."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import voigt_profile

from hil_sim.line.material import API, COMPONENTS, MGST, WATER
from hil_sim.line.parameters import ParameterError, fill

REFERENCE_PROBE = Path(__file__).with_name("cdc_ref_1_nir.toml")
CHANNELS = 125
LORENTZ_SHARE = 0.15  # Voigt: Lorentzian half width over Gaussian sigma; our choice
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ProbeParameters:
    """Optics and disturbances of the probe; units in the parameter file."""

    axis_low_nm: float
    axis_high_nm: float
    absorption_floor: float
    absorption_scale: float
    scatter: float
    scatter_exponent: float
    scatter_sd: float
    offset_sd: float
    slope_sd: float
    tilt_sd: float
    noise_sd: float
    stray_light: float
    sampling_rsd: float
    bias_rsd: float
    temperature_c: float
    temperature_sd_c: float
    temperature_tau_s: float
    oh_shift_nm_per_c: float
    empty_fill: float
    film_strength: float


@dataclass(frozen=True)
class Presentation:
    """How the powder lies before the window, beside its composition.

    density_ratio: bed density over reference; fill: feed frame fill (1 full); drift: relative API the instrument
    sees too much (shape of true API, so no residual betrays it); fouling: share of the light the film takes.
    """

    density_ratio: float = 1.0
    fill: float = 1.0
    drift: float = 0.0
    fouling: float = 0.0
    temperature_c: float | None = None


class NirProbe:
    """Diode-array NIR probe; its randomness is its own seeded stream.

    installed_bias: relative API bias between the calibration set-up and the line, constant in a run.
    """

    def __init__(self, seed: int, path: Path | None = None) -> None:
        self.parameters, bands = _load(path or REFERENCE_PROBE)
        p = self.parameters
        self.axis_nm: FloatArray = np.linspace(p.axis_low_nm, p.axis_high_nm, CHANNELS)
        self._pure = np.stack([_pure_spectrum(self.axis_nm, bands[name]) for name in COMPONENTS])
        self._water_slope = np.gradient(self._pure[WATER], self.axis_nm)
        self._scatter = p.scatter * (self.axis_nm / 1500.0) ** -p.scatter_exponent
        self._tilt = np.linspace(-1.0, 1.0, CHANNELS)
        film = 0.5 * self._pure[API] + 0.5 * self._pure[MGST]
        self._film = _reflectance(p.film_strength * (p.absorption_floor + p.absorption_scale * film) / self._scatter)
        self._random = np.random.default_rng([seed, 908])
        self._temperature_c = p.temperature_c
        self.installed_bias = p.bias_rsd * float(np.random.default_rng([seed, 1676]).standard_normal())

    def settle_temperature(self, dt_s: float) -> None:
        """Let the powder temperature wander over dt_s (AR(1))."""
        p = self.parameters
        keep = float(np.exp(-dt_s / p.temperature_tau_s))
        kick = float(self._random.standard_normal()) * p.temperature_sd_c * float(np.sqrt(1.0 - keep * keep))
        self._temperature_c = p.temperature_c + keep * (self._temperature_c - p.temperature_c) + kick

    def measure(self, fractions: Sequence[float], presentation: Presentation) -> FloatArray:
        """One spectrum, absorbance log10(1/R) [125], of powder with these mass fractions (order of COMPONENTS)."""
        p = self.parameters
        seen = self._sample(fractions, presentation.drift)
        temperature = self._temperature_c if presentation.temperature_c is None else presentation.temperature_c
        shift_nm = p.oh_shift_nm_per_c * (temperature - p.temperature_c)
        absorption = seen @ self._pure - seen[WATER] * shift_nm * self._water_slope
        packing = presentation.density_ratio * (1.0 + p.scatter_sd * self._random.standard_normal())
        ratio = (p.absorption_floor + p.absorption_scale * absorption) / (self._scatter * packing)
        reflectance = _reflectance(ratio)
        reflectance = (1.0 - presentation.fouling) * reflectance + presentation.fouling * self._film
        covered = min(1.0, max(0.0, presentation.fill / p.empty_fill))
        reflectance = (covered * reflectance + p.stray_light) / (1.0 + p.stray_light)
        offset, slope, tilt = self._random.standard_normal(3) * (p.offset_sd, p.slope_sd, p.tilt_sd)
        absorbance = -np.log10(reflectance)
        noise = p.noise_sd / np.sqrt(reflectance) * self._random.standard_normal(CHANNELS)
        spectrum: FloatArray = offset + (1.0 + slope) * absorbance + tilt * self._tilt + noise
        return spectrum

    def _sample(self, fractions: Sequence[float], drift: float) -> FloatArray:
        # Drift is worst-case: exactly the shape of more API, the others giving way in proportion.
        seen = np.asarray(fractions, dtype=np.float64)
        if drift:
            api = min(1.0, seen[API] * (1.0 + drift))
            rest = (1.0 - api) / (1.0 - seen[API])
            seen = seen * rest
            seen[API] = api
        jitter = 1.0 + self.parameters.sampling_rsd * self._random.standard_normal(seen.size)
        seen = seen * jitter
        share: FloatArray = seen / seen.sum()
        return share


def _reflectance(ratio: FloatArray) -> FloatArray:
    """Diffuse reflectance of an infinite bed by Kubelka-Munk, (1-R)^2 / 2R = K/S."""
    reflectance: FloatArray = 1.0 + ratio - np.sqrt(ratio * ratio + 2.0 * ratio)
    return reflectance


def _pure_spectrum(axis_nm: FloatArray, bands: list[list[float]]) -> FloatArray:
    total = np.zeros_like(axis_nm)
    for centre, sigma, strength in bands:
        gamma = LORENTZ_SHARE * sigma
        total += strength * voigt_profile(axis_nm - centre, sigma, gamma) / voigt_profile(0.0, sigma, gamma)
    return total


def _load(path: Path) -> tuple[ProbeParameters, dict[str, list[list[float]]]]:
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ParameterError(f"{path}: cannot be read as TOML: {error}") from error
    parameters = fill(ProbeParameters, table.get("probe", {}), f"{path}: [probe]")
    bands = table.get("bands", {})
    missing = [name for name in COMPONENTS if not bands.get(name, {}).get("source")]
    if missing:
        raise ParameterError(
            f"{path}: [bands] lacks '{missing[0]}' or its source: add {missing[0]} = {{ value, unit, source }}"
        )
    return parameters, {name: bands[name]["value"] for name in COMPONENTS}
