"""rig -> tags: every value the line shows, with status and source time."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING

from hil_sim.line.parameters import FEEDERS
from hil_sim.tags import CHANNELS, FEEDER_MVS, Status, TagValue, Value

if TYPE_CHECKING:
    from hil_sim.rig import Rig

EXECUTE, HELD = 6, 11
SAMPLING, CLEANING = 16, 2
NO_SPECTRUM = (nan,) * CHANNELS


def snapshot(rig: Rig) -> dict[str, TagValue]:
    """All tags of the rig now; feeder PVs are uncertain while volumetric, results bad before the first."""
    now = rig.time_s
    tags = {name: TagValue(value, "good", now) for name, value in _plain(rig).items()}
    for name, value, status in _pvs(rig):
        tags[name] = TagValue(value, status, now)
    tags.update(_nir(rig))
    tags.update(_lab(rig))
    return tags


def _plain(rig: Rig) -> dict[str, Value]:
    plc, line = rig.plc, rig.line
    authority = plc.authority
    values: dict[str, Value] = {
        "Line.Time": rig.time_s,
        "Line.State": HELD if plc.held else EXECUTE,
        "Line.BatchId": "B0001",
        "Recipe.ApiPct": plc.recipe.api_pct,
        "Recipe.ThroughputKgH": plc.recipe.throughput_kg_h,
        "Recipe.TabletWeightMg": plc.recipe.tablet_weight_mg,
        "Apc.HeartbeatIn": authority.heartbeat_in,
        "Apc.HeartbeatOut": authority.heartbeat_out,
        "Apc.WatchdogTimeoutMs": authority.watchdog_timeout_ms,
        "Apc.WatchdogOk": authority.watchdog_ok,
        "Apc.SessionId": authority.session_id,
        "Apc.ModeRequest": authority.mode_request,
        "Apc.Request": authority.request,
        "Apc.OperatorEnable": authority.operator_enable,
        "Apc.Permit": authority.permit,
        "Apc.RemoteActive": authority.remote_active,
        "Apc.Mode": int(authority.mode),
        "Apc.ShedReason": int(authority.shed_reason),
        "Apc.ShedTime": authority.shed_time_s,
        "Apc.Reset": authority.reset,
        "Apc.ConfigHash": authority.config_hash,
        "Apc.ModelVersion": authority.model_version,
        "Apc.DivertRequest": plc.divert_request,
        "Press.FillDepthMm": line.press.fill_depth_mm,
        "Press.TurretRpm": line.press.turret_rpm,
        "Press.HopperLevelPct": plc.level_pct,
        "Press.ForceSdKn": line.tablets.measured_force_sd_kn,
        "Press.ThicknessMm": line.tablets.thickness_mm,
        "Press.EjectionN": line.tablets.ejection_n,
        "Blender.Rpm": line.blender.rpm,
        "FeedFrame.PaddleRpm": line.feed_frame.paddle_rpm,
        "Gate.Diverting": plc.diverting,
    }
    for name, slot in plc.slots.items():
        values[f"{name}.SP_Remote"] = slot.remote
        values[f"{name}.SP_RemoteSeq"] = slot.sequence
        values[f"{name}.SP_SeqEcho"] = slot.echo
        values[f"{name}.SP_Local"] = slot.local
        values[f"{name}.SP_Working"] = slot.working
        values[f"{name}.SP_LoLim"] = slot.low
        values[f"{name}.SP_HiLim"] = slot.high
        values[f"{name}.SP_RateLim"] = slot.spec.rate_per_s
        values[f"{name}.LimitFlags"] = slot.flags
        values[f"{name}.BkCal"] = slot.working
        values[f"{name}.Available"] = slot.available
        values[f"{name}.DevLimit"] = slot.spec.dev_limit
    for name, key in zip(FEEDER_MVS, FEEDERS, strict=True):
        feeder = line.feeders[key]
        values[f"{name}.HopperKg"] = feeder.weight_kg
        values[f"{name}.ScrewRpm"] = feeder.screw_rpm
        values[f"{name}.Refilling"] = feeder.phase == "refill"
        values[f"{name}.Volumetric"] = feeder.volumetric
        values[f"{name}.RefillRequest"] = name in plc.refill_asked
    return values


def _pvs(rig: Rig) -> list[tuple[str, float, Status]]:
    press = rig.line.press
    rows: list[tuple[str, float, Status]] = [
        ("MainForce.PV", rig.plc.force_kn, "good"),
        ("FillDepth.PV", press.fill_depth_mm, "good"),
        ("Thickness.PV", press.min_thickness_mm, "good"),
        ("TurretSpeed.PV", press.turret_rpm, "good"),
    ]
    for name, key in zip(FEEDER_MVS, FEEDERS, strict=True):
        feeder = rig.line.feeders[key]
        rows.append((f"{name}.PV", feeder.measured_kg_h, "uncertain" if feeder.volumetric else "good"))
    return rows


def _nir(rig: Rig) -> dict[str, TagValue]:
    taken = rig.acquisition
    time_s = taken.end_time_s if taken.counter else rig.time_s
    status: Status = "good" if taken.counter else "bad"
    cleaning = rig.conditions.cleaning
    return {
        "Nir.AcquisitionCounter": TagValue(taken.counter, "good", time_s),
        "Nir.AcquisitionResultStatus": TagValue(1 if taken.good else 2, "good", time_s),
        "Nir.AcquisitionEndTime": TagValue(taken.end_time_s, status, time_s),
        "Nir.ScaledData": TagValue(taken.absorbance or NO_SPECTRUM, status, time_s),
        "Nir.ExecutionCycle": TagValue(CLEANING if cleaning else SAMPLING, "good", rig.time_s),
        "Nir.IsActive": TagValue(not cleaning, "good", rig.time_s),
        "Nir.DiagnosticStatus": TagValue(0, "good", rig.time_s),
        "Nir.Axis": TagValue(rig.axis, "good", rig.start_time_s),
        "Nir.AxisUnit": TagValue("nm", "good", rig.start_time_s),
    }


def _lab(rig: Rig) -> dict[str, TagValue]:
    result = rig.laboratory.result
    time_s = result.result_time_s if result.counter else rig.time_s
    status: Status = "good" if result.counter else "bad"
    values: dict[str, Value] = {
        "SampleId": result.sample_id,
        "SampleTime": result.sample_time_s,
        "ResultTime": result.result_time_s,
        "AssayLcPct": result.assay_lc_pct,
        "AssayPct": result.assay_pct,
        "TabletWeightMg": result.weight_mg,
        "HardnessN": result.hardness_n,
        "ThicknessMm": result.thickness_mm,
    }
    tags = {f"Lab.{name}": TagValue(value, status, time_s) for name, value in values.items()}
    tags["Lab.ResultCounter"] = TagValue(result.counter, "good", time_s)
    return tags
