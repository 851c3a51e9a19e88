"""Neutralisation with carbonate: the pH is an algebraic state that no formula gives, and it drives the stripping.

Charge balance and numbers: M. A. Henson and D. E. Seborg, Adaptive nonlinear control of a pH neutralization process,
IEEE Trans. Control Syst. Technol. 2 (1994) 169; the stripping of carbon dioxide is our addition, so that the
differential equations need the algebraic state.
"""

from __future__ import annotations

import numpy as np
from do_mpc.model import Model

from control.problem import Input, Problem

PK1, PK2 = 6.35, 10.25
VOLUME_ML = 2900.0
ACID_ML_S, BUFFER_ML_S = 16.6, 1.0
WA = (0.003, -0.03, -0.00305)  # charge brought by acid, buffer and base, mol/l
WB = (0.0, 0.03, 0.00005)  # carbonate brought by them, mol/l
STRIPPING_PER_S = 2e-3
START_PH = 6.0


def problem() -> Problem:
    """The pH to 7 by the flow of base."""
    model = Model("continuous", "SX")
    charge, carbonate = model.set_variable("_x", "charge_mmol_l"), model.set_variable("_x", "carbonate_mmol_l")
    ph = model.set_variable("_z", "ph")
    base = model.set_variable("_u", "base_ml_s")
    dissolved = 1 + 10 ** (PK1 - ph) + 10 ** (ph - PK2)
    bound = (1 + 2 * 10 ** (ph - PK2)) / dissolved
    total = ACID_ML_S + BUFFER_ML_S + base
    brought_a = 1e3 * (ACID_ML_S * WA[0] + BUFFER_ML_S * WA[1] + base * WA[2])
    brought_b = 1e3 * (ACID_ML_S * WB[0] + BUFFER_ML_S * WB[1] + base * WB[2])
    stripped = STRIPPING_PER_S * carbonate * 10 ** (PK1 - ph) / dissolved
    model.set_rhs("charge_mmol_l", (brought_a - total * charge) / VOLUME_ML)
    model.set_rhs("carbonate_mmol_l", (brought_b - total * carbonate) / VOLUME_ML - stripped)
    model.set_alg("charge", charge + 1e3 * (10 ** (ph - 14) - 10 ** (-ph)) + carbonate * bound)
    model.set_expression("r_ph", ph - 7.0)
    model.setup()
    return Problem(
        model=model,
        step_s=10.0,
        horizon_steps=15,
        residuals={"r_ph": 1.0},
        inputs={"base_ml_s": Input(low=5.0, high=30.0, rate_per_s=0.5, move_weight=0.02)},
        algebraic={"ph": START_PH},
        scaling={"charge_mmol_l": 0.4, "carbonate_mmol_l": 1.0, "base_ml_s": 10.0},
    )


def start() -> tuple[np.ndarray, np.ndarray]:
    """At pH 6, which is well buffered; the gain grows tenfold on the way."""
    carbonate = 1.0
    dissolved = 1 + 10 ** (PK1 - START_PH) + 10 ** (START_PH - PK2)
    bound = (1 + 2 * 10 ** (START_PH - PK2)) / dissolved
    charge = -carbonate * bound - 1e3 * (10 ** (START_PH - 14) - 10 ** (-START_PH))
    return np.array([charge, carbonate]), np.array([15.0])
