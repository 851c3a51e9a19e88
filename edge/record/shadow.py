"""journal -> table: each laboratory value beside what champion and challenger said when its sample was taken."""

from __future__ import annotations

import csv
import math
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge.record.export import draft
from edge.record.journal import Journal
from edge.record.shape import as_written
from soft_sensors.registry.evidence import COLUMNS

KEPT_S = 4 * 3600.0  # our choice: no laboratory result of a running shift is later than this
NEAR_S = 60.0  # our choice: an estimate older than this is not of the sample
Row = dict[str, float | str | None]


def shadow_rows(journal: Journal) -> Iterator[Row]:
    """One row (soft_sensors.registry.evidence.COLUMNS) a laboratory result, in the order they came; None: refused.

    The estimates are the newest of the NEAR_S seconds before the sample was taken. Raises RecorderError.
    """
    recent: deque[dict[str, Any]] = deque()
    known = set()
    for row in journal.rows(kind="cycle"):
        found: list[Row] = []
        with as_written(row):
            content = row.content()
            sample, thought = content["sample"], content["thought"]
            licence, shadow = sample.get("licence"), thought.get("shadow")
            estimate = thought["estimate"]
            if licence is not None and shadow is not None and estimate is not None:
                recent.append({"licence": licence, "estimate": estimate, "shadow": shadow})
            while recent and recent[0]["estimate"]["time_s"] < row.time_s - KEPT_S:
                recent.popleft()
            for lab in sample["lab"]:
                if lab["counter"] > 0 and (lab["counter"], lab["sample_time_s"]) not in known:
                    known.add((lab["counter"], lab["sample_time_s"]))
                    found += _pair(recent, lab)
        yield from found


def write_shadow(journal: Journal, out: Path) -> int:
    """Write the table as CSV; an empty cell is a number that was refused. Returns the number of rows."""
    count = 0
    with draft(out) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in shadow_rows(journal):
            writer.writerow(row)
            count += 1
    return count


def _pair(recent: deque[dict[str, Any]], lab: dict[str, Any]) -> Iterator[Row]:
    taken_s = lab["sample_time_s"]
    near = [r for r in recent if taken_s - NEAR_S <= r["estimate"]["time_s"] <= taken_s]
    if not near or not math.isfinite(lab["assay_pct"]):
        return
    newest = near[-1]
    licence, estimate, shadow = newest["licence"], newest["estimate"], newest["shadow"]
    yield {
        "sample_time_s": taken_s, "reference": lab["assay_pct"],
        "champion": licence["bundle_hash"], "value": _usable(estimate, "value"),
        "challenger": licence["challenger_hash"], "shadow_value": _usable(shadow, "value"),
        "shadow_lower": _usable(shadow, "lower"), "shadow_upper": _usable(shadow, "upper"),
        "shadow_quality": shadow["quality"],
    }  # fmt: skip


def _usable(estimate: dict[str, Any], name: str) -> float | None:
    value = estimate[name]
    return None if estimate["quality"] == "bad" or not math.isfinite(value) else float(value)
