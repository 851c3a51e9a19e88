"""The disturbance library: what can go wrong with the line, as data, and what holds at a given minute."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


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
    feeder: Literal["api", "mcc", "lac", "mgst"] = "api"
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


Fault = Annotated[
    HiddenLoss | Bridge | NirDrift | ProbeFouling | LostConnection, Field(discriminator="kind")
]

MAX_FOULING = 0.6


@dataclass(frozen=True)
class Conditions:
    """What the faults make of the line at one moment (defaults: a healthy line)."""

    api_gain: float = 1.0
    flow_factors: tuple[tuple[str, float], ...] = ()
    nir_drift: float = 0.0
    fouling: float = 0.0
    cleaning: bool = False
    link_up: bool = True


HEALTHY = Conditions()


def conditions(faults: Iterable[Fault], minute: float) -> Conditions:
    """What holds `minute` minutes after the start; faults of one kind multiply or add."""
    gain, drift, fouling = 1.0, 0.0, 0.0
    cleaning, link_up = False, True
    flows: dict[str, float] = {}
    for fault in faults:
        since = minute - fault.at_min
        if since < 0.0:
            continue
        if isinstance(fault, HiddenLoss):
            share = min(1.0, since / fault.ramp_min) if fault.ramp_min > 0.0 else 1.0
            gain *= 1.0 - (1.0 - fault.gain) * share
        elif isinstance(fault, Bridge) and since * 60.0 < fault.duration_s:
            flows[fault.feeder] = flows.get(fault.feeder, 1.0) * fault.flow_factor
        elif isinstance(fault, NirDrift):
            drift += fault.rate_pct_per_h / 100.0 * since / 60.0
        elif isinstance(fault, ProbeFouling):
            cleaned_s = (minute - fault.clean_at_min) * 60.0
            if cleaned_s < 0.0:
                fouling = min(MAX_FOULING, fouling + fault.jump + fault.ramp_per_min * since)
            cleaning = cleaning or 0.0 <= cleaned_s < fault.cleaning_s
        elif isinstance(fault, LostConnection):
            link_up = link_up and since * 60.0 >= fault.duration_s
    return Conditions(gain, tuple(flows.items()), drift, fouling, cleaning, link_up)
