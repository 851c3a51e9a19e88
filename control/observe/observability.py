"""linearised window -> what its measurements do not tell: directions, and the states to hold until they do.

Information about the oldest state of the window, carried by the model's own dynamics and scaled by how far each state
could be off (its prior sigma): an eigenvalue of 1 is as much as the prior knows. Source of the criterion: Stanley and
Mah, Observability and redundancy in process data estimation, Chem. Eng. Sci. 36 (1981) 259, in its Fisher-information
form; the order in which states are held is our choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from control.observe.mhe import Linear
from soft_sensors.signals import FloatArray

LEAST = 1 / 0.95 - 1  # information, in units of the prior's, that brings a variance down to 0.95 of the prior's
NAMED = 0.3  # share in a direction from which on a state is named in it


@dataclass(frozen=True)
class Observability:
    """What a window tells of each state.

    ratio: posterior over prior variance by state (1: nothing learnt); untold: combinations of states, as text, of which
    the data say nothing; frozen: the states to hold so that the rest is told; sentence: all that for people; groups:
    the states that are in them, those together that the data do not tell from each other.
    """

    ratio: dict[str, float]
    untold: tuple[str, ...]
    frozen: tuple[str, ...]
    sentence: str
    groups: tuple[tuple[str, ...], ...] = ()


def observability(along: Linear, prior_sigma: FloatArray, names: Sequence[str]) -> Observability:
    """Judge a linearised window; prior_sigma [n]: what each state could be off by, were nothing measured.

    Take fixed design values for it, not the estimator's own covariance: that already knows the past, and a state known
    well from the past must not look as if the data told nothing.
    """
    return judged(information(along), prior_sigma, names)


def judged(told: FloatArray, prior_sigma: FloatArray, names: Sequence[str]) -> Observability:
    """Judge Fisher information [n, n] about states that each could be off by prior_sigma [n]."""
    scaled = told * np.outer(prior_sigma, prior_sigma)
    size, directions = np.linalg.eigh(scaled)
    ratio = np.diag(np.linalg.inv(np.eye(len(names)) + scaled))
    untold = tuple(_written(directions[:, i], names) for i in np.flatnonzero(size < LEAST))
    frozen = tuple(names[i] for i in _to_hold(scaled, prior_sigma))
    ratios = dict(zip(names, map(float, ratio), strict=True))
    return Observability(ratios, untold, frozen, _sentence(untold, frozen), _groups(directions[:, size < LEAST], names))


def about(told: FloatArray, some: Sequence[int], prior_sigma: FloatArray) -> FloatArray:
    """What information [n, n] about all states says of some of them: the others are known no better than their prior.

    some: their positions; prior_sigma [n]. The Schur complement of the others' block.
    """
    rest = [i for i in range(len(told)) if i not in set(some)]
    across = told[np.ix_(some, rest)]
    theirs = told[np.ix_(rest, rest)] + np.diag(prior_sigma[rest] ** -2.0)
    found: FloatArray = told[np.ix_(some, some)] - across @ np.linalg.solve(theirs, across.T)
    return found


def information(along: Linear) -> FloatArray:
    """Fisher information [n, n] of the window's measurements about its oldest state, without process noise."""
    n = along.C.shape[2]
    carried, total = np.eye(n), np.zeros((n, n))
    for k, C in enumerate(along.C):
        seen = C @ carried
        total += seen.T @ (along.precisions[:, k : k + 1] * seen)
        if k < len(along.A):
            carried = along.A[k] @ carried
    return total


def _to_hold(scaled: FloatArray, prior_sigma: FloatArray) -> list[int]:
    """States taken out one by one until nothing untold is left among the others.

    Each time the one that lies most in the untold directions; among equals the one that the prior knows best, for
    holding it costs least.
    """
    kept, held = list(range(len(prior_sigma))), []
    while kept:
        size, directions = np.linalg.eigh(scaled[np.ix_(kept, kept)])
        untold = size < LEAST
        if not untold.any():
            break
        share = np.sum(directions[:, untold] ** 2, axis=1)
        most = max(range(len(kept)), key=lambda j: (round(float(share[j]), 6), -prior_sigma[kept[j]]))
        held.append(kept.pop(most))
    return sorted(held)


def _groups(untold: FloatArray, names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """States of the untold directions [n, m]; by their projector, for which directions stand for them is arbitrary."""
    projector = untold @ untold.T
    left, found = [i for i in range(len(names)) if projector[i, i] >= NAMED**2], []
    while left:
        group = [left.pop(0)]
        for i in group:
            near = [j for j in left if abs(projector[i, j]) >= NAMED**2]
            group += near
            left = [j for j in left if j not in near]
        found.append(tuple(names[i] for i in sorted(group)))
    return tuple(found)


def _written(direction: FloatArray, names: Sequence[str]) -> str:
    parts = [(names[i], direction[i]) for i in np.argsort(-np.abs(direction)) if abs(direction[i]) >= NAMED]
    first = np.sign(parts[0][1])
    return " ".join(f"{'+' if first * share > 0 else '-'} {name}" for name, share in parts).removeprefix("+ ")


def _sentence(untold: tuple[str, ...], frozen: tuple[str, ...]) -> str:
    if not frozen:
        return "the data tell every state apart"
    return f"the data do not tell {', '.join(untold)}: held {', '.join(frozen)}"
