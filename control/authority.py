"""evidence -> authority: how much room a correction has that rests on PAT, from all of its cap down to plain ratio.

The room shrinks continuously: the product of one linear ramp for each kind of evidence, so that more doubt never gives
more room. With no evidence left the caps are zero and every controller is plain ratio control.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from control.settings import AuthoritySettings, ControlSettings
from control.signals import Authority

FILLERS_FOLLOW = 0.2  # of the transition's room: what keeps the throughput when the API overshoots


@dataclass(frozen=True)
class Evidence:
    """What is known of the estimate now.

    interval_pct: half-width of its 90 % interval, % of target, infinite without one; covered: share of the recent
    laboratory results inside it, None before there are enough; nir_age_s, lab_age_s: since the last usable spectrum
    and the last laboratory sample (since the start while there is none); skill: of the model, None where not stated;
    filling_pct: how far the API is from its target while a start is on its way, % of target: what the line was full of
    is no evidence of a loss. 0 at any other time.
    """

    interval_pct: float
    covered: float | None
    nir_age_s: float
    lab_age_s: float
    lab_seen: bool
    skill: float | None
    filling_pct: float = 0.0


def authority(table: AuthoritySettings, evidence: Evidence) -> Authority:
    """The room the evidence gives, with what takes most of it away."""
    shares = {
        "interval": _ramp(evidence.interval_pct, table.interval_full_pct, table.interval_none_pct),
        "NIR age": _ramp(evidence.nir_age_s, table.nir_age_full_s, table.nir_age_none_s),
        "laboratory age": table.lab_least
        + (1 - table.lab_least) * _ramp(evidence.lab_age_s, table.lab_age_full_s, table.lab_age_none_s),
        "filling": _ramp(evidence.filling_pct, table.filling_full_pct, table.filling_none_pct),
    }
    if evidence.covered is not None:
        shares["coverage"] = 1 - _ramp(evidence.covered, table.coverage_none, table.coverage_full)
    if evidence.skill is not None:
        shares["skill"] = 1 - _ramp(evidence.skill, table.skill_none, table.skill_full)
    least = min(shares, key=lambda name: shares[name])
    reason = "" if shares[least] >= 1 else f"{least} leaves {100 * shares[least]:.0f} %"
    weight = _ramp(evidence.lab_age_s, table.lab_age_full_s, table.lab_age_none_s) if evidence.lab_seen else 0.0
    return Authority(math.prod(shares.values()), weight, reason)


def caps(settings: ControlSettings, room: Authority, transition: float) -> dict[str, float]:
    """Trim caps now, %, by setpoint name; transition: 1 while a commanded recipe change is on its way, else 0.

    A transition's extra room is for what the recipe asked for, which no PAT drives; it needs evidence all the same.
    """
    table, found = settings.authority, {}
    for mv in settings.mv:
        if mv.role == "force":
            # A press with handles of its own keeps the weight: the force loop's setpoint stands by.
            found[mv.name] = room.weight * table.force_cap_pct if settings.press is None else 0.0
        else:
            share = 1.0 if mv.role == "api" else FILLERS_FOLLOW
            extra = transition * share * table.transition_cap_pct
            found[mv.name] = room.pat * ((mv.trim_cap_pct or 0.0) + extra)
    return found


def _ramp(value: float, full: float, none: float) -> float:
    """1 up to full, 0 from none on, linear between; 0 for what is not a number."""
    if math.isnan(value):
        return 0.0
    return min(1.0, max(0.0, (none - value) / (none - full)))
