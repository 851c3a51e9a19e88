"""what watching found -> chart.png and a self-contained chart.html."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from soft_sensors.calibrate.report import STYLE, figure, table
from soft_sensors.watch.run import Watched

BLUE, RED, GREY, ORANGE = "#1f5f8b", "#c0392b", "#8a8f94", "#d98a1f"
CAPTION = "Sensor minus laboratory by time of sampling; below, its moving average, which finds small lasting shifts."


def write_chart(watched: Watched, unit: str, title: str, folder: Path) -> None:
    """Write chart.png and chart.html into folder, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = draw(watched, unit, title)
    (folder / "chart.png").write_bytes(picture)
    (folder / "chart.html").write_text(_page(watched, unit, title, picture), encoding="utf-8")


def draw(watched: Watched, unit: str, title: str) -> bytes:
    """The chart as PNG."""
    whole = Figure(figsize=(9.0, 6.2), layout="constrained", dpi=130)
    upper, lower = whole.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 2]})
    first_s = watched.paired.points[0].sample_time_s
    times = np.array([p.sample_time_s - first_s for p in watched.paired.points]) / 3600.0
    suffix = f" ({unit})" if unit else ""
    _individuals(watched, times, upper)
    upper.set(ylabel=f"Sensor minus laboratory{suffix}", title=title)
    _ewma(watched, times, lower)
    start = f"{datetime.fromtimestamp(first_s, UTC):%Y-%m-%d %H:%M} UTC"
    lower.set(ylabel=f"Moving average{suffix}", xlabel=f"Hours since {start}")
    for axes in (upper, lower):
        axes.axhline(0.0, color=GREY, lw=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=9, loc="upper left", ncols=4)
        axes.margins(y=0.25)
    stored = BytesIO()
    whole.savefig(stored, format="png", metadata={"Software": None})
    return stored.getvalue()


def _individuals(watched: Watched, times: np.ndarray, axes: Axes) -> None:
    chart = watched.chart
    axes.plot(times, chart.differences, "-o", color=BLUE, ms=4, lw=0.8, label="sample")
    for k, (lines, style) in enumerate(((3.0, "--"), (2.0, ":"))):
        for side in (-1, 1):
            axes.axhline(side * lines * chart.sigma, color=(RED, ORANGE)[k], ls=style, lw=1.1,
                         label=f"{lines:g} sigma" if side > 0 else None)
    _mark(times, chart.differences, [f.index for f in chart.flags if not f.rule.startswith("EWMA")], axes)


def _ewma(watched: Watched, times: np.ndarray, axes: Axes) -> None:
    chart = watched.chart
    axes.plot(times, chart.ewma, "-", color=BLUE, lw=1.5, label="moving average (EWMA)")
    for side in (-1, 1):
        axes.plot(times, side * chart.ewma_limit, color=RED, ls="--", lw=1.1, label="limit" if side > 0 else None)
    _mark(times, chart.ewma, [f.index for f in chart.flags if f.rule.startswith("EWMA")], axes)


def _mark(times: np.ndarray, values: np.ndarray, rows: list[int], axes: Axes) -> None:
    if rows:
        axes.plot(times[rows], values[rows], "o", ms=9, mfc="none", mec=RED, mew=1.6, label="rule broken")


def _page(watched: Watched, unit: str, title: str, picture: bytes) -> str:
    alarms = "".join(f'<p class="no">{escape(text)}</p>' for text in watched.alarms)
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>
<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>{alarms or "<p>No alarm stands.</p>"}
{figure(CAPTION, picture)}<h2>Figures</h2>{table(_facts(watched, unit))}
<h2>Rules broken</h2>{table(_flags(watched)) if watched.chart.flags else "<p>None.</p>"}
</body></html>
"""


def _facts(watched: Watched, unit: str) -> list[tuple[str, str]]:
    chart, paired, issued = watched.chart, watched.paired, watched.as_issued
    update = chart.update
    said = "none is called for" if update is None else (
        f"add {update.add:+.4g} {unit} (mean difference {update.low:.4g} to {update.high:.4g}, 95 %, n {update.n})"
        + ("; stopped at the declared bound: calibrate again" if update.limited else ""))
    return [
        ("Paired results", f"{len(paired.points)}; corrected {len(paired.corrected)}"),
        ("Results without a prediction", ", ".join(paired.unmatched) or "none"),
        ("Results without a number", ", ".join(paired.missing) or "none"),
        ("Mean difference", f"{chart.differences.mean():+.4g} {unit}; sigma {chart.sigma:.4g} {unit}"),
        ("Bias update", said),
        ("Coverage of the 90 % interval", f"{issued.coverage:.1%} of {issued.n} "
                                          f"(95 %: {issued.low:.1%} to {issued.high:.1%})"),
        ("With adapted width", f"{watched.adapted.coverage:.1%}; the width now times {watched.adapted.scale:.2f}"),
        ("Drift of T², Q, interval", "too few spectra for a baseline" if watched.learning
         else "; ".join(watched.drift_alarms) or "none"),
    ]


def _flags(watched: Watched) -> list[tuple[str, str]]:
    return [(watched.paired.points[f.index].sample_id, f.rule) for f in watched.chart.flags]
