"""problem + noise -> do-mpc's moving-horizon estimator as it comes: what ours is measured against (offline only)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import casadi as ca
import numpy as np

from control.errors import ControlError
from control.problem import Problem
from soft_sensors.signals import FloatArray


@dataclass(frozen=True)
class ReferenceEstimator:
    """A do-mpc estimator that is set up; its window is full after as many samples as it has steps."""

    mhe: Any

    def step(self, y: FloatArray, u: FloatArray) -> FloatArray:
        """The state [n] now, from what was measured now and the input that led here."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # do-mpc and casadi disagree about numpy, not about numbers
            return np.asarray(self.mhe.make_step(np.concatenate([y, u]).reshape(-1, 1))).ravel()


def plain_estimator(
    problem: Problem, steps: int, x0: FloatArray, p: FloatArray, *,
    process_sigma: FloatArray, error_sigma: FloatArray, arrival_precision: FloatArray,
) -> ReferenceEstimator:  # fmt: skip
    """do-mpc's estimator on the problem's model, defaults untouched but silent; p: parameters, the same all the time.

    process_sigma [n]: of one step, error_sigma [n_y]; arrival_precision [n, n]: weight of the oldest state, which
    do-mpc keeps as it is for ever. Raises ControlError for models with algebraic states.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # do-mpc warns of optional packages that are not needed here
        from do_mpc.estimator import MHE
    if problem.model.n_z:
        raise ControlError("reference estimator: models with algebraic states are not covered")
    model = _noisy(problem)
    mhe = MHE(model)
    mhe.settings.n_horizon, mhe.settings.t_step = steps, problem.step_s
    mhe.settings.meas_from_data, mhe.settings.store_lagr_multiplier = True, False
    mhe.settings.supress_ipopt_output()
    # Noise of a continuous model enters the rate: over a step it moves the state by about step_s times as much.
    reach = problem.step_s if model.model_type == "continuous" else 1.0
    mhe.set_default_objective(
        P_x=np.asarray(arrival_precision), P_v=np.diag(error_sigma**-2.0), P_w=np.diag((process_sigma / reach) ** -2.0)
    )
    parameters = mhe.get_tvp_template()
    parameters["_tvp", :] = ca.DM(p)
    mhe.set_tvp_fun(lambda _now: parameters)
    if model.n_p:
        fixed = mhe.get_p_template()
        for name, value in problem.parameters.items():
            fixed[name] = value
        mhe.set_p_fun(lambda _now: fixed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        mhe.setup()
        mhe.x0 = ca.DM(x0)
        mhe.set_initial_guess()
    return ReferenceEstimator(mhe)


def _noisy(problem: Problem) -> Any:
    """The model again, with noise on every state and measurement, and inputs that are measured exactly."""
    from do_mpc.model import Model

    old = problem.model
    model = Model(old.model_type, old.symvar_type)
    for face in ("_x", "_u", "_tvp", "_p"):
        for name in _names(getattr(old, face)):
            model.set_variable(face, name, shape=getattr(old, face)[name].shape)
    x, u, p, fixed = (_stacked(model, old, face) for face in ("_x", "_u", "_tvp", "_p"))
    none = (ca.DM.zeros(old._z.shape), ca.DM.zeros(old._w.shape), ca.DM.zeros(old._v.shape))
    rhs, at = old._rhs_fun(x, u, none[0], p, fixed, none[1]), 0
    for name in _names(old._x):
        shape = old._x[name].shape
        model.set_rhs(name, ca.reshape(rhs[at : at + shape[0] * shape[1]], *shape), process_noise=True)
        at += shape[0] * shape[1]
    measured = old._meas_fun(x, u, none[0], p, fixed, none[2])
    model.set_meas("measured", measured, meas_noise=True)
    model.set_meas("input", u, meas_noise=False)
    model.setup()
    return model


def _stacked(model: Any, old: Any, face: str) -> Any:
    symbols = {"_x": model.x, "_u": model.u, "_tvp": model.tvp, "_p": model.p}[face]
    parts = [ca.vec(symbols[name]) for name in _names(getattr(old, face))]
    return ca.vertcat(*parts) if parts else ca.DM.zeros(0, 1)


def _names(structure: Any) -> list[str]:
    """The names in a do-mpc structure, without the empty placeholder it begins with."""
    return [name for name in structure.keys() if name != "default"]  # noqa: SIM118 - not a mapping
