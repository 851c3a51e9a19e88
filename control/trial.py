"""controller + plant -> trial: a closed loop on a model file's plant, its cost by one formula for every controller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from control.compiled import Compiled
from control.model_file import ModelFile
from control.rti import Plan, Rti
from soft_sensors.signals import FloatArray


class Driver(Protocol):
    """Whoever moves the inputs once a step."""

    def move(self, x: FloatArray, before: FloatArray, P: FloatArray) -> FloatArray:
        """The inputs for this step; P: parameters over the horizon [n_p, N + 1]."""
        ...


@dataclass(frozen=True)
class Trial:
    """A closed loop as it went: states [n_x, K], inputs [n_u, K] and parameters [n_p, K], and the inputs before it."""

    X: FloatArray
    U: FloatArray
    P: FloatArray
    before: FloatArray

    def cost(self, compiled: Compiled) -> float:
        """Residuals, soft limits at every step and moves, as in `control.problem`, over what happened."""
        card, total = compiled.card, 0.0
        steps, n = self.U.shape[1], compiled.card.horizon_steps
        high, low = np.array(card.limit_high)[:, None], np.array(card.limit_low)[:, None]
        for first in range(0, steps, n):  # the kernel takes a whole horizon: the last one is filled up, uncounted
            columns = np.minimum(np.arange(first, first + n), steps - 1)
            counted = min(n, steps - first)
            R, E = compiled.call("cost", self.X[:, columns], self.U[:, columns], self.P[:, columns])
            over = np.maximum(0.0, E - high) + np.maximum(0.0, low - E)
            total += np.sum(R[:, :counted] ** 2) + np.array(card.limit_weight) @ np.sum(over[:, :counted], axis=1)
        moves = np.diff(np.hstack([self.before[:, None], self.U]), axis=1)
        return float(total + np.array(card.move_weight) @ np.sum(moves**2, axis=1))


class Stepper:
    """The real-time iteration as a driver: one step a sample on the plan that it carries."""

    def __init__(self, core: Rti) -> None:
        self._core = core
        self._plan: Plan | None = None

    def move(self, x: FloatArray, before: FloatArray, P: FloatArray) -> FloatArray:
        """The first input of one step; raises ArithmeticError where the solver has no answer."""
        plan = self._core.start(x, before, P) if self._plan is None else self._core.shifted(self._plan, P)
        move = self._core.step(plan, x, before, P)
        if move.status != "ok":
            raise ArithmeticError(move.status)
        self._plan = move.plan
        return move.plan.U[:, 0]


def drive(model: ModelFile, compiled: Compiled, driver: Driver, steps: int) -> Trial:
    """Run the loop from the file's start."""
    x, before, X, U, P = model.x0, model.before, [], [], []
    for k in range(steps):
        ahead = model.ahead(k)
        u = driver.move(x, before, ahead)
        X.append(x)
        U.append(u)
        P.append(ahead[:, 0])
        x, before = after(model, compiled, k, x, u), u
    return Trial(np.array(X).T, np.array(U).T, np.array(P).T, model.before)


def after(model: ModelFile, compiled: Compiled, step: int, x: FloatArray, u: FloatArray) -> FloatArray:
    """The state one step later: by the file's plant, else by the model itself, and what disturbs it."""
    if model.plant is not None:
        return model.disturb(step, np.asarray(model.plant(x, u), dtype=float).ravel())
    return model.disturb(step, compiled.call("predict", x, u, model.targets(step))[0][:, 0])
