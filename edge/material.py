"""scan, estimate, belief -> what material tracking sees: the translation from the line's tags."""

from __future__ import annotations

import math

from control.settings import ControlSettings
from control.signals import Belief, Estimate, Quality, Target
from control.track import FeederSeen, NirSeen, Risk, TrackInput, TrackSettings
from edge.signals import Scan
from edge.understand import reading, usable

DOUBT = 3.0  # an uncertain estimate counts with so many times its sigma, as in the observer


def material(
    settings: ControlSettings,
    track: TrackSettings,
    scan: Scan,
    target: Target,
    estimate: Estimate | None,
    belief: Belief | None,
) -> TrackInput:
    """What one cycle saw of the material; a value that is bad or not there is NaN or None, never a guess.

    Tags: NAME.HopperKg, NAME.Refilling, NAME.PV of each feeder; Press.TurretRpm, Press.HopperLevelPct, Gate.Diverting.
    """
    feeders = {
        mv.name: FeederSeen(
            hopper_kg=_number(scan, f"{mv.name}.HopperKg"),
            flow_kg_h=_number(scan, f"{mv.name}.PV"),
            refilling=_number(scan, f"{mv.name}.Refilling") != 0.0,  # not known counts as refilling: not weighed
        )
        for mv in settings.mv
        if mv.role != "force"
    }
    gate = reading(scan, "Gate.Diverting")
    lab = scan.lab if scan.lab is not None and scan.lab.counter > 0 else None
    known = belief is not None and belief.quality is not Quality.BAD
    return TrackInput(
        time_s=scan.time_s,
        target=target,
        feeders=feeders,
        nir=_nir(estimate),
        lab=lab,
        lims=scan.lims,
        diverting=gate.value != 0.0 if usable(gate) else None,
        turret_rpm=_number(scan, "Press.TurretRpm"),
        tablet_weight_mg=belief.tablet_weight_mg if belief is not None and known else math.nan,
        level_pct=_number(scan, "Press.HopperLevelPct"),
        risks=_weight(settings, track, target, belief) if belief is not None and known else (),
    )


def _number(scan: Scan, tag: str) -> float:
    value = reading(scan, tag)
    return value.value if usable(value) else math.nan


def _nir(estimate: Estimate | None) -> NirSeen | None:
    if estimate is None or estimate.quality is Quality.BAD:
        return None
    doubt = 1.0 if estimate.quality is Quality.GOOD else DOUBT
    return NirSeen(estimate.value, doubt * estimate.sigma, estimate.time_s)


def _weight(settings: ControlSettings, track: TrackSettings, target: Target, belief: Belief) -> tuple[Risk, ...]:
    """The tablets' mean weight by press force; hardness has no signal that this line shows every cycle."""
    noise, room_mg = settings.observer, track.weight_limit_pct / 100.0 * target.tablet_weight_mg
    if not math.isfinite(belief.tablet_weight_mg):
        return ()
    sigma_mg = math.hypot(noise.lab_weight_mg, noise.weight_bias_start_mg)
    aim_mg = target.tablet_weight_mg
    return (Risk("tablet weight", belief.tablet_weight_mg, sigma_mg, aim_mg - room_mg, aim_mg + room_mg, "mg"),)
