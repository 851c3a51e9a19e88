"""The base of every table of a line file, and the tuning tables of the controllers beside the predictive one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Table(BaseModel):
    """A table of the line file: frozen, no key that is not declared, no infinities."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class PidSettings(Table):
    """PI on the filtered NIR estimate, trimming the API ratio; SIMC rules (Skogestad 2003) give the defaults.

    Reference line at 20 kg/h (`control.decide.delay.way`): K = 1, theta = 158 s, tau = 86 s, and the filter's 30 s
    count as dead time: theta = 188 s. With tau_c = theta: gain = tau / (K (tau_c + theta)) = 0.229, integral time
    min(tau, 4 (tau_c + theta)) = 86 s.
    """

    gain: Positive = 0.229
    integral_s: Positive = 86.0
    filter_s: Positive = 30.0


class SmithSettings(Table):
    """Filtered Smith predictor: time constant of its loop without dead time, and of the disturbance's filter."""

    closed_loop_s: Positive = 120.0
    filter_s: Positive = 90.0


class HybridSettings(Table):
    """Linear MPC over the feeders' PID loops: where its model was identified, and weights as 'one sigma is worth one'.

    All in shares of target or ratio: api_rel, throughput_rel of the outputs, split_rel of fillers and lubricant against
    each other, move_rel of a move of a setpoint; filter_s: of the output disturbance.
    """

    throughput_kg_h: Positive = 20.0
    api_rel: Positive = 0.01
    throughput_rel: Positive = 0.005
    split_rel: Positive = 0.002
    move_rel: Positive = 0.001
    filter_s: Positive = 60.0


class StepTestSettings(Table):
    """The step test of one feeder: what is wanted of it, and when it stops itself (in % of the target, or seconds).

    margin_lc_pct: what everything but the test may move the API by, left free when the amplitude is cut.
    """

    variable: str
    amplitude_pct: Positive = 2.0
    switch_s: Positive = 400.0
    length_min: Positive = 60.0
    lead_s: Positive = 300.0
    shape: Literal["prbs", "step"] = "prbs"
    api_limit_lc_pct: Positive = 4.0
    margin_lc_pct: Positive = 2.0
    weight_limit_pct: Positive = 5.0
    blind_s: Positive = 60.0


class RefillLevels(Table):
    """One feeder's refills, net hopper mass in kg: at low_kg it refills by itself, up to high_kg.

    early_kg: so much may it hold at most when it is asked to refill before; blind_s: from the start of a refill until
    it weighs again. All four are the feeder's and the PLC's, not ours to choose.
    """

    low_kg: Positive
    high_kg: Positive
    early_kg: Positive
    blind_s: Positive

    @model_validator(mode="after")
    def _ordered(self) -> RefillLevels:
        if not self.low_kg < self.early_kg <= self.high_kg:
            raise ValueError("a refill's levels must be low_kg < early_kg <= high_kg")
        return self


class RefillSettings(Table):
    """Refills that are kept apart: the feeders' levels by setpoint name, and how far apart.

    margin_s: from the end of one blind time to the next refill, as it is planned; those less than half of it apart are
    taken to meet. notice_s: how long before the last moment it is asked.
    """

    levels: dict[str, RefillLevels]
    margin_s: Positive = 30.0
    notice_s: Positive = 10.0

    @model_validator(mode="after")
    def _apart(self) -> RefillSettings:
        if len(self.levels) < 2:
            raise ValueError("refills are kept apart of two feeders or more: name their levels")
        return self


class EconomicSettings(Table):
    """How far the throughput may go beyond the recipe's while quality backs it: the owner's registered range.

    ramp_kg_h_min: kg/h a minute upwards, twice that downwards; sigmas, band_lc_pct: belief and so many sigmas of it
    must stay within this band about the label claim; reserve_pct: of each feeder's limit that is left alone.
    """

    throughput_most_kg_h: Positive
    ramp_kg_h_min: Positive = 0.2
    sigmas: Positive = 3.0
    band_lc_pct: Positive = 3.0
    reserve_pct: Annotated[float, Field(ge=0, lt=100)] = 5.0
