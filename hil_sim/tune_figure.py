"""judged weights -> the picture of the trade-off: error against travel, the front, the present and the proposed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hil_sim.tune import Point, pareto

FRONT, OTHER, NOW, CHOSEN = "#0b6e99", "#9aa7ad", "#444444", "#d1495b"


def draw(judged: Sequence[Point], chosen: Point, png: Path, title: str) -> None:
    """Write the picture; judged[0] are the present weights."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, ax = plt.subplots(figsize=(7.2, 5.2), constrained_layout=True)
    front = pareto(judged)
    for point in judged:
        colour = FRONT if point in front else OTHER
        ax.errorbar(
            100 * point.travel, 100 * point.quality, fmt="o", color=colour, markersize=5, elinewidth=0.8, alpha=0.85,
            xerr=100 * point.travel_half, yerr=100 * point.quality_half,
        )  # fmt: skip
    ax.step([100 * p.travel for p in front], [100 * p.quality for p in front], where="post", color=FRONT, linewidth=1,
            alpha=0.6, label="not beaten in both")  # fmt: skip
    now = judged[0]
    ax.plot(100 * now.travel, 100 * now.quality, "s", color=NOW, markersize=9, fillstyle="none", label="present")
    ax.plot(100 * chosen.travel, 100 * chosen.quality, "o", color=CHOSEN, markersize=13, fillstyle="none",
            markeredgewidth=2, label="proposed")  # fmt: skip
    ax.set_xlabel("travel of the setpoints, % of the present")
    ax.set_ylabel("integrated API error, % of the present")
    ax.set_title(title, fontsize=10, loc="left")
    ax.grid(alpha=0.25, linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=9)
    figure.savefig(png, dpi=110)
    plt.close(figure)
