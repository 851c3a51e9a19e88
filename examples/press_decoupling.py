"""Weight and hardness on one press: single loops against a controller that knows how they hang together.

    python examples/press_decoupling.py OUT_DIR [SEEDS]

The press is the simulator's own truth (hopper, feed frame, die filling, Kawakita, noise), which the controller's model
(control/plants/press.py) neither shares nor matches. Played: weight 250 to 245 mg, hardness 86 to 100 N, bulk density
+4 % at once, feed 20 to 21 kg/h. Both sides see force, level, read-backs and, every two minutes and a minute late, the
at-line tester. The rivals are PI loops tuned by SIMC (Skogestad 2003), in the two usual pairings. Written into OUT_DIR:
figures.json, press.png.
"""

from __future__ import annotations

import json
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from control.compile import compile_problem
from control.plants.press import PressLimits, PressModel, problem
from control.press import PressController, PressMemory, PressSeen, Result
from hil_sim.line.line import Line
from hil_sim.line.material import API, LOOSE, WATER, powder_of
from hil_sim.line.parameters import load_parameters
from hil_sim.line.press import Tablets
from hil_sim.summary import mean_interval

FloatArray = NDArray[np.float64]
CYCLE_S, STEP_S = 2.0, 0.5
FEEDS_KG_H = (2.0, 10.8, 7.0, 0.2)
TEST_EVERY_S, TEST_DELAY_S = 120.0, 60.0
THICKNESS_LAG_S, THICKNESS_STEP_MM = 1.5, 0.01
WARM_UP_S, AFTER_S = 600.0, 480.0
SCRIPT = {"weight": 900.0, "hardness": 1620.0, "density": 2340.0, "feed": 3000.0}  # s, when each event happens
LENGTH_S = 3600.0
FORCE_SLOPE_KN_MM, FORCE_KN, DEPTH_MM, THICKNESS_MM = 8.5, 9.55, 7.86, 2.911  # of the reference tablet


@dataclass(frozen=True)
class Targets:
    """What is wanted now: mg, N, and the feed that comes anyway, kg/h."""

    weight_mg: float = 250.0
    hardness_n: float = 86.0
    feed_kg_h: float = 20.0


class TruePress:
    """Hopper, feed frame and press of the simulated line, fed with the recipe's blend whose API wanders a little."""

    def __init__(self, seed: int) -> None:
        self.parameters = load_parameters()
        self._line = Line(self.parameters, FEEDS_KG_H, seed)
        self._random, self._drift = Random(f"{seed}/press example"), 0.0
        self._water = self._line.fractions[WATER]
        self.time_s, self.density = 0.0, 1.0
        self.tablets = self._line.tablets
        self.force_kn = self.tablets.measured_force_kn
        self._waiting: list[Result] = []
        self._next_test_s = TEST_EVERY_S
        self._out_kg_s = sum(FEEDS_KG_H) / 3600.0

    @property
    def level_pct(self) -> float:
        """True fill of the hopper, %."""
        return self._line.chute.level_pct

    def step(self, orders: FloatArray, feed_kg_h: float) -> None:
        """Half a second of pressing."""
        line, press, frame = self._line, self._line.press, self._line.feed_frame
        line.chute.powder.push(powder_of(line.fractions, feed_kg_h * STEP_S / 3600.0))
        press.follow(STEP_S, float(orders[2]), float(orders[0]))
        asked = round(float(orders[1]) / THICKNESS_STEP_MM) * THICKNESS_STEP_MM
        press.min_thickness_mm += (1.0 - np.exp(-STEP_S / THICKNESS_LAG_S)) * (asked - press.min_thickness_mm)
        frame.wander(STEP_S)
        self._drift += -self._drift * STEP_S / 300.0 + 0.3 * (2 * STEP_S / 300.0) ** 0.5 * self._random.gauss(0.0, 1.0)
        made = self.made()
        self.tablets = made
        wanted_kg = made.count * made.weight_mg * 1e-6
        out = frame.powder.exchange(line.chute.powder.pull(frame.room_kg() + wanted_kg), wanted_kg)
        self._out_kg_s = sum(out[:LOOSE]) / STEP_S
        self.force_kn += min(1.0, STEP_S / 1.6) * (made.measured_force_kn - self.force_kn)
        self.time_s += STEP_S
        if self.time_s >= self._next_test_s:
            self._next_test_s += TEST_EVERY_S
            draw = self._random.gauss
            self._waiting.append(Result(self.time_s, made.weight_mg + draw(0, 0.8), made.hardness_n + draw(0, 1.6)))

    def made(self) -> Tablets:
        """The tablets of this half second."""
        line, frame = self._line, self._line.feed_frame
        return line.press.step(
            STEP_S, density_ratio=frame.density_ratio * self.density, fill=frame.fill, paddle_rpm=frame.paddle_rpm,
            api_pct=100.0 * line.fractions[API] + self._drift, moisture_shift_pct=0.0,
            strength_factor=frame.strength_factor(self._out_kg_s),
        )  # fmt: skip

    def seen(self) -> PressSeen:
        """What can be read now; a tester's result once, when it has come."""
        due = [r for r in self._waiting if r.made_s + TEST_DELAY_S <= self.time_s]
        self._waiting = [r for r in self._waiting if r not in due]
        press = self._line.press
        return PressSeen(self.time_s, self.force_kn, self._line.chute.measure_level_pct(), press.fill_depth_mm,
                         press.min_thickness_mm, press.turret_rpm, due[-1] if due else None)  # fmt: skip


@dataclass
class Decoupled:
    """The model-predictive controller with its memory."""

    controller: PressController
    memory: PressMemory | None = None

    def orders(self, seen: PressSeen, targets: Targets) -> FloatArray:
        """One pure step of the controller."""
        aim = {"target_weight_mg": targets.weight_mg, "target_hardness_n": targets.hardness_n,
               "feed_kg_h": targets.feed_kg_h}  # fmt: skip
        found, self.memory = self.controller.decide(seen, aim, self.memory)
        return found


@dataclass
class Single:
    """Three PI loops of their own, SIMC-tuned; level by the turret as the simulated PLC does it.

    depth on force: weight trims the force's target, hardness the thickness. depth on weight: fill depth follows the
    tester's weight, thickness the force, and hardness trims the force's target.
    """

    pairing: Literal["depth on force", "depth on weight"]
    depth: float = DEPTH_MM
    thickness: float = THICKNESS_MM
    trim_kn: float = 0.0
    bias_rpm: float = 37.0
    last_kn: float = field(default=float("nan"))
    last_targets: Targets = Targets()

    def orders(self, seen: PressSeen, targets: Targets) -> FloatArray:
        """One step of each loop, with the change of a target fed forward along the reference tablet's slopes."""
        change = targets.weight_mg / self.last_targets.weight_mg
        harder = targets.hardness_n / self.last_targets.hardness_n
        self.last_targets = targets
        on_force = self.pairing == "depth on force"
        # At the same weight 13 % more force gives 12.5 % more hardness; at the same thickness force goes as weight^7.
        wanted = FORCE_KN * (targets.hardness_n / 86.0) ** 1.04
        wanted *= (targets.weight_mg / 250.0) ** 7 if on_force else 1.0
        if seen.result is not None:
            off_mg, off_n = targets.weight_mg - seen.result.weight_mg, targets.hardness_n - seen.result.hardness_n
            # SIMC for a gain with a dead time of 120 s (half a sampling interval and the delay), tau_c = dead time:
            # integral action only, 1 / (gain 240 s), for one interval of 120 s.
            share = TEST_EVERY_S / 240.0
            if on_force:
                self.trim_kn += share * off_mg / 3.74
                self.thickness += share * off_n / -215.0
            else:
                self.depth += share * off_mg / 31.8
                self.trim_kn += share * off_n / 9.0
        if on_force:
            self.thickness *= harder**-0.147
        else:
            self.depth *= change
        gap = wanted + self.trim_kn - seen.force_kn
        last = gap if np.isnan(self.last_kn) else self.last_kn
        # SIMC for the actuator's 1.5 s with the revolution's 1.6 s, 2 s of dead time in sampling and averaging.
        move = (gap - last + gap * CYCLE_S / 2.35) * 2.35 / (4.0 * FORCE_SLOPE_KN_MM)
        self.last_kn = gap
        if on_force:
            self.depth += move
        else:
            self.thickness += move * FORCE_SLOPE_KN_MM / -24.8  # 13 % of force for 0.05 mm
        self.depth, self.thickness = float(np.clip(self.depth, 6.0, 10.0)), float(np.clip(self.thickness, 2.6, 3.3))
        high = seen.level_pct - 50.0
        self.bias_rpm += 0.5 * high * CYCLE_S / 240.0
        return np.array([self.depth, self.thickness, float(np.clip(self.bias_rpm + 0.5 * high, 15.0, 60.0))])


def play(loops: Decoupled | Single, seed: int, length_s: float = LENGTH_S) -> dict[str, FloatArray]:
    """The script on one seed: time (s), targets and true values, once a cycle."""
    press, rows = TruePress(seed), []
    orders = np.array([DEPTH_MM, THICKNESS_MM, 37.0])
    while press.time_s < length_s:
        now = press.time_s
        targets = Targets(245.0 if now >= SCRIPT["weight"] else 250.0, 100.0 if now >= SCRIPT["hardness"] else 86.0,
                          21.0 if now >= SCRIPT["feed"] else 20.0)  # fmt: skip
        press.density = 1.04 if now >= SCRIPT["density"] else 1.0
        orders = loops.orders(press.seen(), targets)
        made = []
        for _ in range(round(CYCLE_S / STEP_S)):
            press.step(orders, targets.feed_kg_h)
            made.append((press.tablets.weight_mg, press.tablets.hardness_n, press.tablets.force_kn))
        rows.append((now, targets.weight_mg, targets.hardness_n, *np.mean(made, axis=0), press.level_pct, *orders))
    names = ("time_s", "target_weight_mg", "target_hardness_n", "weight_mg", "hardness_n", "force_kn", "level_pct",
             "depth_mm", "thickness_mm", "turret_rpm")  # fmt: skip
    return dict(zip(names, np.array(rows).T, strict=True))


def figures(run: dict[str, FloatArray]) -> dict[str, float]:
    """Of one run, after the warm-up, on true values; an event's window is the eight minutes after it.

    rsd: root mean square distance from the target in % of it; *_moves: largest distance (10 s mean) in the window of an
    event that should not concern it; *_s: seconds until the 6 s mean of weight or hardness stays within 2.5 mg or 4 N.
    """
    time, keep = run["time_s"], run["time_s"] >= WARM_UP_S
    off_mg = run["weight_mg"] - run["target_weight_mg"]
    off_n = run["hardness_n"] - run["target_hardness_n"]

    def after(event: str, off: FloatArray, cycles: int = 1) -> FloatArray:
        chosen = off[(time >= SCRIPT[event]) & (time < SCRIPT[event] + AFTER_S)]
        return np.convolve(chosen, np.full(cycles, 1 / cycles), mode="valid")

    def largest(event: str, off: FloatArray) -> float:
        return float(np.abs(after(event, off, 5)).max())

    def settled_s(event: str, off: FloatArray, within: float) -> float:
        outside = np.flatnonzero(np.abs(after(event, off, 3)) > within)
        return float(CYCLE_S * (outside[-1] + 3)) if outside.size else 0.0

    return {
        "weight_rsd_pct": 100 * float(np.sqrt(np.mean((off_mg[keep] / run["target_weight_mg"][keep]) ** 2))),
        "hardness_rsd_pct": 100 * float(np.sqrt(np.mean((off_n[keep] / run["target_hardness_n"][keep]) ** 2))),
        "weight_step_s": settled_s("weight", off_mg, 2.5),
        "hardness_moves_n": largest("weight", off_n),
        "hardness_step_s": settled_s("hardness", off_n, 4.0),
        "weight_moves_mg": largest("hardness", off_mg),
        "density_rms_mg": float(np.sqrt(np.mean(after("density", off_mg) ** 2))),
        "density_rms_n": float(np.sqrt(np.mean(after("density", off_n) ** 2))),
        "density_s": settled_s("density", off_mg, 2.5),
        "level_moves_pct": float(np.abs(run["level_pct"][keep] - 50.0).max()),
        "largest_force_kn": float(run["force_kn"][keep].max()),
    }


def contenders() -> dict[str, Any]:
    """Name -> a maker of fresh loops."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # do-mpc warns of optional packages that are not needed here
        compiled = compile_problem(problem(PressModel(), PressLimits(), CYCLE_S))
    return {
        "decoupled": lambda: Decoupled(PressController(compiled)),
        "depth on force": lambda: Single("depth on force"),
        "depth on weight": lambda: Single("depth on weight"),
    }


def draw_figure(runs: dict[str, dict[str, FloatArray]], png: Path) -> None:
    """One seed: weight, hardness, force, level of all three, targets dashed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 9.5), layout="constrained", dpi=110)
    axes = figure.subplots(4, 1, sharex=True)
    shown = ("weight_mg", "hardness_n", "force_kn", "level_pct")
    labels = ("weight, mg", "hardness, N", "force, kN", "hopper level, %")
    for ax, name, label in zip(axes, shown, labels, strict=True):
        for (who, run), colour in zip(runs.items(), ("#0b6e99", "#d08a00", "#8a8f94"), strict=True):
            ax.plot(run["time_s"] / 60, run[name], color=colour, lw=1.0, label=who, alpha=0.9)
        if f"target_{name}" in run:
            ax.plot(run["time_s"] / 60, run[f"target_{name}"], color="#222222", lw=0.9, ls="--")
        for at in SCRIPT.values():
            ax.axvline(at / 60, color="#cccccc", lw=0.8, zorder=1)
        ax.set(ylabel=label, xlim=(WARM_UP_S / 60, LENGTH_S / 60))
        ax.spines[["top", "right"]].set_visible(False)
    for at, text in zip(SCRIPT.values(), ("weight 245 mg", "hardness 100 N", "density +4 %", "feed +5 %"), strict=True):
        axes[0].annotate(text, (at / 60, 1.02), xycoords=("data", "axes fraction"), fontsize=9)
    axes[1].legend(frameon=False, fontsize=9, ncols=3, loc="upper left")
    axes[-1].set_xlabel("min")
    figure.savefig(png, metadata={"Software": None})


def run(out: Path, seeds: int = 20) -> dict[str, dict[str, tuple[float, float]]]:
    """Every contender on every seed: mean and half width of its 95 % interval by figure; writes into out."""
    from rich.console import Console
    from rich.progress import track

    out.mkdir(parents=True, exist_ok=True)
    makers, console = contenders(), Console(stderr=True)
    plan = [(name, seed) for name in makers for seed in range(1, seeds + 1)]
    made = {key: play(makers[key[0]](), key[1]) for key in track(plan, "playing", console=console, transient=True)}
    rows = {name: [figures(made[name, seed]) for seed in range(1, seeds + 1)] for name in makers}
    table = {name: {k: mean_interval([row[k] for row in found]) for k in found[0]} for name, found in rows.items()}
    (out / "figures.json").write_text(json.dumps(table, indent=1) + "\n")
    draw_figure({name: made[name, 1] for name in makers}, out / "press.png")
    return table


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or sys.argv[1].startswith("-"):
        sys.exit("usage: python examples/press_decoupling.py OUT_DIR [SEEDS]")
    outcome = run(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) == 3 else 20)
    sys.stdout.write(f"{'':22}" + "".join(f"{name:>22}" for name in outcome) + "\n")
    for key in next(iter(outcome.values())):
        cells = (f"{outcome[name][key][0]:.2f} ± {outcome[name][key][1]:.2f}" for name in outcome)
        sys.stdout.write(f"{key:22}" + "".join(f"{cell:>22}" for cell in cells) + "\n")
