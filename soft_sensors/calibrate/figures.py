"""calibration -> figures for the report."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import TypeVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, MaxNLocator

from soft_sensors.calibrate.fit import Calibration
from soft_sensors.calibrate.graph import channels_of
from soft_sensors.card import Card

M = TypeVar("M")
BLUE, RED, GREY, ORANGE = "#1f5f8b", "#c0392b", "#8a8f94", "#d98a1f"


def all_figures(made: Calibration) -> dict[str, bytes]:
    """PNG bytes by name, in the report's order."""
    drawn: dict[str, tuple[Callable[[Calibration, Axes], None], float]] = {
        "predicted": (_predicted, 5.4), "latent_variables": (_latent, 4.2), "coefficients": (_coefficients, 4.2),
        "distances": (_distances, 4.6), "residuals": (_residuals, 4.2),
    }
    return {name: png(draw, made, height) for name, (draw, height) in drawn.items()}


def png(draw: Callable[[M, Axes], None], made: M, height: float = 4.8) -> bytes:
    """One figure of a report as PNG bytes, without the clock in them; draw puts `made` on the axes."""
    figure = Figure(figsize=(7.0, height), layout="constrained", dpi=130)
    axes = figure.add_subplot()
    draw(made, axes)
    axes.spines[["top", "right"]].set_visible(False)
    picture = BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()


def of_unit(card: Card, text: str) -> str:
    """A text with the card's unit behind it, where it has one."""
    return f"{text} ({card.unit})" if card.unit else text


def _label_left_out(made: Calibration, axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    left_out = np.flatnonzero(~made.keep)
    if left_out.size:
        axes.plot(x[left_out], y[left_out], "D", color=RED, ms=5.5, label="left out of the fit")
    for place, k in enumerate(left_out.tolist()):
        right, up = place % 2 == 0, place % 4 < 2  # neighbours in the table often lie close: spread their names
        axes.annotate(made.samples.sample_ids[k], (x[k], y[k]), xytext=(6 if right else -6, 4 if up else -11),
                      textcoords="offset points", ha="left" if right else "right", fontsize=8, color=RED,
                      path_effects=[withStroke(linewidth=2.5, foreground="white")])


def _predicted(made: Calibration, axes: Axes) -> None:
    y, p, card = made.samples.reference, made.predicted, made.card
    low, high = min(y.min(), p.min()), max(y.max(), p.max())
    room = 0.05 * (high - low)
    line = np.array([low - room, high + room])
    axes.fill_between(line, line - card.half_width, line + card.half_width, color=BLUE, alpha=0.12, lw=0,
                      label=f"90 % interval, ±{card.half_width:.3g}")
    axes.plot(line, line, color=GREY, lw=1)
    axes.plot(y[made.keep], p[made.keep], "o", ms=4, color=BLUE, alpha=0.75, mew=0, label="held-out sample")
    _label_left_out(made, axes, y, p)
    axes.set(xlabel=of_unit(made.card, "Reference"), ylabel=of_unit(made.card, "Predicted, sample held out"),
             xlim=line, ylim=line,
             title=f"{card.cqa}: RMSECV {card.rmsecv:.3g} ({card.null} {card.rmsecv_null:.3g})")
    axes.set_aspect("equal")
    axes.legend(frameon=False, fontsize=9)


def _latent(made: Calibration, axes: Axes) -> None:
    chosen = made.recipe.name
    others = [name for name in made.curves if name != chosen]
    for k, name in enumerate(others):
        curve = made.curves[name]
        axes.plot(np.arange(1, len(curve) + 1), curve, color=GREY, lw=0.8, alpha=0.6,
                  label="other pre-treatments" if k == 0 else None)
    curve = made.curves[chosen]
    axes.plot(np.arange(1, len(curve) + 1), curve, "-o", ms=4, color=BLUE, lw=1.8, label=chosen)
    n = made.card.n_latent
    axes.plot(n, curve[n - 1], "o", ms=12, mfc="none", mec=RED, mew=1.8, label=f"chosen: {n}")
    axes.axhline(made.card.rmsecv_null, color=ORANGE, ls="--", lw=1.2, label=f"{made.card.null} (null model)")
    axes.set(xlabel="Latent variables", ylabel=of_unit(made.card, "RMSECV"), yscale="log",
             title="Fewest latent variables within one standard error of the best")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.2g}"))
    axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:.2g}"))
    axes.tick_params(axis="y", which="minor", labelsize=7)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=9)


def _coefficients(made: Calibration, axes: Axes) -> None:
    channels = channels_of(made.recipe, made.window)
    # Joined spectra have two axes: there the channel's number is the only one.
    x = channels.astype(np.float64) if made.card.blocks else made.samples.axis[channels]
    coefficients = np.ravel(made.members[0].pls.coef_)
    spectrum = axes.twinx()
    spectrum.plot(x, made.samples.spectra[made.keep].mean(axis=0)[channels], color=ORANGE, lw=1.2)
    spectrum.set_ylabel("Mean spectrum", color=ORANGE)
    spectrum.spines[["top"]].set_visible(False)
    axes.plot(x, coefficients, color=BLUE, lw=1.4)
    axes.axhline(0, color=GREY, lw=0.8)
    axes.set_zorder(spectrum.get_zorder() + 1)
    axes.patch.set_visible(False)
    axes.set_ylabel("Coefficient on the pre-treated spectrum", color=BLUE)
    unit = f"Axis ({made.card.axis_unit.replace('cm-1', 'cm⁻¹')})"
    axes.set(xlabel="Channel of the joined spectrum" if made.card.blocks else unit,
             title=f"What the model looks at ({made.recipe.name}, {made.card.n_latent} latent variables)")


def _distances(made: Calibration, axes: Axes) -> None:
    card = made.card
    t2, q = made.t2 / card.t2_limit, made.q / card.q_limit
    axes.loglog(t2[made.keep], q[made.keep], "o", ms=4, color=BLUE, alpha=0.75, mew=0, label="held-out sample")
    _label_left_out(made, axes, t2, q)
    for factor, colour, text in ((1.0, ORANGE, "limit: uncertain beyond"), (card.refuse_factor, RED, "refused beyond")):
        axes.axhline(factor, color=colour, ls="--", lw=1.2, label=text)
        axes.axvline(factor, color=colour, ls="--", lw=1.2)
    axes.set(xlabel="T² over its limit", ylabel="Q over its limit", title="Inside the model (T²) and off it (Q)")
    axes.legend(fontsize=9, loc="lower right")


def _residuals(made: Calibration, axes: Axes) -> None:
    residual = made.predicted - made.samples.reference
    rows = np.arange(1, residual.size + 1)
    half = made.card.half_width
    axes.axhspan(-half, half, color=BLUE, alpha=0.12, lw=0, label="90 % interval")
    axes.axhline(0, color=GREY, lw=1)
    axes.plot(rows[made.keep], residual[made.keep], "o", ms=4, color=BLUE, alpha=0.75, mew=0, label="held-out sample")
    _label_left_out(made, axes, rows, residual)
    axes.margins(y=0.1)
    axes.set(xlabel="Sample, in the order of the table", ylabel=of_unit(made.card, "Predicted minus reference"),
             title="Residuals of held-out samples")
    axes.legend(frameon=False, fontsize=9)
