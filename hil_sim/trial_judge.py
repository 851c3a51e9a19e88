"""one cycle -> what was wrong with it: judged by arithmetic of its own, from what was seen, asked and written."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from control.qp import Program, Solution
from control.settings import ControlSettings
from control.signals import Situation
from edge.signals import Scan, Thought

RUNGS = ("plan", "pid", "hold")
KKT_LIMIT = 1e-6
ROOM = 1e-9  # relative


def rung(thought: Thought) -> str:
    """Who made this cycle's move: "controller", a rung of the ladder, or "none" where there was no decision."""
    if thought.decision is None:
        return "none"
    return thought.decision.fallback.partition(":")[0] or "controller"


def breaches(
    settings: ControlSettings, scan: Scan, thought: Thought, situation: Situation | None,
    solved: tuple[Program, Solution] | None, written: Mapping[str, float],
) -> list[str]:  # fmt: skip
    """Everything that must not be, of one cycle; empty when all is well.

    situation: as the controller saw it; solved: the last program and answer of this cycle, None without one; written:
    setpoints that went to the plant.
    """
    found = _of_writes(settings, scan, situation, written)
    decision, told = thought.decision, {alarm.name for alarm in thought.alarms}
    who = rung(thought)
    if written and decision is None:
        found.append("a move without a decision")
    if who not in ("none", "controller", *RUNGS):
        found.append(f"no such rung: {who}")
    if who == "hold" and written:
        found.append("a hold that writes")
    if who in RUNGS and "fallback" not in told:
        found.append(f"rung {who} without its alarm")
    if thought.command.holding and thought.target is not None and "hold" not in told:
        found.append("a hold without its alarm")
    if decision is not None and not len(decision.reason) <= 140:
        found.append(f"a reason of {len(decision.reason)} characters")
    if written and who == "controller":
        found += _of_solution(solved)
    return found


def _of_writes(
    settings: ControlSettings, scan: Scan, situation: Situation | None, written: Mapping[str, float]
) -> list[str]:
    """Finite, inside limits and caps or coming back to them at full rate, and within the rate of what was read back."""
    found = []
    if written and situation is None:
        return ["a move without a situation"]
    for mv in settings.mv:
        if mv.name not in written or situation is None:
            continue
        value, now = written[mv.name], scan.readings[f"{mv.name}.SP_Working"].value
        if not (math.isfinite(value) and math.isfinite(now)):
            found.append(f"{mv.name}: {value} written from {now}")
            continue
        step = mv.rate_per_s * settings.cycle_s
        if abs(value - now) > step + _slack(value, now):
            found.append(f"{mv.name}: {now:.5g} to {value:.5g} is faster than {step:.5g} a cycle")
        low = max(mv.low, _told(scan, f"{mv.name}.SP_LoLim", mv.low))
        high = max(low, min(mv.high, _told(scan, f"{mv.name}.SP_HiLim", mv.high)))
        if _leaves(value, now, low, high, _rate(situation, mv.name)):
            found.append(f"{mv.name}: {value:.5g} is outside {low:.5g} to {high:.5g}")
        found += _of_cap(settings, mv.name, situation, value, now, (low, high))
    return found


def _told(scan: Scan, tag: str, otherwise: float) -> float:
    """A limit of the PLC's, our own where it tells none."""
    limit = scan.readings.get(tag)
    return limit.value if limit is not None and math.isfinite(limit.value) else otherwise


def _of_cap(
    settings: ControlSettings, name: str, situation: Situation, value: float, now: float, limits: tuple[float, float]
) -> list[str]:
    mv = next(mv for mv in settings.mv if mv.name == name)
    table, cap = settings.authority, situation.caps_pct.get(name)
    if mv.role == "force":
        most = table.force_cap_pct
    else:
        most = (mv.trim_cap_pct or 0.0) + table.transition_cap_pct * (1.0 if mv.role == "api" else 0.2)
    if cap is None or not 0.0 <= cap <= most:
        return [f"{name}: a cap of {cap} where {most:g} is the most"]
    middle = situation.ratio[name] * situation.refill_factor.get(name, 1.0)
    reach = abs(middle) * cap / 100
    low, high = (min(max(edge, limits[0]), limits[1]) for edge in (middle - reach, middle + reach))
    if _leaves(value, now, low, high, _rate(situation, name)):
        return [f"{name}: {value:.5g} is outside its cap {low:.5g} to {high:.5g}, read back {now:.5g}"]
    return []


def _rate(situation: Situation, name: str) -> float:
    """The step that may be taken back towards the room, a cycle."""
    return situation.envelopes[name].rate_per_s * situation.cycle_s


def _leaves(value: float, now: float, low: float, high: float, step: float) -> bool:
    """Whether value is outside low to high, and not on its way back there from now at full rate."""
    off, was = (max(0.0, low - at, at - high) for at in (value, now))
    return off > max(0.0, was - step) + _slack(value, now)


def _slack(value: float, now: float) -> float:
    return ROOM * max(1.0, abs(value), abs(now))


def _of_solution(solved: tuple[Program, Solution] | None) -> list[str]:
    """The answer is a minimum of its program: projected-gradient residual, on the program alone."""
    if solved is None:
        return ["the controller's move without a solution"]
    program, solution = solved
    if solution.status != "ok" or not np.all(np.isfinite(solution.z)):
        return [f"the controller's move on a solver that said {solution.status}"]
    whole = np.vstack([np.eye(len(solution.z)), program.A])
    value, force = whole @ solution.z, solution.multipliers
    pull = program.H @ solution.z + program.f + whole.T @ force
    size = 1.0 + float(np.abs(program.f).max()) + float(np.abs(program.H @ solution.z).max())
    # Where a multiplier pushes the value beyond its bounds, projection brings it back to where it is.
    back = np.clip(value + force / size, program.lower, program.upper)
    off = max(float(np.abs(pull).max()) / size, float((np.abs(back - value) / (1 + np.abs(value))).max()))
    return [] if off <= KKT_LIMIT else [f"the controller's move on an answer that is off by {off:.1e}"]
