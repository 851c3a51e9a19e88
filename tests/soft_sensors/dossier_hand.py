"""What the tests of the dossier share: a filled plan and the files of an independent test set."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from soft_sensors.dossier.material import Inputs
from soft_sensors.dossier.plan import CHOICE, NUMBER, template

from .conftest import make_blends, write_table

NUMBERS = {
    "target.range_low": 6, "target.range_high": 14, "target.max_uncertainty": 1, "criteria.min_test_samples": 20,
    "criteria.max_rmsep": 0.5, "criteria.max_abs_bias": 0.2, "criteria.min_r2": 0.95, "criteria.slope_low": 0.9,
    "criteria.slope_high": 1.1, "criteria.coverage_low_pct": 70, "criteria.coverage_high_pct": 100,
    "criteria.max_refused_pct": 5, "criteria.max_repeatability_sd": 0.2, "criteria.max_robustness_change": 5,
    "criteria.min_specificity_correlation": 0.5, "reference.standard_error": 0.05, "robustness.axis_shift": 1,
    "robustness.broadening": 1, "robustness.offset": 0.01, "robustness.tilt": 0.01, "robustness.gain_pct": 1,
    "robustness.noise_factor": 2,
}  # fmt: skip


def filled(changes: Mapping[str, object] | None = None, more: str = "") -> str:
    """The template with something sensible for every placeholder; changes: key -> value, None takes it away."""
    changes, table, lines = changes or {}, "", []
    for written in template().splitlines():
        line = written
        if head := re.match(r"\[+([\w.]+)\]+", line):
            table = head.group(1)
        if entry := re.match(r'(\w+) = "(FILL IN.*)"', line):
            key = f"{table}.{entry.group(1)}"
            value = changes[key] if key in changes else _value(key, entry.group(2))
            line = "" if value is None else f"{entry.group(1)} = {json.dumps(value, ensure_ascii=False)}"
        lines.append(line)
    text = "\n".join([*lines, more, ""])
    tomllib.loads(text)
    return text


def write_plan(folder: Path, changes: Mapping[str, object] | None = None, more: str = "") -> Path:
    """The filled plan as a file."""
    path = folder / "plan.toml"
    path.write_text(filled(changes, more), encoding="utf-8")
    return path


def write_case(folder: Path, bundle: Path, changes: Mapping[str, object] | None = None, more: str = "") -> Inputs:
    """Plan, 40 independent blends in four lots, their pure spectra and repeated scans, as files."""
    blends = make_blends(40, seed=21)
    draw = np.random.default_rng(22)
    ids = [f"x{k}" for k in range(40)]
    axis = [f"{a:g}" for a in blends.axis]
    rows = [[float(y), f"lot {k % 4}", float(draw.normal())] for k, y in enumerate(blends.concentration)]
    bands = [np.exp(-0.5 * ((blends.axis - c) / w) ** 2) for c, w in ((1150.0, 40.0), (1350.0, 70.0))]
    scans = [blends.spectra[k] + draw.normal(0.0, 0.002, 80) for k in (0, 1) for _ in range(4)]
    return Inputs(
        bundle=bundle, plan=write_plan(folder, changes, more),
        spectra=write_table(folder / "T.csv", axis, ids, blends.spectra.tolist()),
        reference=write_table(folder / "TR.csv", ["api", "lot", "moisture"], ids, rows), target="api", group="lot",
        pure=write_table(folder / "PURE.csv", axis, ["api", "filler"], [b.tolist() for b in bands]),
        repeat=write_table(folder / "REPEAT.csv", axis, [f"x{k}#{n}" for k in (0, 1) for n in range(4)],
                           [s.tolist() for s in scans]),
    )  # fmt: skip


def _value(key: str, placeholder: str) -> object:
    if placeholder.startswith(NUMBER):
        return NUMBERS[key]
    if placeholder.startswith(CHOICE):
        return "medium"
    return "api" if key == "specificity.analyte" else f"What is to be said of {key}."
