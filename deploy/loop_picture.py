"""parts of the loop -> picture (SVG or PNG): steps along the top, the line and its setpoints below, the loop closed."""

from __future__ import annotations

import textwrap
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from deploy.loop_parts import HEADINGS, Loop, Part

BLUE, RED, GREY, INK = "#0b6e99", "#a33b20", "#8a8f94", "#222222"
FACE = {"guard": "#fdf3e3", "divert": "#fdf3e3", "record": "#f1f1f1", "modes": "#f1f1f1"}
WIDTH_IN, TEXT_PT, LINE_IN = 15.0, 8.0, 0.155
GAP_IN, MARGIN_IN, PAD_IN = 0.28, 0.25, 0.09
POINTS_A_LETTER = 4.35  # of the sans serif at TEXT_PT, on average and a little more
COLUMNS_IN = (1.5, 1.1, 0.7, 0.7, 0.7, 1.2, 1.3, 1.6)


def write_picture(loop: Loop, out: Path) -> None:
    """Draw the loop into out (.svg or .png); the same loop gives the same file. OSError when it cannot be written."""
    widths = (WIDTH_IN - 2 * MARGIN_IN - GAP_IN * (len(loop.steps) - 1)) / len(loop.steps)
    steps = [_wrapped(part, widths) for part in loop.steps]
    tall = _height(max(len(lines) for lines in steps))
    aside_in = (WIDTH_IN - 2 * MARGIN_IN - GAP_IN * (len(loop.beside) - 1)) / len(loop.beside)
    beside = [_wrapped(part, aside_in) for part in loop.beside]
    low = _height(max(len(lines) for lines in beside))
    middle = _height(len(loop.setpoints) + 1) + 0.1 if loop.setpoints else 0.5
    height = MARGIN_IN * 2 + 0.45 + tall + 0.75 + middle + 0.4 + low
    with rc_context({"svg.hashsalt": "patloop", "svg.fonttype": "path"}):
        figure = Figure(figsize=(WIDTH_IN, height), dpi=120)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, WIDTH_IN), ylim=(0, height))
        axes.axis("off")
        top = height - MARGIN_IN
        title = f"{loop.name}: the loop as configured"
        axes.text(MARGIN_IN, top, title, fontsize=14, weight="bold", va="top", color=INK)
        axes.text(WIDTH_IN - MARGIN_IN, top, loop.source, fontsize=9, va="top", ha="right", color=GREY)
        top -= 0.45
        _row(axes, loop.steps, steps, top, tall, widths)
        _join(axes, len(steps), top - tall / 2, widths)
        below = top - tall - 0.75
        _line(axes, loop, below, middle)
        _close(axes, loop, top - tall, below, widths)
        _row(axes, loop.beside, beside, below - middle - 0.4, low, aside_in)
        stamp = {"Date": None} if out.suffix == ".svg" else {"Software": None}  # the same loop, the same bytes
        figure.savefig(out, format=out.suffix[1:], metadata=stamp)


def _height(lines: int) -> float:
    return LINE_IN * lines + 0.42 + 2 * PAD_IN


def _wrapped(part: Part, width_in: float) -> list[str]:
    letters = int((width_in - 2 * PAD_IN) * 72 / POINTS_A_LETTER)
    told = [*part.lines, *([f"! {part.missing}"] if part.missing else [])]
    found = []
    for line in told:
        found += textwrap.wrap(line, letters, subsequent_indent="   ", break_long_words=True) or [""]
    return found


def _row(
    axes: Axes, parts: tuple[Part, ...], texts: list[list[str]], top: float, height: float, width: float,
) -> None:  # fmt: skip
    for k, (part, lines) in enumerate(zip(parts, texts, strict=True)):
        left = MARGIN_IN + k * (width + GAP_IN)
        _box(axes, left, top - height, width, height, FACE.get(part.verb, "#eef5f8"))
        axes.text(left + PAD_IN, top - PAD_IN, part.verb.upper(), fontsize=8.5, weight="bold", va="top", color=BLUE)
        axes.text(left + PAD_IN, top - PAD_IN - 0.18, part.title, fontsize=8.5, va="top", color=INK, style="italic")
        red = False
        for row, line in enumerate(lines):
            red = red or line.startswith("! ")
            axes.text(left + PAD_IN, top - PAD_IN - 0.42 - row * LINE_IN, line, fontsize=TEXT_PT, va="top",
                      color=RED if red else INK)  # fmt: skip


def _join(axes: Axes, steps: int, middle: float, width: float) -> None:
    for k in range(1, steps):
        left = MARGIN_IN + k * (width + GAP_IN)
        _arrow(axes, (left - GAP_IN, middle), (left, middle))


def _box(axes: Axes, left: float, bottom: float, width: float, height: float, face: str) -> None:
    shape = FancyBboxPatch((left, bottom), width, height, boxstyle="round,pad=0,rounding_size=0.06", facecolor=face,
                           edgecolor=BLUE, linewidth=0.9)  # fmt: skip
    axes.add_patch(shape)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    style = {"arrowstyle": "-|>", "color": BLUE, "lw": 1.4, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops=style)


def _line(axes: Axes, loop: Loop, top: float, height: float) -> None:
    """The line itself, with the table of its setpoints."""
    width = WIDTH_IN - 2 * MARGIN_IN
    _box(axes, MARGIN_IN, top - height, width, height, "#ffffff")
    axes.text(MARGIN_IN + PAD_IN, top - PAD_IN, "THE LINE", fontsize=8.5, weight="bold", va="top", color=BLUE)
    if not loop.setpoints:
        told = "is watched only: nothing is written to it"
        axes.text(MARGIN_IN + 1.2, top - PAD_IN, told, fontsize=TEXT_PT, va="top")
        return
    for row, cells in enumerate((HEADINGS, *loop.setpoints)):
        left = MARGIN_IN + 2.6
        for cell, wide in zip(cells, COLUMNS_IN, strict=True):
            axes.text(left, top - PAD_IN - 0.06 - row * LINE_IN * 1.3, cell, fontsize=TEXT_PT, va="top",
                      weight="bold" if row == 0 else "normal", color=INK)  # fmt: skip
            left += wide


def _close(axes: Axes, loop: Loop, above: float, below: float, width: float) -> None:
    """The two arrows between the steps and the line: what is read, and (where anything is) what is written."""
    first = MARGIN_IN + width / 2
    last = MARGIN_IN + (len(loop.steps) - 0.5) * width + (len(loop.steps) - 1) * GAP_IN
    _arrow(axes, (first, below), (first, above))
    axes.text(first + 0.1, (above + below) / 2, "spectra, readings, results", fontsize=TEXT_PT, va="center", color=BLUE)
    if loop.setpoints:
        _arrow(axes, (last, above), (last, below))
        axes.text(last - 0.1, (above + below) / 2, "setpoints, divert", fontsize=TEXT_PT, va="center", ha="right",
                  color=BLUE)  # fmt: skip
