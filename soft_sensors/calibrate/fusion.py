"""spectra of two instruments on the same samples -> candidates for one model (multi-block, mid-level).

Each block is pre-treated by itself and given the same total variance; then PLS sees both (Westerhuis, Kourti, MacGregor
1998, J. Chemometrics 12, 301: block scaling makes PLS on joined blocks a multi-block PLS).
"""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np

from soft_sensors.calibrate import pls1, wear, windows
from soft_sensors.calibrate.pretreatment import Fused, Part, Recipe, usable
from soft_sensors.calibrate.windows import Region
from soft_sensors.card import Block
from soft_sensors.signals import FloatArray

# Our choice: one of each kind, so that their pairs stay few.
SHORT = (
    Recipe("no", 0, 0), Recipe("before", 0, 0), Recipe("no", 1, 15), Recipe("before", 1, 15), Recipe("after", 1, 15),
    Recipe("no", 2, 21), Recipe("after", 2, 21),
)


def candidates(spectra: FloatArray, blocks: tuple[Block, ...]) -> dict[Region, dict[Recipe | Fused, wear.Treated]]:
    """Every pair of recipes, one a block, on whole joined spectra [n, m]; wear is of one instrument at a time."""
    starts = np.cumsum([0, *(block.n_channels for block in blocks)]).tolist()
    quiet = [windows.quiet_window(spectra[:, a:b]) for a, b in pairwise(starts)]
    inside = [slice(a + q.start, a + q.stop) for a, q in zip(starts[:-1], quiet, strict=True)]
    disturbed = [rows for window in inside for rows in wear.worn(spectra, window)]
    alone = [_alone(spectra, window, disturbed) for window in inside]
    found: dict[Recipe | Fused, wear.Treated] = {}
    for recipes in product(*alone):
        treated = [part[recipe] for part, recipe in zip(alone, recipes, strict=True)]
        weights = [1.0 / float(np.sqrt(np.mean((t.X**2).sum(axis=1)))) for t in treated]
        parts = tuple(Part(r, w.start, w.stop, c) for r, w, c in zip(recipes, inside, weights, strict=True))
        found[Fused(parts)] = _joined(treated, weights)
    return {Region("both blocks", 0, spectra.shape[1]): found}


def _alone(spectra: FloatArray, window: slice, disturbed: list[FloatArray]) -> dict[Recipe, wear.Treated]:
    allowed = set(usable(window.stop - window.start))
    return {r: wear.treated(r, window, spectra, disturbed) for r in SHORT if r in allowed}


def _joined(treated: list[wear.Treated], weights: list[float]) -> wear.Treated:
    X = np.hstack([w * t.X for w, t in zip(weights, treated, strict=True)])
    worn = np.concatenate([w * t.worn for w, t in zip(weights, treated, strict=True)], axis=2)
    compressed, axes = pls1.compress(X)
    return wear.Treated(compressed, (worn - X.mean(axis=0)) @ axes, treated[0].places)
