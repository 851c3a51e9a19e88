"""a shift and its rivals -> the figure and the page that a process engineer would put into a report."""

from __future__ import annotations

import base64
import html
import io
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hil_sim.kpi import Trace

if TYPE_CHECKING:
    from deploy.demo import Shift

COLOURS = {"ratio": "#888888", "pid": "#d08a00", "mpc": "#0b6e99"}
NAMES = {"ratio": "ratio control", "pid": "PID on NIR", "mpc": "MPC"}


def draw(shift: Shift, traces: Mapping[str, Trace], title: str, png: Path) -> None:
    """Write the figure: true API of the three controllers; what the service saw and believed; its move; its reasons."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    cycles = [c for c in shift.cycles if c["thought"]["belief"] is not None]
    start_s = shift.truths[0].time_s
    minutes = np.array([(c["sample"]["time_s"] - start_s) / 60 for c in cycles])
    target = np.array([c["thought"]["target"]["api_pct"] for c in cycles])
    figure, axes = plt.subplots(
        4, 1, figsize=(10.5, 11.5), sharex=True, gridspec_kw={"height_ratios": [3, 3, 1.7, 2]}, constrained_layout=True
    )
    figure.suptitle(textwrap.fill(title, 105), fontsize=12, x=0.01, ha="left")
    _true_api(axes[0], traces)
    _seen(axes[1], shift, cycles, minutes, target, start_s)
    _moves(axes[2], cycles, minutes)
    _reasons(axes[3], cycles, minutes, target)
    axes[3].set_xlabel("line time, min")
    for ax in axes:
        ax.grid(alpha=0.25, linewidth=0.6)
        ax.spines[["top", "right"]].set_visible(False)
        ax.set_xlim(0, float(minutes[-1]))
    figure.savefig(png, dpi=110)
    plt.close(figure)


def _true_api(ax: Any, traces: Mapping[str, Trace]) -> None:
    low, high = 93.0, 105.0
    ax.axhspan(97, 103, color="#e6efe6", zorder=0, linewidth=0)
    for name, trace in traces.items():
        ax.plot(trace.time_s / 60, trace.api_lc_pct, color=COLOURS[name], linewidth=1.3, label=NAMES[name])
        low, high = min(low, float(trace.api_lc_pct.min()) - 1), max(high, float(trace.api_lc_pct.max()) + 1)
    ax.set_ylim(low, high)
    ax.set_ylabel("true API, % LC")
    ax.set_title("What the patient gets: true API at the feed frame, same seed (band: ±3 %)", loc="left", fontsize=10)
    ax.legend(loc="lower left", ncols=3, fontsize=9, frameon=False)


def _seen(ax: Any, shift: Shift, cycles: Sequence[dict[str, Any]], minutes: Any, target: Any, start_s: float) -> None:
    estimates = [(m, c["thought"]["estimate"], t) for m, c, t in zip(minutes, cycles, target, strict=True)]
    good = [(m, 100 * e["value"] / t) for m, e, t in estimates if e is not None and e["quality"] == "good"]
    poor = [(m, 100 * e["value"] / t) for m, e, t in estimates if e is not None and e["quality"] == "uncertain"]
    ax.axhspan(97, 103, color="#e6efe6", zorder=0, linewidth=0)
    if good:
        ax.plot(*zip(*good, strict=True), ".", color="#b9b9b9", markersize=2, label="NIR estimate")
    if poor:
        ax.plot(*zip(*poor, strict=True), ".", color="#d66b6b", markersize=2, label="NIR, uncertain")
    belief = np.array([c["thought"]["belief"]["api_pct"] for c in cycles])
    sigma = np.array([c["thought"]["belief"]["api_sigma_pct"] for c in cycles])
    for side in (-1.645, 1.645):
        ax.plot(minutes, 100 * (belief + side * sigma) / target, color=COLOURS["mpc"], linewidth=0.5, alpha=0.5)
    ax.plot(minutes, 100 * belief / target, color=COLOURS["mpc"], linewidth=1.4, label="belief, 90 % interval")
    truth = np.array([(t.time_s - start_s, t.api_lc_pct) for t in shift.truths])
    ax.plot(truth[:, 0] / 60, truth[:, 1], color="black", linewidth=0.8, label="truth")
    labs = {lab["counter"]: lab for c in cycles for lab in c["sample"]["lab"]}
    found = [(lab["sample_time_s"], lab["assay_pct"]) for lab in labs.values() if lab["counter"] > 0]
    if found:
        at = np.array([(s - start_s) / 60 for s, _ in found])
        ax.plot(at, [100 * a / np.interp(m, minutes, target) for m, (_, a) in zip(at, found, strict=True)], "D",
                color="#7a1fa2", markersize=6, label="laboratory, at sample time")  # fmt: skip
    # The first belief knows nothing yet: its interval would press all the others into a line.
    shown = np.concatenate([100 * belief / target, truth[:, 1], [estimate for _, estimate in good]])
    ax.set_ylim(min(93.0, float(np.nanmin(shown)) - 1), max(107.0, float(np.nanmax(shown)) + 1))
    ax.set_ylabel("API, % LC")
    ax.set_title("What the service saw and believed, over the real wire", loc="left", fontsize=10)
    ax.legend(loc="lower left", ncols=3, fontsize=8, frameon=False)


def _moves(ax: Any, cycles: Sequence[dict[str, Any]], minutes: Any) -> None:
    working = np.array([_reading(c, "FeederApi.SP_Working") for c in cycles])
    ax.step(minutes, working, where="post", color=COLOURS["mpc"], linewidth=1.2)
    closed = np.array([_reading(c, "Apc.RemoteActive") for c in cycles]) > 0
    low, high = float(np.nanmin(working)), float(np.nanmax(working))
    margin = 0.08 * (high - low or 1)
    ax.fill_between(minutes, low - margin, high + margin, where=~closed, color="#f3d9d9", step="post", linewidth=0)
    ax.set_ylim(low - margin, high + margin)
    ax.set_ylabel("API feeder, kg/h")
    ax.set_title("What it did: API feeder setpoint in force (dips: refill feed-forward; red: PLC in local)",
                 loc="left", fontsize=10)  # fmt: skip


def _reasons(ax: Any, cycles: Sequence[dict[str, Any]], minutes: Any, target: Any) -> None:
    beliefs = [c["thought"]["belief"] for c in cycles]
    for name, sigma, scale, colour, label in (
        ("api_gain", "api_gain_sigma", 100.0, "#a33b20", "API lost on the way (delivered against weighed), %"),
        ("nir_bias_pct", "nir_bias_sigma_pct", 100.0 / target, "#3d7a3d", "NIR bias, % of target"),
    ):
        value = scale * (np.array([b[name] for b in beliefs]) - (1.0 if name == "api_gain" else 0.0))
        half = 1.645 * scale * np.array([b[sigma] for b in beliefs])
        ax.plot(minutes, value, color=colour, linewidth=1.2, label=label)
        ax.fill_between(minutes, value - half, value + half, color=colour, alpha=0.12, linewidth=0)
    ax.axhline(0, color="black", linewidth=0.5)
    ax.set_ylim(-9, 9)
    ax.set_ylabel("%")
    ax.set_title("Why: what it puts the feeder-NIR gap down to, 90 % intervals", loc="left", fontsize=10)
    ax.legend(loc="upper left", fontsize=8, frameon=False, ncols=2)


def _reading(cycle: dict[str, Any], tag: str) -> float:
    found = cycle["sample"]["readings"].get(tag)
    return float("nan") if found is None else float(found["value"])


def page(png: Path, lines: Sequence[Sequence[str]], title: str, facts: Sequence[str], out: Path) -> None:
    """Write a self-contained HTML page: figure, table of figures, facts of the run; nothing is loaded from anywhere."""
    image = base64.b64encode(png.read_bytes()).decode()
    buffer = io.StringIO()
    head, *body = lines
    buffer.write("".join(f"<th>{html.escape(cell)}</th>" for cell in head))
    rows = "".join(f"<tr>{''.join(f'<td>{html.escape(c)}</td>' for c in line)}</tr>" for line in body)
    listed = "".join(f"<li>{html.escape(fact)}</li>" for fact in facts)
    out.write_text(
        f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>
<style>
body {{ font: 15px/1.45 system-ui, sans-serif; color: #222; max-width: 1100px; margin: 2rem auto; padding: 0 1rem; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 1rem 0; }}
th, td {{ border-bottom: 1px solid #ccc; padding: .3rem .7rem; text-align: right; }}
th:nth-child(-n+2), td:nth-child(-n+2) {{ text-align: left; }}
h1 {{ font-size: 1.4rem; }}
img {{ max-width: 100%; }}
</style></head><body>
<h1>{html.escape(title)}</h1>
<table><thead><tr>{buffer.getvalue()}</tr></thead><tbody>{rows}</tbody></table>
<p>Figures on true values that only the simulator knows; the first ten minutes are left out.</p>
<img alt="true API, what the service saw, its moves and its reasons" src="data:image/png;base64,{image}">
<ul>{listed}</ul>
</body></html>
"""
    )
