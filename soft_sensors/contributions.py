"""scores and residual -> what each channel contributes to T2 and Q, so that a refusal can be looked into."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from soft_sensors.signals import Contribution, FloatArray

ANATOMY = ("rotations", "loadings", "score_sd", "channels")
TOP = 3  # channels named for each statistic


@dataclass(frozen=True)
class Anatomy:
    """Of the model that gives T2 and Q: rotations, loadings [m, k], score_sd [k]; channels [m]: places on the axis."""

    rotations: FloatArray
    loadings: FloatArray
    score_sd: FloatArray
    channels: FloatArray

    def arrays(self) -> dict[str, FloatArray]:
        """The arrays by the names of ANATOMY, to be stored with a bundle."""
        return {name: getattr(self, name) for name in ANATOMY}

    def t2(self, scores: FloatArray, residual: FloatArray) -> FloatArray:
        """Contribution of each pre-treated channel [m] to T2; they add up to it, single ones may be negative.

        Complete decomposition (Alcala and Qin 2009, Automatica 45, 1593): x_j times the j-th row of R S^-2 t; the
        scores [k] are in units of their standard deviation.
        """
        centred = residual + self.loadings @ (scores * self.score_sd)
        return np.asarray(centred * (self.rotations @ (scores / self.score_sd)), dtype=np.float64)

    def q(self, residual: FloatArray) -> FloatArray:
        """Contribution of each pre-treated channel [m] to Q: the squared residual; they add up to it."""
        return np.asarray(residual**2, dtype=np.float64)

    def top(self, scores: FloatArray, residual: FloatArray) -> tuple[Contribution, ...]:
        """The channels that contribute most to T2, then to Q, with their share of it."""
        found = []
        for name, parts in (("T2", self.t2(scores, residual)), ("Q", self.q(residual))):
            total = float(parts.sum())
            if total > 0:
                best = np.argsort(-parts)[:TOP]
                found += [Contribution(name, float(self.channels[k]), float(parts[k]) / total) for k in best]
        return tuple(found)
