"""What a feeder delivers while it cannot weigh: the feed-factor curve as feed-forward through a refill."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from control.settings import ControlSettings, FeedFactor
from control.signals import FeederReading, Quality

MOST = 2.0  # times a feeder's highest setpoint: a speed or a mass that says more is a wrong one


@dataclass(frozen=True)
class Blind:
    """How a feeder ran just before it lost its weight signal: hopper (kg), flow (kg/h), speed (rpm)."""

    hopper_kg: float
    flow_kg_h: float
    screw_rpm: float


RefillMemory = Mapping[str, Blind]


def feed_factor_g_rev(curve: FeedFactor, hopper_kg: float) -> float:
    """Feed factor at a net hopper mass, g/rev (form: Metta et al., Processes 2019, 7(4), 234)."""
    return curve.max_g_rev - math.exp(-curve.beta_per_kg * hopper_kg) * (curve.max_g_rev - curve.min_g_rev)


def follow_refills(
    settings: ControlSettings, feeders: Mapping[str, FeederReading], before: RefillMemory
) -> tuple[dict[str, float], dict[str, tuple[float, float]], RefillMemory]:
    """Setpoint factors, believed flows (kg/h, sigma) and the memory of feeders that run blind.

    A blind feeder's drive keeps the speed it had (scaled with its setpoint), so it delivers in proportion to the feed
    factor: the setpoint is multiplied by ff(before) / ff(now), and the flow follows from speed and feed factor.
    """
    factors, flows, memory = {}, {}, {}
    noise = settings.observer
    for mv in settings.mv:
        feeder = feeders.get(mv.name)
        if mv.feed_factor is None or feeder is None:
            continue
        usable = feeder.flow_kg_h.quality is not Quality.BAD
        if not feeder.volumetric:
            factors[mv.name] = 1.0
            if usable:
                flows[mv.name] = (feeder.flow_kg_h.value, noise.flow_rel * max(feeder.flow_kg_h.value, 0.01))
                if feeder.hopper_kg.quality is not Quality.BAD and feeder.screw_rpm.quality is not Quality.BAD:
                    memory[mv.name] = Blind(feeder.hopper_kg.value, feeder.flow_kg_h.value, feeder.screw_rpm.value)
            continue
        was = before.get(mv.name)
        if was is None or feeder.hopper_kg.quality is Quality.BAD or feeder.screw_rpm.quality is Quality.BAD:
            factors[mv.name] = 1.0
            continue
        memory[mv.name] = was
        change = feed_factor_g_rev(mv.feed_factor, max(feeder.hopper_kg.value, 0.0)) / feed_factor_g_rev(
            mv.feed_factor, max(was.hopper_kg, 0.0)
        )
        factors[mv.name] = 1.0 / change
        flow = was.flow_kg_h * change * feeder.screw_rpm.value / max(was.screw_rpm, 1e-6)
        if 0.0 <= flow <= MOST * mv.high:
            flows[mv.name] = (flow, noise.flow_blind_rel * max(flow, 0.01))
    return factors, flows, memory
