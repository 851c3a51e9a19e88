"""The reference line's own model at a 1 s sample: feeders, blender, transport, feed frame and press force."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from control.commands import read_settings
from control.plants.cdc import build
from control.problem import Input, Limit, Problem

LINE = Path(__file__).parents[3] / "deploy" / "lines" / "cdc_ref_1.toml"
API_PCT, RATE_KG_H, WEIGHT_MG = 10.0, 20.0, 250.0


def problem() -> Problem:
    """The controller's costs on the line's model, one second a step."""
    settings = read_settings(LINE)
    model = build(settings)
    weights = settings.controller.mpc
    return Problem(
        model=model,
        step_s=1.0,
        horizon_steps=20,
        residuals={name: 1.0 for name in model.aux.keys() if name.startswith("r_")},  # noqa: SIM118 - no mapping
        inputs={
            mv.name: Input(mv.low, mv.high, mv.rate_per_s, (weights.move_rel * (mv.low + mv.high) / 2) ** -2)
            for mv in settings.mv
        },
        limits={"s_api": Limit(weight=weights.api_band_weight, low=-1.0, high=1.0)},
    )


def start() -> tuple[np.ndarray, np.ndarray]:
    """Blend 5 % short of API, weight bias 2 mg, feeders at the recipe."""
    flows = [2.0, 10.8, 7.0, 0.2]
    tanks = [9.5] * 10
    return np.array([*flows, *tanks, 9.4, 0.97, 0.05, 2.0]), np.array([*flows, 9.4])


def targets(step: int) -> np.ndarray:
    """A grade change after 10 steps."""
    return np.array([API_PCT if step < 10 else 10.5, RATE_KG_H, WEIGHT_MG])
