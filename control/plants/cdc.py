"""Feeders, blender, transport, feed frame and press force as one do_mpc model (offline only).

Deliberately simpler than any simulator: first-order feeders, tanks in series in mass coordinates, one force-to-weight
line, and three slow unknowns (API gain, NIR bias, weight bias) that make the loop offset-free.
"""

from __future__ import annotations

from typing import Any

from control.problem import Input, Limit, Problem
from control.settings import ControlSettings

BLENDER, TRANSPORT, FEED_FRAME = "blender_api_pct", "transport_api_pct", "feed_frame_api_pct"
GAIN, NIR_BIAS, WEIGHT_BIAS, FORCE = "api_gain", "nir_bias_pct", "weight_bias_mg", "main_force_kn"
API_SHORT = "api_flow_bias_kg_h"  # weighed flow minus setpoint at rest: a drive that answers a setpoint short
TARGET_API, TARGET_RATE, TARGET_WEIGHT = "target_api_pct", "target_throughput_kg_h", "target_weight_mg"
FEED_CALM = "feed_calm"  # 1: feed at the target; near 0 in a transition: what leaves the feed frame counts

NOTHING_KG_H = 1e-3  # keeps a stopped line's composition a number


def build(settings: ControlSettings) -> Any:
    """The line as a set-up continuous `do_mpc.model.Model`.

    States: flow of each feeder (kg/h), API in each tank (% w/w), main force (kN), then api_gain (-), nir_bias_pct
    (% w/w), weight_bias_mg (mg), api_flow_bias_kg_h (kg/h). Inputs: one setpoint a manipulated variable. Time-varying
    parameters: the targets. Measurements 'y_*', cost residuals 'r_*' in their own units, and what limits are put on.
    Tanks in series in mass coordinates: Levenspiel, Chemical Reaction Engineering, ch. 14, with flow-dependent rate.
    """
    from do_mpc.model import Model

    plant = settings.plant
    model = Model("continuous", "SX")
    flows, setpoints = {}, {}
    for mv in settings.mv:
        setpoints[mv.name] = model.set_variable("_u", mv.name)
        if mv.role != "force":
            flows[mv.name] = model.set_variable("_x", f"flow_{mv.name}")
    tanks = [model.set_variable("_x", f"{BLENDER}_{i}") for i in range(plant.blender_tanks)]
    pipes = [model.set_variable("_x", f"{TRANSPORT}_{i}") for i in range(plant.transport_tanks)]
    frame = model.set_variable("_x", FEED_FRAME)
    force = model.set_variable("_x", FORCE)
    gain, nir_bias, weight_bias, short = (
        model.set_variable("_x", name) for name in (GAIN, NIR_BIAS, WEIGHT_BIAS, API_SHORT)
    )
    target_api, target_rate, target_weight, feed_calm = (
        model.set_variable("_tvp", name) for name in (TARGET_API, TARGET_RATE, TARGET_WEIGHT, FEED_CALM)
    )

    api, lubricant, press = settings.named("api"), settings.named("lubricant"), settings.named("force")
    total_kg_h = sum(flows.values()) + NOTHING_KG_H
    inlet_pct = 100 * gain * flows[api] / total_kg_h
    for name, flow in flows.items():
        off_kg_h = short if name == api else 0.0
        model.set_rhs(f"flow_{name}", (setpoints[name] + off_kg_h - flow) / plant.feeder_lag_s)
    upstream = inlet_pct
    for chain, label, mass_kg in ((tanks, BLENDER, plant.blender_kg), (pipes, TRANSPORT, plant.transport_kg)):
        for i, tank in enumerate(chain):
            model.set_rhs(f"{label}_{i}", total_kg_h / 3600 / (mass_kg / len(chain)) * (upstream - tank))
            upstream = tank
    model.set_rhs(FEED_FRAME, total_kg_h / 3600 / plant.feed_frame_kg * (upstream - frame))
    model.set_rhs(FORCE, (setpoints[press] - force) / plant.force_lag_s)
    for name in (GAIN, NIR_BIAS, WEIGHT_BIAS, API_SHORT):
        model.set_rhs(name, 0 * gain)

    from casadi import log

    line_mg = plant.weight_ref_mg * (1 + log(force / plant.force_ref_kn) / plant.force_weight_exponent)
    weight_mg = line_mg + weight_bias
    for name, flow in flows.items():
        model.set_meas(f"y_flow_{name}", flow, meas_noise=False)
    model.set_meas("y_nir", frame + nir_bias, meas_noise=False)
    model.set_meas("y_force", force, meas_noise=False)
    model.set_meas("y_lab_assay", frame, meas_noise=False)
    model.set_meas("y_lab_weight", weight_mg, meas_noise=False)

    asked_kg_h = sum(setpoints[name] for name in flows) + NOTHING_KG_H
    fillers_kg_h = sum(setpoints[name] for name in settings.recipe.filler_split)
    model.set_expression("r_api", frame - target_api)
    model.set_expression("r_feed", feed_calm * (100 * gain * (setpoints[api] + short) / asked_kg_h - target_api))
    model.set_expression("r_rate", asked_kg_h - target_rate)
    for name, share in list(settings.recipe.filler_split.items())[1:]:
        model.set_expression(f"r_{name}", setpoints[name] - share * fillers_kg_h)
    lubricant_kg_h = settings.recipe.lubricant_fraction * asked_kg_h
    model.set_expression("r_lubricant", setpoints[lubricant] - lubricant_kg_h)
    model.set_expression("r_weight", weight_mg - target_weight)
    model.set_expression("api_lc_pct", 100 * frame / target_api)
    model.set_expression("weight_pct", 100 * weight_mg / target_weight)
    model.setup()
    return model


def problem(settings: ControlSettings) -> Problem:
    """The line's control problem: one sigma of each residual is worth one; limits in the order they are given up.

    Priorities: 1 press force (safety and tools), 2 API band, 3 tablet weight band.
    """
    weights, plant = settings.controller.mpc, settings.plant
    sigmas = {
        "r_api": weights.api_pct, "r_feed": weights.feed_api_pct, "r_rate": weights.throughput_kg_h,
        **{f"r_{n}": weights.filler_kg_h for n in list(settings.recipe.filler_split)[1:]},
        "r_lubricant": weights.lubricant_kg_h, "r_weight": weights.weight_mg,
    }  # fmt: skip
    middle = {mv.name: (mv.low + mv.high) / 2 for mv in settings.mv}
    moves = dict.fromkeys(("api", "filler", "lubricant"), weights.move_rel) | {"force": weights.force_move_rel}
    press = next(mv for mv in settings.mv if mv.role == "force")
    feeders_kg_h = sum(middle[mv.name] for mv in settings.mv if mv.role != "force")
    scaling = {
        **middle, **{f"flow_{mv.name}": middle[mv.name] for mv in settings.mv if mv.role != "force"},
        **{f"{BLENDER}_{i}": plant.api_ref_pct for i in range(plant.blender_tanks)},
        **{f"{TRANSPORT}_{i}": plant.api_ref_pct for i in range(plant.transport_tanks)},
        FEED_FRAME: plant.api_ref_pct, FORCE: plant.force_ref_kn, TARGET_API: plant.api_ref_pct,
        TARGET_RATE: feeders_kg_h, TARGET_WEIGHT: plant.weight_ref_mg, FEED_CALM: 1.0,
    }  # fmt: skip
    band, weight_band = weights.api_band_lc_pct, weights.weight_band_pct
    return Problem(
        model=build(settings),
        step_s=settings.cycle_s,
        horizon_steps=weights.horizon_steps,
        blocks=weights.blocks,
        residuals={name: 1 / sigma**2 for name, sigma in sigmas.items()},
        inputs={mv.name: Input(mv.low, mv.high, mv.rate_per_s, 1 / (moves[mv.role] * middle[mv.name]) ** 2)
                for mv in settings.mv},
        limits={
            FORCE: Limit(weights.force_limit_weight, press.low, press.high, priority=1),
            "api_lc_pct": Limit(weights.band_weight, 100 - band, 100 + band, priority=2),
            "weight_pct": Limit(weights.band_weight, 100 - weight_band, 100 + weight_band, priority=3),
        },
        scaling=scaling,
    )  # fmt: skip
