"""table of shadow estimates and laboratory values -> the figures that decide a trial."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

from soft_sensors.errors import RegistryError
from soft_sensors.registry.entries import Trial

COLUMNS = ("sample_time_s", "reference", "champion", "value", "challenger", "shadow_value", "shadow_lower",
           "shadow_upper", "shadow_quality")  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """One laboratory value and both estimates of the same spectrum, in the model's unit; NaN: refused."""

    sample_time_s: float
    reference: float
    champion: str
    value: float
    challenger: str
    shadow_value: float
    shadow_lower: float
    shadow_upper: float
    shadow_quality: str


def read_pairs(path: Path) -> list[Pair]:
    """The pairs in a file that 'patloop journal shadow' wrote. Raises RegistryError."""
    rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
    if tuple(rows.fieldnames or ()) != COLUMNS:
        raise RegistryError(f"{path}: not shadow estimates; make the file with 'patloop journal shadow'")
    try:
        return [Pair(**{c: r[c] if c in ("champion", "challenger", "shadow_quality") else _number(r[c])
                        for c in COLUMNS}) for r in rows]  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise RegistryError(f"{path}: {error}; make the file with 'patloop journal shadow'") from error


def figures_of(pairs: list[Pair], trial: Trial, champion: str, challenger: str) -> dict[str, float | int | None]:
    """n, rmsep, champion_rmsep and coverage on the first min_results pairs since the trial was declared.

    What the challenger refused counts as not covered. Fewer pairs than declared are all that there are: n says so.
    """
    fitting = [p for p in pairs if p.champion == champion and p.challenger == challenger
               and p.sample_time_s >= trial.since_s and math.isfinite(p.reference)]  # fmt: skip
    judged = sorted(fitting, key=lambda p: p.sample_time_s)[: trial.min_results]
    covered = [p.shadow_quality != "bad" and p.shadow_lower <= p.reference <= p.shadow_upper for p in judged]
    return {
        "n": len(judged),
        "rmsep": _rms([p.shadow_value - p.reference for p in judged]),
        "champion_rmsep": _rms([p.value - p.reference for p in judged]),
        "coverage": sum(covered) / len(judged) if judged else None,
    }


def _rms(differences: list[float]) -> float | None:
    """None where one is missing: who leaves out what it cannot predict looks better than it is."""
    if not differences or not all(math.isfinite(d) for d in differences):
        return None
    return math.sqrt(sum(d * d for d in differences) / len(differences))


def _number(text: str) -> float:
    return float(text) if text else math.nan
