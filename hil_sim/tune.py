"""rows of a campaign over the controller's weights, and a trade-off -> the weights to propose, with what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from control.settings import ControlSettings
from hil_sim.design import Design, Range, points
from hil_sim.summary import Row, mean_interval
from hil_sim.variants import Setting

TRADE_OFFS = {"tight": 0.1, "calm": 1.0}
QUALITY, TRAVEL = "iae", "travel"
# The two weights that decide between quality and travel; searched from a quarter to four times what the line has.
WEIGHTS = ("controller.mpc.move_rel", "controller.mpc.feed_api_pct")
REACH = 4.0


@dataclass(frozen=True)
class Point:
    """One set of weights: integrated error and travel over those of the present weights, paired by scenario and seed.

    quality, travel: mean ratios (1 the present, less is better); *_half: half widths of their 95 % intervals.
    """

    settings: tuple[Setting, ...]
    quality: float
    quality_half: float
    travel: float
    travel_half: float

    def cost(self, trade_off: float) -> float:
        """What it costs when one per cent of travel is worth trade_off per cent of error."""
        return self.quality + trade_off * self.travel


def present(settings: ControlSettings) -> tuple[Setting, ...]:
    """The line's own weights."""
    mpc = settings.controller.mpc
    return tuple((key, getattr(mpc, key.rpartition(".")[2])) for key in WEIGHTS)


def proposals(design: Design, settings: ControlSettings, count: int) -> list[tuple[Setting, ...]]:
    """The present weights, then `count` draws around them (latin hypercube, even in the logarithm)."""
    ranges = {key: Range(low=value / REACH, high=value * REACH, scale="log") for key, value in present(settings)}
    drawn = points(design.model_copy(update={"factors": ranges, "points": count}))
    return [present(settings), *(tuple((k, float(f"{v:.2g}")) for k, v in point) for point in drawn)]


def judge(rows: Sequence[Row], tried: Sequence[tuple[Setting, ...]]) -> list[Point]:
    """Each set of weights against the first of them, on the same scenarios and seeds."""
    base = _figures(rows, tried[0])
    found = []
    for settings in tried:
        mine = _figures(rows, settings)
        quality, quality_half = mean_interval([mine[k][0] / base[k][0] for k in base])
        travel, travel_half = mean_interval([mine[k][1] / base[k][1] for k in base])
        found.append(Point(settings, quality, quality_half, travel, travel_half))
    return found


def choose(judged: Sequence[Point], trade_off: float) -> Point:
    """The cheapest set of weights; the first of equals: the present ones are kept unless something is better."""
    return min(judged, key=lambda point: point.cost(trade_off))


def pareto(judged: Sequence[Point]) -> list[Point]:
    """Those that no other beats in both quality and travel, by travel."""
    best: list[Point] = []
    for point in sorted(judged, key=lambda p: (p.travel, p.quality)):
        if not best or point.quality < best[-1].quality:
            best.append(point)
    return best


def toml_of(settings: Sequence[Setting]) -> str:
    """The table to paste into the line file."""
    return "\n".join(["[controller.mpc]", *(f"{key.rpartition('.')[2]} = {value:g}" for key, value in settings)])


def _figures(rows: Sequence[Row], settings: Sequence[Setting]) -> Mapping[tuple[str, int], tuple[float, float]]:
    found = {}
    for row in rows:
        if all(np.isclose(float(row[key] or 0.0), value) for key, value in settings):
            key = str(row["scenario"]), int(row["seed"] or 0)
            found[key] = float(row[QUALITY] or 0.0), float(row[TRAVEL] or 0.0)
    return found
