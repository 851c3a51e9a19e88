"""estimates and laboratory results -> the interval that goes out, and the drift that people must be told of; pure.

What is remembered is handed in and handed back. It belongs to one model: another one starts anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from control.assess import Finding
from control.signals import LabResult
from edge.config import LineConfig
from edge.signals import Licence
from soft_sensors.card import Card
from soft_sensors.estimate import SIGMAS_90, conclude
from soft_sensors.signals import Estimate, Quality, worst
from soft_sensors.watch.coverage import SCALE_LOW, Coverage, issue, learn, nearest
from soft_sensors.watch.drift import RUN, Drift, Track, compare, follow

KEPT = 2 * RUN  # differences to the laboratory: more than a run needs, so that a correction can break or mend one
CLOCK_BACK_S = 3600.0  # our choice: a spectrum so much older than the last one means that a clock was set back


@dataclass(frozen=True)
class Watch:
    """What is remembered of a running model.

    model: bundle and bias; differences: (sample time, sensor minus laboratory), in time order; result: counter, sample
    time and value of the laboratory result that was taken in last; covered: of how many remembered results (second)
    how many lay inside the interval that went out (first).
    """

    model: tuple[str, float] = ("", 0.0)
    coverage: Coverage = field(default_factory=Coverage)
    drift: Drift = field(default_factory=Drift)
    differences: tuple[tuple[float, float], ...] = ()
    result: tuple[int, float, float] | None = None
    covered: tuple[int, int] = (0, 0)


def carried(config: LineConfig, licence: Licence | None, factor: float) -> Watch:
    """What a start takes over from the newest cycle on the record: the width, as long as model and bias are the same.

    A restart would otherwise narrow an interval that laboratory results have shown to be too narrow.
    """
    if licence is None:
        return Watch()
    scale = min(max(factor, SCALE_LOW), config.sensor.interval_factor_max)
    return Watch(model=(licence.bundle_hash, licence.bias), coverage=Coverage(scale=scale))


def of_model(watch: Watch, model: tuple[str, float]) -> Watch:
    """What holds of a model: all of it for the same one, nothing for another.

    After a change of bias the width stays, for it narrows by itself; what went out before says nothing of the new bias.
    """
    if watch.model == model:
        return watch
    if watch.model[0] != model[0]:
        return Watch(model=model, result=watch.result)
    anew = Coverage(scale=watch.coverage.scale)
    return Watch(model=model, coverage=anew, drift=replace(watch.drift, run=0), result=watch.result)


def hear(watch: Watch, lab: LabResult | None, config: LineConfig) -> Watch:
    """The state after the laboratory result at hand, however late or often it is shown.

    It is joined to the interval that went out when the sample passed the analyser, within the age that a spectrum may
    have. One without an assay changes nothing.
    """
    if lab is None or config.lab is None or lab.counter <= 0 or not math.isfinite(lab.assay_pct):
        return watch
    result = (lab.counter, lab.sample_time_s, lab.assay_pct)
    return watch if result == watch.result else take_in(replace(watch, result=result), lab, config)


def take_in(watch: Watch, lab: LabResult, config: LineConfig) -> Watch:
    """The state after a laboratory result that is shown once: joined as `hear` says; of a known sample it corrects."""
    if config.lab is None or not math.isfinite(lab.assay_pct):
        return watch
    passed_s, within_s = lab.sample_time_s - config.lab.delay_s, config.analyser.max_age_s
    place = nearest(watch.coverage, passed_s, within_s)
    coverage = learn(watch.coverage, passed_s, lab.assay_pct, within_s, config.sensor.interval_factor_max)
    if place is None:
        return replace(watch, coverage=coverage)
    met = watch.coverage.issued.at(place)
    joined = {**dict(watch.differences), met.sample_time_s: met.value - lab.assay_pct}
    differences = tuple(sorted(joined.items()))[-KEPT:]
    counted = Drift()  # counted anew, so that late and corrected results stand where they belong
    for _, difference in differences:
        counted = compare(counted, difference)
    judged = [issued.hit for issued in coverage.issued if issued.reference is not None]
    return replace(
        watch, coverage=coverage, drift=replace(watch.drift, run=counted.run), differences=differences,
        covered=(sum(judged), len(judged)),
    )  # fmt: skip


def send(watch: Watch, card: Card, found: Estimate, factor_max: float) -> tuple[Estimate, Watch]:
    """The estimate with the interval that goes out, and the state that remembers it; a bad one is left as it is.

    At the largest factor the interval is no longer known to cover: the estimate is then uncertain.
    """
    if found.quality is Quality.BAD:
        return found, watch
    factor, last = watch.coverage.scale, watch.coverage.issued.newest
    before = watch.coverage
    if last is not None and found.time_s < last.sample_time_s - CLOCK_BACK_S:
        before = Coverage(scale=factor)
    half, coverage = issue(before, found.time_s, found.value, 0.5 * (found.upper - found.lower))
    if coverage is not before:
        t2, q = _ratio(found.t2, found.t2_limit), _ratio(found.q, found.q_limit)
        watch = replace(watch, coverage=coverage, drift=follow(watch.drift, t2, q, _ratio(half, card.half_width)))
    return _widened(card, found, factor, factor_max), watch


def told_of_drift(watch: Watch, estimate: Estimate | None, axis_unit: str) -> Iterator[Finding]:
    """The drift alarms that stand: each names its figure and what to do."""
    drift = watch.drift
    if drift.t2.alarm:
        yield Finding("nir_t2_trend", f"NIR: T2 {_rise(drift.t2)}"
                      f"{_where(estimate, 'T2', axis_unit)}: check material and recipe, take a laboratory sample", 3)
    if drift.q.alarm:
        yield Finding("nir_q_trend", f"NIR: Q {_rise(drift.q)}"
                      f"{_where(estimate, 'Q', axis_unit)}: clean the probe window, then verify the instrument", 3)
    if drift.interval.alarm:
        inside, results = watch.covered
        yield Finding("nir_width", f"NIR: the 90 % interval has been widened {watch.coverage.scale:.2g} times, "
                      f"{inside} of {results} laboratory results inside: chart them, then bias update or calibrate", 3)
    if abs(drift.run) >= RUN:
        side = "below" if drift.run > 0 else "above"
        run = [d for _, d in watch.differences[-abs(drift.run) :]]
        yield Finding("nir_lab_runs", f"NIR: {abs(drift.run)} laboratory results in a row {side} it, "
                      f"mean difference {sum(run) / len(run):+.3g}: chart them, then bias update or calibration", 3)


def channels(estimate: Estimate, axis_unit: str) -> str:
    """The channels behind a T2 or Q that is beyond its limit, in words; empty where neither is."""
    far = estimate.t2 > estimate.t2_limit or estimate.distance > estimate.distance_limit
    over = (("T2", far), ("Q", estimate.q > estimate.q_limit))
    return "; ".join(said for name, beyond in over if beyond and (said := _shares(estimate, name, axis_unit)))


def _widened(card: Card, found: Estimate, factor: float, factor_max: float) -> Estimate:
    """Sigma and interval times the factor, and concluded from anew."""
    if factor == SCALE_LOW:
        return found
    lower = found.value - factor * (found.value - found.lower)
    upper = found.value + factor * (found.upper - found.value)
    quality, reason = found.quality, found.reason
    if factor >= factor_max:
        quality = worst(quality, Quality.UNCERTAIN)
        spent = f"the interval is at its bound of {factor_max:g} times the card's: laboratory results still miss it"
        reason = "; ".join(r for r in (reason, spent) if r)
    outcome, undecided = conclude(card, lower, found.value, upper, quality)
    return replace(
        found, sigma=(upper - lower) / (2 * SIGMAS_90), lower=lower, upper=upper, quality=quality, reason=reason,
        outcome=outcome, undecided=undecided,
    )  # fmt: skip


def _ratio(value: float, limit: float) -> float:
    return value / limit if limit > 0 else math.nan


def _rise(track: Track) -> str:
    times, share = math.exp(track.level - track.mean), math.exp(track.level)
    return f"has risen to {times:.2g} times its first level, {100 * share:.0f} % of its limit"


def _where(estimate: Estimate | None, statistic: str, axis_unit: str) -> str:
    said = "" if estimate is None else _shares(estimate, statistic, axis_unit)
    return f" ({said})" if said else ""


def _shares(estimate: Estimate, statistic: str, axis_unit: str) -> str:
    named = [c for c in estimate.contributions if c.statistic == statistic]
    parts = ", ".join(f"{c.axis:.0f} {axis_unit} {100 * c.share:.0f} %" for c in named)
    return f"{statistic}: {parts}" if parts else ""
