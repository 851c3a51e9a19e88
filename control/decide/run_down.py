"""recipe, a wish to stop -> throughput that falls in ratio to the lowest one at which every setpoint is in its limits.

All feeders together at the pace of the one that takes longest, so that the composition stays on target on the way down;
from the lowest throughput they are stopped together. Called off, the throughput goes back up at the same pace.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from control.decide.ratio import ratio_setpoints
from control.settings import ControlSettings
from control.signals import Envelope, FeederReading, Quality, Target

WISHES = ("start", "cancel")
STANDS = 0.1  # of its setpoint: a feeder that gives less is stopped
ARRIVED = 1.02  # times the lowest throughput: drives and refills leave a setpoint by that much


@dataclass(frozen=True)
class RunDown:
    """Where a run-down stands: throughput_kg_h aimed at (None: the recipe's), least_kg_h where it ends.

    asked: it is wanted; ready: the line works at the lowest throughput, so the feeders may be stopped together;
    stopped: they are.
    """

    asked: bool = False
    throughput_kg_h: float | None = None
    least_kg_h: float = 0.0
    ready: bool = False
    stopped: bool = False

    @property
    def under_way(self) -> bool:
        """Whether it sets the throughput, on the way down or back."""
        return self.asked or self.throughput_kg_h is not None

    @property
    def sentence(self) -> str:
        """For people on the floor; "" when there is nothing to say."""
        if self.stopped:
            return "the feeders are stopped: what is in the line comes out"
        if self.ready:
            return "ready to stop: stop the feeders together"
        if self.throughput_kg_h is None:
            return ""
        way = f"running down in ratio to {self.least_kg_h:.1f}" if self.asked else "going back up to the recipe"
        return f"{way}: {self.throughput_kg_h:.1f} kg/h"


def answered(before: RunDown, wish: str) -> RunDown:
    """After a person's wish: "start" or "cancel"; any other changes nothing."""
    if wish == "start":
        return replace(before, asked=True)
    return replace(before, asked=False, ready=False, stopped=False) if wish == "cancel" else before


def lowered(
    settings: ControlSettings, aim: Target, before: RunDown, working: Mapping[str, float],
    rooms: Mapping[str, Envelope], feeders: Mapping[str, FeederReading],
) -> tuple[Target, RunDown]:  # fmt: skip
    """The target of a cycle in which one is under way; aim: without it; working, rooms: setpoints and limits in force.

    feeders: what they give. On the way down it waits for the line: never more than one cycle's step below what the PLC
    works with.
    """
    share = _shares(settings, aim)
    lowest = max(rooms[name].low * (1 + _trim(settings, name)) / s for name, s in share.items())
    least = min(aim.throughput_kg_h, lowest)
    step = settings.cycle_s * min(rooms[name].rate_per_s / s for name, s in share.items())
    was = min(aim.throughput_kg_h, before.throughput_kg_h or aim.throughput_kg_h)
    if not before.asked:
        up = was + step
        return (aim, RunDown()) if up >= aim.throughput_kg_h else _at(aim, replace(before, ready=False), up, least)
    works = sum(working[name] for name in share)
    if not math.isfinite(works):
        return _at(aim, before, was, least)
    now = max(least, min(aim.throughput_kg_h, max(was, works)) - step)
    ready = works <= ARRIVED * least
    stopped = ready and all(_stands(feeders[name], working[name]) for name in share)
    return _at(aim, replace(before, ready=ready, stopped=stopped), now, least)


def _stands(feeder: FeederReading, working_kg_h: float) -> bool:
    flow = feeder.flow_kg_h
    return flow.quality is not Quality.BAD and flow.value < STANDS * working_kg_h


def _at(aim: Target, before: RunDown, throughput_kg_h: float, least_kg_h: float) -> tuple[Target, RunDown]:
    now = replace(before, throughput_kg_h=throughput_kg_h, least_kg_h=least_kg_h)
    return replace(aim, throughput_kg_h=throughput_kg_h), now


def _shares(settings: ControlSettings, aim: Target) -> dict[str, float]:
    """Each feeder's part of the throughput, by the recipe."""
    wanted = ratio_setpoints(settings, aim)
    return {mv.name: wanted[mv.name] / aim.throughput_kg_h for mv in settings.mv if mv.role != "force"}


def _trim(settings: ControlSettings, name: str) -> float:
    """The room below a setpoint that PAT's trim may still need at the lowest throughput."""
    return next((mv.trim_cap_pct or 0.0) / 100 for mv in settings.mv if mv.name == name)
