"""rows of figures -> tables: mean and 95 % interval over the seeds, for terminal, README and report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

Row = Mapping[str, float | int | str | None]
COLUMNS = {
    "time_outside_3pct": "time outside ±3 %",
    "rsd_pct": "RSD %",
    "mean_error_pct": "mean error %",
    "max_deviation_pct": "max dev %",
    "time_outside_5pct": "time outside ±5 %",
    "iae": "IAE % min",
    "travel": "travel %",
    "released_oos_kg": "OOS kg",
    "diverted_kg": "diverted kg",
    "ideal_diverted_kg": "ideal kg",
    "weight_rsd_pct": "weight RSD %",
    "weight_mean_error_pct": "weight error %",
    "settling_min": "settling min",
    "back_within_1pct_min": "back in ±1 % min",
    "first_within_min": "first in ±3 % min",
}
BY = ("scenario", "controller")
STANDINGS = ("time_outside_3pct", "rsd_pct", "travel")


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half width of its 95 % Student interval (NaN half width for a single value)."""
    found = np.asarray(values, dtype=np.float64)
    if len(found) < 2:
        return float(found.mean()), math.nan
    spread = float(found.std(ddof=1)) / math.sqrt(len(found))
    return float(found.mean()), float(stats.t.ppf(0.975, len(found) - 1)) * spread


def table(rows: Sequence[Row], by: Sequence[str] = BY) -> list[list[str]]:
    """A text table, header first: one line a combination of the columns `by`, 'mean ± half width' a figure.

    Figures that no row has are left out; one that this line never met while another of its scenario did is 'never'.
    """
    figures = {name: text for name, text in COLUMNS.items() if any(r.get(name) is not None for r in rows)}
    lines = [[*by, "n", *figures.values()]]
    for key in dict.fromkeys(tuple(str(r.get(k, "")) for k in by) for r in rows):
        chosen = [r for r in rows if tuple(str(r.get(k, "")) for k in by) == key]
        peers = [r for r in rows if r["scenario"] == chosen[0]["scenario"]]
        lines.append([*key, str(len(chosen)), *(_cell(chosen, peers, name) for name in figures)])
    return lines


def standing(rows: Sequence[Row], figure: str) -> list[list[str]]:
    """Scenarios down, controllers across, header first: mean of a figure of which less is better.

    The best mean is **bold**; '≈' marks those whose difference to it, paired by seed, has a 95 % interval that holds 0.
    """
    controllers = list(dict.fromkeys(str(r["controller"]) for r in rows))
    lines = [["scenario", *controllers]]
    for scenario in dict.fromkeys(str(r["scenario"]) for r in rows):
        found = {c: _by_seed(rows, scenario, c, figure) for c in controllers}
        means = {c: float(np.mean(list(v.values()))) for c, v in found.items() if v}
        if not means:
            continue
        best = min(means, key=lambda c: means[c])
        cells = []
        for name in controllers:
            text = "-" if name not in means else f"{means[name]:.2f}"
            if name == best:
                text = f"**{text}**"
            elif name in means and within_noise(found[name], found[best]):
                text = f"{text} ≈"
            cells.append(text)
        lines.append([scenario, *cells])
    return lines


def within_noise(one: Mapping[object, float], best: Mapping[object, float]) -> bool:
    """Whether the mean difference over the seeds both have cannot be told from 0 at 95 %."""
    common = [one[s] - best[s] for s in one if s in best]
    if len(common) < 2:
        return not any(common)
    mean, half = mean_interval(common)
    return abs(mean) <= half


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """The table as Markdown."""
    head, *body = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([head, "|" + "---|" * len(lines[0]), *body])


def report(rows: Sequence[Row], by: Sequence[str] = BY) -> str:
    """The whole Markdown page: every figure, then, if scenario and controller are all that differs, the standings."""
    parts = ["API in % of label claim, true values; mean ± 95 % interval over seeds.", markdown(table(rows, by))]
    if tuple(by) == BY and len({str(r["controller"]) for r in rows}) > 1:
        for name in (n for n in STANDINGS if any(r.get(n) is not None for r in rows)):
            parts += [
                f"**{COLUMNS[name]}**: best bold, ≈ not to be told from it (paired by seed, 95 %).",
                markdown(standing(rows, name)),
            ]
    return "\n\n".join(parts) + "\n"


def _by_seed(rows: Sequence[Row], scenario: str, controller: str, figure: str) -> dict[object, float]:
    chosen = [r for r in rows if r["scenario"] == scenario and r["controller"] == controller]
    return {r["seed"]: float(v) for r in chosen if (v := r.get(figure)) is not None}


def _cell(rows: Sequence[Row], peers: Sequence[Row], name: str) -> str:
    values = [float(v) for r in rows if (v := r.get(name)) is not None]
    if not values:
        return "never" if any(r.get(name) is not None for r in peers) else "-"
    mean, half = mean_interval(values)
    missing = len(rows) - len(values)
    text = f"{mean:.2f}" if math.isnan(half) else f"{mean:.2f} ± {half:.2f}"
    return text + (f" ({missing} never)" if missing else "")
