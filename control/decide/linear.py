"""settings -> the linear model of the hybrid controller, condensed over its horizon; in shares of target and ratio."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from control.settings import ControlSettings
from control.signals import FloatArray

BLOCKS = (1, 1, 2, 4, 8, 16, 88)  # moves of a horizon of 120 cycles: two residence times at a 5 s cycle
EVERY = 4  # outputs are judged at every fourth step


@dataclass(frozen=True)
class Prediction:
    """x+ = A x + B delta with delta the feeders' setpoints off their ratio; outputs C x: API and throughput off target.

    chain: how many of the states are the API's way; entry: what a target entering that chain does to it in a cycle;
    free, forced: weighted outputs over the horizon from state and moves; hessian of the whole cost in the moves.
    """

    A: FloatArray
    B: FloatArray
    C: FloatArray
    chain: int
    entry: FloatArray
    free: FloatArray
    forced: FloatArray
    hessian: FloatArray


def feeders(settings: ControlSettings) -> tuple[str, ...]:
    """The feeders' setpoints, in the order of the moves."""
    return tuple(mv.name for mv in settings.mv if mv.role != "force")


def condense(settings: ControlSettings) -> Prediction:
    """The whole offline part: model at the throughput it was identified at, prediction and cost over the horizon."""
    tuning = settings.controller.hybrid
    A, B, C, chain = _state_space(settings)
    n_in, states = B.shape[1], len(A)
    scale = 1 / np.array([[tuning.api_rel], [tuning.throughput_rel]])
    block_of = np.repeat(np.arange(len(BLOCKS)), BLOCKS)
    reach, power, free, forced = np.zeros((states, n_in * len(BLOCKS))), np.eye(states), [], []
    for k, block in enumerate(block_of):
        reach = A @ reach
        reach[:, block * n_in : (block + 1) * n_in] += B
        power = A @ power
        if (k + 1) % EVERY == 0:
            free.append(scale * (C @ power))
            forced.append(scale * (C @ reach))
    change = (np.eye(n_in * len(BLOCKS)) - np.eye(n_in * len(BLOCKS), k=-n_in)) / tuning.move_rel
    outputs = np.vstack(forced)
    whole = np.vstack([outputs, _split(settings), change])
    entry = np.ones(chain) - A[:chain, :chain].sum(axis=1)
    return Prediction(A, B, C, chain, entry, np.vstack(free), outputs, whole.T @ whole)


def _state_space(settings: ControlSettings) -> tuple[FloatArray, FloatArray, FloatArray, int]:
    """One cycle of the deviation model by exact zero-order hold: the API's chain of lags, then the throughput's lag."""
    shares, names, plant = _shares(settings), feeders(settings), settings.plant
    flow_kg_s = settings.controller.hybrid.throughput_kg_h / 3600
    blender = [plant.blender_kg / plant.blender_tanks / flow_kg_s] * plant.blender_tanks
    transport = [plant.transport_kg / plant.transport_tanks / flow_kg_s] * plant.transport_tanks
    lags = [plant.feeder_lag_s, *blender, *transport, plant.feed_frame_kg / flow_kg_s]
    n, n_in = len(lags) + 1, len(names)
    rates = np.diag([*(-1 / lag for lag in lags), -1 / plant.feeder_lag_s])
    rates[np.arange(1, n - 1), np.arange(n - 2)] = [1 / lag for lag in lags[1:]]
    entry = np.zeros((n, n_in))
    # More of a feeder is more of it and a larger whole: d(share)/share = delta - sum(shares * delta).
    entry[0] = -shares / plant.feeder_lag_s
    entry[0, names.index(settings.named("api"))] += 1 / plant.feeder_lag_s
    entry[-1] = shares / plant.feeder_lag_s
    whole = np.zeros((n + n_in, n + n_in))
    whole[:n, :n], whole[:n, n:] = rates, entry
    from scipy.linalg import expm  # a tenth of the service's start, and only this controller needs it

    moved = expm(whole * settings.cycle_s)
    C = np.zeros((2, n))
    C[0, n - 2] = C[1, n - 1] = 1
    return moved[:n, :n], moved[:n, n:], C, n - 1


def _shares(settings: ControlSettings) -> FloatArray:
    """Share of each feeder in the blend at the model's reference."""
    recipe, api = settings.recipe, settings.plant.api_ref_pct / 100
    rest = 1 - api - recipe.lubricant_fraction
    fixed = {settings.named("api"): api, settings.named("lubricant"): recipe.lubricant_fraction}
    return np.array([fixed[n] if n in fixed else rest * recipe.filler_split[n] for n in feeders(settings)])


def _split(settings: ControlSettings) -> FloatArray:
    """Cost rows that keep the fillers in their split and the lubricant in its ratio, for every move block."""
    names, fillers = feeders(settings), list(settings.recipe.filler_split)
    rows = np.zeros((len(fillers), len(names)))
    for row, other in zip(rows, fillers[1:], strict=False):
        row[names.index(fillers[0])], row[names.index(other)] = 1.0, -1.0
    rows[-1] = -_shares(settings)
    rows[-1, names.index(settings.named("lubricant"))] += 1.0
    weights = np.repeat(np.sqrt(BLOCKS), len(rows)) / settings.controller.hybrid.split_rel
    kept: FloatArray = np.kron(np.eye(len(BLOCKS)), rows) * weights[:, None]
    return kept
