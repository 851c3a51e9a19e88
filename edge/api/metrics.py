"""journal -> Prometheus: what holds now as gauges, what happened as counters, read anew at every scrape."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from control.signals import Mode
from edge.api.newest import Newest, Watcher
from edge.lab.intake import KIND as LAB_KIND
from edge.record.journal import Journal
from edge.signals import Link
from soft_sensors.signals import Quality

CONTENT_TYPE = CONTENT_TYPE_LATEST
MOST_BEHIND = 5000  # records followed in one scrape: who scrapes once a day gets the gauges and a gap in the counters
PERIODS_S = (0.25, 0.5, 0.9, 1.1, 2.0, 4.0, 4.9, 5.1, 6.0, 10.0, 30.0, 60.0, 300.0)
PRIORITIES = (1, 2, 3)

# name -> help, and where in the newest cycle's thought the number is.
_NUMBERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "patloop_estimate": ("Soft sensor's value, in the model's unit", ("estimate", "value")),
    "patloop_estimate_lower": ("Lower end of its 90 % interval", ("estimate", "lower")),
    "patloop_estimate_upper": ("Upper end of its 90 % interval", ("estimate", "upper")),
    "patloop_interval_factor": ("How many times the card's the interval is", ("interval_factor",)),
    "patloop_belief_api_percent": ("API in the feed frame, % w/w", ("belief", "api_pct")),
    "patloop_belief_api_sigma_percent": ("Its standard deviation, % w/w", ("belief", "api_sigma_pct")),
    "patloop_belief_api_gain": ("Delivered over weighed API", ("belief", "api_gain")),
    "patloop_belief_nir_bias_percent": ("NIR minus truth as believed, % w/w", ("belief", "nir_bias_pct")),
    "patloop_belief_tablet_weight_mg": ("Tablet weight as believed", ("belief", "tablet_weight_mg")),
    "patloop_belief_weight_bias_mg": ("Tablet weight minus the force model's", ("belief", "weight_bias_mg")),
    "patloop_target_api_percent": ("What the recipe asks for, % w/w", ("target", "api_pct")),
    "patloop_target_throughput_kg_per_hour": ("What the recipe asks for", ("target", "throughput_kg_h")),
    "patloop_authority_pat": ("Room that the NIR's evidence gives, 0 to 1", ("room", "pat")),
    "patloop_authority_weight": ("Room that the laboratory's weights give, 0 to 1", ("room", "weight")),
    "patloop_released_kg": ("Material released since the start", ("track", "balance", "released_kg")),
    "patloop_diverted_kg": ("Material diverted since the start", ("track", "balance", "diverted_kg")),
}
_FLAGS = {
    "patloop_holding": ("Whether the loop holds", "holding"),
    "patloop_diverting": ("Whether material is to be diverted", "divert"),
}
_PLAIN = {
    "patloop_cycle_age_seconds": "Since the newest cycle came, on this machine's clock",
    "patloop_cycle_stale": "Whether that is too old to be now",
    "patloop_link_up": "Whether the line answers and moves",
    "patloop_link_epoch": "How often the link was made",
    "patloop_t2_ratio": "T2 over its limit",
    "patloop_q_ratio": "Q over its limit",
    "patloop_lab_age_seconds": "Since the newest laboratory sample was taken, on the line's clock",
    "patloop_record_head_seq": "Number of the newest record",
    "patloop_journal_bytes": "Size of the journal with its log",
}
_SETS = {
    "patloop_mode": ("1 for the mode that is on", "mode", [mode.value for mode in Mode]),
    "patloop_estimate_quality": ("1 for the estimate's quality", "quality", [q.value for q in Quality]),
}


class Metrics:
    """The metrics of one line; units: of its setpoints, by name. Safe from several threads."""

    def __init__(self, line: str, journal: Journal, watcher: Watcher, units: Mapping[str, str]) -> None:
        self._journal, self._watcher, self._units = journal, watcher, units
        self._lock = threading.Lock()
        self._registry = registry = CollectorRegistry()
        texts = {**{n: t for n, (t, _) in _NUMBERS.items()}, **{n: t for n, (t, _) in _FLAGS.items()}, **_PLAIN}
        self._gauges = {name: Gauge(name, text, registry=registry) for name, text in texts.items()}
        self._sets = {n: Gauge(n, text, [label], registry=registry) for n, (text, label, _) in _SETS.items()}
        self._alarms = Gauge("patloop_alarms", "Standing alarms by priority", ["priority"], registry=registry)
        self._setpoints = Gauge(
            "patloop_setpoint", "Setpoints in the line file's units", ["name", "kind", "unit"], registry=registry
        )
        self._periods = Histogram(
            "patloop_cycle_period_seconds", "Between two cycles on record, on the line's clock", buckets=PERIODS_S,
            registry=registry,
        )  # fmt: skip
        self._writes = Counter("patloop_writes", "Writes by what became of them", ["outcome"], registry=registry)
        self._results = Counter("patloop_lab_results", "Laboratory results by state", ["status"], registry=registry)
        self._skipped = Counter("patloop_skipped_records", "Records no counter has seen", registry=registry)
        self._requests = Counter(
            "patloop_api_requests", "Requests to the API by role and status", ["role", "status"], registry=registry
        )
        info = Gauge("patloop_info", "1, with line and version", ["line", "version"], registry=registry)
        info.labels(line, version("patloop")).set(1)
        newest = journal.last()
        self._seq = 0 if newest is None else newest.seq
        self._cycle_s: float | None = None
        self._sample_s = _last_sample_s(journal)

    def counted(self, role: str, status: int) -> None:
        """One request was answered."""
        self._requests.labels(role, str(status)).inc()

    def page(self) -> bytes:
        """The metrics as text. Raises RecorderError."""
        with self._lock:
            self._follow()
            self._show(self._watcher.look())
            return generate_latest(self._registry)

    def _follow(self) -> None:
        newest = self._journal.last()
        if newest is None:
            return
        if newest.seq - self._seq > MOST_BEHIND:
            self._skipped.inc(newest.seq - self._seq - MOST_BEHIND)
            self._seq, self._cycle_s = newest.seq - MOST_BEHIND, None
        for row in self._journal.rows(after_seq=self._seq):
            self._seq = row.seq
            if row.kind == "cycle":
                if self._cycle_s is not None and row.time_s >= self._cycle_s:
                    self._periods.observe(row.time_s - self._cycle_s)
                self._cycle_s = row.time_s
                self._hear(row.content()["sample"])
            elif row.kind == "start":
                self._cycle_s = None
            elif row.kind == "act":
                self._writes.labels(str(row.content()["result"])).inc()
            elif row.kind == LAB_KIND:
                self._results.labels(str(row.content()["status"])).inc()

    def _hear(self, sample: Mapping[str, Any]) -> None:
        for result in (*(sample.get("lab") or ()), *(sample.get("lims") or ())):
            if result["counter"] > 0 and math.isfinite(result["sample_time_s"]):
                self._sample_s = max(self._sample_s, result["sample_time_s"])

    def _show(self, now: Newest | None) -> None:
        files = (self._journal.path, Path(f"{self._journal.path}-wal"))
        self._set("patloop_journal_bytes", sum(file.stat().st_size for file in files if file.exists()))
        self._set("patloop_record_head_seq", self._seq)
        if now is None:
            return
        for name, (_, path) in _NUMBERS.items():
            self._set(name, _number(now.thought, path))
        command = now.thought.get("command") or {}
        for name, (_, key) in _FLAGS.items():
            self._set(name, float(bool(command.get(key))))
        self._set("patloop_cycle_age_seconds", now.age_s)
        self._set("patloop_cycle_stale", float(now.stale))
        self._set("patloop_link_up", float(now.sample.get("link") == Link.ONLINE))
        self._set("patloop_link_epoch", float(now.sample.get("epoch") or 0))
        self._set("patloop_lab_age_seconds", now.row.time_s - self._sample_s)
        estimate = now.thought.get("estimate") or {}
        for name in ("t2", "q"):
            limit = estimate.get(f"{name}_limit") or math.nan
            self._set(f"patloop_{name}_ratio", estimate.get(name, math.nan) / limit)
        told = {"patloop_mode": now.thought.get("mode"), "patloop_estimate_quality": estimate.get("quality")}
        for name, (_, _, values) in _SETS.items():
            for value in values:
                self._sets[name].labels(value).set(float(value == told[name]))
        standing = [alarm["priority"] for alarm in now.thought.get("alarms") or ()]
        for priority in PRIORITIES:
            self._alarms.labels(str(priority)).set(standing.count(priority))
        self._show_setpoints(now, command)

    def _show_setpoints(self, now: Newest, command: Mapping[str, Any]) -> None:
        readings, recommended = now.sample.get("readings") or {}, command.get("recommended") or {}
        for name, unit in self._units.items():
            working = (readings.get(f"{name}.SP_Working") or {}).get("value", math.nan)
            self._setpoints.labels(name, "working", unit).set(working)
            self._setpoints.labels(name, "recommended", unit).set(recommended.get(name, math.nan))

    def _set(self, name: str, value: float) -> None:
        self._gauges[name].set(value)


def names() -> frozenset[str]:
    """Every name that a query may use, with the endings that Prometheus gives to counters and histograms."""
    plain = {*_NUMBERS, *_FLAGS, *_PLAIN, *_SETS, "patloop_alarms", "patloop_setpoint", "patloop_info"}
    counters = ("patloop_writes", "patloop_lab_results", "patloop_skipped_records", "patloop_api_requests")
    period = "patloop_cycle_period_seconds"
    histogram = {f"{period}_bucket", f"{period}_sum", f"{period}_count"}
    return frozenset({*plain, *(f"{name}_total" for name in counters), *histogram})


def _number(thought: Mapping[str, Any], path: tuple[str, ...]) -> float:
    found: Any = thought
    for key in path:
        found = None if not isinstance(found, Mapping) else found.get(key)
    return float(found) if isinstance(found, int | float) else math.nan


def _last_sample_s(journal: Journal) -> float:
    """When the newest laboratory sample on the record was taken; NaN where none is."""
    row = journal.last("cycle")
    told = [] if row is None else [r for r in row.content()["sample"].get("lab") or () if r["counter"] > 0]
    entered = journal.last(LAB_KIND)
    times = [result["sample_time_s"] for result in (*told, *([entered.content()] if entered else []))]
    found = [time_s for time_s in times if math.isfinite(time_s)]
    return max(found, default=-math.inf)
