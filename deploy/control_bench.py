"""the real-time path against plain do-mpc -> rows of the bench: control and estimation, in turns on one plant each.

Both get the same model, costs, state, targets and disturbances; the peer is do-mpc as it comes (collocation, IPOPT and
MUMPS with their defaults), only silent. What is timed is all that either does between state and move, as processor time
of its one thread: on a quiet machine that is the wall time, on a loaded one it leaves out waiting for a turn. Ours runs
as the service does: the model in machine code where a compiler is at hand.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from control.compile import compile_problem
from control.compiled import Compiled
from control.model_file import ModelFile, read_model
from control.native import cache_folder, native
from control.reference import Reference, plain
from control.rti import Rti
from control.trial import Stepper, Trial, after
from deploy import estimator_bench
from deploy.side_by_side import Row, row
from soft_sensors.signals import FloatArray

THIS_LINE = Path(__file__).with_name("line_model.py")
STEPS, TURN = 100, 5
BUDGET_S = 90.0  # of the peer, for one horizon: it has no bound of its own on the time of a step


class Side(Protocol):
    """One of the two controllers: told what it may know, then timed."""

    def tell(self, x: FloatArray, before: FloatArray, P: FloatArray) -> None:
        """State, inputs in force and parameters over the horizon; not timed."""
        ...

    def move(self) -> FloatArray:
        """The inputs for this step; timed."""
        ...


class Ours:
    """The real-time iteration, all of a step: shift, linearise, condense, solve, check."""

    def __init__(self, compiled: Compiled) -> None:
        self._stepper = Stepper(Rti(compiled))

    def tell(self, x: FloatArray, before: FloatArray, P: FloatArray) -> None:
        """Kept for the move."""
        self._told = x, before, P

    def move(self) -> FloatArray:
        """One step."""
        return self._stepper.move(*self._told)


class Peer:
    """do-mpc's make_step, from the last solution."""

    def __init__(self, reference: Reference, x0: FloatArray, before: FloatArray) -> None:
        self._reference, self.failed = reference, 0
        reference.begin(x0, before)

    def tell(self, x: FloatArray, before: FloatArray, P: FloatArray) -> None:
        """Parameters and inputs are put where do-mpc looks for them."""
        self._reference.aim(P)
        self._x, self._before = x, before

    def move(self) -> FloatArray:
        """One step; a solve that failed is counted, and its input used, as do-mpc does."""
        found = self._reference.moved(self._x, self._before)
        self.failed += not self._reference.solved
        return found


class Loop:
    """A closed loop on a plant of its own, stepped from outside."""

    def __init__(self, model: ModelFile, compiled: Compiled, side: Side) -> None:
        self._model, self._compiled, self._side = model, compiled, side
        self._x, self._before = model.x0, model.before
        self._happened: list[tuple[FloatArray, FloatArray, FloatArray]] = []
        self.spent_ms: list[float] = []

    def step(self, k: int) -> None:
        """One sample: decide, timed, and let the plant go on."""
        ahead = self._model.ahead(k)
        self._side.tell(self._x, self._before, ahead)
        start = time.thread_time_ns()
        u = self._side.move()
        self.spent_ms.append((time.thread_time_ns() - start) / 1e6)
        self._happened.append((self._x, u, ahead[:, 0]))
        self._x, self._before = after(self._model, self._compiled, k, self._x, u), u

    def cost(self) -> float:
        """What happened, by the problem's own formula."""
        X, U, P = (np.array(part).T for part in zip(*self._happened, strict=True))
        return Trial(X, U, P, self._model.before).cost(self._compiled)


def rows(say: Callable[[str], None], file: Path | None = None, steps: int = STEPS) -> Iterator[Row]:
    """Control at each horizon (a file of your own: at its own), then estimation. Raises ControlError."""
    given = read_model(file or THIS_LINE)
    models = [given] if file else [given, _twice_as_far(given)]
    with threadpool_limits(1):
        for model in models:
            yield against_do_mpc(model, say, steps)
        if not given.problem.model.n_z:
            yield estimator_bench.against_do_mpc(given, say, steps)


def against_do_mpc(model: ModelFile, say: Callable[[str], None], steps: int, budget_s: float = BUDGET_S) -> Row:
    """One closed loop each, in turns of a few steps; it ends early when the peer has used up its time."""
    problem = model.problem
    compiled = native(compile_problem(problem), cache_folder())
    peer = Peer(plain(problem), model.x0, model.before)
    ours, theirs = Loop(model, compiled, Ours(compiled)), Loop(model, compiled, peer)
    done = 0
    while done < steps and sum(theirs.spent_ms) < 1e3 * budget_s:
        turn = range(done, min(done + TURN, steps))
        for loop in (ours, theirs):
            for k in turn:
                loop.step(k)
        done = turn.stop
        say(f"control, {model.name}, N = {problem.horizon_steps}: step {done} of {steps}")
    shorter = "" if done == steps else f" (of {steps}: the peer's {budget_s:.0f} s were used up)"
    more = 100 * (ours.cost() / theirs.cost() - 1)
    equal = f"closed-loop cost {more:+.2f} % over {done} steps{shorter}, {peer.failed} of the peer's solves failed"
    return row(f"control, {model.name}, N = {problem.horizon_steps}", f"do-mpc {version('do-mpc')}, defaults",
               ours.spent_ms, theirs.spent_ms, equal)  # fmt: skip


def _twice_as_far(model: ModelFile) -> ModelFile:
    """The problem with a horizon twice as long: what is added is held in two blocks."""
    steps, problem = model.problem.horizon_steps, model.problem
    blocks = (*problem.moves(), steps // 3, steps - steps // 3)
    return replace(model, problem=replace(problem, horizon_steps=2 * steps, blocks=blocks))
