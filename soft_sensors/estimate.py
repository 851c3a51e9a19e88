"""ESTIMATE: Spectrum + Verdict -> Estimate, by running the bundle's graph."""

from __future__ import annotations

import math

from soft_sensors.bundle import Bundle
from soft_sensors.card import Card
from soft_sensors.signals import Estimate, Quality, Spectrum, Verdict, worst

SIGMAS_90 = 1.645  # half width of a 90 % interval in standard deviations of a normal distribution


def estimate(bundle: Bundle, spectrum: Spectrum, verdict: Verdict) -> Estimate:
    """The CQA in the card's unit (per unit of mass where the target is an amount), with its trustworthiness.

    A bad verdict gives a bad estimate without numbers (NaN). T2 or Q above the card's refuse_factor times the limit
    gives a bad estimate that keeps its numbers, for the record and for whoever judges the refusal.
    """
    card = bundle.card
    if verdict.quality is Quality.BAD:
        return _refused(card, spectrum, verdict.reason)
    out = bundle.infer(spectrum.values)
    quality, reason = judge(card, out["t2"], out["q"])
    if not all(math.isfinite(number) for number in out.values()):
        return _refused(card, spectrum, reason or "the model gave no finite value")
    return Estimate(
        value=out["value"], sigma=(out["upper"] - out["lower"]) / (2 * SIGMAS_90), lower=out["lower"],
        upper=out["upper"], t2=out["t2"], t2_limit=card.t2_limit, q=out["q"], q_limit=card.q_limit,
        quality=worst(quality, verdict.quality), reason="; ".join(r for r in (verdict.reason, reason) if r),
        counter=spectrum.counter, time_s=spectrum.time_s,
    )


def judge(card: Card, t2: float, q: float) -> tuple[Quality, str]:
    """What T2 and Q say: good within the limits, uncertain above, bad above refuse_factor times the limit."""
    if not (math.isfinite(t2) and math.isfinite(q)):
        return Quality.BAD, "T2 or Q is not finite"
    found: list[tuple[Quality, str]] = []
    for name, value, limit in (("T2", t2, card.t2_limit), ("Q", q, card.q_limit)):
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
