"""a wrapped network's samples -> figures for its report."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from soft_sensors.calibrate.figures import BLUE, GREY, ORANGE, RED, of_unit, png
from soft_sensors.calibrate.fit import Calibration
from soft_sensors.wrap import space


def all_figures(made: Calibration) -> dict[str, bytes]:
    """PNG bytes by name, in the report's order."""
    drawn: dict[str, Callable[[Calibration, Axes], None]] = {
        "predicted": _predicted, "distances": _distances, "components": _components, "residuals": _residuals,
    }  # fmt: skip
    return {name: png(draw, made) for name, draw in drawn.items()}


def _points(made: Calibration, axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    axes.plot(x[made.keep], y[made.keep], "o", ms=4, color=BLUE, alpha=0.75, mew=0, label="sample")
    if not made.keep.all():
        axes.plot(x[~made.keep], y[~made.keep], "D", ms=5.5, color=RED, label="left out")
    for k in np.flatnonzero(~made.keep).tolist():
        axes.annotate(made.samples.sample_ids[k], (x[k], y[k]), xytext=(6, 4), textcoords="offset points", fontsize=8,
                      color=RED)


def _predicted(made: Calibration, axes: Axes) -> None:
    y, value, card = made.samples.reference, made.predicted, made.card
    line = np.array([min(y.min(), value.min()), max(y.max(), value.max())])
    axes.fill_between(line, line - card.half_width, line + card.half_width, color=BLUE, alpha=0.12, lw=0,
                      label=f"90 % interval, ±{card.half_width:.3g}")
    axes.plot(line, line, color=GREY, lw=1)
    _points(made, axes, y, value)
    axes.set(xlabel=of_unit(made.card, "Reference"), ylabel=of_unit(made.card, "Network"),
             title=f"{card.cqa}: error {card.rmsecv:.3g} (mean alone {card.rmsecv_null:.3g})")
    axes.legend(frameon=False, fontsize=9)


def _distances(made: Calibration, axes: Axes) -> None:
    card = made.card
    axes.set(xscale="log", yscale="log")
    _points(made, axes, made.t2 / card.t2_limit, made.q / card.q_limit)
    for factor, colour, text in ((1.0, ORANGE, "limit: uncertain beyond"), (card.refuse_factor, RED, "refused beyond")):
        axes.axhline(factor, color=colour, ls="--", lw=1.2, label=text)
        axes.axvline(factor, color=colour, ls="--", lw=1.2)
    axes.set(xlabel="T² over its limit", ylabel="Q over its limit", title="Inside the space (T²) and off it (Q)")
    axes.legend(fontsize=9, loc="lower right")


def _components(made: Calibration, axes: Axes) -> None:
    share = space.explained(made.members[0], made.samples.spectra[made.keep])
    axes.plot(np.arange(1, share.size + 1), 100 * share, "-o", ms=4, color=BLUE, lw=1.8)
    axes.axhline(100 * space.EXPLAINED, color=ORANGE, ls="--", lw=1.2, label=f"asked for: {space.EXPLAINED:.0%}")
    axes.set(xlabel="Principal components", ylabel="Variance explained (%)", title=f"{made.card.pretreatment}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=9)


def _residuals(made: Calibration, axes: Axes) -> None:
    residual = made.predicted - made.samples.reference
    half = made.card.half_width
    axes.axhspan(-half, half, color=BLUE, alpha=0.12, lw=0, label="90 % interval")
    axes.axhline(0, color=GREY, lw=1)
    _points(made, axes, np.arange(1, residual.size + 1), residual)
    axes.set(xlabel="Sample, in the order of the table", ylabel=of_unit(made.card, "Network minus reference"),
             title="Residuals")
    axes.legend(frameon=False, fontsize=9)
