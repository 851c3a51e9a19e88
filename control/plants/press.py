"""The tablet press as one do_mpc model and problem: weight, hardness, force and hopper level decoupled (offline only).

Three handles (fill depth, minimum thickness, turret speed) act on everything at once: a heavier tablet at the same
thickness needs seven times as much more force. The unknowns that differ from day to day are states: bulk density,
hardening (the scale of the Kawakita law) and strength, one for each of force, weight and hardness: no offset is left.
"""

from __future__ import annotations

from math import pi
from typing import Any

from control.press_settings import FEED, TARGET_HARDNESS, TARGET_WEIGHT, PressLimits, PressModel
from control.problem import Input, Limit, Problem

DEPTH, THICKNESS, TURRET, LEVEL = "fill_depth_mm", "thickness_mm", "turret_rpm", "level_pct"
DENSITY, HARDENING, STRENGTH = "density_ratio", "hardening", "strength_factor"
ASKED_DEPTH, ASKED_THICKNESS, ASKED_TURRET = "asked_depth_mm", "asked_thickness_mm", "asked_turret_rpm"


PRIORITY_STEP = 10.0  # our choice: a limit outweighs all that come after it, each in units of its typical violation
SIZES = {"force_kn": 1.0, LEVEL: 5.0, "weight_off_mg": 2.5, "hardness_off_n": 5.0, "behind_kg_h": 1.0}


def build(press: PressModel) -> Any:
    """The press as a set-up continuous `do_mpc.model.Model`.

    States: fill depth, thickness (mm), turret (1/min), level (%), then density, hardening and strength (1 at the
    trial). Inputs: what the three handles are asked for. Time-varying parameters: targets of weight (mg) and hardness
    (N), feed (kg/h). Measurements y_*: depth, thickness, turret, level, force, and at the line weight and hardness.
    """
    from casadi import exp
    from do_mpc.model import Model

    model = Model("continuous", "SX")
    depth, thickness, turret, level = (model.set_variable("_x", n) for n in (DEPTH, THICKNESS, TURRET, LEVEL))
    density, hardening, strength = (model.set_variable("_x", n) for n in (DENSITY, HARDENING, STRENGTH))
    asked = [model.set_variable("_u", n) for n in (ASKED_DEPTH, ASKED_THICKNESS, ASKED_TURRET)]
    target_weight, target_hardness, feed = (
        model.set_variable("_tvp", n) for n in (TARGET_WEIGHT, TARGET_HARDNESS, FEED)
    )
    filling = 1.0 - press.speed_loss * (turret / press.turret_ref_rpm - 1.0)
    weight_mg = press.mg_per_mm * depth * density * filling
    area_mm2 = 0.25 * pi * press.die_diameter_mm**2
    packed = weight_mg / (area_mm2 * thickness * press.true_density_g_ml)
    room = packed * (press.kawakita_a - 1.0) + press.critical_density
    force_kn = press.kawakita_inv_b_mpa * hardening * (packed - press.critical_density) / room * area_mm2 / 1000.0
    grown = 1.0 + press.elastic_recovery
    tensile_mpa = press.strength_mpa * strength * exp(-press.strength_k * (1.0 - packed / grown))
    hardness_n = tensile_mpa * pi * press.die_diameter_mm * thickness * grown / 2.0
    made_kg_h = weight_mg * 1e-6 * press.stations * turret * 60.0

    model.set_rhs(DEPTH, (asked[0] - depth) / press.actuator_lag_s)
    model.set_rhs(THICKNESS, (asked[1] - thickness) / press.actuator_lag_s)
    model.set_rhs(TURRET, (asked[2] - turret) / press.turret_lag_s)
    model.set_rhs(LEVEL, 100.0 * (feed - made_kg_h) / 3600.0 / press.hopper_kg)
    for name in (DENSITY, HARDENING, STRENGTH):
        model.set_rhs(name, 0 * density)
    seen = {"depth": depth, "thickness": thickness, "turret": turret, "level": level, "force": force_kn,
            "weight": weight_mg, "hardness": hardness_n}  # fmt: skip
    for name, value in seen.items():
        model.set_meas(f"y_{name}", value, meas_noise=False)
    model.set_expression("force_kn", force_kn)
    model.set_expression("weight_off_mg", weight_mg - target_weight)
    model.set_expression("hardness_off_n", hardness_n - target_hardness)
    model.set_expression("level_off_pct", level - press.level_target_pct)
    model.set_expression("behind_kg_h", feed - made_kg_h)
    model.setup()
    return model


def problem(
    press: PressModel, limits: PressLimits, cycle_s: float = 2.0, horizon_steps: int = 30,
    rates: tuple[float, float, float] = (0.1, 0.05, 1.0),
) -> Problem:  # fmt: skip
    """Weight and hardness to their targets, level near its own; soft limits in their order of importance.

    rates: of the three handles, mm/s, mm/s and 1/min a second.
    One unit of cost: 1 mg, 2 N, or 10 % of level off the target for one step; or a move of 0.05 mm or 1 rpm.
    """
    soft = {
        "force_kn": limits.force_kn, LEVEL: limits.level_pct, "weight_off_mg": (-limits.weight_mg, limits.weight_mg),
        "hardness_off_n": (-limits.hardness_n, limits.hardness_n),
        "behind_kg_h": (float("-inf"), limits.behind_kg_h),
    }  # fmt: skip
    weights = {name: PRIORITY_STEP ** (len(soft) - k) / SIZES[name] for k, name in enumerate(soft)}
    return Problem(
        model=build(press),
        step_s=cycle_s,
        horizon_steps=horizon_steps,
        residuals={"weight_off_mg": 1.0, "hardness_off_n": 0.25, "level_off_pct": 0.01},
        inputs={
            ASKED_DEPTH: Input(*limits.depth_mm, rate_per_s=rates[0], move_weight=400.0),
            ASKED_THICKNESS: Input(*limits.thickness_mm, rate_per_s=rates[1], move_weight=400.0),
            ASKED_TURRET: Input(*limits.turret_rpm, rate_per_s=rates[2], move_weight=1.0),
        },
        limits={n: Limit(weights[n], low, high, k + 1) for k, (n, (low, high)) in enumerate(soft.items())},
        scaling={DEPTH: 8.0, THICKNESS: 3.0, TURRET: 37.0, LEVEL: 50.0, ASKED_DEPTH: 8.0, ASKED_THICKNESS: 3.0,
                 ASKED_TURRET: 37.0, TARGET_WEIGHT: 250.0, TARGET_HARDNESS: 86.0, FEED: 20.0},
    )  # fmt: skip
