"""FILE.py -> a control problem with a start: how a model of your own comes into the harness (offline only)."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from control.errors import ControlError
from control.problem import Problem
from soft_sensors.signals import FloatArray

Plant = Callable[[FloatArray, FloatArray], FloatArray]


@dataclass(frozen=True)
class ModelFile:
    """What a model file says: problem, start state and inputs in force, parameters by step, and another plant.

    targets: step -> the model's time-varying parameters [n_tvp]; plant: (x, u) -> x one step later, None where the
    model is its own plant; disturb: (step, x) -> x as something changes it after that step.
    """

    name: str
    problem: Problem
    x0: FloatArray
    before: FloatArray
    targets: Callable[[int], FloatArray]
    plant: Plant | None
    disturb: Callable[[int, FloatArray], FloatArray]

    def ahead(self, step: int) -> FloatArray:
        """Parameters over the horizon that begins at a step [n_tvp, N + 1]."""
        return np.array([self.targets(step + k) for k in range(self.problem.horizon_steps + 1)]).T


def read_model(path: Path) -> ModelFile:
    """Run a file that has `problem()` and `start() -> (x0, u_before)`.

    It may have `targets(step)`, `disturb(step, x)` and `plant(x, u)`. Raises ControlError that names the misfit.
    """
    module = _run(path)
    made = {name: getattr(module, name, None) for name in ("problem", "start", "targets", "disturb", "plant")}
    for name in ("problem", "start"):
        if not callable(made[name]):
            raise ControlError(f"{path}: has no function {name}()")
    problem = _call(path, "problem", made["problem"])
    if not isinstance(problem, Problem):
        raise ControlError(f"{path}: problem() must return a control.problem.Problem")
    x0, before = (np.asarray(part, dtype=float).ravel() for part in _call(path, "start", made["start"]))
    model = problem.model
    if (len(x0), len(before)) != (model.n_x, model.n_u):
        has = f"the model has {model.n_x} and {model.n_u}"
        raise ControlError(f"{path}: start() gives {len(x0)} states and {len(before)} inputs, {has}")
    targets = _targets(path, made["targets"], model.n_tvp)
    return ModelFile(path.stem, problem, x0, before, targets, made["plant"], made["disturb"] or _undisturbed)


def _undisturbed(_step: int, x: FloatArray) -> FloatArray:
    return x


def _run(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"model_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ControlError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    _call(path, "the file", partial(spec.loader.exec_module, module))
    return module


def _call(path: Path, what: str, function: Any) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # do-mpc warns of optional packages that are not needed here
            return function()
    except ControlError:
        raise
    except Exception as error:  # a stranger's code may raise anything: it is named, not passed on
        raise ControlError(f"{path}: {what}: {type(error).__name__}: {error}") from error


def _targets(path: Path, given: Any, size: int) -> Callable[[int], FloatArray]:
    if given is None:
        if size:
            raise ControlError(f"{path}: the model has {size} time-varying parameters: targets(step) is missing")
        return lambda _step: np.zeros(0)
    if len(np.asarray(given(0), dtype=float).ravel()) != size:
        raise ControlError(f"{path}: targets(0) must give {size} numbers, one a time-varying parameter")
    return lambda step: np.asarray(given(step), dtype=float).ravel()
