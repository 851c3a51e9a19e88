"""model + spectra -> what the model answers to: regression vector, analyte signal, interferents, noise; pure.

The regression vector is the derivative of the graph's value at the mean calibration spectrum, so it is that of any
model behind a graph: averaged, non-linear or brought along. Vectors are compared after SNV and a first derivative,
because offset, path length and scatter carry no information on composition.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.signal import savgol_coeffs

from soft_sensors.bundle import Bundle
from soft_sensors.signals import FloatArray
from soft_sensors.validate import window

STEP = 1e-3  # of the mean spectrum's range: large against float32 rounding, small against any bend of a model
FILTER = 11  # channels of the first derivative
RANK = 1e-3  # of the largest singular value: directions that the derivative wipes out
BANDS = 12


@dataclass(frozen=True)
class Response:
    """What the model says to one component, in percent of the analyte's, and its net signal's correlation with it."""

    name: str
    relative_pct: float
    correlation: float


@dataclass(frozen=True)
class Direction:
    """How a set of samples changes with the analyte.

    spectrum [window] per card unit; response: of the model to it, 1 is ideal; correlation with the regression vector.
    """

    spectrum: FloatArray
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
    used = window(model.card)
    step = STEP * float(np.ptp(mean[used]))
    vector = np.empty(used.stop - used.start)
    for k in range(used.start, used.stop):
        up, down = mean.copy(), mean.copy()
        up[k] += step
        down[k] -= step
        vector[k - used.start] = (model.infer(up)["value"] - model.infer(down)["value"]) / (2 * step)
    return vector


def direction(vector: FloatArray, spectra: FloatArray, y: FloatArray) -> Direction:
    """The change of spectra [n, window] with y [n] in the card's unit, scatter taken off, against the vector [window].

    Each channel's slope on y is the difference spectrum of high and low samples that uses all of them.
    """
    deviation = spectra.std(axis=1, keepdims=True)
    normal = (spectra - spectra.mean(axis=1, keepdims=True)) / deviation
    centred = y - y.mean()
    change = (normal - normal.mean(axis=0)).T @ centred / float(centred @ centred) * float(deviation.mean())
    return Direction(change, float(vector @ change), _correlation(_treated_vector(vector), _derivative(change)))


def responses(
    vector: FloatArray, names: Sequence[str], pure: FloatArray, analyte: int
) -> list[Response]:
    """What each pure spectrum [k, window] does to the value, and how far its net signal is the vector's.

    The net signal of a component is what is left of it when the other components and a baseline are taken off
    (Lorber 1986, Anal. Chem. 58, 1167): only the analyte's should be the vector's.
    """
    treated, ours = np.array([_derivative(row) for row in pure]), _treated_vector(vector)
    baseline = np.ones_like(ours)
    own = float(vector @ pure[analyte])
    found = []
    for k, name in enumerate(names):
        others = np.vstack([np.delete(treated, k, axis=0), baseline])
        net = treated[k] - others.T @ np.linalg.lstsq(others.T, treated[k], rcond=None)[0]
        relative = 100 * float(vector @ pure[k]) / own if own else math.nan
        found.append(Response(name, relative, _correlation(ours, net)))
    return found


def bands(vector: FloatArray, change: FloatArray, axis: FloatArray) -> list[Band]:
    """Where the response comes from: equal parts of the axis [window], largest share first.

    A share is that of the product of derivatives, so that parts may count against each other.
    """
    product = _treated_vector(vector) * _derivative(change)
    margin = (axis.size - product.size) // 2
    inner = axis[margin: margin + product.size]
    total = float(product.sum())
    found = []
    for rows in np.array_split(np.arange(inner.size), min(BANDS, inner.size)):
        ends = inner[rows[0]], inner[rows[-1]]
        share = 100 * float(product[rows].sum()) / total if total else math.nan
        found.append(Band(float(min(ends)), float(max(ends)), share))
    return sorted(found, key=lambda band: -abs(band.share_pct))


def noise(spectra: FloatArray) -> float:
    """White noise of spectra [n, window]: robust standard deviation of third differences over sqrt(20)."""
    third = np.diff(spectra, 3, axis=1)
    return float(1.4826 * np.median(np.abs(third - np.median(third))) / math.sqrt(20.0))


def _filter(size: int) -> tuple[FloatArray, int]:
    width = min(FILTER, size // 2 * 2 - 1)
    return np.asarray(savgol_coeffs(width, 2, deriv=1, use="dot"), dtype=np.float64), width


def _derivative(values: FloatArray) -> FloatArray:
    """First derivative [window - width + 1], without invented edges."""
    kernel, width = _filter(values.size)
    return np.asarray(np.lib.stride_tricks.sliding_window_view(values, width) @ kernel, dtype=np.float64)


def _treated_vector(vector: FloatArray) -> FloatArray:
    """The vector on derivative spectra that gives the same values as this one on the spectra themselves."""
    kernel, width = _filter(vector.size)
    D = np.zeros((vector.size - width + 1, vector.size))
    for k in range(D.shape[0]):
        D[k, k: k + width] = kernel
    return np.asarray(np.linalg.lstsq(D.T, vector, rcond=RANK)[0], dtype=np.float64)


def _correlation(a: FloatArray, b: FloatArray) -> float:
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size > 0 else math.nan
