"""Paired spectra -> a linear map of the new instrument's spectra onto the old one's, by each known method.

Every map is the identity plus a correction learnt from the pairs: what the pairs do not show passes unchanged, so that
Q still sees a fault on the new instrument.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from soft_sensors.calibrate.folds import IntArray
from soft_sensors.signals import FloatArray

MOST_COMPONENTS = 10  # our choice: more directions than this cannot be told from noise by some thirty pairs
RIDGES = (1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6)
BAND_WIDTHS = (5, 11)  # channels, our choice: a wavelength shift of a few channels
BAND_RANKS = (1, 2)


@dataclass(frozen=True)
class Band:
    """A correction of channel j by its neighbours: sum over i of weights[i, j] x[j + i - width // 2]."""

    weights: FloatArray

    @property
    def places(self) -> IntArray:
        """Channel numbers [width, channels] of the neighbours; beyond the ends the end itself (weight 0 there)."""
        width, size = self.weights.shape
        places = np.arange(width)[:, None] - width // 2 + np.arange(size)
        return np.asarray(np.clip(places, 0, size - 1), dtype=np.int64)


@dataclass(frozen=True)
class Map:
    """x' = x + x left right + band(x) + offset on the model's window, then value' = slope value + intercept.

    left [channels, k], right [k, channels], offset [channels]; None: that part does nothing.
    """

    name: str
    left: FloatArray | None = None
    right: FloatArray | None = None
    band: Band | None = None
    offset: FloatArray | None = None
    slope: float = 1.0
    intercept: float = 0.0

    @property
    def on_spectra(self) -> bool:
        """Whether spectra are changed (else only the predicted value is)."""
        return self.offset is not None

    @property
    def on_values(self) -> bool:
        """Whether the predicted value is changed."""
        return self.slope != 1.0 or self.intercept != 0.0

    def spectra(self, X: FloatArray) -> FloatArray:
        """Mapped spectra [n, channels]."""
        mapped = X
        if self.left is not None and self.right is not None:
            mapped = mapped + (X @ self.left) @ self.right
        if self.band is not None:
            mapped = mapped + (X[:, self.band.places] * self.band.weights).sum(axis=1)
        return mapped if self.offset is None else mapped + self.offset


def spectral_maps(old: FloatArray, new: FloatArray) -> dict[str, Map]:
    """All maps of spectra learnt from pairs old [n, channels], new [n, channels], simplest first, by name."""
    found = {"mean difference": Map("mean difference", offset=old.mean(axis=0) - new.mean(axis=0))}
    found |= space_transformations(old, new)
    found |= direct_standardisations(old, new)
    found |= piecewise_standardisations(old, new)
    return found


def space_transformations(old: FloatArray, new: FloatArray) -> dict[str, Map]:
    """Spectral space transformation with 1, 2, ... components.

    Source: Du, Chen et al. 2011, Anal. Chim. Acta 690, 64: with [old new] = U S [Po' Pn'],
    x' = x + x (Pn')+ (Po' - Pn'); here about the mean of the pairs.
    """
    size = old.shape[1]
    joint = np.hstack([old - old.mean(axis=0), new - new.mean(axis=0)])
    directions = _axes(joint)
    found = {}
    for k in range(1, len(directions) + 1):
        to_old, to_new = directions[:k, :size], directions[:k, size:]
        name = f"SST({k})"
        back = np.asarray(np.linalg.pinv(to_new), dtype=np.float64)
        found[name] = _about_means(name, old, new, back, to_old - to_new)
    return found


def direct_standardisations(old: FloatArray, new: FloatArray) -> dict[str, Map]:
    """Direct standardisation: the difference old - new regressed on the new spectra, by ridge regression.

    Source: Wang, Veltkamp, Kowalski 1991, Anal. Chem. 63, 2750. The ridge, a share of the new spectra's variation,
    takes the place of a number of components: it forgets the poorly seen directions gradually.
    """
    U, S, V = np.linalg.svd(new - new.mean(axis=0), full_matrices=False)
    difference = (old - old.mean(axis=0)) - (new - new.mean(axis=0))
    if not float(S[0]) > 0:
        return {}
    found = {}
    for ridge in RIDGES:
        name = f"DS({ridge:g})"
        damped = S / (S**2 + ridge * float((S**2).sum()))
        found[name] = _about_means(name, old, new, V.T * damped, U.T @ difference)
    return found


def piecewise_standardisations(old: FloatArray, new: FloatArray) -> dict[str, Map]:
    """Piecewise direct standardisation: each channel's difference regressed on its neighbours' leading components.

    Source: Wang, Veltkamp, Kowalski 1991, Anal. Chem. 63, 2750.
    """
    found = {}
    centred = new - new.mean(axis=0)
    difference = (old - old.mean(axis=0)) - centred
    for width in BAND_WIDTHS:
        if 3 * width > old.shape[1]:
            continue
        padded = np.pad(centred, ((0, 0), (width // 2, width // 2)))
        windows = sliding_window_view(padded, width, axis=1).transpose(1, 0, 2)
        # Eigenvectors of small products in place of singular vectors of the windows: twenty times faster.
        power, V = np.linalg.eigh(windows.transpose(0, 2, 1) @ windows)
        pull = np.einsum("cnw,nc->cw", windows, difference)
        for rank in BAND_RANKS:
            leading = V[:, :, -rank:]
            along = np.einsum("cwk,cw->ck", leading, pull)
            seen = power[:, -rank:]
            scaled = np.divide(along, seen, out=np.zeros_like(along), where=seen > 1e-12 * power.max())
            name = f"PDS({width}, {rank})"
            band = Band(np.einsum("cwk,ck->wc", leading, scaled))
            plain = Map(name, band=band, offset=np.zeros(old.shape[1]))
            found[name] = Map(name, band=band, offset=(old - plain.spectra(new)).mean(axis=0))
    return found


def value_maps(old: FloatArray, new: FloatArray) -> Mapping[str, Map]:
    """Maps of the predicted value only, learnt from the model's values for the old [n] and new [n] spectra."""
    centred = new - new.mean()
    spread = float(centred @ centred)
    slope = float(centred @ old) / spread if spread > 0 else 1.0
    return {
        "bias": Map("bias", intercept=float(old.mean() - new.mean())),
        "slope and bias": Map("slope and bias", slope=slope, intercept=float(old.mean() - slope * new.mean())),
    }


def _axes(X: FloatArray) -> FloatArray:
    """Directions [k, channels] of the leading components that are more than rounding."""
    _, S, V = np.linalg.svd(X, full_matrices=False)
    floor = 1e-9 * float(S[0])
    k = min(int(np.count_nonzero(floor < S)), MOST_COMPONENTS, len(X) - 1)
    return V[:k]


def _about_means(name: str, old: FloatArray, new: FloatArray, left: FloatArray, right: FloatArray) -> Map:
    """x' = x + (x - mean new) left right + mean old - mean new."""
    centre = new.mean(axis=0)
    return Map(name, left, right, offset=old.mean(axis=0) - centre - (centre @ left) @ right)
