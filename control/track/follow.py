"""TRACK: one cycle of material tracking, from what the line shows to divert, bounds, genealogy and balance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from control.guard import Permission
from control.settings import ControlSettings
from control.signals import LabResult, Target
from control.track import account, diversion, feeding, gap
from control.track.account import Balance, Doubt, Minute, Passed
from control.track.diversion import Diversion, Risk
from control.track.feeding import FeederSeen, Parcels
from control.track.gap import Gap, NirSeen
from control.track.gate import Gate, at_gate, feed_side
from control.track.residence import Residence, residence
from control.track.settings import TrackSettings

LOOKS_MISSED = 2.5  # cycles: longer without a look, and a change may have come through unseen


@dataclass(frozen=True)
class Tracker:
    """The fixed parts: control settings, the track table, the residence, and the limit with its sigmas."""

    control: ControlSettings
    settings: TrackSettings
    residence: Residence
    limit_lc_pct: float
    sigmas: float

    @property
    def ahead_s(self) -> float:
        """How long a release may be in force: a cycle, or longer if no word follows; and the valve."""
        return max(self.control.cycle_s, self.settings.last_word_s) + self.settings.valve_s


@dataclass(frozen=True)
class TrackInput:
    """What one cycle saw of the material.

    feeders by setpoint name; nir: the newest usable estimate; lab: the newest result, shown again and again; lims:
    results that are shown once; diverting: what the gate says, None where it says nothing; turret_rpm,
    tablet_weight_mg, level_pct of the press hopper: NaN where unknown; risks: other qualities that decide on release.
    """

    time_s: float
    target: Target
    feeders: Mapping[str, FeederSeen]
    nir: NirSeen | None = None
    lab: LabResult | None = None
    lims: tuple[LabResult, ...] = ()
    diverting: bool | None = None
    turret_rpm: float = math.nan
    tablet_weight_mg: float = math.nan
    level_pct: float = math.nan
    risks: tuple[Risk, ...] = ()


@dataclass(frozen=True)
class TrackMemory:
    """All that is carried from one cycle to the next."""

    parcels: Parcels
    gap: Gap
    diversion: Diversion
    balance: Balance
    first_level_pct: float
    open_cycles: tuple[Passed, ...] = field(default=())


@dataclass(frozen=True)
class Tracked:
    """What tracking says of the material at the gate: divert, why, bounds; minute: the row that just ended, if any."""

    divert: Permission
    gate: Gate
    minute: Minute | None
    balance: Balance


def tracker(control: ControlSettings, settings: TrackSettings, limit_lc_pct: float, sigmas: float) -> Tracker:
    """Compose a tracker; limit_lc_pct: distance from label claim beyond which material is not to be released."""
    return Tracker(control, settings, residence(control.plant), limit_lc_pct, sigmas)


def track(fixed: Tracker, memory: TrackMemory | None, seen: TrackInput) -> tuple[Tracked, TrackMemory]:
    """One cycle; pure. Before anything is known of the material it is diverted."""
    noise, api = fixed.control.observer, fixed.control.named("api")
    if memory is None:
        began = gap.begin(seen.time_s, noise, seen.target.api_pct)
        memory = TrackMemory(
            feeding.begin(seen.time_s, seen.feeders), began, Diversion(since_s=seen.time_s), Balance(), seen.level_pct
        )
    before_s = memory.gap.time_s
    parcels = feeding.feed(memory.parcels, seen.time_s, seen.feeders, api, fixed.residence.reach_kg)
    feed = feed_side(parcels, fixed.residence, seen.target, fixed.settings, fixed.ahead_s)
    now = gap.follow(memory.gap, seen.time_s, feed.fed, seen.nir, seen.lab, seen.target.api_pct, fixed.settings, noise)
    for result in seen.lims:
        now = gap.confirm(now, result, noise)
    gate = at_gate(
        feed, now, seen.target, fixed.limit_lc_pct, fixed.sigmas, fixed.ahead_s, fixed.settings
    )
    why = _reason(fixed, gate, now, parcels, seen) or _unseen(fixed, seen.time_s - before_s)
    passed_kg = parcels.now_kg - memory.parcels.now_kg
    state = diversion.judge(memory.diversion, why, passed_kg, fixed.settings.confirm_kg, seen.time_s)
    # What has passed since the last look was decided then: the gate's own word, or the state it was left in.
    diverted = memory.diversion.diverting if seen.diverting is None else seen.diverting
    tablets_kg = _tablets_kg(fixed.settings, seen, seen.time_s - before_s)
    balance = _balance(fixed, memory, seen, parcels, tablets_kg, diverted)
    mass_kg = tablets_kg if math.isfinite(tablets_kg) else passed_kg
    cycles = memory.open_cycles
    if seen.time_s > before_s:
        cycles = (*cycles, _passed(fixed, seen, before_s, mass_kg, gate, parcels, memory.diversion.reason, diverted))
    cycles, minute = account.close_minute(cycles, seen.time_s)
    divert = Permission(given=state.diverting, reason=state.reason)
    level_pct = memory.first_level_pct if math.isfinite(memory.first_level_pct) else seen.level_pct
    return Tracked(divert, gate, minute, balance), TrackMemory(parcels, now, state, balance, level_pct, cycles)


def _reason(fixed: Tracker, gate: Gate, now: Gap, parcels: Parcels, seen: TrackInput) -> str:
    """Why material is to be diverted, empty when nothing speaks against its release."""
    silent_s = seen.time_s - now.nir_time_s
    if not math.isfinite(silent_s):
        return "no usable NIR estimate yet: nothing tells what is in the line"
    low, high = 100.0 - fixed.limit_lc_pct, 100.0 + fixed.limit_lc_pct
    if gate.low_lc_pct < low or gate.high_lc_pct > high:
        return (
            f"API at the gate {gate.lc_pct:.1f} % LC, bounds {gate.low_lc_pct:.1f} to {gate.high_lc_pct:.1f}, "
            f"limits {low:g} to {high:g}"
        )
    if silent_s > fixed.settings.nir_gap_s:
        feeders_s = seen.time_s - float(parcels.edges_s[-1])
        also = "" if feeders_s <= fixed.settings.nir_gap_s else f", none from the feeders for {feeders_s:.0f} s"
        return f"no usable NIR estimate for {silent_s:.0f} s{also}: a loss that feeders cannot see would pass"
    return next((why for why in (risk.beyond(fixed.sigmas) for risk in seen.risks) if why), "")


def _unseen(fixed: Tracker, passed_s: float) -> str:
    """Why what comes after a time without a look is diverted until it has been seen inside the limits."""
    if passed_s <= LOOKS_MISSED * fixed.control.cycle_s:
        return ""
    return f"nobody looked at the material for {passed_s:.0f} s: what passes now is looked at first"


def _tablets_kg(settings: TrackSettings, seen: TrackInput, passed_s: float) -> float:
    """Mass pressed in a cycle; NaN where turret, dies or weight are not known."""
    stations = math.nan if settings.stations is None else float(settings.stations)
    return seen.turret_rpm / 60.0 * stations * seen.tablet_weight_mg * 1e-6 * passed_s


def _passed(
    fixed: Tracker, seen: TrackInput, start_s: float, mass_kg: float, gate: Gate, parcels: Parcels, reason: str,
    diverted: bool,
) -> Passed:  # fmt: skip
    fed = [
        float(np.interp(parcels.now_kg - fixed.residence.quantile_kg(share), parcels.edges_kg, parcels.edges_s))
        for share in (0.95, 0.05)
    ]
    per = seen.target.api_pct / 100.0
    return Passed(
        start_s, seen.time_s, mass_kg, per * gate.lc_pct, per * gate.sigma_lc_pct, gate.p_nonconf, diverted,
        reason, fed[0], fed[1],
    )  # fmt: skip


def _balance(
    fixed: Tracker, memory: TrackMemory, seen: TrackInput, parcels: Parcels, tablets_kg: float, diverted: bool
) -> Balance:
    settings, plant = fixed.settings, fixed.control.plant
    names = {
        "stations in [track]": settings.stations is not None,
        "turret speed": math.isfinite(seen.turret_rpm),
        "tablet weight": math.isfinite(seen.tablet_weight_mg),
        "press hopper level": math.isfinite(seen.level_pct + memory.first_level_pct),
    }
    missing = ", ".join(name for name, there in names.items() if not there)
    risen = (seen.level_pct - memory.first_level_pct) / settings.level_nominal_pct
    holdup_kg = plant.transport_kg * risen if math.isfinite(risen) else 0.0
    made_kg = tablets_kg if math.isfinite(tablets_kg) else 0.0
    balance = account.reconcile(memory.balance, parcels.fed_kg, made_kg, diverted, holdup_kg)
    cells_kg = settings.feeder_cell_kg * math.sqrt(2.0 * len(seen.feeders))
    # The blender's content has no tag: it is known as well as the hold-ups are.
    level_kg = settings.level_sigma_pct / settings.level_nominal_pct * plant.transport_kg
    held_kg = math.hypot(settings.holdup_rel * plant.blender_kg, level_kg)
    doubt = Doubt(math.hypot(cells_kg, settings.blind_rel * parcels.blind_kg), settings.tablet_weight_rel, held_kg)
    return account.with_doubt(balance, doubt, missing)
