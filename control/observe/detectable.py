"""model + measurements -> whether its lasting unknowns can be found: the condition for control without offset.

Popov-Belevitch-Hautus test at every eigenvalue that does not die out: the stack of A - lambda I and C must have full
column rank (Pannocchia and Rawlings, AIChE J. 49 (2003) 426, for what it means for offset-free control).
"""

from __future__ import annotations

import numpy as np

from control.bundle import ControllerBundle
from control.decide.ratio import ratio_setpoints
from control.observe.seen import Observation, Observer, prior
from control.signals import Target
from soft_sensors.signals import FloatArray

LASTS = 1.0 - 1e-7  # eigenvalues from here on do not die out
TELLS = 1e-9  # of the largest singular value: below, a direction is not seen
SHARE = 0.3  # of a direction, from which on a state is named in it


def untold(observer: Observer) -> tuple[str, ...]:
    """The lasting unknowns of an observer's model that nothing tells, about the middle of the line's range."""
    settings, bundle = observer.settings, observer.bundle
    feeders_kg_h = sum((mv.low + mv.high) / 2 for mv in settings.mv if mv.role != "force")
    target = Target(settings.plant.api_ref_pct, feeders_kg_h, settings.plant.weight_ref_mg)
    setpoints = ratio_setpoints(settings, target)
    state, _ = prior(observer, Observation(0.0, {}, setpoints, target))
    return undetectable(bundle, state, np.array([setpoints[name] for name in bundle.inputs]), target)


def undetectable(bundle: ControllerBundle, state: FloatArray, inputs: FloatArray, target: Target) -> tuple[str, ...]:
    """The states that no measurement of the model ever tells at this operating point; none is what is wanted.

    state, inputs: where the line is meant to run, in the bundle's order.
    """
    p = bundle.targets(target)[:, 0]
    _, A = bundle.call("predict", state, inputs, p)
    _, C = bundle.call("measure", state, inputs, p)
    found: list[str] = []
    for value in np.unique(np.round(np.linalg.eigvals(A), 9)):
        if abs(value) < LASTS:
            continue
        stack = np.vstack([A - value * np.eye(len(A)), C])
        _, sizes, directions = np.linalg.svd(stack / np.maximum(np.linalg.norm(stack, axis=0), 1e-300))
        for direction in directions[sizes <= TELLS * sizes[0]]:
            found += [n for n, share in zip(bundle.states, np.abs(direction), strict=True) if share > SHARE]
    return tuple(dict.fromkeys(found))
