"""minutes -> a drawing: estimate with its interval, belief, target and laboratory over the period, with the mode."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from edge.record.export import utc
from edge.record.minutes import MINUTE_S, Minute

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 1300, 250, 52, 10, 14, 44
MOST = 650  # points drawn: as many as half the pixels there are
COLOURS = {"closed": "#1a6e2e", "advise": "#b58900", "monitor": "#8b949e"}
Place = Callable[[float], float]


def chart(minutes: Sequence[Minute]) -> str:
    """The drawing as SVG; empty where there is nothing to draw."""
    found = [m for m in minutes if math.isfinite(m.estimate)]
    if len(found) < 2:
        return ""
    step = max(1, len(found) // MOST)
    found = found[::step]
    inside = sorted(v for m in found for v in (m.low, m.high, m.target, m.belief) if math.isfinite(v))
    low, high = inside[len(inside) // 200], inside[-1 - len(inside) // 200]
    room = 0.08 * (high - low) or 1.0
    low, high = low - room, high + room
    first, last = found[0].from_s, found[-1].from_s + MINUTE_S

    def x(time_s: float) -> float:
        return LEFT + (time_s - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return TOP + (high - min(max(value, low), high)) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [*_grid(low, high, first, last, x, y), _band(found, x, y), _line(found, "target", "#59636e", "5 4", x, y)]
    parts += [_line(found, "estimate", "#0b5cad", "", x, y), _line(found, "belief", "#1b1f24", "", x, y)]
    parts += [_dot(m, x, y) for m in minutes if math.isfinite(m.lab)]
    parts += list(_modes(minutes, x))
    said = "Estimate with its 90 % interval, belief, target and laboratory values over time, with the mode below"
    key = (
        '<p class="soft">Blue: estimate, % w/w, mean of a minute, with its widest 90 % interval (pale). Black: what '
        "the system believed. Dashed: target. Red dots: laboratory. Bar below: green closed loop, yellow advice only, "
        "grey monitoring.</p>"
    )
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{said}">{"".join(parts)}</svg>{key}'


def _grid(low: float, high: float, first: float, last: float, x: Place, y: Place) -> Iterable[str]:
    step = 10 ** math.floor(math.log10((high - low) / 2))
    step *= 2 if (high - low) / step > 8 else 1
    value = math.ceil(low / step) * step
    while value <= high:
        at = y(value)
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="#d5dae0"/>'
        yield f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{value:g}</text>'
        value = round(value + step, 10)
    for i in range(7):
        time_s = first + i * (last - first) / 6
        anchor = "start" if i == 0 else "end" if i == 6 else "middle"
        told = utc(time_s)[5:16].replace("T", " ")
        yield f'<text x="{x(time_s):.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{told}</text>'


def _band(minutes: Sequence[Minute], x: Place, y: Place) -> str:
    kept = [m for m in minutes if math.isfinite(m.low) and math.isfinite(m.high)]
    edge = [f"{x(m.from_s):.1f},{y(m.high):.1f}" for m in kept]
    edge += [f"{x(m.from_s):.1f},{y(m.low):.1f}" for m in reversed(kept)]
    return f'<polygon points="{" ".join(edge)}" fill="#0b5cad" fill-opacity="0.13"/>'


def _line(minutes: Sequence[Minute], name: str, colour: str, dash: str, x: Place, y: Place) -> str:
    points = [(m.from_s, getattr(m, name)) for m in minutes if math.isfinite(getattr(m, name))]
    drawn = " ".join(f"{x(t):.1f},{y(v):.1f}" for t, v in points)
    return f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="1.4" stroke-dasharray="{dash}"/>'


def _dot(minute: Minute, x: Place, y: Place) -> str:
    return f'<circle cx="{x(minute.from_s):.1f}" cy="{y(minute.lab):.1f}" r="3.5" fill="#a40e26"/>'


def _modes(minutes: Sequence[Minute], x: Place) -> Iterable[str]:
    """One bar a run of minutes in the same mode."""
    top, run = HEIGHT - BOTTOM + 8, 0
    for i in range(1, len(minutes) + 1):
        ended = i == len(minutes) or minutes[i].modes != minutes[run].modes
        apart = not ended and minutes[i].from_s - minutes[i - 1].from_s > 1.5 * MINUTE_S
        if ended or apart:
            left, right = x(minutes[run].from_s), x(minutes[i - 1].from_s + MINUTE_S)
            colour = COLOURS.get(minutes[run].modes.split()[-1] if minutes[run].modes else "", "#8b949e")
            yield f'<rect x="{left:.1f}" y="{top}" width="{max(1.0, right - left):.1f}" height="8" fill="{colour}"/>'
            run = i
