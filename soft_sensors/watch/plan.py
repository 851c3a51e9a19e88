"""TOML of a verification -> which standards, what is certified of them, what is tested."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from soft_sensors.signals import FloatArray
from soft_sensors.watch.instrument import (
    Figure,
    InstrumentRecord,
    VerificationError,
    linearity_figures,
    nir_tolerance_nm,
    noise_figures,
    wavelength_figures,
)

DAY_S = 86400.0
Positive = Annotated[float, Field(gt=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AxisTest(_Strict):
    """A standard with certified band positions; tolerance in the axis' unit (absent: USP <856> for nm)."""

    sample_id: str
    peaks: tuple[float, ...] = Field(min_length=1)
    tolerance: tuple[Positive, ...] | None = None
    bands: Literal["up", "down"] = "up"


class LinearityTest(_Strict):
    """Photometric standards: certified absorbance of each sample_id at one position of the axis."""

    at: float
    certified: dict[str, float]


class NoiseTest(_Strict):
    """A spectrum of a standard measured against itself, or two scans of it (against); flux says which limit holds."""

    sample_id: str
    against: str | None = None
    flux: Literal["high", "low"] = "high"


class Plan(_Strict):
    """One instrument's verification: what is tested and for how many days it holds."""

    instrument: str = Field(min_length=1)
    axis_unit: Literal["nm", "cm-1"]
    valid_days: Positive
    source: str = ""
    axis: tuple[AxisTest, ...] = ()
    linearity: tuple[LinearityTest, ...] = ()
    noise: tuple[NoiseTest, ...] = ()


@dataclass(frozen=True)
class Standards:
    """Spectra of standards by sample_id, each [n] on axis [n]."""

    axis: FloatArray
    values: dict[str, FloatArray]

    def of(self, sample_id: str) -> FloatArray:
        """One standard's spectrum; VerificationError naming those there are."""
        if sample_id not in self.values:
            known = ", ".join(self.values)
            raise VerificationError(f"the plan asks for {sample_id!r}, the spectra hold {known}: measure it")
        return self.values[sample_id]


def read_plan(path: Path) -> Plan:
    """The plan in a TOML file; VerificationError says which key is wrong."""
    try:
        plan = Plan.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        raise VerificationError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise VerificationError(f"{path}: not valid TOML ({error})") from error
    if not (plan.axis or plan.linearity or plan.noise):
        raise VerificationError(f"{path}: nothing is tested; add [[axis]], [[linearity]] or [[noise]]")
    for test in plan.axis:
        if test.tolerance is not None and len(test.tolerance) != len(test.peaks):
            raise VerificationError(f"{path}: {test.sample_id}: give as many tolerances as peaks ({len(test.peaks)})")
        if test.tolerance is None and plan.axis_unit != "nm":
            raise VerificationError(f"{path}: {test.sample_id}: give tolerance in cm-1, one a peak")
    return plan


def verify(plan: Plan, standards: Standards, time_s: float) -> InstrumentRecord:
    """Every figure that the plan asks for, and until when the verification holds; time_s: when it was measured."""
    figures: list[Figure] = []
    for axis in plan.axis:
        peaks = np.array(axis.peaks)
        tolerance = nir_tolerance_nm(peaks) if axis.tolerance is None else np.array(axis.tolerance)
        values = standards.of(axis.sample_id) * (1.0 if axis.bands == "up" else -1.0)
        figures += wavelength_figures(standards.axis, values, peaks, tolerance, plan.axis_unit)
    for line in plan.linearity:
        order = np.argsort(standards.axis)
        measured = [float(np.interp(line.at, standards.axis[order], standards.of(s)[order])) for s in line.certified]
        figures += linearity_figures(np.array(list(line.certified.values())), np.array(measured))
    for noise in plan.noise:
        limit = 0.3e-3 if noise.flux == "high" else 1e-3
        values = standards.of(noise.sample_id)
        if noise.against is not None:
            values = values - standards.of(noise.against)
        figures += noise_figures(standards.axis, values, limit, f"noise, {noise.flux} flux")
    return InstrumentRecord(plan.instrument, time_s, time_s + plan.valid_days * DAY_S, tuple(figures))
