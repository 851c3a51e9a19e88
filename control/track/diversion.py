"""gate, evidence -> divert or release: a state machine that fails safe and says why."""

from __future__ import annotations

from dataclasses import dataclass, replace

REASON_CHARS = 140


@dataclass(frozen=True)
class Risk:
    """Another quality that decides on release, with its bounds: tablet weight, hardness; sigma 0 or more."""

    name: str
    value: float
    sigma: float
    low: float
    high: float
    unit: str

    def beyond(self, sigmas: float) -> str:
        """Why it may be outside, empty when it is not."""
        if self.value - sigmas * self.sigma < self.low or self.value + sigmas * self.sigma > self.high:
            bounds = f"limits {self.low:g} to {self.high:g}"
            return f"{self.name} {self.value:.1f}±{sigmas * self.sigma:.1f} {self.unit}, {bounds}"
        return ""


@dataclass(frozen=True)
class Diversion:
    """Whether material is diverted, why, and how much has passed inside the limits since it last was not."""

    diverting: bool = True
    reason: str = "nothing is known of the material yet"
    inside_kg: float = 0.0
    since_s: float = 0.0


def judge(before: Diversion, why: str, passed_kg: float, confirm_kg: float, time_s: float) -> Diversion:
    """The next state: diverting at once when there is a reason, releasing after confirm_kg without one.

    why: the reason to divert now, empty when there is none; passed_kg: what passed the gate since the last look.
    """
    if why:
        since_s = before.since_s if before.diverting else time_s
        return Diversion(True, why[:REASON_CHARS], 0.0, since_s)
    if not before.diverting:
        return before
    inside_kg = before.inside_kg + passed_kg
    if inside_kg >= confirm_kg:
        return Diversion(False, "", 0.0, time_s)
    text = f"inside the limits since {1000 * inside_kg:.0f} g of {1000 * confirm_kg:.0f} g"
    return replace(before, reason=text, inside_kg=inside_kg)
