"""Which tags a line file asks for, and how their raw values become one Scan; shared by every wire."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from control.assess import Finding
from control.signals import LabResult, Quality, Reading
from edge.acquire.protections import has
from edge.acquire.raw import Raw
from edge.config import LineConfig
from edge.context import MOST_TEXT
from edge.signals import Link, Scan
from soft_sensors.signals import Spectrum

APC = (
    "HeartbeatOut", "WatchdogTimeoutMs", "WatchdogOk", "SessionId", "OperatorEnable", "Permit", "RemoteActive", "Mode",
    "ShedReason",
)  # fmt: skip
LOOP = (
    "SP_Working", "SP_SeqEcho", "SP_LoLim", "SP_HiLim", "SP_RateLim", "DevLimit", "Available", "PV", "LimitFlags",
    "BkCal", "SP_Remote",
)  # fmt: skip
APC_WRITTEN = ("SessionId", "ModeRequest", "Request", "DivertRequest", "HeartbeatIn")
LOOP_WRITTEN = ("SP_Remote", "SP_RemoteSeq")
FEEDER = ("HopperKg", "ScrewRpm", "Refilling", "Volumetric")
REFILL = "RefillRequest"  # of a feeder, where [controller.refills] asks for it; a PLC may do without
PLAIN = (
    "Line.Time", "Recipe.ApiPct", "Recipe.ThroughputKgH", "Recipe.TabletWeightMg", "Gate.Diverting",
    "Press.FillDepthMm", "Press.TurretRpm", "Press.HopperLevelPct", "Press.ThicknessMm",
)  # fmt: skip
STREAM = (
    "AcquisitionCounter", "AcquisitionResultStatus", "AcquisitionEndTime", "ExecutionCycle", "IsActive",
    "DiagnosticStatus", "ScaledData",
)  # fmt: skip
STREAM_AXIS = ("Axis", "AxisUnit")
SAMPLE_ID = "SampleId"
LAB = ("ResultCounter", "SampleTime", "ResultTime", "AssayPct", "TabletWeightMg", "HardnessN")
SAMPLING, GRAB_SAMPLE, GOOD_RESULT = 16, 0x8000, 1  # OPC 10020 (ADI) ExecutionCycle and AcquisitionResultStatus
OPERATING = "Operating"  # OPC 10020: the one state of device and channel whose data count
HEALTH = ("DiagnosticStatus", "ChannelDiagnostic", "DeviceDiagnostic")
NE_107: Mapping[int, tuple[Quality, str]] = {  # OPC 10000-100 DeviceHealth
    0: (Quality.GOOD, "normal"),
    1: (Quality.BAD, "failure"),
    2: (Quality.BAD, "check function"),
    3: (Quality.UNCERTAIN, "off specification"),
    4: (Quality.UNCERTAIN, "maintenance required"),
}


def wanted(config: LineConfig) -> tuple[str, ...]:
    """Every tag that is read each cycle, in a fixed order (the analyser's axis is read once a connection)."""
    tags = [*PLAIN, *(f"Apc.{name}" for name in APC if _has(config, name))]
    if not _has(config, "RemoteActive"):
        tags.append("Apc.Request")  # read back: with the permit it stands for RemoteActive
    fed = {mv.name for mv in config.mv if mv.role != "force"}
    for mv in config.setpoints:
        tags += [f"{mv.name}.{name}" for name in LOOP if _has(config, name)]
        if mv.name in fed:
            tags += [f"{mv.name}.{name}" for name in FEEDER]
    tags += _refills(config)
    if config.analyser.kind == "opcua" and config.analyser.find == "tags":
        tags += [f"{config.analyser.prefix}.{name}" for name in STREAM]
    if config.lab is not None and config.lab.prefix is not None:
        tags += [f"{config.lab.prefix}.{name}" for name in LAB]
    return tuple(dict.fromkeys([*tags, *texts(config)]))


def texts(config: LineConfig) -> tuple[str, ...]:
    """The tags that hold text: what is being made, and the laboratory's sample id; a line may do without each."""
    lab = () if config.lab is None or config.lab.prefix is None else (f"{config.lab.prefix}.{SAMPLE_ID}",)
    return (*lab, *(() if config.context is None else config.context.tags()))


def written(config: LineConfig) -> tuple[str, ...]:
    """Every tag that the service may write, as far as this PLC has it."""
    apc = [f"Apc.{name}" for name in APC_WRITTEN if _has(config, name)]
    loop = [f"{mv.name}.{name}" for mv in config.setpoints for name in LOOP_WRITTEN if _has(config, name)]
    return (*apc, *loop, *_refills(config))


def required(config: LineConfig) -> tuple[str, ...]:
    """Those tags without which nothing can be done; what else is absent is told, and does without."""
    process = ("Press.", "Gate.", "Line.")
    spare = (*texts(config), *_refills(config))
    needed = [t for t in wanted(config) if t not in spare and not t.startswith(process) and not t.endswith(FEEDER)]
    clock = None if config.opcua is None else config.opcua.clock_tag
    put = [t for t in written(config) if t not in spare]
    return tuple(dict.fromkeys([*needed, *put, *([clock] if clock else [])]))


def _refills(config: LineConfig) -> tuple[str, ...]:
    """The requests for a refill, of every feeder whose refills are kept apart."""
    table = None if config.controller is None else config.controller.refills
    return () if table is None else tuple(f"{name}.{REFILL}" for name in table.levels)


def _has(config: LineConfig, name: str) -> bool:
    return config.opcua is None or has(config.opcua.handshake, name)


def to_scan(
    config: LineConfig,
    raw: Mapping[str, Raw],
    axis: tuple[np.ndarray, str] | None,
    *,
    now_s: float,
    epoch: int,
    session_id: int,
    link: Link = Link.ONLINE,
    told: tuple[Finding, ...] = (),
) -> Scan:
    """One scan from the raw values of the wanted tags; now_s is the line's time at the look.

    axis: of the analyser and its unit, None where there is no spectrum; told: what people must be told of the look.
    """
    stream = f"{config.analyser.prefix}."
    lab = None if config.lab is None or config.lab.prefix is None else f"{config.lab.prefix}."
    said = {tag: raw[tag] for tag in texts(config) if tag in raw}
    readings = {
        tag: _reading(value)
        for tag, value in raw.items()
        if tag not in said and not tag.startswith(stream) and not (lab and tag.startswith(lab))
    }
    for mv in config.mv:
        readings.update(_aged(config, raw, readings, mv.name, now_s))
    if not _has(config, "RemoteActive"):
        readings["Apc.RemoteActive"] = _remote(readings)
    if not _has(config, "SP_Working"):
        readings.update({f"{mv.name}.SP_Working": _works_with(readings, mv.name) for mv in config.setpoints})
    return Scan(
        time_s=now_s,
        link=link,
        epoch=epoch,
        session_id=session_id,
        readings=readings,
        spectrum=None if axis is None else _spectrum(config, raw, axis),
        lab=None if lab is None else _lab(raw, lab),
        told=told,
        texts={tag: text for tag, value in said.items() if (text := _text(value)) is not None},
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


def _remote(readings: Mapping[str, Reading]) -> Reading:
    """Whether the PLC follows us, where it does not say so: it permits it, and our request is what it has."""
    permit, request = readings["Apc.Permit"], readings["Apc.Request"]
    if Quality.BAD in (permit.quality, request.quality):
        return permit if permit.quality is Quality.BAD else request
    return replace(permit, value=float(permit.value != 0 and request.value != 0))


def _works_with(readings: Mapping[str, Reading], name: str) -> Reading:
    """The setpoint in force, where the PLC does not show it: what it was last given while remote, else what it does."""
    remote = readings["Apc.RemoteActive"]
    given = remote.quality is not Quality.BAD and remote.value != 0
    return readings[f"{name}.SP_Remote"] if given else readings[f"{name}.PV"]


def _aged(
    config: LineConfig, raw: Mapping[str, Raw], readings: Mapping[str, Reading], name: str, now_s: float
) -> dict[str, Reading]:
    """A flow that stopped being updated goes bad; while a feeder is blind its flow is held on purpose."""
    blind = readings.get(f"{name}.Volumetric")
    flow = readings.get(f"{name}.PV")
    if flow is None or flow.quality is Quality.BAD or (blind is not None and blind.value == 1.0):
        return {}
    moved_s = raw[f"{name}.PV"].changed_s
    age_s = now_s - (flow.time_s if moved_s is None else moved_s)
    if age_s <= config.freshness.max_age_s:
        return {}
    return {f"{name}.PV": replace(flow, quality=Quality.BAD, reason=f"stale: not updated for {age_s:.0f} s")}


def _spectrum(
    config: LineConfig, raw: Mapping[str, Raw], axis: tuple[np.ndarray, str]
) -> Spectrum | None:
    prefix = f"{config.analyser.prefix}."
    stream = {tag.removeprefix(prefix): value for tag, value in raw.items() if tag.startswith(prefix)}
    counter, end = stream["AcquisitionCounter"], stream["AcquisitionEndTime"]
    if not isinstance(counter.value, int) or counter.value == 0:
        return None
    quality, reason = _stream_quality(stream)
    values, wrong = _array(stream["ScaledData"])
    if wrong and quality is not Quality.BAD:
        quality, reason = Quality.BAD, wrong
    told = isinstance(end.value, int | float) and not isinstance(end.value, bool)
    # Without an end time it has none: that it came now would make every old spectrum a new one.
    end_s = float(end.value) if told and isinstance(end.value, int | float) else math.nan
    return Spectrum(axis[0], axis[1], values, counter.value, end_s, quality, reason)


def _array(raw: Raw) -> tuple[np.ndarray, str]:
    """The spectrum's values, of the first sub-array where there are several; and why there are none."""
    try:
        found = np.asarray(raw.value if isinstance(raw.value, list | tuple) else [], dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return np.zeros(0), "ScaledData is no array of numbers"
    if found.ndim > 2:
        return np.zeros(0), f"ScaledData has {found.ndim} dimensions"
    return (found[0] if found.ndim == 2 and len(found) else found.ravel()), ""


def _stream_quality(stream: Mapping[str, Raw]) -> tuple[Quality, str]:
    """Predict only when the stream is active, sampling, good and healthy; anything else is bad with its reason.

    What an analyser found by type tells beyond the stream's own: the device's and the channel's health and state, and
    which of the channel's streams is the active one.
    """
    bad = next((f"{name}: {raw.reason}" for name, raw in stream.items() if raw.quality is Quality.BAD), "")
    told = {name: raw.value for name, raw in stream.items()}
    if bad or _unusable(told):
        return Quality.BAD, bad or _unusable(told)
    quality, reason = worst_health({name: told[name] for name in HEALTH if name in told})
    unsure = next((f"{name}: {raw.reason}" for name, raw in stream.items() if raw.quality is Quality.UNCERTAIN), "")
    if unsure and quality is Quality.GOOD:
        return Quality.UNCERTAIN, unsure
    return quality, reason


def _unusable(told: Mapping[str, object]) -> str:
    """Why nothing may be predicted from this stream now; empty when it may."""
    if told["IsActive"] is not True:
        return "the analyser's stream is not active"
    if told.get("ActiveStream", told.get("StreamName")) != told.get("StreamName"):
        return f"the channel's active stream is {told['ActiveStream']!r}, not {told['StreamName']!r}"
    cycle = told["ExecutionCycle"]
    if not isinstance(cycle, int) or cycle & ~GRAB_SAMPLE != SAMPLING:
        return f"the analyser is not sampling (execution cycle {cycle})"
    if told["AcquisitionResultStatus"] != GOOD_RESULT:
        return f"the analyser calls its result {told['AcquisitionResultStatus']}, not good"
    for name in ("DeviceState", "ChannelState"):
        if told.get(name, OPERATING) != OPERATING:
            return f"the analyser's {name.removesuffix('State').lower()} is in {told[name]!r}, not operating"
    return ""


def worst_health(told: Mapping[str, object]) -> tuple[Quality, str]:
    """What the analyser's own diagnosis (NAMUR NE 107, DI DeviceHealth) does to a spectrum: the worst of its parts."""
    found = [(NE_107.get(v if isinstance(v, int) else -1, (Quality.BAD, "unknown")), n) for n, v in told.items()]
    (quality, word), name = max(found, key=lambda f: f[0][0].rank)
    if quality is Quality.GOOD:
        return Quality.GOOD, ""
    return quality, f"the analyser's diagnosis ({name}) is {told[name]}, {word} (NE 107)"


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
    sample_id = _text(raw[f"{prefix}{SAMPLE_ID}"]) if f"{prefix}{SAMPLE_ID}" in raw else None
    return LabResult(counter.value, times[0].value, times[1].value, assay, weight, hardness, sample_id or "")


def _text(raw: Raw) -> str | None:
    """A text of one line that a batch or sample may be called; None where the tag holds none that is good."""
    if raw.quality is not Quality.GOOD or not isinstance(raw.value, str):
        return None
    text = raw.value.strip()
    return text if len(text) <= MOST_TEXT and (text.isprintable() or not text) else None
