"""Your own model in the harness: a reactor that must follow its product and not get too hot.

A model file says what is to be controlled; both the real-time path and do-mpc read it. It is run by

    python -m deploy.bench --model examples/control_model.py --out out/mine.json

which drives the real-time iteration and do-mpc (its defaults) in turns, each on a plant of its own, and writes how much
faster, and how much dearer in closed-loop cost, the one is. `problem()` and `start()` are needed, the rest is optional.

Equations and numbers: K.-U. Klatt and S. Engell, Gain-scheduling trajectory control of a continuous stirred tank
reactor, Computers chem. Engng 22 (1998) 491-502 (van de Vusse reaction A -> B -> C, 2 A -> D, cooled by a jacket).
"""

from __future__ import annotations

import casadi as ca
import numpy as np
from do_mpc.model import Model

from control.problem import Input, Limit, Problem

K0_AB, K0_AD = 1.287e12, 9.043e9  # 1/h, l/(mol h)
E_AB, E_AD = 9758.3, 8560.0  # K
H_AB, H_BC, H_AD = 4.2, -11.0, -41.85  # kJ/mol
DENSITY, HEAT, HEAT_JACKET = 0.9342, 3.01, 2.0  # kg/l, kJ/(kg K), kJ/(kg K)
AREA, VOLUME, JACKET_KG, TRANSFER = 0.215, 10.01, 5.0, 4032.0  # m2, l, kg, kJ/(h m2 K)
FEED_MOL_L, FEED_C = 5.1, 130.0
HOUR = 3600.0
HOT_AT = 40  # step at which something befalls the plant that the model knows nothing of: what feedback is for


def problem() -> Problem:
    """What is wanted: the product at its target; limits are soft, bounds of the inputs are hard."""
    # A do_mpc model as do-mpc wants it: states, inputs, time-varying parameters, right-hand sides. Time in seconds.
    model = Model("continuous", "SX")
    a, b = model.set_variable("_x", "a_mol_l"), model.set_variable("_x", "b_mol_l")
    reactor, jacket = model.set_variable("_x", "reactor_c"), model.set_variable("_x", "jacket_c")
    dilution, cooling = model.set_variable("_u", "dilution_per_h"), model.set_variable("_u", "cooling_kj_h")
    target = model.set_variable("_tvp", "target_mol_l")
    fast, side = K0_AB * ca.exp(-E_AB / (reactor + 273.15)), K0_AD * ca.exp(-E_AD / (reactor + 273.15))
    released = fast * a * H_AB + fast * b * H_BC + side * a**2 * H_AD
    through = TRANSFER * AREA * (jacket - reactor)
    model.set_rhs("a_mol_l", (dilution * (FEED_MOL_L - a) - fast * a - side * a**2) / HOUR)
    model.set_rhs("b_mol_l", (-dilution * b + fast * (a - b)) / HOUR)
    warming = dilution * (FEED_C - reactor) - released / (DENSITY * HEAT) + through / (DENSITY * HEAT * VOLUME)
    model.set_rhs("reactor_c", warming / HOUR)
    model.set_rhs("jacket_c", (cooling - through) / (JACKET_KG * HEAT_JACKET) / HOUR)
    # Costs are squares of expressions, so that a Gauss-Newton step can be made of them.
    model.set_expression("r_product", b - target)
    model.setup()
    return Problem(
        model=model,
        step_s=18.0,
        horizon_steps=40,
        residuals={"r_product": 100.0},  # weight of the square
        terminal={"r_product": 100.0},
        inputs={
            "dilution_per_h": Input(low=5.0, high=100.0, move_weight=1e-3),
            "cooling_kj_h": Input(low=-8500.0, high=0.0, move_weight=1e-7),
        },
        limits={"reactor_c": Limit(weight=0.5, high=136.0)},  # what a degree and step above it costs
        scaling={"reactor_c": 100.0, "jacket_c": 100.0, "dilution_per_h": 20.0, "cooling_kj_h": 2000.0},
    )


def start() -> tuple[np.ndarray, np.ndarray]:
    """State, and inputs in force, when the loop is closed."""
    return np.array([0.8, 0.5, 134.14, 130.0]), np.array([14.19, -1113.5])


def targets(step: int) -> np.ndarray:
    """What is asked for at a step; the horizon sees it coming."""
    return np.array([0.6 if step < 20 else 0.7])


def disturb(step: int, x: np.ndarray) -> np.ndarray:
    """What befalls the plant after a step: a pulse of hot feed."""
    return x + np.array([0.0, 0.0, 1.5, 0.0]) if step == HOT_AT else x
