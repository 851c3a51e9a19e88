"""model + spectra -> what the model answers to: regression vector, analyte signal, interferents, noise; pure.

The regression vector is the derivative of the graph's value at the mean calibration spectrum, so it is that of any
model behind a graph: averaged, non-linear or brought along. Vectors are compared as the model itself sees spectra:
after its own pre-treatment.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.signal import savgol_coeffs

from soft_sensors.bundle import Bundle
from soft_sensors.signals import FloatArray

STEP = 1e-3  # of the mean spectrum's range: large against float32 rounding, small against any bend of a model
RANK = 0.05  # of the largest singular value: what the derivative nearly wipes out would only roughen the vector
BANDS = 12


@dataclass(frozen=True)
class Treatment:
    """A model's pre-treatment: a derivative, and standard normal variate before it, after it, or not (empty).

    matrix [treated, window]: the derivative, or what takes the mean off where there is none.
    """

    matrix: FloatArray
    snv: Literal["", "before", "after"]

    @classmethod
    def named(cls, pretreatment: str, size: int) -> Treatment:
        """As the card names it: SGd(w), derivative d over w channels, SNV before or after it; else mean taken off."""
        steps = pretreatment.split("+")
        place = next((k for k, step in enumerate(steps) if step.startswith("SG")), len(steps))
        snv: Literal["", "before", "after"] = "" if "SNV" not in steps else (
            "before" if steps.index("SNV") < place else "after")
        named = re.fullmatch(r"SG(\d)\((\d+)\)", steps[place]) if place < len(steps) else None
        if named is None:
            return cls(np.eye(size) - 1.0 / size, snv)
        order, width = int(named[1]), int(named[2])
        kernel = savgol_coeffs(width, 2, deriv=order, use="dot")
        matrix = np.zeros((size - width + 1, size))
        for k in range(len(matrix)):
            matrix[k, k: k + width] = kernel
        return cls(matrix, snv)

    def of_samples(self, spectra: FloatArray) -> FloatArray:
        """Spectra [n, window] as the model sees them, but on their mean scale where SNV gives them a common one."""
        first = _common_scale(spectra) if self.snv == "before" else spectra
        derived = self.of_spectra(first)
        return _common_scale(derived) if self.snv == "after" else derived

    def of_spectra(self, spectra: FloatArray) -> FloatArray:
        """Spectra [window] or [n, window], derived."""
        return spectra @ self.matrix.T

    def of_axis(self, axis: FloatArray) -> FloatArray:
        """The axis [window] of derived spectra."""
        margin = (axis.size - len(self.matrix)) // 2
        return axis[margin: margin + len(self.matrix)]

    def of_vector(self, vector: FloatArray) -> FloatArray:
        """The vector on derived spectra that gives what this one [window] gives on the spectra themselves."""
        return np.asarray(np.linalg.lstsq(self.matrix.T, vector, rcond=RANK)[0], dtype=np.float64)


@dataclass(frozen=True)
class Response:
    """What the model says to one component, in percent of the analyte's, and its net signal's correlation with it."""

    name: str
    relative_pct: float
    correlation: float


@dataclass(frozen=True)
class Direction:
    """How a set of samples changes with the analyte.

    change [treated]: of the treated spectrum per card unit; response: of the model to it, 1 is ideal; correlation: with
    the regression vector.
    """

    change: FloatArray
    response: float
    correlation: float


@dataclass(frozen=True)
class Band:
    """A part of the axis and its share of the response to the analyte, in percent."""

    low: float
    high: float
    share_pct: float


def regression_vector(model: Bundle, mean: FloatArray) -> FloatArray:
    """d value / d spectrum [window] at the mean spectrum [n_channels], by central differences of the graph."""
    used = model.card.window
    step = STEP * float(np.ptp(mean[used]))
    vector = np.empty(used.stop - used.start)
    for k in range(used.start, used.stop):
        up, down = mean.copy(), mean.copy()
        up[k] += step
        down[k] -= step
        vector[k - used.start] = (model.infer(up)["value"] - model.infer(down)["value"]) / (2 * step)
    return vector


def direction(vector: FloatArray, spectra: FloatArray, y: FloatArray, treatment: Treatment) -> Direction:
    """The change of spectra [n, window] with y [n] in the card's unit against the vector [window].

    Each channel's slope on y is the difference spectrum of high and low samples that uses all of them.
    """
    treated, ours = treatment.of_samples(spectra), treatment.of_vector(vector)
    centred = y - y.mean()
    change = (treated - treated.mean(axis=0)).T @ centred / float(centred @ centred)
    return Direction(change, float(ours @ change), _correlation(ours, change))


def responses(
    vector: FloatArray, names: Sequence[str], pure: FloatArray, analyte: int, treatment: Treatment
) -> list[Response]:
    """What each pure spectrum [k, window] does to the value, and how far its net signal is the vector's.

    The net signal of a component is what is left of it when the other components and a baseline are taken off
    (Lorber 1986, Anal. Chem. 58, 1167): only the analyte's should be the vector's.
    """
    treated, ours = treatment.of_spectra(pure), treatment.of_vector(vector)
    baseline = treatment.of_spectra(np.linspace(-1.0, 1.0, vector.size))
    own = float(vector @ pure[analyte])
    found = []
    for k, name in enumerate(names):
        others = np.vstack([np.delete(treated, k, axis=0), baseline])
        net = treated[k] - others.T @ np.linalg.lstsq(others.T, treated[k], rcond=None)[0]
        relative = 100 * float(vector @ pure[k]) / own if own else math.nan
        found.append(Response(name, relative, _correlation(ours, net)))
    return found


def bands(vector: FloatArray, change: FloatArray, axis: FloatArray) -> list[Band]:
    """Where the response comes from: equal parts of the axis, largest share first; all [treated].

    A share is that of the product of both, so that parts may count against each other.
    """
    product = vector * change
    total = float(product.sum())
    found = []
    for rows in np.array_split(np.arange(axis.size), min(BANDS, axis.size)):
        ends = axis[rows[0]], axis[rows[-1]]
        share = 100 * float(product[rows].sum()) / total if total else math.nan
        found.append(Band(float(min(ends)), float(max(ends)), share))
    return sorted(found, key=lambda band: -abs(band.share_pct))


def noise(spectra: FloatArray) -> float:
    """White noise of spectra [n, window]: robust standard deviation of third differences over sqrt(20)."""
    third = np.diff(spectra, 3, axis=1)
    return float(1.4826 * np.median(np.abs(third - np.median(third))) / math.sqrt(20.0))


def _common_scale(spectra: FloatArray) -> FloatArray:
    centred = spectra - spectra.mean(axis=1, keepdims=True)
    deviation = centred.std(axis=1, keepdims=True)
    return np.asarray(centred / deviation * deviation.mean(), dtype=np.float64)


def _correlation(a: FloatArray, b: FloatArray) -> float:
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size > 0 else math.nan
