"""what the pairs showed -> the moved model's card and its warnings."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from soft_sensors.bundle import Bundle
from soft_sensors.calibrate import limits
from soft_sensors.calibrate.fit import software
from soft_sensors.calibrate.transfer.choose import rms
from soft_sensors.card import Card, Transfer
from soft_sensors.errors import TransferError
from soft_sensors.signals import FloatArray

LITTLE = 1.0 / 3.0  # of the model's own interval: instruments that agree better need no transfer
NARROW = 0.5  # of the calibration's range
WIDENED = 10.0  # times the parent's Q limit: Q then sees little
LIMITS_ONLY = "limits only"


@dataclass(frozen=True)
class Limits:
    """Of T2, Q and the distance to the calibration samples, on the new instrument."""

    t2: float
    q: float
    distance: float


@dataclass(frozen=True)
class Against:
    """Against the references of the trusted pairs [n]: truth, and what is predicted on the new instrument by fits that
    had seen nothing of the pair: plain (no transfer) and moved (the chosen way)."""

    truth: FloatArray
    plain: FloatArray
    moved: FloatArray


@dataclass(frozen=True)
class Shown:
    """What the kept pairs showed: the method's name, their ids, spectra on the new instrument [n, channels], the old
    instrument's values [n], differences to these without and with transfer [n], and, where known, the references."""

    method: str
    sample_ids: tuple[str, ...]
    new: FloatArray
    values: FloatArray
    before: FloatArray
    after: FloatArray
    against: Against | None


def card_of(parent: Bundle, shown: Shown, bounds: Limits, name: str) -> Card:
    """The moved model's card; TransferError when it would predict no better than the mean of its calibration.

    Without references: the error at home and the disagreement of the instruments are taken as independent, their
    squares add. With references: figures and range are those of the trusted pairs on the new instrument.
    """
    old, against = parent.card, shown.against
    inside = shown.new[:, old.window]
    low, high = limits.intensity_limits(inside)
    if against is None:
        agreement = limits.half_width(shown.after, np.arange(shown.after.size))
        half, rmsecv = float(np.hypot(old.half_width, agreement)), float(np.hypot(old.rmsecv, rms(shown.after)))
        told = old
    else:
        error = against.moved - against.truth
        half, rmsecv = interval(old, error), rms(error)
        agreement = float(np.sqrt(half**2 - old.half_width**2))
        told = replace(
            old, n_samples=error.size, n_groups=0, reference_low=float(against.truth.min()),
            reference_high=float(against.truth.max()), excluded=(),
            grouping=f"pairs on the new instrument, held out in folds; before, on the old one: {old.n_samples} "
                     f"samples, {old.grouping}",
        )
    skill = 1.0 - (rmsecv / old.rmsecv_null) ** 2
    if skill <= 0 and old.skill > 0:
        raise TransferError(f"refused: with an error of {rmsecv:.4g} on the new instrument the model would predict no "
                            "better than the mean of its calibration; measure more pairs that span the range")
    moved = Transfer(
        parent_name=old.name, parent_hash=parent.bundle_hash, method=shown.method, pairs=shown.sample_ids,
        rmse_before=rms(shown.before), rmse_after=rms(shown.after), agreement_half_width=agreement,
        parent_half_width=old.half_width, referenced=0 if against is None else against.truth.size,
        rmsep_before=0.0 if against is None else rms(against.plain - against.truth),
        rmsep_after=0.0 if against is None else rmsecv,
    )
    return replace(
        told, name=name, half_width=half, t2_limit=bounds.t2, q_limit=bounds.q, distance_limit=bounds.distance,
        intensity_low=low, intensity_high=high, saturation=limits.saturation(inside), flat_run=limits.flat_run(inside),
        rmsecv=rmsecv, skill=skill, evidence=f"{old.evidence} at home; transferred by {shown.method}",
        software=software(), transfer=moved,
    )


def interval(home: Card, error: FloatArray) -> float:
    """Half width of the 90 % interval from held-out errors [n] of the pairs: the shape of the errors' distribution is
    the calibration's (a normal one's, where that is shorter), its size the pairs', with Student's allowance for few of
    them; never narrower than at home.

    A quantile of fifteen errors alone would be their second largest: luck.
    """
    tail = 0.5 + 0.5 * limits.COVERAGE
    normal = float(norm.ppf(tail))
    allowance = float(student.ppf(tail, error.size)) / normal
    return max(home.half_width, max(home.half_width / home.rmsecv, normal) * rms(error) * allowance)


def limits_of(old: Card, held_out: FloatArray) -> Limits:
    """The parent's limits, raised to what the pairs' held-out value, T2, Q and distance [n, 4] need."""
    t2, q, near = (held_out[:, k] for k in (1, 2, 3))
    return Limits(max(old.t2_limit, limits.T2_MARGIN * float(t2.max())), max(old.q_limit, limits.q_limit(q)),
                  max(old.distance_limit, limits.distance_limit(near)))


def warnings_of(old: Card, card: Card, shown: Shown, left_out: tuple[str, ...]) -> list[str]:
    """What whoever uses the moved model should know, one line each."""
    found = []
    before = rms(shown.before)
    agree = f"without transfer the instruments already agree to {before:.4g}, the model's own interval is " \
            f"±{old.half_width:.4g}"
    if left_out:
        found.append(f"left out, the instruments disagree on them beyond all others: {', '.join(left_out)}")
    if shown.method == LIMITS_ONLY:
        found.append(f"nothing to gain in value: {agree}; limits, gates and interval are the new instrument's")
    elif before < LITTLE * old.half_width:
        found.append(f"little to gain: {agree}")
    span, home = float(np.ptp(shown.values)), old.reference_high - old.reference_low
    if span < NARROW * home:
        found.append(f"the pairs span {span:.4g}, the calibration {home:.4g}: beyond the pairs the transfer is a guess")
    if card.q_limit > WIDENED * old.q_limit:
        found.append(f"the transferred spectra keep a difference that the calibration never had: the limit of Q had to "
                     f"grow {card.q_limit / old.q_limit:.3g} times and sees less")
    return found
