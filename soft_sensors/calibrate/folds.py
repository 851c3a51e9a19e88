"""Who is held out together: samples that belong together never help to predict each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soft_sensors.errors import CalibrationError

IntArray = NDArray[np.int64]
SMALL_SET, MANY_GROUPS, FOLDS = 40, 25, 10  # our choice: leave-one-out up to here, ten folds beyond


@dataclass(frozen=True)
class Folding:
    """fold [n]: which fold holds a sample out; unit [n]: the group (or the sample itself); text: how it was done.

    names: the label of each unit, where they are groups.
    """

    fold: IntArray
    unit: IntArray
    grouped: bool
    text: str
    names: tuple[str, ...] = ()

    @property
    def n_units(self) -> int:
        """Number of groups, or of samples where there are none."""
        return int(np.unique(self.unit).size)

    def outer(self) -> IntArray:
        """At most ten coarser folds [n], each a union of folds."""
        _, position = np.unique(self.fold, return_inverse=True)
        return np.asarray(position % FOLDS, dtype=np.int64)


def by_group(labels: Sequence[str], column: str, seed: int) -> Folding:
    """Hold out whole groups, one at a time up to 25 groups, else in ten seeded folds; needs three groups."""
    names, unit = np.unique(np.array(labels), return_inverse=True)
    if names.size < 3:
        raise CalibrationError(f"--group {column}: {names.size} group(s); holding out whole groups needs at least 3")
    if names.size <= MANY_GROUPS:
        return Folding(unit.astype(np.int64), unit.astype(np.int64), True,
                       f"each of {names.size} groups ({column}) held out", tuple(names.tolist()))
    drawn = np.random.default_rng(seed).permutation(names.size) % FOLDS
    return Folding(drawn[unit].astype(np.int64), unit.astype(np.int64), True,
                   f"{names.size} groups ({column}) held out whole in {FOLDS} folds, seed {seed}",
                   tuple(names.tolist()))


def by_order(n: int) -> Folding:
    """Without groups: leave one out up to 40 samples, else ten blocks of neighbouring rows (often kin)."""
    rows = np.arange(n, dtype=np.int64)
    if n <= SMALL_SET:
        return Folding(rows, rows, False, f"no groups given: each of {n} samples held out by itself")
    return Folding(rows * FOLDS // n, rows, False,
                   f"no groups given: {FOLDS} blocks of neighbouring rows held out")
