"""runs of a bench -> the figures that a verifier signs for a controller: how its closed loop did in each scenario."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from soft_sensors.errors import RegistryError

DECIDES = "mpc"  # the controller that moves by the bundle's model; the baselines only carry it along
NUMBERS = ("hours", "time_outside_3pct", "fallbacks")
Figures = dict[str, float | int | None]


def figures_of(runs: Path, bundle_hash: str, scenarios: Sequence[str]) -> Figures:
    """runs and hours (the least), time_outside_3pct (the worst scenario's mean, in % of time), and fallbacks (in all).

    runs: the file of `patloop bench --json`; only those of this very bundle count, each scenario and seed once. None:
    a scenario was never played. Raises RegistryError.
    """
    mine = _rows_of(runs, bundle_hash)
    played = {name: [row for (scenario, _), row in mine.items() if scenario == name] for name in scenarios}
    judged = [row for rows in played.values() for row in rows]
    outside = [sum(r["time_outside_3pct"] for r in rows) / len(rows) for rows in played.values() if rows]
    return {
        "runs": min(len(rows) for rows in played.values()),
        "hours": min((r["hours"] for r in judged), default=None),
        "time_outside_3pct": max(outside) if len(outside) == len(played) else None,
        "fallbacks": int(sum(r["fallbacks"] for r in judged)),
    }


def _rows_of(runs: Path, bundle_hash: str) -> dict[tuple[str, int], dict[str, float]]:
    mend = "give the file of 'patloop bench LINE.toml --controller mpc --json FILE'"
    try:
        rows = json.loads(runs.read_text(encoding="utf-8"))
        found = [row for row in rows if row["controller"] == DECIDES and row.get("controller_hash") == bundle_hash]
        keyed = {(str(row["scenario"]), int(row["seed"])): {n: _finite(row[n]) for n in NUMBERS} for row in found}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RegistryError(f"{runs}: not the runs of a bench ({type(error).__name__}: {error}); {mend}") from error
    if len(keyed) != len(found):
        raise RegistryError(f"{runs}: holds a scenario and seed twice; one run each counts, {mend}")
    if not found:
        raise RegistryError(f"{runs}: no run of controller bundle {bundle_hash[:12]}; {mend} of a line that runs it")
    return keyed


def _finite(value: object) -> float:
    """A NaN would be lost in the worst of several."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a finite number")
    return value
