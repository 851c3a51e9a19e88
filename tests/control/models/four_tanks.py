"""Two pumps, four tanks, crossed pipes: continuous, with levels to follow (`_tvp`) and valve settings (`_p`).

Structure and numbers: K. H. Johansson, The quadruple-tank process, IEEE Trans. Control Syst. Technol. 8 (2000) 456.
"""

from __future__ import annotations

import casadi as ca
import numpy as np
from do_mpc.model import Model

from control.problem import Input, Limit, Problem

AREA_CM2 = (28.0, 32.0, 28.0, 32.0)
OUTLET_CM2 = (0.071, 0.057, 0.071, 0.057)
GRAVITY_CM_S2 = 981.0
PUMP_CM3_VS = (3.33, 3.35)


def problem() -> Problem:
    """Lower levels to their targets, the upper right tank softly below 2 cm."""
    model = Model("continuous", "SX")
    h = [model.set_variable("_x", f"level_{i}_cm") for i in range(1, 5)]
    pump = [model.set_variable("_u", f"pump_{i}_v") for i in (1, 2)]
    target = [model.set_variable("_tvp", f"target_{i}_cm") for i in (1, 2)]
    share = [model.set_variable("_p", f"valve_{i}") for i in (1, 2)]
    out = [a * ca.sqrt(2 * GRAVITY_CM_S2 * level) for a, level in zip(OUTLET_CM2, h, strict=True)]
    inflow = [k * v for k, v in zip(PUMP_CM3_VS, pump, strict=True)]
    net = (
        out[2] - out[0] + share[0] * inflow[0],
        out[3] - out[1] + share[1] * inflow[1],
        (1 - share[1]) * inflow[1] - out[2],
        (1 - share[0]) * inflow[0] - out[3],
    )
    for i, (area, flow) in enumerate(zip(AREA_CM2, net, strict=True), start=1):
        model.set_rhs(f"level_{i}_cm", flow / area)
    model.set_expression("r_levels", ca.vertcat(h[0] - target[0], h[1] - target[1]))
    model.setup()
    pumps = Input(low=0.5, high=6.0, rate_per_s=0.2, move_weight=0.5)
    return Problem(
        model=model,
        step_s=5.0,
        horizon_steps=20,
        residuals={"r_levels": 1.0},
        terminal={"r_levels": 4.0},
        inputs={"pump_1_v": pumps, "pump_2_v": pumps},
        limits={"level_4_cm": Limit(weight=3.0, high=2.0)},
        parameters={"valve_1": 0.7, "valve_2": 0.6},
        scaling={f"level_{i}_cm": 10.0 for i in range(1, 5)},
    )


def start() -> tuple[np.ndarray, np.ndarray]:
    """Near the operating point of the paper."""
    return np.array([12.4, 12.7, 1.8, 1.4]), np.array([3.0, 3.0])


def targets(step: int) -> np.ndarray:
    """The left level is asked to rise at step 5, the right one to fall at step 15."""
    return np.array([12.4 if step < 5 else 15.0, 12.7 if step < 15 else 11.0])
