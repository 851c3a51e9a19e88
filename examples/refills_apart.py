"""What it brings to keep the feeders' refills apart: the same runs with [controller.refills] and without, seed by seed.

Two cases, in closed loop on the simulated line: "nominal" as it is, with hoppers filled by chance, and "met", whose
hoppers of API, cellulose and lactose are filled so that all three would refill at minute 25. Written into OUT_DIR:
refills_apart.json. Judged from minute 10 on; 95 % intervals by Student's t over the seeds.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edge.cycle import begin, cycle
from edge.line import Line
from edge.ports import Recorder
from edge.signals import Acted
from hil_sim.bench import STEP_S, RigLine, ScriptedRecorder
from hil_sim.kpi import WARM_UP_S, Trace, kpis
from hil_sim.line.parameters import FEEDERS
from hil_sim.rig import Rig, Truth
from hil_sim.scenario import load_scenario
from hil_sim.summary import mean_interval
from hil_sim.variants import compose_variant, variant

LINE_FILE = Path(__file__).parents[1] / "deploy" / "lines" / "cdc_ref_1.toml"
REFILLS = {
    "levels": {  # kg and s: of the reference line's feeders and PLC
        "FeederApi": {"low_kg": 0.90, "high_kg": 2.40, "early_kg": 1.65, "blind_s": 45.0},
        "FeederMcc": {"low_kg": 1.50, "high_kg": 4.56, "early_kg": 3.00, "blind_s": 48.0},
        "FeederLac": {"low_kg": 2.50, "high_kg": 7.50, "early_kg": 5.00, "blind_s": 53.0},
        "FeederMgst": {"low_kg": 0.10, "high_kg": 0.30, "early_kg": 0.20, "blind_s": 41.0},
    }
}
COME, APART = "as they come", "apart"
MEET_AT_S = 1500.0
FIGURES = (
    "blind_two_min_h", "blind_two_api_min_h", "rsd_pct", "max_deviation_pct", "travel", "refills_h", "refills_api_h",
    "asked_h",
)  # fmt: skip


def as_it_comes(rig: Rig) -> None:
    """Hoppers as the seed fills them."""


def meeting(rig: Rig) -> None:
    """API, cellulose and lactose filled so that they would refill together."""
    truth = rig.truth()
    for key, name in (("api", "FeederApi"), ("mcc", "FeederMcc"), ("lac", "FeederLac")):
        feeder, p = rig.line.feeders[key], rig.parameters.feeders[key]
        level_kg = p.refill_low * p.capacity_kg + truth.setpoints[name] * MEET_AT_S / 3600
        feeder.hopper_kg = feeder.weight_kg = min(level_kg, p.refill_high * p.capacity_kg)


CASES: Mapping[str, Callable[[Rig], None]] = {"nominal": as_it_comes, "met": meeting}


def lines() -> dict[str, Line]:
    """The reference line as it is shipped, and with refills that are kept apart."""
    apart = (("controller.refills", REFILLS),)
    return {way: compose_variant(variant(LINE_FILE, "mpc", told)) for way, told in ((COME, ()), (APART, apart))}


def play(line: Line, case: str, seed: int, hours: float, recorder: Recorder | None = None) -> dict[str, float]:
    """One run: how long two feeders were blind at once, what became of the tablets, and what it cost."""
    rig = Rig(load_scenario("nominal").model_copy(update={"hours": hours}), seed)
    CASES[case](rig)
    wire, script = RigLine(rig, line.config, seed), ScriptedRecorder(recorder)
    truths: list[Truth] = []
    two = two_api = 0
    refills, asked, before = dict.fromkeys(FEEDERS, 0), 0, frozenset[str]()

    async def turns() -> None:
        nonlocal two, two_api, asked, before
        loop, acted = begin(line), Acted("none")
        while not rig.finished:
            thought, loop, acted = await cycle(line, loop, script.cycles, acted, wire, wire, script, wire)
            asked += bool(thought.command.refill)
            for i in range(round(line.config.line.cycle_s / STEP_S)):
                rig.step(STEP_S)
                if i % 2:
                    truths.append(rig.truth())
                now = frozenset(n for n in FEEDERS if rig.line.feeders[n].volumetric)
                if rig.elapsed_s >= WARM_UP_S:
                    two += len(now) > 1
                    two_api += len(now) > 1 and "api" in now
                    for name in now - before:
                        refills[name] += 1
                before = now

    asyncio.run(turns())
    judged_h = hours - WARM_UP_S / 3600
    row: dict[str, Any] = kpis(Trace.of(truths))
    found = {
        "blind_two_min_h": two * STEP_S / 60 / judged_h,
        "blind_two_api_min_h": two_api * STEP_S / 60 / judged_h,
        "refills_h": sum(refills.values()) / judged_h,
        "refills_api_h": refills["api"] / judged_h,
        "asked_h": asked / judged_h,
    }
    return found | {name: row[name] for name in FIGURES if name in row}


def run(out: Path, seeds: int, hours: float, cases: tuple[str, ...] = tuple(CASES)) -> dict[str, Any]:
    """Every case with and without, on the same seeds; mean, 95 % interval, and the same of the difference."""
    from rich.console import Console
    from rich.progress import track

    jobs = [(case, way, seed) for case in cases for seed in range(1, seeds + 1) for way in (COME, APART)]
    made = lines()
    shown = track(jobs, "playing", console=Console(stderr=True), transient=True)
    rows = {job: play(made[job[1]], job[0], job[2], hours) for job in shown}
    out.mkdir(parents=True, exist_ok=True)
    table = {case: {name: _compared(rows, case, seeds, name) for name in FIGURES} for case in cases}
    told = {"seeds": seeds, "hours": hours, "cases": table}
    (out / "refills_apart.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return told


def _compared(
    rows: Mapping[tuple[str, str, int], Mapping[str, float]], case: str, seeds: int, name: str
) -> dict[str, tuple[float, float]]:
    come, apart = ([rows[case, way, seed][name] for seed in range(1, seeds + 1)] for way in (COME, APART))
    difference = [b - a for a, b in zip(come, apart, strict=True)]
    return {COME: mean_interval(come), APART: mean_interval(apart), "difference": mean_interval(difference)}


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 4 or sys.argv[1].startswith("-"):
        sys.exit("usage: python examples/refills_apart.py OUT_DIR [SEEDS [HOURS]]")
    given = [float(word) for word in sys.argv[2:]]
    found = run(Path(sys.argv[1]), int(given[0]) if given else 20, given[1] if len(given) > 1 else 1.5)
    for case_name, figures in found["cases"].items():
        sys.stdout.write(f"{case_name}: {found['seeds']} seeds of {found['hours']:g} h\n")
        for figure, ways in figures.items():
            cells = "   ".join(f"{way} {mean:8.3f} +- {half:.3f}" for way, (mean, half) in ways.items())
            sys.stdout.write(f"  {figure:20} {cells}\n")
