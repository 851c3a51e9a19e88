"""innovations -> how likely it is that delivery or NIR has just jumped: a bank of hypotheses beside the filter.

Each hypothesis says that at one moment of the last minutes either the delivered API (`api_gain`) or the NIR
(`nir_bias_pct`) jumped. What such a jump does to the filter's error, and so to its innovations, follows from the same
matrices as the filter itself (generalised likelihood ratio: Willsky and Jones, IEEE TAC 21 (1976) 108): a loss arrives
spread by the blender, a jump of the NIR at once. Bayes' rule over all of them and "nothing happened" gives how sure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from control.settings import ObserverSettings
from soft_sensors.signals import FloatArray

CLIP_SIGMAS = 3.0  # one gross error is no jump
LOSS, NIR = 0, 1


@dataclass(frozen=True)
class Bank:
    """The hypotheses, a column each: error of the estimate a unit of jump [n_x, m], kind, onset (s), and what the
    innovations said of it so far: information [m] and score [m] (jump's estimate is their ratio)."""

    error: FloatArray
    kind: np.ndarray
    onset_s: FloatArray
    information: FloatArray
    score: FloatArray

    @staticmethod
    def empty(states: int) -> Bank:
        """No hypothesis yet."""
        return Bank(np.zeros((states, 0)), np.zeros(0, int), np.zeros(0), np.zeros(0), np.zeros(0))


@dataclass(frozen=True)
class Suspicion:
    """How sure: probability of a jump of delivery and of the NIR; onset (s) and kind of the likeliest one.

    shift, variance [n_x]: what the average over all hypotheses, each by its probability, adds to the filter's estimate.
    """

    loss: float
    nir: float
    onset_s: float
    kind: int
    shift: FloatArray
    variance: FloatArray


def opened(bank: Bank, time_s: float, states: tuple[int, int], noise: ObserverSettings, cycle_s: float) -> Bank:
    """The bank with this moment's hypotheses when it is their turn, and without those that are too old.

    states: positions of api_gain and nir_bias_pct.
    """
    young = bank.onset_s >= time_s - noise.jump_memory_s
    kept = Bank(*(part[..., young] for part in (bank.error, bank.kind, bank.onset_s, bank.information, bank.score)))
    if round(time_s / cycle_s) % max(1, round(noise.jump_every_s / cycle_s)):
        return kept
    fresh = np.zeros((bank.error.shape[0], 2))
    fresh[states, (LOSS, NIR)] = 1.0
    return Bank(
        np.hstack([kept.error, fresh]), np.concatenate([kept.kind, [LOSS, NIR]]),
        np.concatenate([kept.onset_s, [time_s, time_s]]), np.concatenate([kept.information, np.zeros(2)]),
        np.concatenate([kept.score, np.zeros(2)]),
    )  # fmt: skip


def moved(bank: Bank, A: FloatArray) -> Bank:
    """One prediction of the filter."""
    return Bank(A @ bank.error, bank.kind, bank.onset_s, bank.information, bank.score)


def met(
    bank: Bank, row: FloatArray, gain: FloatArray, variance: float, innovation: float | None, doubt: float = 1.0
) -> Bank:
    """One scalar correction of the filter: measurement row, Kalman gain, innovation variance.

    innovation: only where it is evidence (a trusted NIR); others only change what a jump would look like. doubt: how
    many times less sure than the filter takes it.
    """
    shown = row @ bank.error
    information, score = bank.information, bank.score
    if innovation is not None:
        believed = variance * doubt**2
        reach = CLIP_SIGMAS * believed**0.5
        information = information + shown**2 / believed
        score = score + shown * (min(max(innovation, -reach), reach) / believed)
    return Bank(bank.error - np.multiply.outer(gain, shown), bank.kind, bank.onset_s, information, score)


def suspicion(bank: Bank, noise: ObserverSettings) -> Suspicion:
    """Bayes' rule over the bank; jumps are normal about zero a priori, and rare."""
    if not len(bank.kind):
        none = np.zeros(len(bank.error))
        return Suspicion(0.0, 0.0, 0.0, LOSS, none, none)
    spread = np.where(bank.kind == LOSS, noise.jump_gain, noise.jump_nir_pct)
    known = bank.information + spread**-2
    likelihood = bank.score**2 / known / 2 - np.log(known * spread**2) / 2
    # A jump of the NIR that leaves T2 and Q quiet (others never get here) is the rarer kind by far.
    rate_per_h = np.where(bank.kind == LOSS, noise.jump_rate_per_h, noise.jump_nir_rate_per_h)
    weight = np.exp(np.minimum(likelihood + np.log(rate_per_h * noise.jump_every_s / 3600), 300.0))
    whole = 1.0 + float(np.sum(weight))
    loss = float(np.sum(weight[bank.kind == LOSS])) / whole
    nir = float(np.sum(weight[bank.kind == NIR])) / whole
    kind = LOSS if loss >= nir else NIR
    of_kind = np.flatnonzero(bank.kind == kind)
    best = int(of_kind[np.argmax(weight[of_kind])])
    share, jump = weight / whole, bank.score / known
    shift = bank.error @ (share * jump)
    variance = bank.error**2 @ (share * (jump**2 + 1 / known)) - shift**2
    return Suspicion(loss, nir, float(bank.onset_s[best]), kind, shift, np.maximum(variance, 0.0))
