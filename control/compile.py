"""problem -> compiled problem: any do_mpc model as a handful of CasADi functions, in one step, discrete (offline only).

Continuous models are integrated by Runge-Kutta 4 with as many substeps as its own error asks for, stiff ones by Radau
collocation; algebraic states are solved for and eliminated (implicit function theorem gives their derivatives).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import casadi as ca
import numpy as np

from control.compiled import Card, Compiled
from control.errors import ControlError
from control.kernel import Kernel
from control.problem import Problem

SUBSTEPS = (1, 2, 4, 8, 16, 32)
STEP_ERROR = 3e-4  # relative difference of one step, from points far from rest, against half the substep: good enough
POINTS = 16  # where it is tried

Symbolic = Any


def compile_problem(problem: Problem) -> Compiled:
    """The problem as the real-time path runs it; raises ControlError naming what the model does not have."""
    functions, card = functions_of(problem)
    return Compiled(card, {name: Kernel(function) for name, function in functions.items()})


def functions_of(problem: Problem) -> tuple[dict[str, ca.Function], Card]:
    """CasADi functions and card of a problem (see `control.compiled.Compiled` for what each function is)."""
    card = card_of(problem)
    inside = _Inside(problem)
    step = _one_step(problem, inside)
    n = problem.horizon_steps
    x, u, p = inside.symbols()
    x_next = step(x, u, p)
    expressions, measured = inside.outputs(x, u, p)
    named = {**_values(problem, x, u), **expressions}
    residuals = _weighed(problem.residuals, named, type(x)(0, 1))
    limits = ca.vertcat(*(named[label] for label in card.limits)) if card.limits else type(x)(0, 1)
    final = _weighed(problem.terminal, named, type(x)(0, 1))
    if problem.terminal and ca.depends_on(ca.vertcat(final), u):
        raise ControlError("problem: a terminal residual depends on an input; there is none after the last step")

    def dense(name: str, inputs: list[Symbolic], outputs: list[Symbolic]) -> ca.Function:
        return ca.Function(name, inputs, [ca.densify(o) for o in outputs], {"cse": True})

    linear = dense("linear", [x, u, p], [x_next, ca.jacobian(x_next, x), ca.jacobian(x_next, u)])
    stage_parts = [residuals, ca.jacobian(residuals, x), ca.jacobian(residuals, u)]
    stage_parts += [limits, ca.jacobian(limits, x), ca.jacobian(limits, u)]
    stage = dense("stage_one", [x, u, p], stage_parts)
    cost = dense("cost_one", [x, u, p], [residuals, limits])
    one = dense("one", [x, u, p], [x_next])
    functions = {
        "predict": dense("predict", [x, u, p], [x_next, ca.jacobian(x_next, x)]),
        "measure": dense("measure", [x, u, p], [measured, ca.jacobian(measured, x)]),
        "rollout": one.mapaccum("rollout", n),
        "linearise": linear.map(n),
        "stage": stage.map(n),
        "cost": cost.map(n),
        "terminal": dense("terminal", [x, p], [_at_rest(final, u), ca.jacobian(_at_rest(final, u), x)]),
    }
    return functions, card


def card_of(problem: Problem) -> Card:
    """Names, bounds, weights and blocks of a problem, checked against its model."""
    model = problem.model
    known = set(_labels(model._x)) | set(_labels(model._u)) | set(_labels(model._aux))
    known |= {label.partition("[")[0] for label in known}
    for name in [*problem.residuals, *problem.terminal, *problem.limits]:
        if name not in known:
            raise ControlError(f"problem: the model has no state, input or expression '{name}'")
    inputs = _labels(model._u)
    missing = [label for label in inputs if _given(problem.inputs, label) is None]
    if missing:
        raise ControlError(f"problem: no bounds are given for input {', '.join(missing)}")
    bounds = [_of(problem.inputs, label) for label in inputs]
    everything = [*_labels(model._x), *_labels(model._aux)]
    limits = [label for label in everything if _given(problem.limits, label) is not None]
    soft = [_of(problem.limits, label) for label in limits]
    scale = [float(_given(problem.scaling, label) or 1.0) for label in inputs]
    return Card(
        states=tuple(_labels(model._x)), inputs=tuple(inputs), parameters=tuple(_labels(model._tvp)),
        measurements=tuple(_labels(model._y)), limits=tuple(limits),
        step_s=problem.step_s, horizon_steps=problem.horizon_steps, blocks=problem.moves(),
        input_low=tuple(b.low for b in bounds), input_high=tuple(b.high for b in bounds),
        input_rate=tuple(b.rate_per_s * problem.step_s for b in bounds),
        move_weight=tuple(b.move_weight for b in bounds), input_scale=tuple(scale),
        limit_low=tuple(s.low for s in soft), limit_high=tuple(s.high for s in soft),
        limit_weight=tuple(s.weight for s in soft), limit_priority=tuple(s.priority for s in soft),
    )  # fmt: skip


class _Inside:
    """The model's functions with fixed parameters put in, noise left out and algebraic states solved for.

    In SX where the model can be written in it (faster and compact), else in MX.
    """

    def __init__(self, problem: Problem) -> None:
        self.model, self._problem = problem.model, problem
        model = self.model
        labels = _labels(model._p)
        missing = [label for label in labels if _given(problem.parameters, label) is None]
        if missing:
            raise ControlError(f"problem: no value is given for the model's parameter {', '.join(missing)}")
        self._fixed = ca.DM([float(_of(problem.parameters, label)) for label in labels])
        self._noise = ca.DM.zeros(model._w.shape)
        self._error = ca.DM.zeros(model._v.shape)
        functions = {"rhs": model._rhs_fun, "aux": model._aux_expression_fun, "meas": model._meas_fun}
        self._sx = model.n_z == 0
        if self._sx:
            try:
                functions = {name: f.expand() for name, f in functions.items()}
            except RuntimeError:  # a node that SX cannot write (look-up table, network): stay in MX
                self._sx = False
        self._functions = functions
        self._solve_z = self._root() if model.n_z else None

    def symbols(self) -> tuple[Symbolic, Symbolic, Symbolic]:
        """Fresh symbols of state, input and time-varying parameter."""
        kind, model = (ca.SX if self._sx else ca.MX), self.model
        return kind.sym("x", model.n_x), kind.sym("u", model.n_u), kind.sym("p", model.n_tvp)

    def rhs(self, x: Symbolic, u: Symbolic, p: Symbolic) -> Symbolic:
        """Right-hand side: time derivative, or next state of a discrete model."""
        return self._functions["rhs"](x, u, self._z(x, u, p), p, self._fixed, self._noise)

    def outputs(self, x: Symbolic, u: Symbolic, p: Symbolic) -> tuple[dict[str, Symbolic], Symbolic]:
        """Expressions by label, and the vector of measurements."""
        z = self._z(x, u, p)
        aux = self._functions["aux"](x, u, z, p, self._fixed)
        measured = self._functions["meas"](x, u, z, p, self._fixed, self._error)
        return {label: aux[i] for i, label in enumerate(_labels(self.model._aux, keep=True))}, measured

    def _z(self, x: Symbolic, u: Symbolic, p: Symbolic) -> Symbolic:
        if self._solve_z is None:
            return ca.DM.zeros(self.model._z.shape)
        start = [float(_given(self._problem.algebraic, label) or 0.0) for label in _labels(self.model._z)]
        return self._solve_z(ca.DM(start), ca.vertcat(x, u, p))

    def _root(self) -> ca.Function:
        model = self.model
        x, u, p = (ca.MX.sym(n, s) for n, s in (("x", model.n_x), ("u", model.n_u), ("p", model.n_tvp)))
        z = ca.MX.sym("z", model.n_z)
        left = model._alg_fun(x, u, z, p, self._fixed, self._noise)
        system = {"x": z, "p": ca.vertcat(x, u, p), "g": left}
        return ca.rootfinder("algebraic", "newton", system, {"abstol": 1e-11, "max_iter": 50, "error_on_fail": False})


def _one_step(problem: Problem, inside: _Inside) -> Callable[[Symbolic, Symbolic, Symbolic], Symbolic]:
    """The state one step later, as a function of symbols."""
    if problem.model.model_type == "discrete":
        return inside.rhs

    def runge_kutta(substeps: int) -> Callable[[Symbolic, Symbolic, Symbolic], Symbolic]:
        def step(x: Symbolic, u: Symbolic, p: Symbolic) -> Symbolic:
            h = problem.step_s / substeps
            for _ in range(substeps):
                k1 = inside.rhs(x, u, p)
                k2 = inside.rhs(x + h / 2 * k1, u, p)
                k3 = inside.rhs(x + h / 2 * k2, u, p)
                x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + inside.rhs(x + h * k3, u, p))
            return x

        return step

    points = _points(problem)

    def tried(substeps: int) -> ca.DM:
        x, u, p = inside.symbols()
        return ca.Function("tried", [x, u, p], [runge_kutta(substeps)(x, u, p)]).map(POINTS)(*points)

    coarse = tried(SUBSTEPS[0])
    for substeps, finer in pairwise(SUBSTEPS):
        fine = tried(finer)
        if _differ(coarse, fine) < STEP_ERROR:
            return runge_kutta(substeps)
        coarse = fine
    return _collocation(problem, inside)


def _collocation(problem: Problem, inside: _Inside) -> Callable[[Symbolic, Symbolic, Symbolic], Symbolic]:
    """Radau collocation of degree 3 on four elements, for models too stiff for an explicit step."""
    x, u, p = inside.symbols()
    ode = {"x": x, "p": ca.vertcat(u, p), "ode": inside.rhs(x, u, p)}
    options: dict[str, Any] = {
        "number_of_finite_elements": 4, "interpolation_order": 3, "collocation_scheme": "radau", "simplify": True,
        "rootfinder": "newton",
    }  # fmt: skip
    solver = ca.integrator("stiff", "collocation", ode, 0.0, problem.step_s, options)
    inside._sx = False  # what it is called with from here on
    return lambda x, u, p: solver(x0=x, p=ca.vertcat(u, p))["xf"]


def _points(problem: Problem) -> tuple[ca.DM, ca.DM, ca.DM]:
    """Where the integrator's step is tried: states and parameters about their typical size, inputs within bounds."""
    random, model = np.random.default_rng(20260101), problem.model

    def typical(labels: Sequence[str]) -> ca.DM:
        size = np.array([float(_given(problem.scaling, label) or 1.0) for label in labels]).reshape(-1, 1)
        return ca.DM(size * random.uniform(0.5, 1.5, (len(labels), POINTS)))

    inputs = [_of(problem.inputs, label) for label in _labels(model._u)]
    u = [np.clip(random.uniform(-1.0, 1.0, POINTS), b.low, b.high) if not np.isfinite(b.high - b.low)
         else random.uniform(b.low, b.high, POINTS) for b in inputs]
    return typical(_labels(model._x)), ca.DM(np.array(u).reshape(-1, POINTS)), typical(_labels(model._tvp))


def _differ(one: ca.DM, other: ca.DM) -> float:
    a, b = np.asarray(one), np.asarray(other)
    if not np.any(np.isfinite(b)):
        return np.inf
    usable = np.all(np.isfinite(b), axis=0)
    size = np.max(np.abs(b[:, usable]), axis=1, keepdims=True) + 1e-9
    off = np.abs(a[:, usable] - b[:, usable]) / size
    return float(np.max(off)) if np.all(np.isfinite(off)) else np.inf


def _weighed(weights: Mapping[str, float], named: Mapping[str, Symbolic], none: Symbolic) -> Symbolic:
    """sqrt(w) times each residual: their plain sum of squares is the cost."""
    rows = []
    for name, weight in weights.items():
        rows += [weight**0.5 * value for label, value in named.items() if label == name or label.startswith(f"{name}[")]
    return ca.vertcat(*rows) if rows else none


def _at_rest(final: Symbolic, u: Symbolic) -> Symbolic:
    return ca.substitute(final, u, ca.DM.zeros(u.shape)) if final.numel() else final


def _values(problem: Problem, x: Symbolic, u: Symbolic) -> dict[str, Symbolic]:
    states = {label: x[i] for i, label in enumerate(_labels(problem.model._x))}
    return {**states, **{label: u[i] for i, label in enumerate(_labels(problem.model._u))}}


def _labels(structure: Any, *, keep: bool = False) -> list[str]:
    """'name' of a scalar, 'name[i]' of a vector's entries; the placeholder 'default' only where keep asks for it."""
    entries = [label.strip("[]").rsplit(",", 1) for label in structure.labels()]
    names = [name for name, _ in entries]
    found = [name if names.count(name) == 1 else f"{name}[{i}]" for name, i in entries]
    return found if keep else [label for label in found if label != "default"]


def _given(mapping: Mapping[str, Any], label: str) -> Any:
    """What a mapping by name says of a label: its own entry, or its vector's; None where there is neither."""
    return mapping.get(label, mapping.get(label.partition("[")[0]))


def _of(mapping: Mapping[str, Any], label: str) -> Any:
    found = _given(mapping, label)
    if found is None:
        raise ControlError(f"problem: nothing is given for '{label}'")
    return found
