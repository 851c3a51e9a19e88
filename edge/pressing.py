"""look at the line -> orders of the press's handles, for a line whose press has them ([press]); pure.

The press is a unit of its own: its controller (`control.press`) gets what the feeders send and what tablets are to be,
and its orders join the decision that the guard looks at.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from control.assess import Finding
from control.blocks import Bounds
from control.decide.room import with_way_back
from control.press import PressController, PressMemory, PressSeen, Result
from control.press_settings import FEED, TARGET_HARDNESS, TARGET_WEIGHT, PressSettings
from control.settings import ControlSettings
from control.signals import Belief, Decision, LabResult, PressMove, Situation
from edge.signals import Scan
from edge.understand import reading, usable

LEVEL = "Press.HopperLevelPct"


@dataclass(frozen=True)
class Pressed:
    """Setpoints of the press's handles by name, tablets as they are believed to be (mg, N), and "ok" or why not.

    move: why the setpoints are what they are.
    """

    setpoints: dict[str, float]
    weight_mg: float
    hardness_n: float
    status: str
    move: PressMove | None = None


def pressed(
    settings: ControlSettings, controller: PressController | None, scan: Scan, seen: Situation,
    memory: PressMemory | None,
) -> tuple[Pressed | None, PressMemory | None]:  # fmt: skip
    """One step of the press's controller; None on a line whose press has no handles of ours.

    What cannot be read leaves every handle where the PLC works with it, and what is known of the powder as it was.
    """
    table = settings.press
    if table is None or controller is None:
        return None, None
    names = [handle.name for handle in table.handles]
    now = tuple(seen.working[name] for name in names)
    tags = (f"{settings.named('force')}.PV", LEVEL, *(f"{name}.PV" for name in names))
    values = [reading(scan, tag) for tag in tags]
    unread = next((f"{tag}: {v.reason or v.quality}" for tag, v in zip(tags, values, strict=True) if not usable(v)), "")
    if unread or not np.all(np.isfinite(now)):
        held = None if memory is None else replace(memory, plan=None)
        why = unread or "a setpoint in force is unknown"
        return Pressed(dict(zip(names, now, strict=True)), np.nan, np.nan, why), held
    force, level, depth, thickness, turret = (value.value for value in values)
    last_s = -np.inf if memory is None else memory.result_s
    told = _newest(((scan.lab,) if scan.lab is not None else ()) + tuple(scan.lims), last_s)
    look = PressSeen(scan.time_s, force, level, depth, thickness, turret, told, (now[0], now[1], now[2]))
    feed = sum(value for name, value in seen.ratio.items() if name != settings.named("force"))
    aim = {TARGET_WEIGHT: seen.target.tablet_weight_mg, TARGET_HARDNESS: table.hardness_n, FEED: feed}
    orders, kept = controller.decide(look, aim, memory, _room(table, controller, seen, now))
    weight_mg, hardness_n = kept.tablet
    setpoints = {name: float(value) for name, value in zip(names, orders, strict=True)}
    return Pressed(setpoints, weight_mg, hardness_n, kept.status, kept.move), kept


def believed(belief: Belief, now: Pressed | None) -> Belief:
    """The belief with the tablet weight of the press's own model, which knows its handles."""
    if now is None or not np.isfinite(now.weight_mg):
        return belief
    return replace(belief, tablet_weight_mg=now.weight_mg)


def joined(decision: Decision, now: Pressed | None) -> Decision:
    """The decision with the press's setpoints and what its tablets are believed to be."""
    if now is None:
        return decision
    told = {"press_weight_mg": now.weight_mg, "press_hardness_n": now.hardness_n}
    figures = {**decision.figures, **{name: value for name, value in told.items() if np.isfinite(value)}}
    setpoints = {**decision.setpoints, **now.setpoints}
    return replace(decision, setpoints=setpoints, figures=figures, press=now.move)


def told_of_press(now: Pressed | None) -> tuple[Finding, ...]:
    """What people must be told when the press's handles stay where they are."""
    if now is None or now.status == "ok":
        return ()
    return (Finding("press_holds", f"the press's handles stay: {now.status}"[:300], 2, 10.0),)


def _newest(results: Iterable[LabResult], since_s: float) -> Result | None:
    """The newest result of tablets made after those of the last one that was used."""
    fresh = [r for r in results if r.counter > 0 and r.sample_time_s > since_s]
    fresh = [r for r in fresh if np.isfinite(r.tablet_weight_mg) or np.isfinite(r.hardness_n)]
    if not fresh:
        return None
    newest = max(fresh, key=lambda result: result.sample_time_s)
    return Result(newest.sample_time_s, newest.tablet_weight_mg, newest.hardness_n)


def _room(table: PressSettings, controller: PressController, seen: Situation, now: tuple[float, ...]) -> Bounds:
    """Limits and rates that the PLC gives the handles now; a handle that is not available stays."""
    own = Bounds.of(controller.compiled.card)
    low, high, rate = own.low.copy(), own.high.copy(), own.rate.copy()
    for i, handle in enumerate(table.handles):
        envelope = seen.envelopes[handle.name]
        rate[i] = envelope.rate_per_s * seen.cycle_s
        if envelope.available:
            low[i], high[i] = with_way_back(envelope.low, envelope.high, now[i], rate[i])
        else:
            low[i] = high[i] = now[i]
    return Bounds(low, high, rate, own.limit_low, own.limit_high)
