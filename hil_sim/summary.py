"""rows of figures -> tables: mean and 95 % interval over the seeds, for terminal, README and report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

Row = Mapping[str, float | int | str | None]
COLUMNS = {
    "rsd_pct": "RSD %",
    "mean_error_pct": "mean error %",
    "max_deviation_pct": "max dev %",
    "time_outside_3pct": "time outside ±3 %",
    "time_outside_5pct": "time outside ±5 %",
    "weight_rsd_pct": "weight RSD %",
    "settling_min": "settling min",
    "released_oos_kg": "OOS kg",
    "travel": "travel %",
}


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half width of its 95 % Student interval (NaN half width for a single value)."""
    found = np.asarray(values, dtype=np.float64)
    if len(found) < 2:
        return float(found.mean()), math.nan
    spread = float(found.std(ddof=1)) / math.sqrt(len(found))
    return float(found.mean()), float(stats.t.ppf(0.975, len(found) - 1)) * spread


def table(rows: Sequence[Row]) -> list[list[str]]:
    """A text table, header first: one line a scenario and controller, 'mean ± half width' a column."""
    lines = [["scenario", "controller", "n", *COLUMNS.values()]]
    keys = list(dict.fromkeys((str(r["scenario"]), str(r["controller"])) for r in rows))
    for scenario, controller in keys:
        chosen = [r for r in rows if r["scenario"] == scenario and r["controller"] == controller]
        lines.append([scenario, controller, str(len(chosen)), *(_cell(chosen, name) for name in COLUMNS)])
    return lines


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """The table as Markdown."""
    head, *body = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([head, "|" + "---|" * len(lines[0]), *body])


def _cell(rows: Sequence[Row], name: str) -> str:
    values = [float(v) for r in rows if (v := r.get(name)) is not None]
    if not values:
        return "-"
    mean, half = mean_interval(values)
    missing = len(rows) - len(values)
    text = f"{mean:.2f}" if math.isnan(half) else f"{mean:.2f} ± {half:.2f}"
    return text + (f" ({missing} never)" if missing else "")
