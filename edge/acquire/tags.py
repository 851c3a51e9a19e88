"""Which tags a line file asks for, and how their raw values become one Scan; shared by every wire."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from control.signals import LabResult, Quality, Reading
from edge.config import LineConfig
from edge.signals import Link, Scan
from soft_sensors.signals import Spectrum

APC = (
    "HeartbeatOut", "WatchdogTimeoutMs", "WatchdogOk", "SessionId", "OperatorEnable", "Permit", "RemoteActive", "Mode",
    "ShedReason",
)  # fmt: skip
LOOP = (
    "SP_Working", "SP_SeqEcho", "SP_LoLim", "SP_HiLim", "SP_RateLim", "DevLimit", "Available", "PV", "LimitFlags",
    "BkCal",
)  # fmt: skip
FEEDER = ("HopperKg", "ScrewRpm", "Refilling", "Volumetric")
PLAIN = (
    "Line.Time", "Recipe.ApiPct", "Recipe.ThroughputKgH", "Recipe.TabletWeightMg", "Gate.Diverting",
    "Press.FillDepthMm", "Press.TurretRpm", "Press.HopperLevelPct", "Press.ThicknessMm",
)  # fmt: skip
STREAM = (
    "AcquisitionCounter", "AcquisitionResultStatus", "AcquisitionEndTime", "ExecutionCycle", "IsActive",
    "DiagnosticStatus", "ScaledData",
)  # fmt: skip
STREAM_AXIS = ("Axis", "AxisUnit")
LAB = ("ResultCounter", "SampleTime", "ResultTime", "AssayPct", "TabletWeightMg", "HardnessN")
SAMPLING, GOOD_RESULT = 16, 1  # OPC 10020 (ADI) ExecutionCycle and AcquisitionResultStatus


@dataclass(frozen=True)
class Raw:
    """A value as the wire gave it: any type, its quality class and why, and its source time (s, epoch, UTC)."""

    value: object
    quality: Quality
    reason: str
    time_s: float


def wanted(config: LineConfig) -> tuple[str, ...]:
    """Every tag that is read each cycle, in a fixed order (the analyser's axis is read once a connection)."""
    tags = [*PLAIN, *(f"Apc.{name}" for name in APC)]
    for mv in config.mv:
        tags += [f"{mv.name}.{name}" for name in LOOP]
        if mv.role != "force":
            tags += [f"{mv.name}.{name}" for name in FEEDER]
    if config.analyser.kind == "opcua":
        tags += [f"{config.analyser.prefix}.{name}" for name in STREAM]
    if config.lab is not None:
        tags += [f"{config.lab.prefix}.{name}" for name in LAB]
    return tuple(tags)


def to_scan(
    config: LineConfig,
    raw: Mapping[str, Raw],
    axis: tuple[np.ndarray, str] | None,
    *,
    now_s: float,
    epoch: int,
    session_id: int,
) -> Scan:
    """One scan from the raw values of all wanted tags; now_s is the line's time at the look."""
    stream = f"{config.analyser.prefix}."
    lab = None if config.lab is None else f"{config.lab.prefix}."
    readings = {
        tag: _reading(value)
        for tag, value in raw.items()
        if not tag.startswith(stream) and not (lab and tag.startswith(lab))
    }
    for mv in config.mv:
        readings.update(_aged(config, readings, mv.name, now_s))
    return Scan(
        time_s=now_s,
        link=Link.ONLINE,
        epoch=epoch,
        session_id=session_id,
        readings=readings,
        spectrum=None if axis is None else _spectrum(config, raw, axis, now_s),
        lab=None if lab is None else _lab(raw, lab),
    )


def _reading(raw: Raw) -> Reading:
    if raw.quality is Quality.BAD:
        return Reading(math.nan, raw.time_s, Quality.BAD, raw.reason)
    if not isinstance(raw.value, bool | int | float):
        return Reading(math.nan, raw.time_s, Quality.BAD, f"is a {type(raw.value).__name__}, not a number")
    value = float(raw.value)
    if not math.isfinite(value):
        return Reading(value, raw.time_s, Quality.BAD, "not finite")
    return Reading(value, raw.time_s, raw.quality, raw.reason)


def _aged(config: LineConfig, readings: Mapping[str, Reading], name: str, now_s: float) -> dict[str, Reading]:
    """A flow that stopped being updated goes bad; while a feeder is blind its flow is held on purpose."""
    blind = readings.get(f"{name}.Volumetric")
    flow = readings.get(f"{name}.PV")
    if flow is None or flow.quality is Quality.BAD or (blind is not None and blind.value == 1.0):
        return {}
    age_s = now_s - flow.time_s
    if age_s <= config.freshness.max_age_s:
        return {}
    return {f"{name}.PV": replace(flow, quality=Quality.BAD, reason=f"stale: not updated for {age_s:.0f} s")}


def _spectrum(
    config: LineConfig, raw: Mapping[str, Raw], axis: tuple[np.ndarray, str], now_s: float
) -> Spectrum | None:
    stream = {name: raw[f"{config.analyser.prefix}.{name}"] for name in STREAM}
    counter, values = stream["AcquisitionCounter"], stream["ScaledData"]
    if not isinstance(counter.value, int) or counter.value == 0:
        return None
    quality, reason = _stream_quality(stream)
    found = np.asarray(values.value if isinstance(values.value, list | tuple) else [], dtype=np.float64)
    end = stream["AcquisitionEndTime"]
    end_s = float(end.value) if isinstance(end.value, int | float) else now_s
    return Spectrum(axis[0], axis[1], found, counter.value, end_s, quality, reason)


def _stream_quality(stream: Mapping[str, Raw]) -> tuple[Quality, str]:
    """Predict only when the stream is active, sampling, good and healthy; anything else is bad with its reason."""
    for name, raw in stream.items():
        if raw.quality is not Quality.GOOD:
            return raw.quality, f"{name}: {raw.reason or raw.quality.value}"
    if stream["IsActive"].value is not True:
        return Quality.BAD, "the analyser's stream is not active"
    if stream["ExecutionCycle"].value != SAMPLING:
        return Quality.BAD, f"the analyser is not sampling (execution cycle {stream['ExecutionCycle'].value})"
    if stream["AcquisitionResultStatus"].value != GOOD_RESULT:
        return Quality.BAD, f"the analyser calls its result {stream['AcquisitionResultStatus'].value}, not good"
    if stream["DiagnosticStatus"].value != 0:
        return Quality.BAD, f"the analyser's diagnosis is {stream['DiagnosticStatus'].value} (NE 107)"
    return Quality.GOOD, ""


def _lab(raw: Mapping[str, Raw], prefix: str) -> LabResult | None:
    found = {name: raw[f"{prefix}{name}"] for name in LAB}
    counter = found["ResultCounter"]
    if not isinstance(counter.value, int) or counter.value == 0 or counter.quality is Quality.BAD:
        return None
    number = {n: _reading(v) for n, v in found.items()}
    times = (number["SampleTime"], number["ResultTime"])
    if any(t.quality is Quality.BAD for t in times):
        return None
    assay, weight, hardness = (number[n].value for n in ("AssayPct", "TabletWeightMg", "HardnessN"))
    return LabResult(counter.value, times[0].value, times[1].value, assay, weight, hardness)
