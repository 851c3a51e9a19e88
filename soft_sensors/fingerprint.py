"""calibration spectra -> fingerprint -> what is strange about the shape of a spectrum, and what it looks like.

T2 and Q ask whether a spectrum is unusual in any way; a fault must then be large to stand out against all that samples
do. A matched filter asks for one shape only (a shifted axis, stray light, a fouled window), weighed by how samples
vary and how channels are noisy, and finds it earlier. One product of a matrix with the spectrum tests all shapes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from soft_sensors.signals import FloatArray, Quality, Verdict

RANKS = (2, 4, 6, 9, 12)  # our choice: how many directions of natural variation a filter may look past
ALARMS = 0.05  # our choice: the share of good spectra that may be called uncertain by all limits together
USUAL = 0.95  # our choice: how far held-out samples usually come
MARGIN_LOW, MARGIN_HIGH = 1.05, 3.0  # our choice: bounds of the room above what held-out calibration spectra showed
# Shapes over the whole axis move the value most and have few accidents: little room. There is one test of each.
WHOLE_AXIS_HIGH = 2.0
LARGEST_ABSORBANCE = 10.0  # a span above this is no absorbance but a count of photons
FEWEST = 4  # our choice: spectra that must be left when a fold is held out
NARROWEST = 1e-9  # relative; calibration spectra that are all alike leave no width at all
SECOND = math.sqrt(6.0)  # second differences of white noise have sqrt(6) times its standard deviation
WHOLE_AXIS = ("offset", "tilt", "curvature", "gain", "gain along the axis", "non-linearity", "stray light",
              "axis shift", "axis stretch", "axis bow", "resolution")
ROUGH, PEAK, LEFT_OVER = "roughness", "spike or step", "residual"


@dataclass(frozen=True)
class Fingerprint:
    """How good spectra look, on the window's channels; made by signature_limits.

    mean [m]; noise [m]: standard deviation of a channel's noise; basis [k, m]: orthonormal directions in which samples
    differ, noise-weighted, with their variances [k]; floor [k]: variance left per channel beyond each rank; ranks [d]:
    how many of the directions each filter looks past; low, high [d + 3]: limits of the filters, then of roughness,
    of the largest second difference and of the residual.
    """

    mean: FloatArray
    noise: FloatArray
    basis: FloatArray
    variance: FloatArray
    floor: FloatArray
    ranks: NDArray[np.int64]
    low: FloatArray
    high: FloatArray
    names: tuple[str, ...] = field(init=False)
    product: FloatArray = field(init=False)
    middle: FloatArray = field(init=False)
    half: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        names, shapes = signatures(self.mean)
        object.__setattr__(self, "names", (*names, ROUGH, PEAK, LEFT_OVER))
        rows = [_filters(self.basis[:r], self.variance[:r], float(self.floor[r - 1]), shape[None, :] / self.noise)[0][0]
                for r, shape in zip(self.ranks.tolist(), shapes, strict=True)]
        object.__setattr__(self, "product", np.vstack([rows, self.basis]) / self.noise)
        object.__setattr__(self, "middle", 0.5 * (self.low + self.high))
        half = 0.5 * (self.high - self.low)
        object.__setattr__(self, "half", np.maximum(half, NARROWEST * np.maximum(np.abs(self.middle), 1.0)))

    def measure(self, values: FloatArray) -> FloatArray:
        """All statistics of one spectrum [m], each over its limit's half width from its middle: above 1 is strange."""
        centred = values - self.mean
        both = self.product @ centred  # filters and scores in one pass over the matrix
        n = self.ranks.size
        left = centred / self.noise - both[n:] @ self.basis
        numbers = np.concatenate([both[:n], _texture(left)])
        return np.asarray(np.abs(numbers - self.middle) / self.half, dtype=np.float64)


def judge_shape(fingerprint: Fingerprint, values: FloatArray, refuse_factor: float) -> Verdict:
    """Good within all limits, uncertain beyond one, bad beyond refuse_factor times it; names the likest fault."""
    ratios = fingerprint.measure(values)
    worst = int(np.argmax(ratios))
    if ratios[worst] <= 1.0:
        return Verdict(Quality.GOOD)
    if not math.isfinite(ratios[worst]):
        return Verdict(Quality.BAD, "shape: not finite")
    quality = Quality.BAD if ratios[worst] > refuse_factor else Quality.UNCERTAIN
    return Verdict(quality, f"shape: {fingerprint.names[worst]} is {ratios[worst]:.3g} times its limit")


def signature_limits(spectra: FloatArray, fold: NDArray[np.int64]) -> Fingerprint:
    """The fingerprint of calibration spectra [n, m] (the window's channels, finite, outliers left out).

    fold [n]: samples of one number are held out together when limits are measured (whole groups);
    where a group is nearly all, tenths in order are held out. Each filter's rank is the one that finds the smallest
    amount of its shape beyond the limits. ValueError with fewer than eight spectra or channels.
    """
    mean, noise = spectra.mean(axis=0), _noise(spectra)
    if spectra.shape[1] < 2 * FEWEST:
        raise ValueError(f"a fingerprint needs {2 * FEWEST} channels at least, not {spectra.shape[1]}")
    fold = _folds(fold)
    ranks = _ranks(spectra, fold)
    names, shapes = signatures(mean)
    z = {r: np.empty((len(spectra), len(names))) for r in ranks}
    answer = {r: np.zeros(len(names)) for r in ranks}
    texture = np.empty((len(spectra), 3))
    folds = np.unique(fold)
    for f in folds:
        out = fold == f
        centre = spectra[~out].mean(axis=0)
        basis, variance, floor = _variation((spectra[~out] - centre) / noise, max(ranks))
        white = (spectra[out] - centre) / noise
        texture[out] = [_texture(row) for row in white - (white @ basis.T) @ basis]
        for r in ranks:
            filters, gain = _filters(basis[:r], variance[:r], float(floor[r - 1]), shapes / noise)
            z[r][out] = white @ filters.T
            answer[r] += gain / folds.size
    smallest = np.array([np.abs(z[r]).max(axis=0) / answer[r] for r in ranks])
    best = [ranks[b] for b in np.argmin(smallest, axis=0)]
    shown = np.column_stack([*(z[r][:, k] for k, r in enumerate(best)), texture])
    middle, half = _bounds(shown)
    room = _margins(shown, fold, (*names, ROUGH, PEAK, LEFT_OVER))
    basis, variance, floor = _variation((spectra - mean) / noise, max(ranks))
    return Fingerprint(mean, noise, basis, variance, floor, np.array(best, dtype=np.int64), middle - room * half,
                       middle + room * half)


def signatures(mean: FloatArray) -> tuple[tuple[str, ...], FloatArray]:
    """Names [d] and shapes [d, m] that faults add to a spectrum, to first order, derived from the mean spectrum [m]."""
    place = np.linspace(-1.0, 1.0, mean.size)
    slope = np.gradient(mean)
    level = mean - mean.mean()
    stray = 10.0 ** (mean - mean.max()) if float(np.ptp(mean)) < LARGEST_ABSORBANCE else level**3
    found: list[tuple[str, FloatArray]] = list(zip(WHOLE_AXIS, (
        np.ones(mean.size), place, place**2, level, level * place, level**2, stray, slope, slope * place,
        slope * place**2, np.gradient(slope)), strict=True))
    found += [("band position", slope * _bell(place, c, 0.3)) for c in np.linspace(-0.8, 0.8, 5)]
    found += [("band", _bell(place, c, 0.03)) for c in np.linspace(-0.97, 0.97, 33)]
    found += [("broad band", _bell(place, c, 0.15)) for c in np.linspace(-0.9, 0.9, 9)]
    found += [("step", np.where(place > c, 1.0, 0.0)) for c in np.linspace(-0.6, 0.6, 13)]
    for cycles in (1.0, 1.5, 2.0, 3.0, 4.0):
        found += [("ripple", np.cos(np.pi * cycles * place)), ("ripple", np.sin(np.pi * cycles * place))]
    return tuple(name for name, _ in found), np.array([shape for _, shape in found])


def table_of(fingerprint: Fingerprint) -> dict[str, FloatArray | NDArray[np.int64]]:
    """The arrays that make the fingerprint, by name, to be stored with a bundle."""
    return {"mean": fingerprint.mean, "noise": fingerprint.noise, "basis": fingerprint.basis,
            "variance": fingerprint.variance, "floor": fingerprint.floor, "ranks": fingerprint.ranks,
            "low": fingerprint.low, "high": fingerprint.high}


def fingerprint_of(arrays: Mapping[str, FloatArray | NDArray[np.int64]]) -> Fingerprint:
    """The fingerprint of stored arrays; KeyError when one is missing."""
    number = {name: np.asarray(arrays[name], dtype=np.float64)
              for name in ("mean", "noise", "basis", "variance", "floor", "low", "high")}
    return Fingerprint(ranks=np.asarray(arrays["ranks"], dtype=np.int64), **number)


def _folds(fold: NDArray[np.int64]) -> NDArray[np.int64]:
    """The folds, or, where holding one out leaves too little, ten parts in order."""
    if fold.size < 2 * FEWEST:
        raise ValueError(f"a fingerprint needs {2 * FEWEST} spectra at least, not {fold.size}")
    left = fold.size - int(np.unique(fold, return_counts=True)[1].max())
    return fold if left >= FEWEST else np.arange(fold.size) * min(fold.size, 10) // fold.size


def _ranks(spectra: FloatArray, fold: NDArray[np.int64]) -> list[int]:
    """The ranks that samples and channels allow, whatever fold is held out."""
    left = len(spectra) - int(np.unique(fold, return_counts=True)[1].max())
    most = min(len(spectra) // 4, spectra.shape[1] // 3, left - 1)
    return [r for r in RANKS if r <= most]


def _bell(place: FloatArray, centre: float, width: float) -> FloatArray:
    return np.asarray(np.exp(-0.5 * ((place - centre) / width) ** 2), dtype=np.float64)


def _noise(spectra: FloatArray) -> FloatArray:
    """Noise of each channel [m]: the spread, between samples, of second differences along the axis, smoothed."""
    second = np.diff(spectra, 2, axis=1)
    size = np.pad(second.std(axis=0) / SECOND, 1, mode="edge")
    width = max(3, spectra.shape[1] // 40) | 1
    rows = np.lib.stride_tricks.sliding_window_view(np.pad(size, width // 2, mode="edge"), width)
    smooth = np.median(rows, axis=1)
    return np.asarray(np.maximum(smooth, max(0.1 * float(np.median(smooth)), 1e-300)), dtype=np.float64)


def _variation(white: FloatArray, rank: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Directions [k, m] in which centred spectra [n, m] differ, their variances [k], and what each rank leaves [k]."""
    _, s, directions = np.linalg.svd(white, full_matrices=False)
    variance = s**2 / max(len(white) - 1, 1)
    left = (variance.sum() - np.cumsum(variance)) / white.shape[1]
    return directions[:rank], variance[:rank], np.maximum(left[:rank], 1e-12)


def _filters(
    basis: FloatArray, variance: FloatArray, floor: float, shapes: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Matched filters [d, m] for shapes [d, m] in noise of covariance basis' variance basis + floor, and each one's
    answer to one unit of its shape [d] (Woodbury identity; Kay 1998, Detection Theory, section 4.4)."""
    shrink = variance / (variance + floor)
    weighed = (shapes - ((shapes @ basis.T) * shrink) @ basis) / floor
    answer = np.sqrt(np.maximum((shapes * weighed).sum(axis=1), 1e-300))
    return weighed / answer[:, None], answer


def _texture(left: FloatArray) -> FloatArray:
    """Roughness, largest second difference and size of what the natural variation does not explain [m]."""
    second = left[2:] - 2.0 * left[1:-1] + left[:-2]
    return np.array([math.sqrt(float(second @ second) / second.size) / SECOND, float(np.abs(second).max()) / SECOND,
                     math.sqrt(float(left @ left) / left.size)])


def _bounds(numbers: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Middle and half width of each column's range [n, d]."""
    low, high = numbers.min(axis=0), numbers.max(axis=0)
    return 0.5 * (low + high), 0.5 * (high - low)


def _margins(numbers: FloatArray, fold: NDArray[np.int64], names: tuple[str, ...]) -> FloatArray:
    """How far each limit must be widened so that few good samples break any [d], learnt fold by fold from the others.

    With many limits one is easily broken by chance: the margins of the kinds of shape are in proportion to how far
    held-out samples usually come, times one conformal factor for all kinds together.
    """
    ratio = np.empty_like(numbers)
    for f in np.unique(fold):
        out = fold == f
        middle, half = _bounds(numbers[~out])
        ratio[out] = np.abs(numbers[out] - middle) / np.maximum(half, 1e-300)
    kinds = tuple(dict.fromkeys(names))
    place = np.array([kinds.index(name) for name in names])
    worst = np.column_stack([ratio[:, place == k].max(axis=1) for k in range(len(kinds))])
    usual = np.maximum(np.quantile(worst, USUAL, axis=0), 0.8)
    rank = min(1.0, (1.0 - ALARMS) * (1.0 + 1.0 / len(ratio)))
    factor = float(np.quantile((worst / usual).max(axis=1), rank))
    highest = np.array([WHOLE_AXIS_HIGH if kind in WHOLE_AXIS else MARGIN_HIGH for kind in kinds])
    return np.asarray(np.clip(usual * factor, MARGIN_LOW, highest)[place], dtype=np.float64)
