"""the moving-horizon estimator against plain do-mpc's -> a row of the bench: same samples, same weights, in turns.

Processor time of the one thread, as in `deploy.control_bench`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np

from control.compile import compile_problem
from control.compiled import Compiled
from control.model_file import ModelFile
from control.native import cache_folder, native
from control.observe.mhe import Estimator, Seen, advance, begin
from control.observe.robust import squared
from control.observe.window_model import window_model
from control.reference_estimator import plain_estimator
from deploy.side_by_side import Row, row
from soft_sensors.signals import FloatArray

WINDOW, TURN = 30, 5
PROCESS, ERROR = 0.002, 0.01  # of a state's, and of a measurement's, typical size: our choice


@dataclass(frozen=True)
class Life:
    """A life of the plant with noise: states [n, K], inputs [n_u, K], measurements [n_y, K], and the sigmas of both."""

    X: FloatArray
    U: FloatArray
    Y: FloatArray
    process_sigma: FloatArray
    error_sigma: FloatArray


class Ours:
    """The estimator with least squares as loss, as the peer has no other."""

    def __init__(self, model: ModelFile, compiled: Compiled, life: Life) -> None:
        n = len(model.x0)
        predict, measure = window_model(compiled, WINDOW)
        card, free = compiled.card, np.full(n, np.inf)
        self._estimator = Estimator(
            predict, measure, card.states, card.measurements, WINDOW, -free, free, squared,
            arithmetic=compiled.arithmetic,
        )  # fmt: skip
        self._life, self._p = life, model.targets(0)
        # What a start is worth: ten steps of process noise.
        prior = np.diag(10 * life.process_sigma**2)
        _, self.window = begin(self._estimator, model.x0, prior, model.before, self._p)

    def step(self, k: int) -> FloatArray:
        """The state after sample k."""
        life = self._life
        seen = [Seen(i, life.Y[i, k], sigma) for i, sigma in enumerate(life.error_sigma)]
        found, self.window = advance(self._estimator, self.window, life.U[:, k], self._p, life.process_sigma, seen)
        if found.status != "ok":
            raise ArithmeticError(found.status)
        return found.mean


def against_do_mpc(model: ModelFile, say: Callable[[str], None], steps: int) -> Row:
    """Both estimate the same life; windows are filled first, then steps are timed and judged."""
    compiled = native(compile_problem(model.problem), cache_folder())
    life = _life(model, compiled, WINDOW + steps)
    ours = Ours(model, compiled, life)
    weight: FloatArray = np.linalg.inv(_settled_prior(model, compiled, life)).astype(float)
    peer = plain_estimator(
        model.problem, WINDOW, model.x0, model.targets(0), process_sigma=life.process_sigma,
        error_sigma=life.error_sigma, arrival_precision=weight,
    )  # fmt: skip

    def theirs(k: int) -> FloatArray:
        return peer.step(life.Y[:, k], life.U[:, k])

    sides = (ours.step, theirs)
    spent: tuple[list[float], list[float]] = ([], [])
    missed: tuple[list[FloatArray], list[FloatArray]] = ([], [])
    for first in range(0, WINDOW + steps, TURN):
        for step, times, errors in zip(sides, spent, missed, strict=True):
            for k in range(first, min(first + TURN, WINDOW + steps)):
                start = time.thread_time_ns()
                found = step(k)
                if k >= WINDOW:
                    times.append((time.thread_time_ns() - start) / 1e6)
                    errors.append((found - life.X[:, k]) / life.process_sigma)
        say(f"estimation, {model.name}, window {WINDOW}: sample {first} of {WINDOW + steps}")
    own, others = (float(np.sqrt(np.mean(np.array(errors) ** 2))) for errors in missed)
    equal = f"RMSE {100 * (own / others - 1):+.2f} % ({own:.3f} and {others:.3f} of a step's process noise)"
    return row(f"estimation, {model.name}, window {WINDOW}", f"do-mpc {version('do-mpc')} MHE, defaults", *spent, equal)


def _life(model: ModelFile, compiled: Compiled, steps: int) -> Life:
    """The plant with its inputs held, random process noise on every state and errors on every measurement."""
    random, p = np.random.default_rng(20260101), model.targets(0)
    size = np.maximum(np.abs(model.x0), 0.01 * np.max(np.abs(model.x0)))
    y0 = compiled.call("measure", model.x0, model.before, p)[0][:, 0]
    process, error = PROCESS * size, ERROR * np.maximum(np.abs(y0), 0.01 * np.max(np.abs(y0)))
    x, X, Y = model.x0, [], []
    for _ in range(steps):
        x = compiled.call("predict", x, model.before, p)[0][:, 0] + process * random.normal(size=len(x))
        X.append(x)
        Y.append(compiled.call("measure", x, model.before, p)[0][:, 0] + error * random.normal(size=len(y0)))
    return Life(np.array(X).T, np.repeat(model.before[:, None], steps, axis=1), np.array(Y).T, process, error)


def _settled_prior(model: ModelFile, compiled: Compiled, life: Life) -> FloatArray:
    """The covariance that our arrival cost settles at: the peer cannot move its own, so it gets this one."""
    run = Ours(model, compiled, life)
    for k in range(life.Y.shape[1]):
        run.step(k)
    return run.window.prior_cov
