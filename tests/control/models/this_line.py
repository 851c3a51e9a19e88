"""The reference line's own model at a 1 s sample: feeders, blender, transport, feed frame and press force."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from control.commands import read_settings
from control.plants import cdc
from control.problem import Problem

LINE = Path(__file__).parents[3] / "deploy" / "lines" / "cdc_ref_1.toml"
RECIPE_KG_H = {"FeederApi": 2.0, "FeederMcc": 10.8, "FeederLac": 7.0, "FeederMgst": 0.2, "MainForce": 9.4}
TARGETS = {cdc.TARGET_API: 10.0, cdc.TARGET_RATE: 20.0, cdc.TARGET_WEIGHT: 250.0}


def problem() -> Problem:
    """The controller's own problem, at one second a step."""
    return replace(cdc.problem(read_settings(LINE)), step_s=1.0, horizon_steps=20, blocks=())


def start() -> tuple[np.ndarray, np.ndarray]:
    """Blend 5 % short of API, a gain and a weight bias, feeders at the recipe."""
    flows = {f"flow_{name}": flow for name, flow in RECIPE_KG_H.items()}
    known = {**flows, cdc.FORCE: 9.4, cdc.GAIN: 0.97, cdc.NIR_BIAS: 0.05, cdc.WEIGHT_BIAS: 2.0}
    known[cdc.API_SHORT] = 0.0
    states = problem().model.x.keys()
    return np.array([known.get(name, 9.5) for name in states]), np.array(list(RECIPE_KG_H.values()))


def targets(step: int) -> np.ndarray:
    """A grade change after 10 steps; what else the model can be told is one."""
    known = {**TARGETS, cdc.TARGET_API: 10.0 if step < 10 else 10.5}
    return np.array([known.get(name, 1.0) for name in _parameters()])


@cache
def _parameters() -> tuple[str, ...]:
    return tuple(name for name in problem().model.tvp.keys() if name != "default")  # noqa: SIM118 - not a mapping
