"""Three masses between walls, coupled by springs: discrete, linear, with vectors as states and inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from do_mpc.model import Model
from scipy.linalg import expm

from control.problem import Input, Limit, Problem

STEP_S = 0.5
MASSES = 3
SPRING_N_M, DAMPER_N_S_M = 1.0, 0.05  # on 1 kg each: our choice


def problem() -> Problem:
    """Bring the masses to rest at zero with two forces between them; positions softly within +-0.6 m."""
    A, B = _discrete()
    model = Model("discrete", "SX")
    position = model.set_variable("_x", "position_m", shape=(MASSES, 1))
    speed = model.set_variable("_x", "speed_m_s", shape=(MASSES, 1))
    force = model.set_variable("_u", "force_n", shape=(2, 1))
    model.set_rhs("position_m", A[:3, :3] @ position + A[:3, 3:] @ speed + B[:3] @ force)
    model.set_rhs("speed_m_s", A[3:, :3] @ position + A[3:, 3:] @ speed + B[3:] @ force)
    model.setup()
    return Problem(
        model=model,
        step_s=STEP_S,
        horizon_steps=15,
        residuals={"position_m": 1.0, "speed_m_s": 0.2, "force_n": 0.05},
        terminal={"position_m": 5.0, "speed_m_s": 5.0},
        inputs={"force_n": Input(low=-0.5, high=0.5, rate_per_s=1.0, move_weight=0.02)},
        limits={"position_m": Limit(weight=8.0, low=-0.6, high=0.6)},
    )


def start() -> tuple[np.ndarray, np.ndarray]:
    """Two masses displaced, one of them beyond its soft limit."""
    return np.array([0.8, -0.3, 0.5, 0.0, 0.2, 0.0]), np.zeros(2)


def _discrete() -> tuple[Any, Any]:
    """Exact discretisation (zero-order hold) of the chain."""
    K = SPRING_N_M * (2 * np.eye(MASSES) - np.eye(MASSES, k=1) - np.eye(MASSES, k=-1))
    A = np.block([[np.zeros((3, 3)), np.eye(3)], [-K, -DAMPER_N_S_M * np.eye(3)]])
    B = np.vstack([np.zeros((3, 2)), [[1, 0], [-1, 1], [0, -1]]])
    whole = expm(STEP_S * np.block([[A, B], [np.zeros((2, 8))]]))
    return whole[:6, :6], whole[:6, 6:]
