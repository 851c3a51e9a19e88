"""findings -> pictures for the dossier, legible in grey and at a page's width."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, MaxNLocator

from soft_sensors.calibrate.figures import BLUE, GREY, ORANGE, RED
from soft_sensors.dossier.findings import Findings
from soft_sensors.dossier.material import Material
from soft_sensors.dossier.perturbation import Effect
from soft_sensors.signals import FloatArray, Quality

WIDTH_IN = 6.7  # of the page's text; font sizes are then those on paper
STYLE: Any = {"font.size": 8.5, "axes.titlesize": 9, "axes.labelsize": 8.5, "legend.fontsize": 8,
              "lines.linewidth": 1.2, "axes.spines.top": False, "axes.spines.right": False,
              "font.family": "DejaVu Sans"}


def draw(height_in: float, paint: Callable[[Axes], None]) -> bytes:
    """One picture of a page's width, PNG, the same bytes each time."""
    with rc_context(STYLE):
        canvas = Canvas(figsize=(WIDTH_IN, height_in), layout="constrained", dpi=200)
        paint(canvas.add_subplot())
        picture = BytesIO()
        canvas.savefig(picture, format="png", metadata={"Software": None})
    return picture.getvalue()


def distribution(m: Material) -> bytes:
    """Reference values of calibration and test samples, in the card's unit times scale."""

    def paint(axes: Axes) -> None:
        kept = m.evidence.reference[m.evidence.keep] * m.scale
        y = m.test.y[np.isfinite(m.test.y)]
        edges = np.histogram_bin_edges(np.concatenate([kept, y]), bins=24).tolist()
        axes.hist(kept, edges, color=BLUE, alpha=0.55, label=f"calibration, {kept.size} samples")
        axes.hist(y, edges, color=ORANGE, alpha=0.75, label=f"test, {y.size} samples")
        for key in ("target.range_low", "target.range_high"):
            axes.axvline(m.plan.number(key), color=RED, ls="--")
        axes.plot([], [], color=RED, ls="--", label="range asked for")
        axes.set(xlabel=f"Reference ({m.unit})", ylabel="Samples")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        above(axes)

    return draw(2.7, paint)


def spectra(m: Material) -> bytes:
    """Calibration spectra with the region in use."""

    def paint(axes: Axes) -> None:
        rows = np.flatnonzero(m.evidence.keep)
        rows = rows[np.argsort(m.evidence.reference[rows], kind="stable")]
        picked = rows[np.unique(np.linspace(0, rows.size - 1, 40).round().astype(int))]
        axes.axvspan(m.card.window_low, m.card.window_high, color=BLUE, alpha=0.08, lw=0, label="region in use")
        for k in picked.tolist():
            axes.plot(m.card.axis, m.evidence.spectra[k], color=GREY, lw=0.5, alpha=0.7)
        axes.plot(m.card.axis, m.evidence.spectra[rows].mean(axis=0), color=BLUE, lw=1.6, label="mean")
        axes.set(xlabel=axis_label(m), ylabel="Signal as measured", xlim=(m.card.axis.min(), m.card.axis.max()))
        above(axes)

    return draw(2.7, paint)


def size(m: Material) -> bytes:
    """Cross-validated error by number of latent variables."""

    def paint(axes: Axes) -> None:
        others = [name for name in m.evidence.curves if name != m.card.pretreatment]
        for k, name in enumerate(others):
            curve = m.evidence.curves[name] * m.scale
            axes.plot(np.arange(1, curve.size + 1), curve, color=GREY, lw=0.8, alpha=0.6,
                      label="other pre-treatments" if k == 0 else None)
        if m.card.pretreatment in m.evidence.curves:
            curve = m.evidence.curves[m.card.pretreatment] * m.scale
            axes.plot(np.arange(1, curve.size + 1), curve, "-o", ms=3.5, color=BLUE, label=m.card.pretreatment)
            axes.plot(m.card.n_latent, curve[m.card.n_latent - 1], "o", ms=11, mfc="none", mec=RED, mew=1.6,
                      label=f"chosen: {m.card.n_latent}")
        axes.axhline(m.card.rmsecv_null * m.scale, color=ORANGE, ls="--", label=f"null model: {m.card.null}")
        axes.set(xlabel="Latent variables", ylabel=f"RMSECV ({m.unit})", yscale="log")
        for place in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            place(FuncFormatter(lambda value, _: f"{value:.3g}"))
        axes.tick_params(axis="y", which="minor", labelsize=7)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        above(axes, 2)

    return draw(2.9, paint)


def predicted(m: Material) -> bytes:
    """Test predictions with their intervals against the reference."""

    def paint(axes: Axes) -> None:
        y, value, half = _test_values(m)
        low, high = min(np.nanmin(y), np.nanmin(value)), max(np.nanmax(y), np.nanmax(value))
        line = np.array([low, high]) + 0.04 * (high - low) * np.array([-1, 1])
        axes.plot(line, line, color=GREY, lw=1)
        kept = ~m.test.aside
        axes.errorbar(y[kept], value[kept], half[kept], fmt="o", ms=3.2, color=BLUE, lw=0.8,
                      label="test sample, 90 % interval")
        if m.test.aside.any():
            axes.plot(y[~kept], value[~kept], "D", ms=4.5, color=RED, label="reference set aside by the plan")
        axes.set(xlabel=f"Reference ({m.unit})", ylabel=f"Predicted ({m.unit})", xlim=line)
        above(axes)

    return draw(3.4, paint)


def residuals(m: Material) -> bytes:
    """Errors of the test samples over the range."""

    def paint(axes: Axes) -> None:
        y, value, half = _test_values(m)
        kept = ~m.test.aside & np.isfinite(y) & np.isfinite(value)
        middle = float(np.nanmedian(half))
        axes.axhspan(-middle, middle, color=BLUE, alpha=0.12, lw=0,
                     label=f"90 % interval, ±{m.result(middle)} {m.unit}")
        axes.axhline(0, color=GREY, lw=1)
        axes.plot(y[kept], (value - y)[kept], "o", ms=3.8, color=BLUE, label="test sample")
        axes.set(xlabel=f"Reference ({m.unit})", ylabel=f"Predicted minus reference ({m.unit})")
        axes.margins(y=0.12)
        above(axes)

    return draw(2.7, paint)


def vector(m: Material, f: Findings, signal: FloatArray, signal_name: str) -> bytes:
    """The regression vector and the analyte's signal [treated], each to its largest value."""

    def paint(axes: Axes) -> None:
        x = f.treatment.of_axis(m.card.axis[m.card.window])
        regression = f.treatment.of_vector(f.vector)
        for values, colour, name in ((signal, ORANGE, signal_name), (regression, BLUE, "regression vector")):
            axes.plot(x, values / np.abs(values).max(), color=colour, lw=1.2, label=name)
        axes.axhline(0, color=GREY, lw=0.8)
        axes.set(xlabel=axis_label(m), ylabel="Relative to its largest value", xlim=(x.min(), x.max()))
        above(axes)

    return draw(2.9, paint)


def robustness(m: Material, found: Sequence[Effect]) -> bytes:
    """Change of the value by each disturbance, with the limit."""

    def paint(axes: Axes) -> None:
        shown = [effect for effect in found if effect.size][::-1]
        rows = np.arange(len(shown))
        limit = m.plan.number("criteria.max_robustness_change")
        colours = [BLUE if e.rms <= limit else GREY if e.caught else RED for e in shown]
        axes.barh(rows, [e.rms for e in shown], color=colours, height=0.62)
        axes.axvline(limit, color=RED, ls="--", label=f"limit {limit:g} {m.unit}")
        axes.set_yticks(rows, [f"{e.name}, {e.size}" for e in shown])
        axes.set(xlabel=f"Root mean square change ({m.unit})")
        above(axes)

    return draw(0.6 + 0.19 * len(found), paint)


def distances(m: Material) -> bytes:
    """T2 and Q of calibration and test samples over their limits."""

    def paint(axes: Axes) -> None:
        card, keep = m.card, m.evidence.keep
        t2, q = m.evidence.t2 / card.t2_limit, m.evidence.q / card.q_limit
        axes.loglog(t2[keep], q[keep], "o", ms=3.5, color=GREY, alpha=0.7, mew=0, label="calibration, held out")
        axes.loglog(t2[~keep], q[~keep], "D", ms=4.5, color=RED, label="left out of the fit")
        shown = [p for p in m.test.predictions if np.isfinite(p.t2) and np.isfinite(p.q)]
        good = [p for p in shown if p.quality == Quality.GOOD.value]
        other = [p for p in shown if p.quality != Quality.GOOD.value]
        for rows, mark, name in ((good, "o", "test, good"), (other, "^", "test, not good")):
            if rows:
                axes.loglog([p.t2 / card.t2_limit for p in rows], [p.q / card.q_limit for p in rows], mark, ms=4,
                            color=BLUE if mark == "o" else ORANGE, label=name)
        for factor, colour, text in ((1.0, ORANGE, "uncertain beyond"), (card.refuse_factor, RED, "refused beyond")):
            axes.axhline(factor, color=colour, ls="--", lw=1, label=text)
            axes.axvline(factor, color=colour, ls="--", lw=1)
        axes.set(xlabel="T² over its limit", ylabel="Q over its limit")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)

    return draw(3.2, paint)


def above(axes: Axes, columns: int = 4) -> None:
    """The legend above the axes, where it hides nothing."""
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=columns, borderaxespad=0.2)


def axis_label(m: Material) -> str:
    """The axis of the spectra, as its label."""
    return "Wavelength (nm)" if m.card.axis_unit == "nm" else "Wavenumber (cm⁻¹)"


def _test_values(m: Material) -> tuple[FloatArray, FloatArray, FloatArray]:
    value = np.array([p.value for p in m.test.predictions])
    half = np.array([(p.upper - p.lower) / 2 for p in m.test.predictions])
    return m.test.y, value, half
