"""The line's tag list: type, unit, range and who may write, one row a tag."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

NAMESPACE = "urn:patloop:cdc-ref-1"
CHANNELS = 125

Kind = Literal["double", "uint32", "uint16", "int32", "bool", "string", "datetime", "doubles"]
Writer = Literal["", "edge", "operator"]
Status = Literal["good", "uncertain", "bad"]
Value = float | int | bool | str | tuple[float, ...]
"""Values by kind: double and datetime (epoch seconds, UTC) float; integers int; doubles a tuple of floats."""


@dataclass(frozen=True)
class TagValue:
    """A tag's value with status and source time (seconds since the epoch, UTC, on the line's clock)."""

    value: Value
    status: Status
    source_time_s: float


@dataclass(frozen=True)
class TagSpec:
    """One tag: kind, unit, engineering range (NaN where none) and the one user who may write it ("" nobody)."""

    name: str
    kind: Kind
    unit: str = ""
    low: float = math.nan
    high: float = math.nan
    writer: Writer = ""
    text: str = ""


@dataclass(frozen=True)
class MvSpec:
    """One manipulated variable: unit, engineering range, PLC limits, rate a second, largest accepted distance."""

    name: str
    unit: str
    eu_low: float
    eu_high: float
    low: float
    high: float
    rate_per_s: float
    dev_limit: float


MVS = (
    MvSpec("FeederApi", "kg/h", 0.0, 6.0, 0.8, 5.0, 0.04, 0.8),
    MvSpec("FeederMcc", "kg/h", 0.0, 20.0, 5.0, 16.0, 0.2, 4.0),
    MvSpec("FeederLac", "kg/h", 0.0, 14.0, 3.0, 11.0, 0.15, 3.0),
    MvSpec("FeederMgst", "kg/h", 0.0, 0.6, 0.08, 0.45, 0.004, 0.1),
    MvSpec("MainForce", "kN", 0.0, 25.0, 6.0, 14.0, 0.2, 2.0),
)
FEEDER_MVS = tuple(mv.name for mv in MVS[:4])
PRESS_MVS = (
    MvSpec("FillDepth", "mm", 0.0, 12.0, 6.0, 10.0, 0.1, 0.6),
    MvSpec("Thickness", "mm", 0.0, 5.0, 2.6, 3.3, 0.05, 0.3),
    MvSpec("TurretSpeed", "1/min", 0.0, 80.0, 15.0, 60.0, 1.0, 8.0),
)
"""The press's handles, which the PLC itself drives until told otherwise; Thickness: least distance of the punches."""

_PLAIN = (
    TagSpec("Line.Time", "double", "s", text="line clock, seconds since the epoch, UTC"),
    TagSpec("Line.State", "uint16", text="PackML state: 6 Execute, 11 Held"),
    TagSpec("Line.BatchId", "string"),
    TagSpec("Recipe.ApiPct", "double", "% w/w", 5.0, 20.0, "operator"),
    TagSpec("Recipe.ThroughputKgH", "double", "kg/h", 10.0, 30.0, "operator"),
    TagSpec("Recipe.TabletWeightMg", "double", "mg", 200.0, 300.0, "operator"),
    TagSpec("Apc.HeartbeatIn", "uint32", writer="edge", text="+1 a completed controller cycle; 0 not running"),
    TagSpec("Apc.HeartbeatOut", "uint32", text="+1 a PLC second"),
    TagSpec("Apc.WatchdogTimeoutMs", "uint32", "ms"),
    TagSpec("Apc.WatchdogOk", "bool"),
    TagSpec("Apc.SessionId", "uint32", writer="edge", text="new random number each start"),
    TagSpec("Apc.ModeRequest", "uint16", "", 0, 2, "edge", "0 off, 1 advisory, 2 remote"),
    TagSpec("Apc.Request", "bool", writer="edge"),
    TagSpec("Apc.OperatorEnable", "bool", writer="operator"),
    TagSpec("Apc.Permit", "bool"),
    TagSpec("Apc.RemoteActive", "bool"),
    TagSpec("Apc.Mode", "uint16", text="0 LOCAL, 1 ADVISORY, 2 REMOTE, 3 SHED"),
    TagSpec("Apc.ShedReason", "uint16",
            text="0 none, 1 watchdog, 2 operator, 3 quality, 4 SP invalid, 5 interlock, 6 deviation, 7 session"),
    TagSpec("Apc.ShedTime", "datetime"),
    TagSpec("Apc.Reset", "bool", writer="operator", text="clears a shed once Request is 0; falls back by itself"),
    TagSpec("Apc.ConfigHash", "string", writer="edge"),
    TagSpec("Apc.ModelVersion", "string", writer="edge"),
    TagSpec("Apc.DivertRequest", "bool", writer="edge"),
    TagSpec("Press.FillDepthMm", "double", "mm"),
    TagSpec("Press.TurretRpm", "double", "1/min"),
    TagSpec("Press.HopperLevelPct", "double", "%"),
    TagSpec("Press.ForceSdKn", "double", "kN"),
    TagSpec("Press.ThicknessMm", "double", "mm"),
    TagSpec("Press.EjectionN", "double", "N"),
    TagSpec("Blender.Rpm", "double", "1/min"),
    TagSpec("FeedFrame.PaddleRpm", "double", "1/min"),
    TagSpec("Gate.Diverting", "bool"),
    TagSpec("Nir.AcquisitionCounter", "uint32"),
    TagSpec("Nir.AcquisitionResultStatus", "int32", text="1 GOOD, 2 BAD"),
    TagSpec("Nir.AcquisitionEndTime", "datetime"),
    TagSpec("Nir.ExecutionCycle", "int32", text="16 SAMPLING, 2 CLEANING"),
    TagSpec("Nir.IsActive", "bool"),
    TagSpec("Nir.DiagnosticStatus", "int32", text="NE 107: 0 normal"),
    TagSpec("Nir.ScaledData", "doubles", text="absorbance, log10(1/R)"),
    TagSpec("Nir.Axis", "doubles", "nm"),
    TagSpec("Nir.AxisUnit", "string"),
    TagSpec("Lab.ResultCounter", "uint32"),
    TagSpec("Lab.SampleId", "string"),
    TagSpec("Lab.SampleTime", "datetime"),
    TagSpec("Lab.ResultTime", "datetime"),
    TagSpec("Lab.AssayLcPct", "double", "%", text="% of the label claim at sample time"),
    TagSpec("Lab.AssayPct", "double", "% w/w"),
    TagSpec("Lab.TabletWeightMg", "double", "mg"),
    TagSpec("Lab.HardnessN", "double", "N"),
    TagSpec("Lab.ThicknessMm", "double", "mm"),
)


def _mv_tags(mv: MvSpec) -> tuple[TagSpec, ...]:
    n, unit, low, high = mv.name, mv.unit, mv.eu_low, mv.eu_high
    tags = (
        TagSpec(f"{n}.SP_Remote", "double", unit, low, high, "edge"),
        TagSpec(f"{n}.SP_RemoteSeq", "uint32", writer="edge"),
        TagSpec(f"{n}.SP_SeqEcho", "uint32"),
        TagSpec(f"{n}.SP_Local", "double", unit, low, high, "operator"),
        TagSpec(f"{n}.SP_Working", "double", unit, low, high),
        TagSpec(f"{n}.SP_LoLim", "double", unit, low, high, "operator"),
        TagSpec(f"{n}.SP_HiLim", "double", unit, low, high, "operator"),
        TagSpec(f"{n}.SP_RateLim", "double", f"{unit}/s"),
        TagSpec(f"{n}.LimitFlags", "uint16", text="1 remote 2 hi 4 lo 8 rate 16 not invited 32 saturated below"),
        TagSpec(f"{n}.BkCal", "double", unit, low, high),
        TagSpec(f"{n}.Available", "bool"),
        TagSpec(f"{n}.DevLimit", "double", unit),
        TagSpec(f"{n}.PV", "double", unit, low, high),
    )
    if n not in FEEDER_MVS:
        return tags
    return (
        *tags,
        TagSpec(f"{n}.HopperKg", "double", "kg"),
        TagSpec(f"{n}.ScrewRpm", "double", "1/min"),
        TagSpec(f"{n}.Refilling", "bool"),
        TagSpec(f"{n}.Volumetric", "bool"),
        TagSpec(f"{n}.RefillRequest", "bool", writer="edge", text="asks for a refill now; falls back by itself"),
    )


TAGS: Mapping[str, TagSpec] = {
    tag.name: tag for tag in (*_PLAIN, *(tag for mv in (*MVS, *PRESS_MVS) for tag in _mv_tags(mv)))
}


def check_write(tag: TagSpec, value: object, user: str) -> str:
    """May `user` write it: "good", or bad_not_writable, bad_user_access, bad_type, bad_out_of_range."""
    if not tag.writer:
        return "bad_not_writable"
    if user != tag.writer:
        return "bad_user_access"
    if not _type_ok(tag.kind, value):
        return "bad_type"
    if isinstance(value, int | float) and not isinstance(value, bool) and not _range_ok(tag, value):
        return "bad_out_of_range"
    return "good"


def _type_ok(kind: Kind, value: object) -> bool:
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "string":
        return isinstance(value, str) and len(value) <= 256
    if isinstance(value, bool):
        return False
    if kind in ("uint32", "uint16", "int32"):
        return isinstance(value, int)
    return kind == "double" and isinstance(value, int | float)


def _range_ok(tag: TagSpec, value: float) -> bool:
    if not math.isfinite(value):
        return False
    if tag.kind in ("uint32", "uint16") and not 0 <= value < 2 ** int(tag.kind[4:]):
        return False
    return not (value < tag.low or value > tag.high)
