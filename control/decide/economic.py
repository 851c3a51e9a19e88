"""recipe, how sure the quality is -> throughput to aim at: more than the recipe's while quality backs it, never less.

The line's owner registers a range; within it the throughput goes up slowly while the belief, widened by its own doubt,
keeps clear of the API band, the evidence has all of its room and nothing is amiss, up to what the feeders can deliver
with a reserve; it comes down twice as fast when any of this ends. Our choice of a rule: what limits an economic optimum
at its constraints is all that matters here, and a ramp between two known throughputs needs no price.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from control.decide.ratio import ratio_setpoints
from control.settings import ControlSettings, EconomicSettings
from control.signals import Command, Envelope, Quality, Situation, Target

FULL = 0.99  # of the evidence's room
SUSPECTED = 0.5  # probability of a jump from which on something is amiss


@dataclass(frozen=True)
class Economy:
    """Where the throughput stands, kg/h: recipe: for which recipe; rising: quality backed more in the last cycle.

    reason: what holds it where it is, empty while it rises or when nothing is raised.
    """

    recipe: Target | None = None
    throughput_kg_h: float = 0.0
    rising: bool = False
    reason: str = ""


def aimed(settings: ControlSettings, recipe: Target, before: Economy) -> tuple[Target, Economy]:
    """The target of this cycle; the recipe itself where nothing is raised. A new recipe begins at its own."""
    table = settings.controller.economic
    if table is None:
        return recipe, before
    if before.recipe != recipe:
        return recipe, Economy(recipe, recipe.throughput_kg_h)
    step = table.ramp_kg_h_min / 60 * settings.cycle_s * (1 if before.rising else -2)
    most = max(table.throughput_most_kg_h, recipe.throughput_kg_h)
    now = min(max(before.throughput_kg_h + step, recipe.throughput_kg_h), most)
    return replace(recipe, throughput_kg_h=now), replace(before, throughput_kg_h=now)


def judged(
    settings: ControlSettings, economy: Economy, seen: Situation, command: Command, *, diverting: bool
) -> Economy:
    """Whether quality backs more, as this cycle has it; the next cycle moves by it."""
    table = settings.controller.economic
    if table is None:
        return economy
    reason = _amiss(table, seen, command, diverting=diverting) or _short(settings, table, seen.target, seen.envelopes)
    if not reason and economy.throughput_kg_h >= table.throughput_most_kg_h:
        return replace(economy, rising=True, reason="at the end of the registered range")
    return replace(economy, rising=not reason, reason=reason)


def _amiss(table: EconomicSettings, seen: Situation, command: Command, *, diverting: bool) -> str:
    belief, target = seen.belief, seen.target
    if diverting:
        return "material is being diverted"
    if command.holding:
        return "the loop holds"
    if seen.transition_s > 0:
        return "a change of the recipe is on its way"
    if belief.quality is not Quality.GOOD:
        return f"belief is {belief.quality.value}"
    if max(belief.loss_probability, belief.nir_jump_probability) > SUSPECTED:
        return "a jump is suspected"
    if seen.authority.pat < FULL:
        return f"evidence is short: {seen.authority.reason}"
    off = 100 * abs(belief.api_pct - target.api_pct) / target.api_pct
    doubt = 100 * belief.api_sigma_pct / target.api_pct
    if off + table.sigmas * doubt > table.band_lc_pct:
        return f"API {off:.1f} % off, with {table.sigmas:g} sigmas {off + table.sigmas * doubt:.1f} %"
    return ""


def _short(settings: ControlSettings, table: EconomicSettings, target: Target, rooms: Mapping[str, Envelope]) -> str:
    """The feeder that has no reserve left at this throughput."""
    wanted = ratio_setpoints(settings, target)
    for mv in settings.mv:
        most = rooms[mv.name].high * (1 - table.reserve_pct / 100)
        if mv.role != "force" and wanted[mv.name] >= most:
            return f"{mv.name} has no more than its reserve left"
    return ""
