"""The disturbance library: what can go wrong with the line, as data, and what holds at a given minute."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

FeederName = Literal["api", "mcc", "lac", "mgst"]


class _Fault(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    at_min: float = Field(ge=0, description="Start, minutes of line time since the start of the run.")


class HiddenLoss(_Fault):
    """API that the feeder weighed but the blender never gets: no feeder signal shows it."""

    kind: Literal["hidden_loss"]
    gain: float = Field(gt=0, le=1, description="Share of the weighed API that arrives, 1 = all.")
    ramp_min: float = Field(default=0.0, ge=0, description="Minutes over which the loss builds up.")


class Bridge(_Fault):
    """Powder bridge in a feeder: its flow drops for a while."""

    kind: Literal["bridge"]
    feeder: FeederName = "api"
    flow_factor: float = Field(ge=0, lt=1, description="Share of the flow that is left.")
    duration_s: float = Field(gt=0)


class NirDrift(_Fault):
    """The NIR reads more and more API; the shape is API's own, so its residual stays small."""

    kind: Literal["nir_drift"]
    rate_pct_per_h: float = Field(description="Relative bias gained an hour, % of the reading.")


class ProbeFouling(_Fault):
    """A film grows on the probe window (jump, then ramp) until it is cleaned."""

    kind: Literal["probe_fouling"]
    jump: float = Field(ge=0, lt=1, description="Share of the light the film takes at once.")
    ramp_per_min: float = Field(ge=0, description="Further share a minute.")
    clean_at_min: float = Field(ge=0, description="Minute at which cleaning starts.")
    cleaning_s: float = Field(default=60.0, gt=0)


class LostConnection(_Fault):
    """The network link between line and controller is dead; bytes in flight arrive when it heals."""

    kind: Literal["lost_connection"]
    duration_s: float = Field(gt=0)


class Lot(_Fault):
    """A new lot of another bulk density: refills bring it from then on, and it mixes with what is in the hopper."""

    kind: Literal["lot"]
    feeder: FeederName
    density: float = Field(gt=0.5, lt=2, description="Bulk density over that of the lot before.")


class LoadCellSpan(_Fault):
    """A stiff connection bears part of a feeder's weight: it delivers more than it weighs."""

    kind: Literal["load_cell_span"]
    feeder: FeederName
    delivered: float = Field(gt=0.5, lt=2, description="Delivered over weighed.")


class SetpointSpan(_Fault):
    """A wrongly scaled setpoint input: right where it is now, a change of setpoint moves the flow by this share."""

    kind: Literal["setpoint_span"]
    feeder: FeederName
    span: float = Field(gt=0, le=2, description="Change of flow over change of setpoint.")


class ForceCellDrift(_Fault):
    """The force cell reads more and more: the loop that holds its reading makes lighter tablets."""

    kind: Literal["force_cell_drift"]
    rate_pct_per_h: float = Field(description="Relative reading gained an hour, %.")


Fault = Annotated[
    HiddenLoss | Bridge | NirDrift | ProbeFouling | LostConnection | Lot | LoadCellSpan | SetpointSpan | ForceCellDrift,
    Field(discriminator="kind"),
]

MAX_FOULING = 0.6


@dataclass(frozen=True)
class Conditions:
    """What the faults make of the line at one moment (defaults: a healthy line).

    Shares by feeder name, 1 where not named: flow_factors (flow left), lot_densities (density of a refill's powder),
    weighed_shares (weighed over delivered), setpoint_spans.
    """

    api_gain: float = 1.0
    flow_factors: Mapping[str, float] = field(default_factory=dict)
    nir_drift: float = 0.0
    fouling: float = 0.0
    cleaning: bool = False
    link_up: bool = True
    lot_densities: Mapping[str, float] = field(default_factory=dict)
    weighed_shares: Mapping[str, float] = field(default_factory=dict)
    setpoint_spans: Mapping[str, float] = field(default_factory=dict)
    force_gain: float = 1.0


HEALTHY = Conditions()


def conditions(faults: Iterable[Fault], minute: float) -> Conditions:
    """What holds `minute` minutes after the start; faults of one kind multiply or add."""
    now = HEALTHY
    for fault in faults:
        if minute >= fault.at_min:
            now = _with(now, fault, minute, minute - fault.at_min)
    return now


def _with(now: Conditions, fault: Fault, minute: float, since: float) -> Conditions:
    """The conditions with one more fault, which began `since` minutes ago."""
    match fault:
        case HiddenLoss():
            share = min(1.0, since / fault.ramp_min) if fault.ramp_min > 0.0 else 1.0
            return replace(now, api_gain=now.api_gain * (1.0 - (1.0 - fault.gain) * share))
        case Bridge():
            if since * 60.0 >= fault.duration_s:
                return now
            return replace(now, flow_factors=_times(now.flow_factors, fault.feeder, fault.flow_factor))
        case NirDrift():
            return replace(now, nir_drift=now.nir_drift + fault.rate_pct_per_h / 100.0 * since / 60.0)
        case ProbeFouling():
            cleaned_s = (minute - fault.clean_at_min) * 60.0
            cleaning = now.cleaning or 0.0 <= cleaned_s < fault.cleaning_s
            if cleaned_s >= 0.0:
                return replace(now, cleaning=cleaning)
            film = min(MAX_FOULING, now.fouling + fault.jump + fault.ramp_per_min * since)
            return replace(now, fouling=film, cleaning=cleaning)
        case LostConnection():
            return replace(now, link_up=now.link_up and since * 60.0 >= fault.duration_s)
        case Lot():
            return replace(now, lot_densities=_times(now.lot_densities, fault.feeder, fault.density))
        case LoadCellSpan():
            return replace(now, weighed_shares=_times(now.weighed_shares, fault.feeder, 1.0 / fault.delivered))
        case SetpointSpan():
            return replace(now, setpoint_spans=_times(now.setpoint_spans, fault.feeder, fault.span))
        case ForceCellDrift():
            return replace(now, force_gain=now.force_gain + fault.rate_pct_per_h / 100.0 * since / 60.0)


def _times(shares: Mapping[str, float], feeder: str, factor: float) -> dict[str, float]:
    return {**shares, feeder: shares.get(feeder, 1.0) * factor}
