"""journal -> performance: how the loop did over a stretch of the record, and how its model stands."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from control.assess import (
    Cost,
    Mismatch,
    Oscillation,
    Whiteness,
    constraint_costs,
    gain_mismatch,
    harris_index,
    oscillation,
    time_in_control,
    travel_pct,
    whiteness,
)
from control.errors import ControlError
from control.settings import ControlSettings
from control.signals import Active, Target
from control.track import TrackSettings
from control.track.feeding import Parcels, begin, feed
from control.track.gate import feed_side
from control.track.residence import Residence, residence
from edge.material import material
from edge.record.canonical import decode, from_plain
from edge.record.journal import Journal
from edge.record.recorded import recorded_config, recorded_scan
from edge.record.shape import as_written
from soft_sensors.signals import BoolArray, FloatArray

T = TypeVar("T")
LIMIT_LC_PCT = 3.0  # the action limit of the moving mean
MOST_KNOWN = 0.9
JUMP_SHARE = 0.01  # of what is delivered, or of the target, within a minute: no drift is as fast
DEAD_SHARE = 0.05  # a move shows when a twentieth of it has come through


@dataclass(frozen=True)
class Performance:
    """Figures of a stretch of the record; a figure that cannot be told is None and `untold` says why.

    closed_share, in_control: share of cycles in closed loop, and of estimates within +-3 % of target; harris: 1 cannot
    be bettered; white: of what the NIR read beyond the belief; gain: plant over model, by estimates against the moves;
    travel_pct: by setpoint; costs: of limits, the costliest first.
    """

    cycles: int
    hours: float
    closed_share: float
    in_control: float
    held_share: float
    dead_time_s: float
    harris: float | None
    swings: Oscillation | None
    white: Whiteness | None
    gain: Mismatch | None
    travel_pct: dict[str, float]
    costs: tuple[Cost, ...]
    untold: tuple[str, ...]


@dataclass
class _Seen:
    """Columns of the cycles; NaN where something was not there."""

    time_s: list[float] = field(default_factory=list)
    mode: list[str] = field(default_factory=list)
    held: list[bool] = field(default_factory=list)
    error_pct: list[float] = field(default_factory=list)
    innovation_pct: list[float] = field(default_factory=list)
    estimate_pct: list[float] = field(default_factory=list)
    fed_pct: list[float] = field(default_factory=list)
    delivered: list[float] = field(default_factory=list)
    nir_bias_share: list[float] = field(default_factory=list)
    parcels: Parcels | None = None
    asked_kg_h: list[float] = field(default_factory=list)
    setpoints: dict[str, list[float]] = field(default_factory=dict)
    active: list[tuple[Active, ...]] = field(default_factory=list)


def performance(
    journal: Journal, from_s: float | None, to_s: float | None, progress: Callable[[int, int], None]
) -> Performance | None:
    """The figures of the cycles from from_s to to_s (None: open); None where there is no controlled cycle.

    Raises RecorderError, ConfigError.
    """
    seen, settings, line, newest = _Seen(), None, None, journal.last()
    for row in journal.rows():
        if row.kind == "start":
            with as_written(row):
                settings = recorded_config(decode(row.body), row.seq).control()
                line = None if settings is None else residence(settings.plant)
        inside = (from_s is None or row.time_s >= from_s) and (to_s is None or row.time_s <= to_s)
        if row.kind != "cycle" or settings is None or line is None or not inside:
            continue
        progress(row.seq, newest.seq if newest else 0)
        with as_written(row):
            _add(seen, settings, line, decode(row.body))
    if settings is None or line is None or not seen.time_s:
        return None
    return _figures(seen, settings, line)


def _add(seen: _Seen, settings: ControlSettings, line: Residence, body: dict[str, Any]) -> None:
    sample, thought = body["sample"], body["thought"]
    target, estimate, belief = thought.get("target"), thought.get("estimate"), thought.get("belief")
    decision = thought.get("decision") or {}
    asked = {mv.name: _value(sample["readings"], f"{mv.name}.SP_Working") for mv in settings.mv}
    flow_kg_h = sum(value for mv in settings.mv for value in [asked[mv.name]] if mv.role != "force")
    good = estimate is not None and estimate["quality"] != "bad"
    value = float(estimate["value"]) if good else math.nan
    wanted = float(target["api_pct"]) if target is not None else math.nan
    seen.time_s.append(float(sample["time_s"]))
    seen.mode.append(str(thought["mode"]))
    seen.held.append(bool(thought["command"]["holding"]))
    seen.estimate_pct.append(value)
    seen.error_pct.append(100.0 * (value / wanted - 1.0))
    expected = float(belief["api_pct"]) + float(belief["nir_bias_pct"]) if belief is not None else math.nan
    seen.innovation_pct.append(value - expected)
    seen.delivered.append(float(belief["api_gain"]) if belief is not None else math.nan)
    seen.nir_bias_share.append(float(belief["nir_bias_pct"]) / wanted if belief is not None else math.nan)
    seen.fed_pct.append(_fed_pct(seen, settings, line, body))
    seen.asked_kg_h.append(flow_kg_h)
    for name, setpoint in asked.items():
        seen.setpoints.setdefault(name, []).append(setpoint)
    seen.active.append(from_plain(tuple[Active, ...], decision.get("active", [])))


def _value(readings: dict[str, Any], tag: str) -> float:
    reading = readings.get(tag)
    return math.nan if reading is None or reading["quality"] == "bad" else float(reading["value"])


def _figures(seen: _Seen, settings: ControlSettings, line: Residence) -> Performance:
    error, untold = np.array(seen.error_pct), []
    rate_kg_s = float(np.nanmedian(seen.asked_kg_h)) / 3600.0
    dead_s = line.quantile_kg(DEAD_SHARE) / rate_kg_s if rate_kg_s > 0 else math.nan
    reach_s = line.quantile_kg(1.0 - DEAD_SHARE) / rate_kg_s if rate_kg_s > 0 else math.nan
    delay = max(1, round(dead_s / settings.cycle_s)) if math.isfinite(dead_s) else 1
    known = error[np.isfinite(error)]

    def told(name: str, figure: Callable[[], T]) -> T | None:
        try:
            return figure()
        except ControlError as why:
            untold.append(f"{name}: {why}")
            return None

    innovation = np.array(seen.innovation_pct)
    return Performance(
        cycles=len(seen.time_s),
        hours=(seen.time_s[-1] - seen.time_s[0]) / 3600.0,
        closed_share=float(np.mean([mode == "closed" for mode in seen.mode])),
        in_control=time_in_control(error, LIMIT_LC_PCT),
        held_share=float(np.mean(seen.held)),
        dead_time_s=dead_s,
        harris=told("harris", lambda: harris_index(known, delay)),
        swings=told("oscillation", lambda: oscillation(known)),
        white=told("whiteness", lambda: whiteness(innovation[np.isfinite(innovation)])),
        gain=told("gain", lambda: _gain(seen, _arriving(seen, settings.cycle_s, reach_s))),
        travel_pct=travel_pct({name: np.array(values) for name, values in seen.setpoints.items()}),
        costs=constraint_costs(seen.active),
        untold=tuple(untold),
    )


def _fed_pct(seen: _Seen, settings: ControlSettings, line: Residence, body: dict[str, Any]) -> float:
    """What the feeders weighed in, as the model's residence lets it arrive at the probe: it holds their refills too."""
    told, sample = body["thought"].get("target"), body["sample"]
    if told is None or not sample["readings"]:
        return math.nan
    target, scan = from_plain(Target, told), recorded_scan(sample)
    feeders = material(settings, TrackSettings(), scan, target, None, None).feeders
    if seen.parcels is None:
        seen.parcels = begin(scan.time_s, feeders)
    seen.parcels = feed(seen.parcels, scan.time_s, feeders, settings.named("api"), line.reach_kg)
    return feed_side(seen.parcels, line, target, TrackSettings(), settings.cycle_s).now_pct[1]


def _gain(seen: _Seen, arriving: BoolArray) -> Mismatch:
    """Gain of the line over the model's: estimates against what the feeders sent, as the residence lets it through."""
    estimates, fed = _whole(seen.estimate_pct, "estimates"), _whole(seen.fed_pct, "feeder signals")
    return gain_mismatch(estimates, fed, left_out=arriving)


def _arriving(seen: _Seen, cycle_s: float, reach_s: float) -> BoolArray:
    """The cycles in which a loss, or a jump of the NIR, came through: around each that the observer took for one."""
    minute, reach = (max(1, round(s / cycle_s)) if math.isfinite(s) else 1 for s in (60.0, reach_s))
    found = np.zeros(len(seen.time_s), dtype=bool)
    for believed in (np.array(seen.delivered), np.array(seen.nir_bias_share)):
        jumped = np.flatnonzero(np.abs(believed[minute:] - believed[:-minute]) > JUMP_SHARE)
        for k in jumped:
            found[max(0, k - reach) : k + minute + reach] = True
    return found


def _whole(values: list[float], what: str) -> FloatArray:
    """Equally spaced values without gaps: few are bridged, many are not."""
    found = np.array(values)
    known = np.isfinite(found)
    if known.mean() < MOST_KNOWN:
        raise ControlError(f"{100 * (1 - known.mean()):.0f} % of the {what} are missing")
    at = np.arange(found.size)
    whole: FloatArray = np.asarray(np.interp(at, at[known], found[known]), dtype=np.float64)
    return whole
