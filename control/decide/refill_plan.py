"""hoppers, flows, levels -> the one feeder that should refill now, so that no two refills meet later.

A feeder runs blind while it refills and until it weighs again; two at once double what is not known of the composition.
So the refill that would meet another's is brought forward, as late as is still in time: each one brought forward adds
to the number of refills. Where several would do, the one that gives away the least of its filling is chosen; the API's
counts more, for its blind time costs most.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, pairwise

from control.settings import ControlSettings
from control.signals import FeederReading, Quality, Refill

SHORT_S = 120.0  # below, a time is told in seconds
API_COUNTS = 2.0  # our choice: giving away a share of the API's filling counts as so much of another feeder's


@dataclass(frozen=True)
class Coming:
    """A feeder's next refill by itself: in how long (s), how long it is blind then (s), and between two of them (s).

    early_s: no more than so long before it may it be asked for; weight: of a share of its filling that is given away.
    """

    name: str
    in_s: float
    blind_s: float
    every_s: float
    early_s: float
    weight: float


@dataclass(frozen=True)
class Plan:
    """Refills to be brought forward, in their order, the first in start_s (s); meets: whose refill it would have met.

    met: how long the API's and another meet then (s), how long others do (s), and the share of fillings given away.
    """

    moved: tuple[Coming, ...]
    start_s: float
    met: tuple[float, float, float]


def refill_now(
    settings: ControlSettings, feeders: Mapping[str, FeederReading], able: Collection[str], unsettled: Collection[str]
) -> Refill | None:
    """The one refill to ask for now, or None; able: feeders of which the PLC takes such a request.

    unsettled: what makes every forecast a guess (a new recipe on its way, a wild feeder): nothing is asked then, nor
    while a feeder is blind, nor where one of the readings is not good. Without [controller.refills] there is never one.
    """
    table = settings.controller.refills
    if table is None or unsettled or any(feeder.volumetric for feeder in feeders.values()):
        return None
    coming = _coming(settings, feeders)
    if coming is None:
        return None
    cluster = _first_cluster(coming, table.margin_s)
    if not cluster:
        return None
    api = settings.named("api")
    before = _met(coming, {}, table.margin_s, api)
    ours = tuple(c for c in cluster if c.name in able)
    plans = [p for p in _plans(coming, cluster, ours, table.margin_s, api) if p.met[:2] < before]
    best = min(plans, key=lambda p: (p.met, -p.start_s), default=None)
    if best is None or best.start_s > table.notice_s:
        return None
    first = best.moved[0]
    other = min((c for c in cluster if c is not first), key=lambda c: abs(c.in_s - first.in_s))
    meet_s = max(first.in_s, other.in_s)
    when = f"{meet_s:.0f} s" if meet_s < SHORT_S else f"{meet_s / 60:.0f} min"
    return Refill(first.name, f"it would have met {other.name}'s in {when}")


def _coming(settings: ControlSettings, feeders: Mapping[str, FeederReading]) -> tuple[Coming, ...] | None:
    table, found = settings.controller.refills, []
    assert table is not None, "asked only where refills are planned"
    api = settings.named("api")
    for name, levels in table.levels.items():
        feeder = feeders[name]
        hopper, flow = feeder.hopper_kg, feeder.flow_kg_h
        numbers = math.isfinite(hopper.value) and math.isfinite(flow.value)
        if not numbers or hopper.quality is not Quality.GOOD or flow.quality is not Quality.GOOD:
            return None
        if not (0.0 <= hopper.value <= 2 * levels.high_kg and flow.value > 0.0):
            return None
        s_per_kg = 3600.0 / flow.value
        found.append(
            Coming(
                name, max(0.0, hopper.value - levels.low_kg) * s_per_kg, levels.blind_s,
                (levels.high_kg - levels.low_kg) * s_per_kg, (levels.early_kg - levels.low_kg) * s_per_kg,
                API_COUNTS if name == api else 1.0,
            )
        )  # fmt: skip
    return tuple(sorted(found, key=lambda c: (c.in_s, c.name)))


def _first_cluster(coming: tuple[Coming, ...], margin_s: float) -> tuple[Coming, ...]:
    """The first refills in time of which each meets the next; empty when none meet."""
    cluster: list[Coming] = []
    for before, after in pairwise(coming):
        reach = max(c.in_s + c.blind_s for c in (before, *cluster))
        if after.in_s < reach + margin_s:
            cluster += [after] if cluster else [before, after]
        elif cluster:
            break
    return tuple(cluster)


def _plans(
    coming: tuple[Coming, ...], cluster: tuple[Coming, ...], ours: tuple[Coming, ...], margin_s: float, api: str
) -> Iterator[Plan]:
    """Every way to bring some of the cluster forward, one after the other, as late as is in time for the rest of it.

    ours: those of it that can be asked for.
    """
    for count in range(1, len(cluster)):
        for moved in combinations(ours, count):
            whole_s = sum(c.blind_s + margin_s for c in moved)
            start_s = _latest(moved, min(c.in_s for c in cluster if c not in moved), margin_s)
            for other in reversed(coming):  # earlier still, where one that is not of them stands in the way
                free = start_s + whole_s <= other.in_s or other.in_s + other.blind_s + margin_s <= start_s
                if other not in cluster and not free:
                    start_s = _latest(moved, other.in_s, margin_s)
            if start_s < -margin_s / 2:  # too late: half of the margin may be used up, not more
                continue
            starts, at_s = {}, max(0.0, start_s)
            for c in moved:
                starts[c.name] = min(at_s, c.in_s)
                at_s += c.blind_s + margin_s
            if any(c.in_s - starts[c.name] > c.early_s for c in moved):
                continue
            given = sum(c.weight * (c.in_s - starts[c.name]) / c.every_s for c in moved)
            yield Plan(moved, start_s, (*_met(coming, starts, margin_s, api), given))


def _latest(moved: tuple[Coming, ...], end_s: float, margin_s: float) -> float:
    """When the first of a row of refills has to begin so that the last is over by then, and none is late by itself."""
    start_s, after_s = end_s - sum(c.blind_s + margin_s for c in moved), 0.0
    for c in moved:
        start_s = min(start_s, c.in_s - after_s)
        after_s += c.blind_s + margin_s
    return start_s


def _met(
    coming: tuple[Coming, ...], starts: Mapping[str, float], margin_s: float, api: str
) -> tuple[float, float]:
    """How much refills meet, s: the API's with another, others with each other; half a margin apart is apart."""
    windows = [(c.name, starts.get(c.name, c.in_s), c.blind_s) for c in coming]
    with_api, others = 0.0, 0.0
    for (one, a, a_s), (two, b, b_s) in combinations(windows, 2):
        gap_s = max(a, b) - (a + a_s if a <= b else b + b_s)
        short = max(0.0, margin_s / 2 - gap_s)
        if api in (one, two):
            with_api += short
        else:
            others += short
    return with_api, others
