"""standardised residuals -> weights: how much a measurement is believed that does not fit.

Iteratively reweighted least squares; tuning constants of 95 % efficiency at normal errors: Holland and Welsch,
Commun. Stat. A6 (1977) 813.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from soft_sensors.signals import FloatArray

Loss = Callable[[FloatArray], FloatArray]
HUBER, WELSCH = 1.345, 2.985


def squared(residuals: FloatArray) -> FloatArray:
    """Everything is believed: plain least squares."""
    return np.ones_like(residuals)


def huber(residuals: FloatArray) -> FloatArray:
    """Pull that no longer grows beyond 1.345 sigma: convex, never forgets a value altogether."""
    return HUBER / np.maximum(np.abs(residuals), HUBER)


def welsch(residuals: FloatArray) -> FloatArray:
    """Pull that fades beyond 3 sigma: a value far off is ignored, also when it is the state that jumped."""
    faded: FloatArray = np.exp(-((residuals / WELSCH) ** 2))
    return faded
