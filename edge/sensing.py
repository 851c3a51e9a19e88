"""sample -> estimates: by the bundle that the licence names, with its bias; and in shadow by the challenger."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from control.assess import Finding
from control.guard import Permission
from control.signals import Mode
from edge.acquire.licence import UNGOVERNED
from edge.line import Line
from edge.signals import Licence, Sample, Verification
from edge.watching import Watch, hear, of_model, send, take_in
from soft_sensors.bundle import Bundle
from soft_sensors.card import Card
from soft_sensors.estimate import conclude, estimate
from soft_sensors.signals import Estimate, Quality, Spectrum, Verdict, worst
from soft_sensors.validate import Previous, validate
from soft_sensors.watch.instrument import instrument_verdict, schedule_verdict

EXPIRY_WARNING_S = 30 * 86400.0  # our choice: time enough to verify and approve a successor


@dataclass(frozen=True)
class Sensed:
    """What is remembered of spectra and estimates from cycle to cycle.

    seen, prior: for the next spectrum and for the present one once more; model: bundle and bias of the estimate;
    instrument: what its verification does to the estimate; factor: how many times the card's its interval is.
    """

    seen: Previous = field(default_factory=Previous.none)
    prior: Previous = field(default_factory=Previous.none)
    model: tuple[str, float] = ("", 0.0)
    estimate: Estimate | None = None
    shadow: Estimate | None = None
    shadow_hash: str | None = None
    instrument: Verdict = field(default_factory=lambda: Verdict(Quality.GOOD))
    watch: Watch = field(default_factory=Watch)
    factor: float = 1.0


def sense(line: Line, before: Sensed, sample: Sample) -> tuple[Sensed, bool]:
    """The estimates that hold now, and whether they are of a new spectrum; an old one goes bad with age.

    When the model, its bias or the instrument's standing changed, the spectrum at hand is estimated again, so that not
    one cycle more runs on what was.
    """
    scan, spectrum, last = sample.scan, sample.scan.spectrum, before.estimate
    bundle, model = _licensed(line, sample.licence)
    challenger = None if sample.licence is None else sample.licence.challenger_hash
    instrument = _instrument(line, sample)
    watch = hear(of_model(before.watch, model), scan.lab, line.config)
    for result in scan.lims:
        watch = take_in(watch, result, line.config)
    new = spectrum is not None and (last is None or spectrum.counter != last.counter or spectrum.time_s != last.time_s)
    now, then = (model, challenger, instrument), (before.model, before.shadow_hash, before.instrument)
    if spectrum is not None and (new or now != then):
        prior = before.seen if new else before.prior
        current, seen = _estimate(line, bundle, spectrum, prior, scan.time_s)
        shadowing = None if challenger is None else line.sensors.get(challenger)
        shadow = None if shadowing is None else _estimate(line, shadowing, spectrum, prior, scan.time_s)[0]
        current = _held_to(bundle.card, _biased(bundle.card, current, model[1]), instrument)
        factor = watch.coverage.scale
        current, watch = send(watch, bundle.card, current, line.config.sensor.interval_factor_max)
        kept = seen if new else before.seen
        return Sensed(kept, prior, model, current, shadow, challenger, instrument, watch, factor), new
    if last is not None and last.quality is not Quality.BAD:
        age_s, limit_s = scan.time_s - last.time_s, line.config.analyser.max_age_s
        if model != before.model:
            last = replace(last, quality=Quality.BAD, reason="the model was replaced: no spectrum since")
        elif age_s > limit_s:
            last = replace(last, quality=Quality.BAD, reason=f"no new spectrum for {age_s:.0f} s")
        elif instrument.quality.rank > before.instrument.quality.rank:
            last = _held_to(bundle.card, last, instrument)
    # The model stays noted as the old one, so that the next spectrum, new or not, is estimated with the new one.
    shadow = before.shadow if challenger == before.shadow_hash else None
    return replace(before, estimate=last, shadow=shadow, instrument=instrument, watch=watch), False


def _instrument(line: Line, sample: Sample) -> Verdict:
    """What the instrument's verification does to every estimate now; good on a line that asks for none."""
    if line.config.analyser.verification is None:
        return Verdict(Quality.GOOD)
    return verdict_of(sample.verification, sample.scan.time_s)


def verdict_of(found: Verification | None, now_s: float) -> Verdict:
    """What a verification does to every estimate at this time: failed is bad; missing or overdue is uncertain."""
    if found is None:
        return instrument_verdict(None, now_s)
    if found.failed or found.missing:
        return Verdict(Quality.BAD, found.failed) if found.failed else Verdict(Quality.UNCERTAIN, found.missing)
    return schedule_verdict(found.instrument, found.time_s, found.valid_until_s, now_s)


def fit_for_closed_loop(line: Line, licence: Licence | None, now_s: float) -> Permission:
    """Whether the model may run in closed loop at this time (seconds since the epoch, UTC), and if not, why.

    Never for a model that is not effective in its registry, has expired, is not the bundle that was licensed, or
    has no skill over the mean.
    """
    if licence is None:
        return Permission(given=False, reason="there is no licence for the model")
    bundle = line.sensors.get(licence.bundle_hash)
    reason = licence.reason
    if not reason and licence.state != "effective":
        reason = f"the model is {licence.state}, not effective"
    if not reason and not now_s < licence.valid_until_s:
        reason = f"the model expired on {_day(licence.valid_until_s)}"
    if not reason and (bundle is None or bundle.bundle_hash != licence.bundle_hash):
        reason = f"bundle {licence.bundle_hash[:12]} is not loaded"
    if not reason and bundle is not None and not bundle.card.skill > 0:
        reason = f"the model shows no skill over the mean (skill {bundle.card.skill:.3g}): no evidence"
    return Permission(given=not reason, reason=reason)


def told_of_model(mode: Mode, licence: Licence | None, fit: Permission, now_s: float) -> Iterator[Finding]:
    """What people must be told of the licence: urgent when it keeps the loop from moving."""
    governed = licence is not None and licence.state != UNGOVERNED
    if not fit.given and (governed or mode is Mode.CLOSED):
        priority = 1 if mode is Mode.CLOSED else 2
        yield Finding("model_licence", f"model not fit for closed loop: {fit.reason}"[:300], priority)
    if licence is not None and licence.note:
        yield Finding("model_shadow", licence.note[:300], 3)
    if fit.given and licence is not None and licence.valid_until_s - now_s < EXPIRY_WARNING_S:
        yield Finding("model_expires", f"the model expires on {_day(licence.valid_until_s)}", 3)


def _licensed(line: Line, licence: Licence | None) -> tuple[Bundle, tuple[str, float]]:
    """The bundle to estimate with, and what to remember of it; the composed one where the licence names none."""
    if licence is None or licence.bundle_hash not in line.sensors:
        return line.sensor, (line.sensor.bundle_hash, 0.0)
    return line.sensors[licence.bundle_hash], (licence.bundle_hash, licence.bias)


def _estimate(
    line: Line, bundle: Bundle, spectrum: Spectrum, prior: Previous, now_s: float
) -> tuple[Estimate, Previous]:
    verdict, seen = validate(bundle.card, spectrum, prior, now_s, line.config.analyser.max_age_s)
    return estimate(bundle, spectrum, verdict), seen


def _biased(card: Card, found: Estimate, bias: float) -> Estimate:
    """Shifted as a whole, and concluded from anew: the limits that it is held against do not shift with it."""
    if bias == 0.0 or not math.isfinite(found.value):
        return found
    said = "; ".join(r for r in (found.reason, f"bias {bias:+.4g} applied") if r)
    value, lower, upper = found.value + bias, found.lower + bias, found.upper + bias
    outcome, undecided = conclude(card, lower, value, upper, found.quality)
    return replace(
        found, value=value, lower=lower, upper=upper, reason=said, outcome=outcome, undecided=undecided
    )  # fmt: skip


def _held_to(card: Card, found: Estimate, instrument: Verdict) -> Estimate:
    """No better than its instrument; the numbers stay, for the record."""
    if instrument.quality is Quality.GOOD:
        return found
    quality = worst(found.quality, instrument.quality)
    reason = "; ".join(r for r in (instrument.reason, found.reason) if r)
    outcome, undecided = conclude(card, found.lower, found.value, found.upper, quality)
    return replace(found, quality=quality, reason=reason, outcome=outcome, undecided=undecided)


def _day(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d")
