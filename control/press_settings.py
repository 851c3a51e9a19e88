"""The `[press]` table of a line file: a press whose fill depth, thickness and turret speed the service may move."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from control.tunings import Positive, Table

Band = tuple[Positive, Positive]
# The press model's time-varying parameters, for whoever sets them without building the model.
TARGET_WEIGHT, TARGET_HARDNESS, FEED = "target_weight_mg", "target_hardness_n", "feed_kg_h"


class Setpoint(Table):
    """A setpoint that the service may move, with every limit spelled out.

    resolution: the drive's own step, in the setpoint's unit; smaller moves would be sent in vain.
    """

    name: str
    unit: str
    low: float
    high: float
    rate_per_s: Positive
    resolution: Positive | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Setpoint:
        if self.low >= self.high:
            raise ValueError(f"'{self.name}': low {self.low} is not below high {self.high}")
        return self


class Length(Setpoint):
    """A handle of the press that is a length: fill depth, or the least distance between the punches."""

    unit: Literal["mm"] = "mm"


class Turret(Setpoint):
    """The turret's speed."""

    unit: Literal["1/min"] = "1/min"


class PressModel(Table):
    """What the controller holds of a press and its powder; the numbers are for one die, tooling and blend.

    Sources: geometry from tooling; mg_per_mm, speed_loss from a fill-depth trial; kawakita_* and critical_density from
    a compression trial (form: Kawakita, solved for the pressure), strength_* from tablets of it (Ryshkewitch-Duckworth:
    strength falls exponentially with porosity). thickness_mm everywhere is the minimum between the punches.
    """

    die_diameter_mm: Positive = 9.0
    true_density_g_ml: Positive = 1.5
    stations: Positive = 36.0
    mg_per_mm: Positive = 31.8
    speed_loss: float = 0.04  # relative weight lost when the turret runs twice as fast
    turret_ref_rpm: Positive = 37.0
    kawakita_a: Positive = 0.71
    kawakita_inv_b_mpa: Positive = 16.5
    critical_density: Positive = 0.325
    elastic_recovery: float = 0.045
    strength_mpa: Positive = 6.1
    strength_k: Positive = 8.0
    hopper_kg: Positive = 0.667
    level_target_pct: Positive = 50.0
    actuator_lag_s: Positive = 1.5
    turret_lag_s: Positive = 2.0


class PressLimits(Table):
    """Hard room of the three handles, and the soft limits, most important first: force, level, weight, hardness, rate.

    weight_mg, hardness_n: band about the target; behind_kg_h: by how much the output may fall behind the feed.
    """

    depth_mm: Band = (6.0, 10.0)
    thickness_mm: Band = (2.6, 3.3)
    turret_rpm: Band = (15.0, 60.0)
    force_kn: Band = (5.0, 15.0)
    level_pct: Band = (30.0, 70.0)
    weight_mg: Positive = 7.5
    hardness_n: Positive = 15.0
    behind_kg_h: Positive = 2.0


class PressSettings(Table):
    """The press as one unit with three handles, decoupled by a predictive controller of its own.

    bundle: made by `patloop control build-press`; hardness_n: breaking force that tablets are pressed to; the handles'
    low and high are the hard room; limits: soft, in order; remember_s: how far back a laboratory result may lie.
    """

    bundle: Path
    hardness_n: Positive
    fill_depth: Length
    thickness: Length
    turret: Turret
    model: PressModel = PressModel()
    limits: PressLimits = PressLimits()
    horizon_steps: Annotated[int, Field(ge=5, le=120)] = 30
    remember_s: Positive = 3600.0

    @property
    def handles(self) -> tuple[Setpoint, Setpoint, Setpoint]:
        """Fill depth, thickness, turret: in the order of the model's inputs."""
        return self.fill_depth, self.thickness, self.turret

    @property
    def room(self) -> PressLimits:
        """The limits with the handles' own hard room."""
        depth, thickness, turret = ((handle.low, handle.high) for handle in self.handles)
        return self.limits.model_copy(update={"depth_mm": depth, "thickness_mm": thickness, "turret_rpm": turret})
