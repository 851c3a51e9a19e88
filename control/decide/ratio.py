"""DECIDE, the plain way: recipe ratios, with the refill feed-forward; also the centre of every trim cap."""

from __future__ import annotations

from dataclasses import dataclass

from control.settings import ControlSettings
from control.signals import Decision, Situation, Target


def ratio_setpoints(settings: ControlSettings, target: Target) -> dict[str, float]:
    """Recipe setpoints for a target: kg/h a feeder, kN for the main force."""
    total, recipe = target.throughput_kg_h, settings.recipe
    api = total * target.api_pct / 100
    lubricant = total * recipe.lubricant_fraction
    setpoints = {
        settings.named("api"): api,
        settings.named("lubricant"): lubricant,
        settings.named("force"): recipe.main_force_kn,
    }
    for name, share in recipe.filler_split.items():
        setpoints[name] = share * (total - api - lubricant)
    return {mv.name: setpoints[mv.name] for mv in settings.mv}


@dataclass(frozen=True)
class Ratio:
    """Feeders in recipe ratio, no feedback from PAT."""

    settings: ControlSettings

    def decide(self, situation: Situation, memory: None) -> tuple[Decision, None]:
        """Recipe ratio times refill factor; keeps no memory."""
        blind = [name for name, factor in situation.refill_factor.items() if factor != 1.0]
        wanted = {n: v * situation.refill_factor.get(n, 1.0) for n, v in situation.ratio.items()}
        reason = "recipe ratio" + (f"; feed-forward for {', '.join(blind)} in refill" if blind else "")
        return Decision("ratio", wanted, reason[:140], "ok", situation.cycle_s, {}, {}), memory

    def prepare(self, memory: None) -> None:
        """Nothing to prepare."""
        return memory
