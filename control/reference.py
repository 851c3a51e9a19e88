"""problem -> do-mpc with IPOPT on the very same problem: what the real-time path is measured against (offline only).

`plain` is do-mpc as it comes (Radau collocation, default tolerances; an algebraic state in the stage cost is the one at
the end of the step), `exact` poses the discrete problem that the
real-time path solves, to a tight tolerance, and `robust` spans a scenario tree over uncertain parameters. Costs,
limits and bounds are read from the model itself, not from what `control.compile` made of it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import casadi as ca
import numpy as np

from control.errors import ControlError
from control.problem import Problem
from soft_sensors.signals import FloatArray

FACES = ("_x", "_u", "_z", "_tvp", "_p")
TIGHT = {"ipopt.tol": 1e-10, "ipopt.constr_viol_tol": 1e-10, "ipopt.acceptable_iter": 0, "ipopt.max_iter": 500}


@dataclass(frozen=True)
class Optimum:
    """A solved problem: plan [n_u, N], states [n_x, N+1], cost as in `control.problem`, and what IPOPT says of it."""

    plan: FloatArray
    states: FloatArray
    cost: float
    success: bool
    iterations: int


@dataclass(frozen=True)
class Reference:
    """A do-mpc controller that is set up, and where its time-varying parameters are put."""

    problem: Problem
    mpc: Any
    parameters: Any
    price: ca.Function

    def aim(self, p: FloatArray) -> None:
        """Set the time-varying parameters: [n_p] for all the horizon, or [n_p, N+1]."""
        given = np.asarray(p, dtype=float)
        columns = given if given.ndim == 2 else np.repeat(given[:, None], self.problem.horizon_steps + 1, axis=1)
        for k in range(self.problem.horizon_steps + 1):
            self.parameters["_tvp", k] = ca.DM(columns[:, k])

    def optimum(self, x0: FloatArray, u_before: FloatArray, p: FloatArray | None = None) -> Optimum:
        """Solve from a cold start (state and input held over the horizon); p as in `aim`."""
        self.begin(x0, u_before)
        return self.again(x0, u_before, p)

    def begin(self, x0: FloatArray, u_before: FloatArray) -> None:
        """Forget what was solved before: the guess is the state and the input held over the horizon."""
        self.mpc.x0, self.mpc.u0 = ca.DM(x0), ca.DM(u_before)
        self.mpc.z0 = ca.DM([start for _, start in _algebraic(self.problem)])
        self.mpc.set_initial_guess()

    def again(self, x0: FloatArray, u_before: FloatArray, p: FloatArray | None = None) -> Optimum:
        """Solve from where the last solution was: what do-mpc does once a sample."""
        if p is not None:
            self.aim(p)
        self.moved(x0, u_before)
        steps, found = self.problem.horizon_steps, self.mpc.opt_x_num_unscaled
        return Optimum(
            plan=np.hstack([np.asarray(found["_u", k, 0].full()) for k in range(steps)]),
            states=np.hstack([np.asarray(found["_x", k, 0, -1].full()) for k in range(steps + 1)]),
            cost=float(self.price(self.mpc.opt_x_num, self.mpc.opt_p_num)),
            success=self.solved,
            iterations=int(self.mpc.solver_stats["iter_count"]),
        )

    def moved(self, x0: FloatArray, u_before: FloatArray) -> FloatArray:
        """do-mpc's own step and nothing else: the inputs for now [n_u]."""
        self.mpc.u0 = ca.DM(u_before)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # do-mpc and casadi disagree about numpy, not about numbers
            return np.asarray(self.mpc.make_step(np.asarray(x0, dtype=float).reshape(-1, 1))).ravel()

    @property
    def solved(self) -> bool:
        """Whether IPOPT says that the last step ended at an optimum."""
        return bool(self.mpc.solver_stats["success"])


def plain(problem: Problem) -> Reference:
    """do-mpc with its defaults untouched, but silent, on the problem's own model."""
    return _pose(problem, problem.model, _nominal(problem))


def exact(problem: Problem, step: ca.Function) -> Reference:
    """do-mpc on the discrete problem x_next = step(x, u, p), scaled and to a tight tolerance.

    step: a function whose first output is the next state; the fixed parameters are already in it.
    """
    return _pose(problem, _discrete(problem, step), _nominal(problem), options=TIGHT, scaling=problem.scaling)


def robust(problem: Problem, uncertain: Mapping[str, Sequence[float]]) -> Reference:
    """Scenario-tree controller (robust horizon 1) over every combination of values of the model's parameters `_p`.

    Source: Lucia, Finkler, Engell, J. Process Control 23 (2013) 1306. The first value of each is the nominal one.
    """
    for name, values in uncertain.items():
        if name not in problem.parameters:
            raise ControlError(f"robust: '{name}' is not one of the problem's parameters {sorted(problem.parameters)}")
        if not values:
            raise ControlError(f"robust: no value is given for '{name}'")
    return _pose(problem, problem.model, {**_nominal(problem), **uncertain}, branching=1)


def _nominal(problem: Problem) -> dict[str, Sequence[float]]:
    return {name: [value] for name, value in problem.parameters.items()}


def _pose(
    problem: Problem, model: Any, fixed: Mapping[str, Sequence[float]], *, branching: int = 0,
    options: Mapping[str, float] = MappingProxyType({}), scaling: Mapping[str, float] = MappingProxyType({}),
) -> Reference:  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # do-mpc warns of optional packages that are not needed here
        from do_mpc.controller import MPC
    mpc = MPC(model)
    mpc.settings.n_horizon, mpc.settings.t_step = problem.horizon_steps, problem.step_s
    mpc.settings.n_robust = branching
    mpc.settings.store_lagr_multiplier = False  # its record would grow without bound
    mpc.settings.supress_ipopt_output()
    mpc.settings.nlpsol_opts.update(options)
    for name, size in scaling.items():
        for face in ("_x", "_u"):
            if name in _names(getattr(model, face)):
                mpc.scaling[face, name] = size
    _price(problem, model, mpc)
    _bound(problem, model, mpc)
    parameters = mpc.get_tvp_template()
    mpc.set_tvp_fun(lambda _now: parameters)
    if model.n_p:
        mpc.set_uncertainty_values(**{name: np.array(values) for name, values in fixed.items()})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        mpc.prepare_nlp()
        _restrain(problem, model, mpc)
        mpc.create_nlp()
    price = ca.Function("price", [mpc.nlp["x"], mpc.nlp["p"]], [mpc.nlp["f"]])
    return Reference(problem, mpc, parameters, price)


def _price(problem: Problem, model: Any, mpc: Any) -> None:
    """Stage, terminal and move costs; moves in the default form, for the free one mixes scaled and unscaled inputs."""
    faces = [getattr(model, face) for face in FACES]
    stage = sum(w * ca.sumsqr(_value(problem, name)(*faces)) for name, w in problem.residuals.items())
    final = ca.DM(0)
    for name, weight in problem.terminal.items():
        at_end = _value(problem, name)
        if any(at_end.sparsity_jac(i, 0).nnz() for i in (1, 2)):
            raise ControlError(f"problem: terminal '{name}' depends on an input or an algebraic state")
        # Numbers for what it does not depend on: do-mpc knows no input after the last step.
        final = final + weight * ca.sumsqr(at_end(faces[0], 0, 0, faces[3], faces[4]))
    mpc.set_objective(mterm=final, lterm=stage)
    weights = {}
    for name in _names(model._u):
        size = np.asarray(mpc.scaling["_u", name]).ravel()
        weights[name] = float(problem.inputs[name].move_weight * size[0] ** 2)
    mpc.set_rterm(**weights)


def _bound(problem: Problem, model: Any, mpc: Any) -> None:
    for name in _names(model._u):
        mpc.bounds["lower", "_u", name] = problem.inputs[name].low
        mpc.bounds["upper", "_u", name] = problem.inputs[name].high
    faces = [getattr(model, face) for face in FACES]
    for name, limit in problem.limits.items():
        value = ca.densify(_value(problem, name)(*faces))
        for side, beyond, at in (("high", value - limit.high, limit.high), ("low", limit.low - value, limit.low)):
            if np.isfinite(at):
                for i in range(value.numel()):
                    label = f"{name}_{i}_{side}"
                    mpc.set_nl_cons(label, beyond[i], ub=0, soft_constraint=True, penalty_term_cons=limit.weight)


def _restrain(problem: Problem, model: Any, mpc: Any) -> None:
    """Rates as constraints between neighbours of the tree: do-mpc knows none, its hook before creating lets them in."""
    rates = np.concatenate([np.full(model._u[n].numel(), problem.inputs[n].rate_per_s) for n in _names(model._u)])
    limited = np.flatnonzero(np.isfinite(rates))
    if not limited.size:
        return
    size, tree = mpc.opt_x_scaling["_u", 0, 0], mpc.scenario_tree
    for k in range(problem.horizon_steps):
        for s in range(tree["n_scenarios"][k]):
            before = mpc.opt_p["_u_prev"] / size if k == 0 else mpc.opt_x["_u", k - 1, tree["parent_scenario"][k][s]]
            change = (mpc.opt_x["_u", k, s] - before) * size
            reach = ca.DM(rates[limited] * problem.step_s)
            mpc.nlp_cons.append(ca.vertcat(*(change[int(i)] for i in limited)))
            mpc.nlp_cons_lb.append(-reach)
            mpc.nlp_cons_ub.append(reach)


def _discrete(problem: Problem, step: ca.Function) -> Any:
    """The model with its dynamics replaced by one step; algebraic equations stay as they were written."""
    from do_mpc.model import Model

    old = problem.model
    try:
        step, kind = step.expand(), "SX"
    except RuntimeError:  # an implicit step has no form in SX
        kind = "MX"
    model = Model("discrete", kind)
    for face in FACES:
        for name in _names(getattr(old, face)):
            model.set_variable(face, name, shape=getattr(old, face)[name].shape)
    faces = [_stacked(model, face, old) for face in FACES]
    ahead, start = step(faces[0], faces[1], faces[3])[0], 0
    for name in _names(old._x):
        rows, columns = old._x[name].shape
        model.set_rhs(name, ca.reshape(ahead[start : start + rows * columns], rows, columns))
        start += rows * columns
    if old.n_z:
        model.set_alg("algebraic", old._alg_fun(*faces, ca.DM.zeros(old._w.shape)))
    model.setup()
    return model


def _stacked(model: Any, face: str, old: Any) -> Any:
    names = _names(getattr(old, face))
    symbols = {"_x": model.x, "_u": model.u, "_z": model.z, "_tvp": model.tvp, "_p": model.p}[face]
    return ca.vertcat(*(ca.vec(symbols[name]) for name in names)) if names else ca.DM.zeros(0, 1)


def _value(problem: Problem, name: str) -> ca.Function:
    """The state, input or expression of that name as a function of (x, u, z, tvp, p)."""
    model = problem.model
    faces = [getattr(model, face) for face in FACES]
    for structure in (model._x, model._u, model._aux_expression):
        if name in _names(structure):
            return ca.Function("value", [ca.vertcat(f) for f in faces], [structure[name]])
    raise ControlError(f"problem: the model has no state, input or expression '{name}'")


def _algebraic(problem: Problem) -> Iterator[tuple[str, float]]:
    for name in _names(problem.model._z):
        for _ in range(problem.model._z[name].numel()):
            yield name, float(problem.algebraic.get(name, 0.0))


def _names(structure: Any) -> list[str]:
    """The names in a do-mpc structure, without the empty placeholder it begins with."""
    return [name for name in structure.keys() if name != "default"]  # noqa: SIM118 - not a mapping
