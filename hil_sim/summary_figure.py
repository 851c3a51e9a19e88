"""rows of figures -> small multiples: scenarios down, figures across, a dot and its 95 % interval a controller."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hil_sim.summary import COLUMNS, Row, mean_interval

SHOWN = ("time_outside_3pct", "rsd_pct", "mean_error_pct", "travel", "diverted_kg", "released_oos_kg")
COLOURS = {"ratio": "#888888", "pid": "#d08a00", "smith": "#7b5ea7", "hybrid": "#3d8b4f", "mpc": "#0b6e99"}
OTHER = "#444444"
ROW_HEIGHT_IN, COLUMN_WIDTH_IN = 1.15, 2.3


def draw(rows: Sequence[Row], png: Path, title: str) -> None:
    """Write the figure."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    scenarios = list(dict.fromkeys(str(r["scenario"]) for r in rows))
    controllers = list(dict.fromkeys(str(r["controller"]) for r in rows))
    figure, grid = plt.subplots(
        len(scenarios), len(SHOWN), squeeze=False, constrained_layout=True,
        figsize=(1.2 + COLUMN_WIDTH_IN * len(SHOWN), 0.9 + ROW_HEIGHT_IN * len(scenarios)),
    )  # fmt: skip
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    for i, scenario in enumerate(scenarios):
        for j, name in enumerate(SHOWN):
            _panel(grid[i][j], [r for r in rows if r["scenario"] == scenario], name, controllers)
            grid[i][j].tick_params(labelleft=j == 0)
        grid[i][0].set_ylabel(scenario.replace("_", "\n"), fontsize=8, rotation=0, ha="right", va="center", labelpad=10)
    for j, name in enumerate(SHOWN):
        grid[0][j].set_title(COLUMNS[name], fontsize=9, loc="left")
    figure.savefig(png, dpi=110)
    plt.close(figure)


def _panel(ax: Any, rows: Sequence[Row], name: str, controllers: Sequence[str]) -> None:
    reach = [0.0]
    for at, controller in enumerate(controllers):
        values = [float(v) for r in rows if r["controller"] == controller and (v := r.get(name)) is not None]
        if not values:
            continue
        mean, half = mean_interval(values)
        half = 0.0 if math.isnan(half) else half
        colour = COLOURS.get(controller, OTHER)
        ax.plot([mean - half, mean + half], [at, at], color=colour, linewidth=2.2, solid_capstyle="round", alpha=0.55)
        ax.plot(mean, at, "o", color=colour, markersize=5)
        reach += [mean - half, mean + half]
    ax.set_yticks(range(len(controllers)), controllers, fontsize=8)
    ax.set_ylim(len(controllers) - 0.5, -0.5)
    low, high = min(reach), max(reach)
    # A panel in which all is zero must not look like a difference.
    room = 0.06 * (high - low) if high - low > 0.05 else 0.5
    ax.set_xlim(low - room, high + room)
    ax.axvline(0.0, color="#bbbbbb", linewidth=0.8, zorder=0)
    ax.locator_params(axis="x", nbins=4)
    ax.tick_params(axis="x", labelsize=7)
    ax.grid(axis="x", alpha=0.25, linewidth=0.6)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
