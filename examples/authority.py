"""How much a correction may do that rests on PAT, when its evidence gets worse: from all of its cap to plain ratio.

Top: the room and the cap of the API's trim against one kind of evidence at a time, from the line file's own table.
Bottom: the closed loop on the simulated line with a hidden loss of 6 %, more than the whole cap makes up for, under
evidence as it is, with the interval three times as wide, without a laboratory, with a NIR that goes stale, and with
none at all: the room that is given and the trim that is worked with. Written into OUT_DIR: authority.png and .json.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from control.authority import Evidence, authority, caps
from control.decide.ratio import ratio_setpoints
from control.settings import ControlSettings
from edge.cycle import begin, cycle
from edge.line import Line
from edge.signals import Acted, Scan, Thought
from edge.watching import carried
from hil_sim.bench import STEP_S, RigLine, ScriptedRecorder, compose_for
from hil_sim.rig import Rig
from hil_sim.scenario import Scenario, load_scenario
from soft_sensors.signals import Quality

LINE_FILE = Path(__file__).parents[1] / "deploy" / "lines" / "cdc_ref_1.toml"
BEST = Evidence(interval_pct=2.2, covered=1.0, nir_age_s=5.0, lab_age_s=600.0, lab_seen=True, skill=0.95)
SWEEPS: dict[str, tuple[str, str, float]] = {
    "interval_factor": ("interval over the card's", "interval_pct", 8.0),
    "nir_age_s": ("NIR age, s", "nir_age_s", 1000.0),
    "lab_age_s": ("laboratory age, h", "lab_age_s", 12_600.0),
    "covered": ("share of results inside the interval", "covered", 1.0),
}
AFTER_REFILL = 4  # cycles in which the setpoint is on its way back from what the refill asked for
LOSS, LOSS_AT_MIN, WORSE_AT_MIN = 0.06, 8.0, 30.0
Tamper = Callable[[Scan, float], Scan]


@dataclass(frozen=True)
class Played:
    """One run, a value a cycle: minute, room of PAT (share), trim of the API (% of its ratio)."""

    minute: np.ndarray
    room: np.ndarray
    trim_pct: np.ndarray


def swept(settings: ControlSettings, what: str, points: int = 121) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Evidence, room (share) and the API's cap (%) when one kind of evidence gets worse."""
    _, name, most = SWEEPS[what]
    at = np.linspace(0.0, most, points)
    values = at * BEST.interval_pct if what == "interval_factor" else at
    rooms = [authority(settings.authority, replace(BEST, **{name: float(v)})) for v in values]
    api = settings.named("api")
    return at, np.array([r.pat for r in rooms]), np.array([caps(settings, r, 0.0)[api] for r in rooms])


def no_laboratory(scan: Scan, _: float) -> Scan:
    """Never a result."""
    return replace(scan, lab=None)


def stale(scan: Scan, minute: float) -> Scan:
    """The last good spectrum stays from a moment on."""
    if scan.spectrum is None or minute < WORSE_AT_MIN:
        return scan
    return replace(scan, spectrum=replace(scan.spectrum, quality=Quality.BAD, reason="no new spectrum"))


def nothing(scan: Scan, _: float) -> Scan:
    """Neither NIR nor laboratory, from the start."""
    gone = None if scan.spectrum is None else replace(scan.spectrum, quality=Quality.BAD, reason="analyser off")
    return replace(scan, spectrum=gone, lab=None)


def as_it_is(scan: Scan, _: float) -> Scan:
    """Nothing is worse than it is."""
    return scan


@dataclass(frozen=True)
class Case:
    """Evidence of one run: what is between line and service, and how many times the card's the interval is."""

    name: str
    colour: str
    tamper: Tamper = as_it_is
    factor: float = 1.0


CASES = (
    Case("as it is", "#0b6e99"),
    Case("interval x 3", "#7a5195", factor=3.0),
    Case("no laboratory", "#2a9d57", no_laboratory),
    Case(f"NIR stale from minute {WORSE_AT_MIN:.0f}", "#d08a00", stale),
    Case("no evidence", "#8a8f94", nothing),
)


class WorseLine(RigLine):
    """The rig's line whose evidence a case makes worse."""

    def __init__(self, rig: Rig, line: Line, seed: int, case: Case) -> None:
        super().__init__(rig, line.config, seed)
        self._case = case

    async def scan(self) -> Scan:
        """What the service gets to see."""
        return self._case.tamper(await super().scan(), self.rig.elapsed_s / 60.0)


def play(line: Line, case: Case, minutes: float, seed: int = 1) -> Played:
    """The hidden loss under a case's evidence, the loop closed by a scripted operator."""
    loss = {"kind": "hidden_loss", "at_min": LOSS_AT_MIN, "gain": 1 - LOSS}
    told = load_scenario("hidden_loss").model_dump() | {"hours": minutes / 60.0, "fault": [loss]}
    rig = Rig(Scenario.model_validate(told), seed)
    wire, script = WorseLine(rig, line, seed, case), ScriptedRecorder()
    rows: list[tuple[float, float, float]] = []

    async def turns() -> None:
        licence = line.licences.acquire(rig.time_s)
        loop, acted = begin(line, carried(line.config, licence, case.factor)), Acted("none")
        while not rig.finished:
            thought, loop, acted = await cycle(line, loop, script.cycles, acted, wire, wire, script, wire)
            rows.append((rig.elapsed_s / 60.0, *_room_and_trim(line, rig, thought)))
            for _ in range(round(line.config.line.cycle_s / STEP_S)):
                rig.step(STEP_S)

    asyncio.run(turns())
    minute, room, trim = np.array(rows).T
    after = np.convolve(np.isnan(trim), np.ones(AFTER_REFILL), mode="full")[: len(trim)] > 0
    return Played(minute, room, np.where(after, np.nan, trim))


def _room_and_trim(line: Line, rig: Rig, thought: Thought) -> tuple[float, float]:
    """The room given, and the API's setpoint against its ratio, % (NaN in a refill: it is then no flow)."""
    assert line.control is not None, "the example's line is controlled"
    settings = line.control.settings
    api = settings.named("api")
    room = math.nan if thought.room is None else thought.room.pat
    if thought.target is None or rig.read()[f"{api}.Volumetric"].value:
        return room, math.nan
    return room, 100 * (rig.truth().setpoints[api] / ratio_setpoints(settings, thought.target)[api] - 1)


def draw(settings: ControlSettings, runs: dict[str, Played], png: Path) -> None:
    """Four sweeps above, room and trim of the runs below."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.0, 8.6), layout="constrained", dpi=110)
    axes = figure.subplot_mosaic([[*SWEEPS], ["room", "room", "trim", "trim"]], height_ratios=(1.0, 1.35))
    for what, (label, _, _) in SWEEPS.items():
        at, room, cap = swept(settings, what)
        ax = axes[what]
        ax.plot(at / 3600 if what == "lab_age_s" else at, 100 * room, color="#0b6e99", lw=1.8)
        ax.set(xlabel=label, ylim=(-4, 108), ylabel="room, %" if what == "interval_factor" else "")
        other = ax.twinx()  # the cap is the room's share of the whole one: the same curve on another scale
        other.plot(at / 3600 if what == "lab_age_s" else at, cap, alpha=0.0)
        other.set_ylim(-0.04 * cap.max(), 1.08 * cap.max())
        other.spines["top"].set_visible(False)
        other.set_ylabel("cap of the API's trim, %" if what == "covered" else "")
    axes["interval_factor"].axvline(1.0, color="#bbbbbb", lw=0.8)
    for case in CASES:
        run = runs[case.name]
        axes["room"].plot(run.minute, 100 * run.room, color=case.colour, lw=1.6, label=case.name)
        axes["trim"].plot(run.minute, run.trim_pct, color=case.colour, lw=1.2)
    wanted = 100 * (1 / (1 - LOSS) - 1)
    axes["trim"].axhline(wanted, color="#222222", lw=0.9, ls="--")
    at_left = {"xycoords": ("axes fraction", "data"), "fontsize": 9}
    axes["trim"].annotate("what the loss would take", (0.01, wanted + 0.15), **at_left)
    axes["room"].set(xlabel="min", ylabel="room given in closed loop, %", ylim=(-4, 108))
    axes["trim"].set(xlabel="min", ylabel="API against its ratio, %", ylim=(-1.6, wanted + 1.2))
    for name in ("room", "trim"):
        axes[name].axvline(LOSS_AT_MIN, color="#cccccc", lw=0.8)
    axes["room"].legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0.0, 0.05))
    for ax in axes.values():
        ax.spines["top"].set_visible(False)
    figure.suptitle("Less evidence, less room: what a correction by PAT may still do")
    figure.savefig(png, metadata={"Software": None})


def run(out: Path, minutes: float = 100.0) -> dict[str, dict[str, float]]:
    """Every case: mean room and trim of the last ten minutes; writes into out."""
    from rich.console import Console
    from rich.progress import track

    out.mkdir(parents=True, exist_ok=True)
    line = compose_for(LINE_FILE, "mpc")
    assert line.control is not None, "the example's line is controlled"
    shown = track(CASES, "playing", console=Console(stderr=True), transient=True)
    runs = {case.name: play(line, case, minutes) for case in shown}
    late = {name: run.minute > minutes - 10.0 for name, run in runs.items()}
    table = {
        name: {"room": float(run.room[late[name]].mean()), "trim_pct": float(np.nanmean(run.trim_pct[late[name]]))}
        for name, run in runs.items()
    }
    (out / "authority.json").write_text(json.dumps(table, indent=1) + "\n")
    draw(line.control.settings, runs, out / "authority.png")
    return table


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: python examples/authority.py OUT_DIR")
    for case_name, row in run(Path(sys.argv[1])).items():
        sys.stdout.write(f"{case_name:28} room {100 * row['room']:5.0f} %   API trim {row['trim_pct']:+.2f} %\n")
