"""the last hour and the predicted minutes -> one SVG drawing; classes only, for the page's CSP forbids styles."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from edge.hmi.live import HOUR_S, Lab, Point

WIDTH, HEIGHT = 760, 340
LEFT, RIGHT, TOP, BOTTOM = 46, 92, 12, 26  # room for the scale, the labels at the lines' ends, and the clock
ACTION_LIMIT_LC_PCT = 3.0
GAP_CYCLES = 3.5  # a hole of more than so many usual steps breaks the line: nothing was measured there
LABEL_PX = 13.0


@dataclass(frozen=True)
class Trend:
    """What is drawn. target: 100 with a recipe, None without; ahead_*: predicted values, step_s apart, from now on."""

    now_s: float
    points: Sequence[Point]
    labs: Sequence[Lab]
    target: float | None
    ahead_with_move: Sequence[float]
    ahead_held: Sequence[float]
    step_s: float


@dataclass(frozen=True)
class _Frame:
    x: Callable[[float], float]
    y: Callable[[float], float]
    start_s: float
    end_s: float
    low: float
    high: float


def draw(trend: Trend) -> str:
    """The drawing as an <svg> element; classes only, numbers only: nothing in it comes from outside as text."""
    frame = _frame(trend)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="API of the last hour, and predicted">',
        f'<clipPath id="plot"><rect x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}"'
        f' height="{HEIGHT - TOP - BOTTOM}"/></clipPath>',
        *_axes(frame),
        '<g clip-path="url(#plot)">',
        *_limits(trend, frame),
        *_band(trend, frame),
        *_lines(trend, frame),
        *(_diamond(frame.x(lab.time_s), frame.y(lab.value)) for lab in trend.labs),
        "</g>",
        *_labels(trend, frame),
        "</svg>",
    ]
    return "".join(parts)


def _frame(trend: Trend) -> _Frame:
    ahead_s = trend.step_s * max(len(trend.ahead_with_move), len(trend.ahead_held))
    start_s, end_s = trend.now_s - HOUR_S, trend.now_s + max(ahead_s, 60.0)
    low, high = _range(trend)
    return _Frame(
        x=lambda time_s: LEFT + (time_s - start_s) / (end_s - start_s) * (WIDTH - LEFT - RIGHT),
        y=lambda value: TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM),
        start_s=start_s,
        end_s=end_s,
        low=low,
        high=high,
    )


def _range(trend: Trend) -> tuple[float, float]:
    seen = [v for p in trend.points for v in (p.estimate, p.belief)]
    seen += [*trend.ahead_with_move, *trend.ahead_held, *(lab.value for lab in trend.labs)]
    seen = [value for value in seen if math.isfinite(value)]
    if trend.target is not None:
        seen = [min(max(value, 0.8 * trend.target), 1.2 * trend.target) for value in seen]
        seen += [trend.target - 1.5 * ACTION_LIMIT_LC_PCT, trend.target + 1.5 * ACTION_LIMIT_LC_PCT]
    if not seen:
        return 0.0, 1.0
    margin = 0.05 * (max(seen) - min(seen)) or 0.05 * abs(seen[0]) or 1.0
    return min(seen) - margin, max(seen) + margin


def _axes(frame: _Frame) -> Iterable[str]:
    step = _nice((frame.high - frame.low) / 5)
    value = math.ceil(frame.low / step) * step
    digits = max(0, -math.floor(math.log10(step)))
    while value <= frame.high:
        y = frame.y(value)
        yield f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>'
        yield f'<text class="scale" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.{digits}f}</text>'
        value += step
    tick_s = math.ceil(frame.start_s / 600) * 600
    while tick_s < frame.end_s:
        clock = datetime.fromtimestamp(tick_s).astimezone().strftime("%H:%M")
        yield f'<text class="scale" x="{frame.x(tick_s):.1f}" y="{HEIGHT - 8}" text-anchor="middle">{clock}</text>'
        tick_s += 600


def _nice(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= step)


def _limits(trend: Trend, frame: _Frame) -> Iterable[str]:
    now_x = frame.x(trend.now_s)
    yield f'<rect class="ahead" x="{now_x:.1f}" y="{TOP}" width="{WIDTH - RIGHT - now_x:.1f}" height="{HEIGHT}"/>'
    if trend.target is None:
        return
    for value, name in ((0.0, "target"), (ACTION_LIMIT_LC_PCT, "limit"), (-ACTION_LIMIT_LC_PCT, "limit")):
        y = frame.y(trend.target + value)
        yield f'<line class="{name}" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>'


def _band(trend: Trend, frame: _Frame) -> Iterable[str]:
    for run in _runs(trend.points, lambda p: p.lower + p.upper):
        there = [f"{frame.x(p.time_s):.1f},{frame.y(p.upper):.1f}" for p in run]
        back = [f"{frame.x(p.time_s):.1f},{frame.y(p.lower):.1f}" for p in reversed(run)]
        yield f'<polygon class="band" points="{" ".join(there + back)}"/>'


def _lines(trend: Trend, frame: _Frame) -> Iterable[str]:
    for run in _runs(trend.points, lambda p: p.estimate):
        yield _line("estimate", [(frame.x(p.time_s), frame.y(p.estimate)) for p in run])
    for run in _runs(trend.points, lambda p: p.belief):
        yield _line("belief", [(frame.x(p.time_s), frame.y(p.belief)) for p in run])
    for name, values in (("held", trend.ahead_held), ("move", trend.ahead_with_move)):
        if values and all(map(math.isfinite, values)):
            ahead = [(frame.x(trend.now_s + (i + 1) * trend.step_s), frame.y(v)) for i, v in enumerate(values)]
            yield _line(name, ahead)


def _line(name: str, places: Iterable[tuple[float, float]]) -> str:
    return f'<polyline class="{name}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>'


def _diamond(x: float, y: float) -> str:
    return f'<path class="lab" d="M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6-6z"/>'


def _runs(points: Sequence[Point], value: Callable[[Point], float]) -> list[list[Point]]:
    """The points that are there, cut where some are missing."""
    steps = sorted(b.time_s - a.time_s for a, b in pairwise(points))
    longest_s = GAP_CYCLES * steps[len(steps) // 2] if steps else math.inf
    runs: list[list[Point]] = []
    before_s = -math.inf
    for point in points:
        if not math.isfinite(value(point)):
            continue
        if point.time_s - before_s > longest_s or not runs:
            runs.append([])
        runs[-1].append(point)
        before_s = point.time_s
    return runs


def _labels(trend: Trend, frame: _Frame) -> Iterable[str]:
    """Each line's name at its end, pushed apart so that none covers another."""
    wanted: list[tuple[float, str, str]] = []
    if trend.target is not None:
        wanted += [
            (frame.y(trend.target), "target", "target"),
            (frame.y(trend.target + ACTION_LIMIT_LC_PCT), "limit", f"+{ACTION_LIMIT_LC_PCT:.0f} %"),
            (frame.y(trend.target - ACTION_LIMIT_LC_PCT), "limit", f"-{ACTION_LIMIT_LC_PCT:.0f} %"),
        ]
    for name, text, values in (
        ("move", "with move", trend.ahead_with_move),
        ("held", "no move", trend.ahead_held),
    ):
        if values and math.isfinite(values[-1]):
            wanted.append((frame.y(values[-1]), name, text))
    last_y = -math.inf
    for y, name, text in sorted(wanted):
        last_y = max(y + 4, last_y + LABEL_PX)
        yield f'<text class="name {name}-name" x="{WIDTH - RIGHT + 6}" y="{last_y:.1f}">{text}</text>'
