"""The control tables of a line file: recipe, setpoints, model, observer, controller; unknown keys are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from control.press_settings import PressSettings, Setpoint
from control.tunings import (
    EconomicSettings,
    HybridSettings,
    PidSettings,
    Positive,
    RefillLevels,
    RefillSettings,
    Share,
    SmithSettings,
    StepTestSettings,
    Table,
)


class FeedFactor(Table):
    """A feeder's feed factor over its net hopper mass W: max - exp(-beta W) (max - min); kg, g/rev.

    Source of the form: Metta et al., Processes 2019, 7(4), 234 (nomenclature). Values: feeder characterisation.
    """

    max_g_rev: Positive
    min_g_rev: Positive
    beta_per_kg: Positive


class ManipulatedVariable(Setpoint):
    """One setpoint of feeders or press force; trim_cap_pct: how far PAT may move a feeder's from its ratio."""

    role: Literal["api", "filler", "lubricant", "force"]
    unit: Literal["kg/h", "kN"]
    trim_cap_pct: Positive | None = None
    feed_factor: FeedFactor | None = None

    @model_validator(mode="after")
    def _capped(self) -> ManipulatedVariable:
        if self.role != "force" and self.trim_cap_pct is None:
            raise ValueError(f"mv '{self.name}': a feeder needs trim_cap_pct (authority of PAT over the ratio)")
        return self


class Recipe(Table):
    """How the recipe's targets become plain ratio setpoints."""

    filler_split: dict[str, Share]
    lubricant_fraction: Share
    main_force_kn: Positive

    @model_validator(mode="after")
    def _whole(self) -> Recipe:
        total = sum(self.filler_split.values())
        if abs(total - 1.0) > 1e-9:
            raise ValueError(f"recipe.filler_split adds up to {total}, must be 1")
        return self


class Plant(Table):
    """The controller's own model: the file in control/plants and its parameters."""

    name: Literal["cdc"] = "cdc"
    blender_kg: Positive
    blender_tanks: Annotated[int, Field(ge=1, le=10)] = 3
    transport_kg: Positive
    transport_tanks: Annotated[int, Field(ge=1, le=12)] = 6
    feed_frame_kg: Positive
    feeder_lag_s: Positive
    force_lag_s: Positive
    weight_ref_mg: Positive
    force_ref_kn: Positive
    force_weight_exponent: Positive
    api_ref_pct: Positive


class ObserverSettings(Table):
    """Which observer, and the noise and drift it reckons with; standard deviations, 'rw' per square root of an hour.

    kalman: the light one, remembers memory_s; mhe: a window of horizon_steps cycles, robust against gross errors.
    untold_*: window whose data are judged, and how often; longer than the laboratory's interval, or it is missed in
    ordinary operation; freeze_untold: hold what they do not tell apart.
    """

    name: Literal["kalman", "mhe"] = "kalman"
    horizon_steps: Annotated[int, Field(ge=10, le=720)] = 72
    flow_rel: Positive = 0.015
    flow_blind_rel: Positive = 0.03
    flow_walk_rel: Positive = 0.01
    mixing_rel: Positive = 0.0004
    nir_floor_pct: Positive = 0.08
    force_kn: Positive = 0.15
    lab_assay_rel: Positive = 0.005
    lab_weight_mg: Positive = 0.8
    gain_rw: Positive = 0.004
    nir_bias_rw_pct: Positive = 0.15
    weight_bias_rw_mg: Positive = 0.3
    api_flow_bias_rw_rel: Positive = 0.003
    api_flow_bias_start_rel: Positive = 0.002
    gain_start: Positive = 0.004
    nir_bias_start_pct: Positive = 0.08
    weight_bias_start_mg: Positive = 1.0
    jump_gain: Positive = 0.03
    jump_nir_pct: Positive = 0.3
    jump_rate_per_h: Positive = 0.3
    jump_nir_rate_per_h: Positive = 0.01
    jump_every_s: Positive = 15.0
    jump_memory_s: Positive = 840.0
    jump_sure: Share = 0.95
    jump_lead: Share = 0.5
    lab_surprise: Positive = 2.5
    feeder_disturbed_rel: Positive = 0.10
    memory_s: Positive = 1800.0
    max_gap_s: Positive = 120.0
    freeze_untold: bool = False
    untold_window_s: Annotated[float, Field(ge=600, le=14400)] = 2700.0
    untold_every_s: Positive = 300.0


class MpcSettings(Table):
    """Weights as 'one sigma is worth one': residuals are divided by these, in their own unit."""

    horizon_steps: Annotated[int, Field(ge=5, le=240)] = 60
    blocks: tuple[int, ...] = (1, 1, 1, 2, 2, 3, 5, 5, 10, 10, 20)
    api_pct: Positive = 0.10
    feed_api_pct: Positive = 0.02
    throughput_kg_h: Positive = 0.05
    filler_kg_h: Positive = 0.05
    lubricant_kg_h: Positive = 0.004
    weight_mg: Positive = 1.0
    api_band_lc_pct: Positive = 3.0
    weight_band_pct: Positive = 3.0
    band_weight: Positive = 20.0
    force_limit_weight: Positive = 200.0
    move_rel: Positive = 0.035
    force_move_rel: Positive = 0.002

    @model_validator(mode="after")
    def _covers(self) -> MpcSettings:
        if sum(self.blocks) != self.horizon_steps:
            raise ValueError(f"mpc.blocks add up to {sum(self.blocks)}, must be horizon_steps {self.horizon_steps}")
        return self


class AuthoritySettings(Table):
    """Evidence at which PAT's corrections have all of their room, and at which they have none; linear between.

    interval_*: half-width of the estimate's 90 % interval as widened by results that missed it, % of target;
    coverage_*: share of recent laboratory results inside it; nir_age_*: since the last estimate that was not bad;
    lab_age_*: since the last laboratory sample, down to lab_least (feeders) or to none (press force); skill_*:
    1 - (error / null model's error)^2 of the model's validation; filling_*: how far the API still is from its target
    after a start, % of target. transition_*: how much further setpoints may go from the ratio in a commanded change,
    and how long one is on its way; overshoot_passes: for how much of it they may.
    """

    interval_full_pct: Positive = 5.0
    interval_none_pct: Positive = 20.0
    coverage_full: Share = 0.7
    coverage_none: Share = 0.3
    nir_age_full_s: Positive = 60.0
    nir_age_none_s: Positive = 900.0
    lab_age_full_s: Positive = 3600.0
    lab_age_none_s: Positive = 10800.0
    lab_least: Share = 0.5
    skill_full: Share = 0.5
    skill_none: Share = 0.0
    filling_full_pct: Positive = 5.0
    filling_none_pct: Positive = 10.0
    force_cap_pct: Positive = 30.0
    transition_cap_pct: Annotated[float, Field(ge=0)] = 10.0
    transition_passes: Positive = 1.5
    overshoot_passes: Annotated[float, Field(ge=0)] = 1.5

    @model_validator(mode="after")
    def _ramps(self) -> AuthoritySettings:
        for less, more in (
            ("interval_full_pct", "interval_none_pct"), ("nir_age_full_s", "nir_age_none_s"),
            ("lab_age_full_s", "lab_age_none_s"), ("coverage_none", "coverage_full"), ("skill_none", "skill_full"),
            ("filling_full_pct", "filling_none_pct"),
        ):  # fmt: skip
            low, high = getattr(self, less), getattr(self, more)
            if low >= high:
                raise ValueError(f"{less} {low:g} must be below {more} {high:g}")
        return self


class ControllerSettings(Table):
    """Which controller runs, which bundle it decides with, and its tuning.

    bundle: a folder that nobody governs; or the effective bundle of a model in a registry, whose identity is the
    SHA-256 of its first event. A newer version takes effect at the next start. native: compile the model to machine
    code where a C compiler is found; changes speed, no decision.
    """

    name: Literal["ratio", "pid", "smith", "hybrid", "mpc", "steptest"]
    bundle: Path | None = None
    registry: Path | None = None
    registry_id: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    model: Annotated[str, Field(min_length=1)] | None = None
    native: bool = True
    mpc: MpcSettings = MpcSettings()
    pid: PidSettings = PidSettings()
    smith: SmithSettings = SmithSettings()
    hybrid: HybridSettings = HybridSettings()
    steptest: StepTestSettings | None = None
    economic: EconomicSettings | None = None
    # Not told where there is none: what a line without it records stays as it was.
    refills: RefillSettings | None = Field(default=None, exclude_if=lambda table: table is None)

    def with_bundle(self, folder: Path) -> ControllerSettings:
        """The same, deciding with the bundle in a folder, whatever a registry says."""
        return self.model_copy(update={"bundle": folder, "registry": None, "registry_id": None, "model": None})

    @model_validator(mode="after")
    def _one_way(self) -> ControllerSettings:
        governed = [v is not None for v in (self.registry, self.registry_id, self.model)]
        if any(governed) and not all(governed):
            raise ValueError("a governed bundle needs all of 'registry', 'registry_id' and 'model'")
        if (self.bundle is not None) == all(governed):
            raise ValueError("name either 'bundle', or 'registry' with 'registry_id' and 'model'")
        return self

    @model_validator(mode="after")
    def _test_is_described(self) -> ControllerSettings:
        if self.name == "steptest" and self.steptest is None:
            raise ValueError("controller 'steptest' needs the table [controller.steptest] with its 'variable'")
        return self


class ControlSettings(Table):
    """Everything that control needs of a line file."""

    cycle_s: Positive
    recipe: Recipe
    mv: tuple[ManipulatedVariable, ...]
    plant: Plant
    observer: ObserverSettings = ObserverSettings()
    authority: AuthoritySettings = AuthoritySettings()
    controller: ControllerSettings
    press: PressSettings | None = Field(default=None, exclude_if=lambda table: table is None)

    @property
    def setpoints(self) -> tuple[Setpoint, ...]:
        """All that goes over the wire: feeders and press force, and the press's handles where it has them."""
        return self.mv if self.press is None else (*self.mv, *self.press.handles)

    @model_validator(mode="after")
    def _roles(self) -> ControlSettings:
        roles = [mv.role for mv in self.mv]
        if roles.count("api") != 1 or roles.count("force") != 1 or roles.count("lubricant") != 1:
            raise ValueError("mv: exactly one api, one lubricant and one force variable are needed")
        fillers = {mv.name for mv in self.mv if mv.role == "filler"}
        if fillers != set(self.recipe.filler_split):
            raise ValueError(
                f"recipe.filler_split names {sorted(self.recipe.filler_split)}, mv fillers {sorted(fillers)}"
            )
        names = [mv.name for mv in self.setpoints]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"mv and press: {sorted(twice)} is the name of more than one setpoint")
        for mv in self.setpoints:
            if mv.resolution is not None and mv.resolution > mv.rate_per_s * self.cycle_s:
                most = mv.rate_per_s * self.cycle_s
                raise ValueError(f"mv '{mv.name}': resolution {mv.resolution:g} is more than a cycle's rate {most:g}")
        return self

    @model_validator(mode="after")
    def _refilled(self) -> ControlSettings:
        refilled = set() if self.controller.refills is None else set(self.controller.refills.levels)
        if strange := refilled - {mv.name for mv in self.mv if mv.role != "force"}:
            raise ValueError(f"controller.refills.levels: {sorted(strange)} are no feeders of this line ([[mv]] name)")
        return self

    def named(self, role: str) -> str:
        """The name of the one manipulated variable of a role."""
        return next(mv.name for mv in self.mv if mv.role == role)


__all__ = [
    "AuthoritySettings", "ControlSettings", "ControllerSettings", "EconomicSettings", "FeedFactor", "HybridSettings",
    "ManipulatedVariable", "MpcSettings", "ObserverSettings", "PidSettings", "Plant", "Positive", "PressSettings",
    "Recipe", "RefillLevels", "RefillSettings", "Setpoint", "Share", "SmithSettings", "StepTestSettings", "Table",
]  # fmt: skip
