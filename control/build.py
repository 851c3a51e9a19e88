"""line file -> controller bundle: the do_mpc model compiled to serialised CasADi functions (offline only)."""

from __future__ import annotations

import hashlib
import json
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import casadi as ca
import numpy as np

from control.bundle import FUNCTIONS, settings_hash
from control.settings import ControlSettings

MAX_SUBSTEP_S = 2.5
STRUCTURES = {"states": "x", "inputs": "u", "parameters": "tvp", "measurements": "y"}


def build_bundle(settings: ControlSettings, out: Path) -> None:
    """Compile the plant model named in the settings and write the bundle folder `out`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # do-mpc warns of optional packages that are not needed here
        model = import_module(f"control.plants.{settings.plant.name}").build(settings)
    functions = compile_functions(model, settings.cycle_s, settings.controller.mpc.horizon_steps)
    out.mkdir(parents=True, exist_ok=True)
    for name in FUNCTIONS:
        (out / f"{name}.casadi").write_text(functions[name].serialize())
    np.savez(out / "golden.npz", **_golden(functions))  # type: ignore[arg-type]
    names = {part: _labels(getattr(model, attribute)) for part, attribute in STRUCTURES.items()}
    card = [
        "# Controller bundle: made by 'patloop control build', checked by the service at every start.",
        f'casadi = "{ca.CasadiMeta.version()}"',
        f'settings_hash = "{settings_hash(settings)}"',
        f"cycle_s = {settings.cycle_s}",
        f"horizon_steps = {settings.controller.mpc.horizon_steps}",
        *(f"{key} = {json.dumps(list(value))}" for key, value in names.items()),
        "",
        "[hashes]",
    ]
    for file in sorted([*(f"{n}.casadi" for n in FUNCTIONS), "golden.npz"]):
        card.append(f'"{file}" = "{hashlib.sha256((out / file).read_bytes()).hexdigest()}"')
    (out / "card.toml").write_text("\n".join(card) + "\n")


def compile_functions(model: Any, cycle_s: float, horizon_steps: int) -> dict[str, ca.Function]:
    """The five functions of a bundle from any set-up continuous do_mpc model without algebraic states.

    Residuals are the expressions named 'r_*', soft bands those named 's_*'; inputs keep the model's order.
    """
    x, u, p = ca.SX.sym("x", model.n_x), ca.SX.sym("u", model.n_u), ca.SX.sym("p", model.n_tvp)
    # do-mpc puts an entry 'default' of size 0 or 1 before inputs, parameters and outputs; its functions expect it.
    nothing = (model._z(0), model._p(0), model._w(0), model._v(0))
    z, fixed, w, v = (ca.DM.zeros(n.shape) for n in nothing)

    def rhs(state: ca.SX) -> ca.SX:
        return ca.SX(model._rhs_fun(state, u, z, p, fixed, w))

    substeps = max(1, int(np.ceil(cycle_s / MAX_SUBSTEP_S)))
    h, x_next = cycle_s / substeps, x
    for _ in range(substeps):  # classical Runge-Kutta, order 4
        k1 = rhs(x_next)
        k2 = rhs(x_next + h / 2 * k1)
        k3 = rhs(x_next + h / 2 * k2)
        k4 = rhs(x_next + h * k3)
        x_next = x_next + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    y = model._meas_fun(x, u, z, p, fixed, v)
    aux = model._aux_expression_fun(x, u, z, p, fixed)
    labels = list(model.aux.keys())
    residuals = ca.vertcat(*(aux[i] for i, k in enumerate(labels) if k.startswith("r_")))
    bands = ca.vertcat(*(aux[i] for i, k in enumerate(labels) if k.startswith("s_")))

    step = ca.Function("step", [x, u, p], [ca.densify(x_next)], {"cse": True})
    jacobians = [x_next, ca.jacobian(x_next, x), ca.jacobian(x_next, u)]
    linear = ca.Function("linear", [x, u, p], jacobians, {"cse": True})
    stage = ca.Function(
        "stage",
        [x, u, p],
        [residuals, ca.jacobian(residuals, x), ca.jacobian(residuals, u), bands, ca.jacobian(bands, x)],
        {"cse": True},
    )
    dense = [ca.densify(j) for j in linear(x, u, p)]
    linear = ca.Function("linear", [x, u, p], dense)
    stage = ca.Function("stage", [x, u, p], [ca.densify(j) for j in stage(x, u, p)])
    return {
        "predict": ca.Function("predict", [x, u, p], dense[:2]),
        "measure": ca.Function("measure", [x, u, p], [ca.densify(y), ca.densify(ca.jacobian(y, x))]),
        "rollout": step.mapaccum("rollout", horizon_steps),
        "linearise": linear.mapaccum("linearise", horizon_steps),
        "stage": stage.map(horizon_steps),
    }


def _labels(structure: Any) -> list[str]:
    """The names in a do-mpc structure, without the empty placeholder it begins with."""
    return [name for name in structure.keys() if name != "default"]  # noqa: SIM118 - not a mapping


def _golden(functions: dict[str, ca.Function]) -> dict[str, np.ndarray]:
    random = np.random.default_rng(20260101)
    golden: dict[str, np.ndarray] = {}
    for name in FUNCTIONS:
        function = functions[name]
        arguments = [random.uniform(0.5, 1.5, function.size_in(i)) for i in range(function.n_in())]
        for i, argument in enumerate(arguments):
            golden[f"{name}_in{i}"] = argument
        for i, result in enumerate(function.call([ca.DM(a) for a in arguments])):
            golden[f"{name}_out{i}"] = np.asarray(result.full())
    return golden
