"""An inverted pendulum on a cart: unstable, written in MX, with one vector as state.

Equations of motion: Lagrange's, of a point mass on a rod without mass on a cart without friction.
"""

from __future__ import annotations

import casadi as ca
import numpy as np
from do_mpc.model import Model

from control.problem import Input, Limit, Problem

CART_KG, BOB_KG, ROD_M, GRAVITY_M_S2 = 0.6, 0.2, 0.5, 9.81


def problem() -> Problem:
    """Keep the rod upright and come back to the middle; the cart softly within 1.1 m."""
    model = Model("continuous", "MX")
    q = model.set_variable("_x", "q", shape=(2, 1))  # place of the cart (m), angle from upright (rad)
    v = model.set_variable("_x", "v", shape=(2, 1))
    force = model.set_variable("_u", "force_n")
    sine, cosine = ca.sin(q[1]), ca.cos(q[1])
    push = force + BOB_KG * sine * (ROD_M * v[1] ** 2 - GRAVITY_M_S2 * cosine)
    cart = push / (CART_KG + BOB_KG * sine**2)
    rod = (GRAVITY_M_S2 * sine - cart * cosine) / ROD_M
    model.set_rhs("q", v)
    model.set_rhs("v", ca.vertcat(cart, rod))
    model.set_expression("r_place", q[0])
    model.set_expression("r_angle", q[1])
    model.setup()
    return Problem(
        model=model,
        step_s=0.05,
        horizon_steps=20,
        residuals={"r_place": 1.0, "r_angle": 10.0, "v": 0.1, "force_n": 1e-3},
        terminal={"r_place": 20.0, "r_angle": 100.0, "v": 10.0},
        inputs={"force_n": Input(low=-8.0, high=8.0, move_weight=1e-3)},
        limits={"r_place": Limit(weight=50.0, low=-1.1, high=1.1)},
    )


def start() -> tuple[np.ndarray, np.ndarray]:
    """Off the middle, leaning outwards, moving outwards."""
    return np.array([0.9, 0.2, 0.3, 0.0]), np.zeros(1)
