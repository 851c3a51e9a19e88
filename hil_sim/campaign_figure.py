"""rows of a campaign -> what each setting does: figures down, settings across, a colour a scenario and controller."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hil_sim.summary import COLUMNS, Row

SHOWN = ("time_outside_3pct", "rsd_pct", "iae", "travel")
FEW = 6


def draw(rows: Sequence[Row], factors: Sequence[str], png: Path, title: str) -> None:
    """Write the figure: one dot a point of the design (mean over its seeds); a line joins the means of few levels."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, grid = plt.subplots(
        len(SHOWN), len(factors), squeeze=False, constrained_layout=True, sharey="row", sharex="col",
        figsize=(1.5 + 3.4 * len(factors), 0.8 + 2.0 * len(SHOWN)),
    )  # fmt: skip
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    groups = list(dict.fromkeys((str(r["scenario"]), str(r["controller"])) for r in rows))
    colours = plt.get_cmap("tab10")
    for j, factor in enumerate(factors):
        for i, name in enumerate(SHOWN):
            ax = grid[i][j]
            for k, (scenario, controller) in enumerate(groups):
                chosen = [r for r in rows if (r["scenario"], r["controller"]) == (scenario, controller)]
                _effect(ax, chosen, factors, factor, name, colours(k % 10), f"{scenario} · {controller}")
            ax.grid(alpha=0.25, linewidth=0.6)
            ax.spines[["top", "right"]].set_visible(False)
            ax.tick_params(labelsize=8)
            if ax.get_xaxis().get_major_locator().__class__.__name__ == "AutoLocator":
                ax.locator_params(axis="x", nbins=5)
        grid[-1][j].set_xlabel(factor, fontsize=9)
    for i, name in enumerate(SHOWN):
        grid[i][0].set_ylabel(COLUMNS[name], fontsize=9)
    grid[0][0].legend(fontsize=7, frameon=False)
    figure.savefig(png, dpi=110)
    plt.close(figure)


def _effect(
    ax: Any, rows: Sequence[Row], factors: Sequence[str], factor: str, name: str, colour: Any, label: str
) -> None:
    points: dict[tuple[str, ...], list[float]] = {}
    level_of: dict[tuple[str, ...], Any] = {}
    for row in rows:
        value = row.get(name)
        if value is not None:
            key = tuple(str(row.get(f)) for f in factors)
            points.setdefault(key, []).append(float(value))
            level_of[key] = row.get(factor)
    if not points:
        return
    means = {key: float(np.mean(values)) for key, values in points.items()}
    levels = [level_of[key] for key in points]
    if not all(isinstance(level, int | float) for level in levels):
        levels = [str(level) for level in levels]
    ax.plot(levels, list(means.values()), "o", color=colour, markersize=4, alpha=0.7, label=label)
    at = sorted(set(levels))
    if len(at) <= FEW:
        found = list(zip(levels, means.values(), strict=True))
        joined = [float(np.mean([mean for level, mean in found if level == x])) for x in at]
        ax.plot(at, joined, "-", color=colour, linewidth=1.2, alpha=0.6)
