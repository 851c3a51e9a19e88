"""a recorded stream and its laboratory results -> everything that watching says of it, in one pass through time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from soft_sensors.watch.chart import Chart, Paired, Result, chart, pair
from soft_sensors.watch.coverage import Coverage, CoverageReport, issue, learn, report
from soft_sensors.watch.drift import BASELINE, Drift, compare, follow
from soft_sensors.watch.tables import Stream


@dataclass(frozen=True)
class Watched:
    """What came out: pairing, chart, coverage as issued and as it would adapt, drift; learning: too short for drift."""

    paired: Paired
    chart: Chart
    as_issued: CoverageReport
    adapted: CoverageReport
    drift_alarms: tuple[str, ...]
    learning: bool

    @property
    def alarms(self) -> tuple[str, ...]:
        """Every alarm that stands, in words; the chart's name their sample."""
        points = self.paired.points
        return (*(f"{flag.rule}, at {points[flag.index].sample_id}" for flag in self.chart.standing),
                *self.drift_alarms)


def watch(
    stream: Sequence[Stream], results: Sequence[Result], tolerance_s: float, bound: float, sigma: float | None,
    since_s: float = -math.inf,
) -> Watched:
    """Watch a stream in time order; results are joined by sample, their delay does not matter here.

    tolerance_s: for joining by time; bound: of a bias update; sigma: of one difference, None: from the first ones;
    since_s: sample time of the last bias update.
    """
    paired = pair([row.sensed for row in stream], results, tolerance_s)
    reference = {point.sample_id: point for point in paired.points}
    plain, adapted, drift = Coverage(), Coverage(), Drift()
    first = next((row.upper - row.lower for row in stream if row.upper > row.lower), 1.0)
    for row in stream:
        now, half = row.sensed, 0.5 * (row.upper - row.lower)
        drift = follow(drift, row.t2, row.q, 2.0 * half / first)
        _, adapted = issue(adapted, now.sample_time_s, now.value, half)
        _, plain = issue(Coverage(issued=plain.issued), now.sample_time_s, now.value, half)
        point = reference.get(now.sample_id)
        if point is not None:
            drift = compare(drift, point.difference)
            adapted = learn(adapted, now.sample_time_s, point.laboratory, 0.0)
            plain = Coverage(issued=learn(plain, now.sample_time_s, point.laboratory, 0.0).issued)
    return Watched(paired, chart(paired.points, bound, sigma, since_s), report(plain), report(adapted), drift.alarms,
                   drift.q.n < BASELINE)
