"""ESTIMATE: Spectrum + Verdict -> Estimate, by running the bundle's graph."""

from __future__ import annotations

import math

from soft_sensors.bundle import Bundle
from soft_sensors.card import Card
from soft_sensors.fingerprint import judge_shape
from soft_sensors.signals import Estimate, Outcome, Quality, Spectrum, Verdict, worst

SIGMAS_90 = 1.645  # half width of a 90 % interval in standard deviations of a normal distribution


def estimate(bundle: Bundle, spectrum: Spectrum, verdict: Verdict) -> Estimate:
    """The CQA in the card's unit (per unit of mass where the target is an amount), with its trustworthiness.

    A bad verdict gives a bad estimate without numbers (NaN). T2 or Q above the card's refuse_factor times the limit
    gives a bad estimate that keeps its numbers, for the record and for whoever judges the refusal.
    """
    card = bundle.card
    if verdict.quality is Quality.BAD:
        return _refused(card, spectrum, verdict.reason)
    out, scores, residual = bundle.infer_whole(spectrum.values)
    quality, reason = judge(card, out["t2"], out["q"], out["distance"])
    if not all(math.isfinite(number) for number in out.values()):
        return _refused(card, spectrum, reason or "the model gave no finite value")
    shape = _shape(bundle, spectrum)
    quality = worst(quality, verdict.quality, shape.quality)
    reason = "; ".join(r for r in (verdict.reason, reason, shape.reason) if r)
    outcome, undecided = conclude(card, out["lower"], out["value"], out["upper"], quality)
    return Estimate(
        value=out["value"], sigma=(out["upper"] - out["lower"]) / (2 * SIGMAS_90), lower=out["lower"],
        upper=out["upper"], t2=out["t2"], t2_limit=card.t2_limit, q=out["q"], q_limit=card.q_limit,
        quality=quality, reason=reason, counter=spectrum.counter, time_s=spectrum.time_s,
        distance=out["distance"], distance_limit=card.distance_limit,
        contributions=bundle.anatomy.top(scores, residual), outcome=outcome, undecided=undecided,
    )


def conclude(card: Card, lower: float, value: float, upper: float, quality: Quality) -> tuple[Outcome, str]:
    """What may be concluded, and what is short where nothing may: quality, skill, range, or width of the interval."""
    short = ""
    if quality is not Quality.GOOD:
        short = f"the estimate is {quality.value}"
    elif not card.skill > 0:
        short = "no evidence that the model predicts better than the mean of its calibration"
    elif value < card.reference_low - card.half_width or value > card.reference_high + card.half_width:
        short = f"beyond the calibrated range {card.reference_low:.5g} to {card.reference_high:.5g}"
    if short or not card.accept:
        return (Outcome.UNDECIDED, short) if short else (Outcome.DECIDED, "")
    low, high = card.accept
    if low <= lower and upper <= high:
        return Outcome.WITHIN, ""
    if upper < low or lower > high:
        return Outcome.OUTSIDE, ""
    return Outcome.UNDECIDED, f"the 90 % interval {lower:.5g} to {upper:.5g} spans an acceptance limit"


def judge(card: Card, t2: float, q: float, distance: float) -> tuple[Quality, str]:
    """What T2, Q and distance say: good within the limits, uncertain above, bad above refuse_factor times a limit."""
    if not (math.isfinite(t2) and math.isfinite(q)):
        return Quality.BAD, "T2 or Q is not finite"
    found: list[tuple[Quality, str]] = []
    limits = (("T2", t2, card.t2_limit), ("Q", q, card.q_limit),
              ("distance to the calibration samples", distance, card.distance_limit))
    for name, value, limit in limits:
        if value > limit:
            quality = Quality.BAD if value > card.refuse_factor * limit else Quality.UNCERTAIN
            found.append((quality, f"{name} is {value / limit:.3g} times its limit"))
    return worst(*(quality for quality, _ in found)), "; ".join(reason for _, reason in found)


def _refused(card: Card, spectrum: Spectrum, reason: str) -> Estimate:
    nan = math.nan
    return Estimate(
        value=nan, sigma=nan, lower=nan, upper=nan, t2=nan, t2_limit=card.t2_limit, q=nan, q_limit=card.q_limit,
        quality=Quality.BAD, reason=reason, counter=spectrum.counter, time_s=spectrum.time_s,
    )


def _shape(bundle: Bundle, spectrum: Spectrum) -> Verdict:
    """What the fingerprint says of the shape, on the channels the model uses."""
    if bundle.fingerprint is None:
        return Verdict(Quality.GOOD)
    return judge_shape(bundle.fingerprint, spectrum.values[bundle.card.window], bundle.card.refuse_factor)
