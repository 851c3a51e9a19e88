"""line file -> controller bundle: its control problem as serialised CasADi functions, card and golden vectors."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import casadi as ca
import numpy as np

from control.bundle import press_hash, settings_hash
from control.compile import functions_of
from control.compiled import FUNCTIONS, Card
from control.errors import ControlError
from control.problem import Problem
from control.settings import ControlSettings


def line_problem(settings: ControlSettings) -> Problem:
    """The control problem of a line: the plant model that its settings name, with its costs, limits and bounds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # do-mpc warns of optional packages that are not needed here
        problem: Problem = import_module(f"control.plants.{settings.plant.name}").problem(settings)
    return problem


def build_bundle(settings: ControlSettings, out: Path) -> None:
    """Compile the line's control problem and write the bundle folder `out`."""
    write_bundle(line_problem(settings), settings_hash(settings), out)


def build_press_bundle(settings: ControlSettings, out: Path) -> None:
    """Compile the problem of the line's press, write the bundle folder `out`. Raises ControlError without [press]."""
    table = settings.press
    if table is None:
        raise ControlError("the line file has no table [press]: there is nothing to build")
    rates = table.fill_depth.rate_per_s, table.thickness.rate_per_s, table.turret.rate_per_s
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # do-mpc warns of optional packages that are not needed here
        from control.plants.press import problem

        made = problem(table.model, table.room, settings.cycle_s, table.horizon_steps, rates)
    write_bundle(made, press_hash(settings), out)


def write_bundle(problem: Problem, made_for: str, out: Path) -> None:
    """Compile any problem and write the bundle folder `out`; made_for: hash of the settings that it belongs to."""
    functions, card = functions_of(problem)
    out.mkdir(parents=True, exist_ok=True)
    for name in FUNCTIONS:
        (out / f"{name}.casadi").write_text(functions[name].serialize())
    np.savez(out / "golden.npz", **_golden(functions, problem, card))  # type: ignore[arg-type]
    lines = [
        "# Controller bundle: made by 'patloop control build', checked by the service at every start.",
        f'casadi = "{ca.CasadiMeta.version()}"',
        f'settings_hash = "{made_for}"',
        "",
        "[problem]",
        *(f"{key} = {_toml(value)}" for key, value in asdict(card).items()),
        "",
        "[hashes]",
    ]
    for file in sorted([*(f"{n}.casadi" for n in FUNCTIONS), "golden.npz"]):
        lines.append(f'"{file}" = "{hashlib.sha256((out / file).read_bytes()).hexdigest()}"')
    (out / "card.toml").write_text("\n".join(lines) + "\n")


def _toml(value: object) -> str:
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return json.dumps(value)


def _golden(functions: dict[str, ca.Function], problem: Problem, card: Card) -> dict[str, np.ndarray]:
    """Arguments about their typical size, and what every function makes of them."""
    random = np.random.default_rng(20260101)

    def size(labels: tuple[str, ...]) -> np.ndarray:
        known = problem.scaling
        return np.array([known.get(n, known.get(n.partition("[")[0], 1.0)) for n in labels]).reshape(-1, 1)

    sizes = {"x": size(card.states), "u": size(card.inputs), "p": size(card.parameters)}
    order = {"terminal": ("x", "p")}
    golden: dict[str, np.ndarray] = {}
    for name in FUNCTIONS:
        function = functions[name]
        arguments = []
        for i, kind in enumerate(order.get(name, ("x", "u", "p"))):
            arguments.append(sizes[kind] * random.uniform(0.8, 1.2, function.size_in(i)))
            golden[f"{name}_in{i}"] = arguments[-1]
        for i, result in enumerate(function.call([ca.DM(a) for a in arguments])):
            golden[f"{name}_out{i}"] = np.asarray(result.full())
    return golden
