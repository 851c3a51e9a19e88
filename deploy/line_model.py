"""The reference line's model at a 1 s sample, as a file that the bench reads: write your own like this one.

`problem` and `start` are needed; `targets` where the model has time-varying parameters; `disturb` changes the plant's
state after a step, `plant` replaces the model as plant. Run: python -m deploy.bench --model FILE.py
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from control.commands import read_settings
from control.plants import cdc
from control.problem import Problem
from soft_sensors.signals import FloatArray

LINE = Path(__file__).with_name("lines") / "cdc_ref_1.toml"
TARGETS = {cdc.TARGET_API: 10.0, cdc.TARGET_RATE: 20.0, cdc.TARGET_WEIGHT: 250.0}
SHORT_PCT = 9.8
GRADE_AT, LOSS_AT, DENSITY_AT = 15, 35, 50  # steps: a new grade, 4 % of the API lost unseen, tablets 3 mg heavier


@cache
def problem() -> Problem:
    """The controller's own costs and limits, but a second a step: a minute ahead, in eight moves."""
    return replace(cdc.problem(read_settings(LINE)), step_s=1.0, blocks=(1, 1, 2, 4, 7, 10, 15, 20))


def start() -> tuple[FloatArray, FloatArray]:
    """Every feeder at the recipe, but 2 % of the API is being lost and what is in the line is short of it."""
    settings = read_settings(LINE)
    api, lubricant = 2.0, 20.0 * settings.recipe.lubricant_fraction
    filler = {name: share * (20.0 - api - lubricant) for name, share in settings.recipe.filler_split.items()}
    inputs = {settings.named("api"): api, settings.named("lubricant"): lubricant, **filler,
              settings.named("force"): settings.plant.force_ref_kn}  # fmt: skip
    known = {f"flow_{name}": value for name, value in inputs.items()}
    known |= {cdc.FORCE: settings.plant.force_ref_kn, cdc.GAIN: 0.98, cdc.NIR_BIAS: 0.0, cdc.WEIGHT_BIAS: 0.0}
    known[cdc.API_SHORT] = 0.0
    return (
        np.array([known.get(name, SHORT_PCT) for name in _names("_x")]),
        np.array([inputs[name] for name in _names("_u")]),
    )


def targets(step: int) -> FloatArray:
    """A new grade at step 15; what else the model can be told is one."""
    known = {**TARGETS, cdc.TARGET_API: 10.0 if step < GRADE_AT else 10.5}
    return np.array([known.get(name, 1.0) for name in _names("_tvp")])


def disturb(step: int, x: FloatArray) -> FloatArray:
    """A hidden loss of API, then a denser blend."""
    changed, names = x.copy(), _names("_x")
    if step == LOSS_AT:
        changed[names.index(cdc.GAIN)] -= 0.04
    if step == DENSITY_AT:
        changed[names.index(cdc.WEIGHT_BIAS)] += 3.0
    return changed


@cache
def _names(face: str) -> list[str]:
    return [name for name in getattr(problem().model, face).keys() if name != "default"]  # noqa: SIM118 - not a mapping
