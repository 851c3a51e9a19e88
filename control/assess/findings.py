"""beliefs and commands -> findings: what an operator or engineer must be told about loop and model."""

from __future__ import annotations

from dataclasses import dataclass

from control.settings import ControlSettings
from control.signals import Belief, Command, Decision, Estimate, Quality, Target
from control.track import Tracked

DRIFT_LIMIT_PCT_OF_TARGET = 1.0  # our choice: a third of the +-3 % action limit
SIGMAS = 3.0
UNCERTAIN_PERSISTS_S = 60.0  # our choice: of good spectra one in forty is uncertain, alone; that is no news
WITNESSES_LC_PCT, WITNESSES_PERSIST_S = 2.0, 120.0  # our choice: beyond what either leaves open after a change
DRIFT_PERSISTS_S = 300.0  # our choice: longer than any transition takes to reach the probe


@dataclass(frozen=True)
class Finding:
    """Something to be told: a stable name, a sentence, a priority 1 (act now) to 3 (know), how long it must last."""

    name: str
    text: str
    priority: int
    persist_s: float = 0.0


def assess(
    settings: ControlSettings,
    target: Target,
    belief: Belief | None,
    decision: Decision | None,
    command: Command,
) -> tuple[Finding, ...]:
    """The findings of this cycle; the alarm list keeps their history."""
    found: list[Finding] = []
    if belief is not None and belief.quality is not Quality.BAD:
        found += _of_belief(settings, target, belief)
    if command.holding:
        found.append(Finding("hold", "; ".join(command.reasons)[:200] or "holding", 2))
    if decision is not None and decision.fallback:
        text = f"the controller has no move it can defend, below it goes on: {decision.fallback}"
        found.append(Finding("fallback", text[:200], 2))
    if any("trim cap" in reason for reason in command.reasons) or _at_cap(settings, decision):
        found.append(Finding("trim_cap", "the API trim is at its cap: find the cause, PAT has no more authority", 2))
    if command.divert:
        found.append(Finding("divert", "; ".join(r for r in command.reasons if r.startswith("divert")), 1))
    return tuple(found)


def assess_estimate(estimate: Estimate | None, channels: str) -> tuple[Finding, ...]:
    """What must be told of the estimate alone; channels: those behind its T2 or Q, in words, empty where none are."""
    if estimate is None or estimate.quality is Quality.GOOD:
        return ()
    said = f"{estimate.reason} ({channels})" if channels else estimate.reason
    if estimate.quality is Quality.BAD:
        return (Finding("nir_bad", f"NIR not usable: {said}", 2),)
    return (Finding("nir_uncertain", f"NIR uncertain: {said}", 3, UNCERTAIN_PERSISTS_S),)


def assess_material(tracked: Tracked, belief: Belief | None, target: Target) -> tuple[Finding, ...]:
    """What must be told of the material: masses that do not add up, and two witnesses of the gate that differ."""
    found = []
    balance = tracked.balance
    if balance.beyond:
        text = f"mass does not add up: {balance.residual_kg:+.2f}±{balance.sigma_kg:.2f} kg of {balance.fed_kg:.1f} fed"
        found.append(Finding("mass_balance", text, 2, DRIFT_PERSISTS_S))
    if belief is not None and belief.quality is not Quality.BAD:
        believed = 100 * belief.api_pct / target.api_pct
        apart = believed - tracked.gate.lc_pct
        if abs(apart) > max(WITNESSES_LC_PCT, SIGMAS * tracked.gate.sigma_lc_pct):
            text = (
                f"observer and material tracking differ at the gate: {believed:.1f} and {tracked.gate.lc_pct:.1f} % LC"
            )
            found.append(Finding("witnesses_differ", text, 2, WITNESSES_PERSIST_S))
    return tuple(found)


def _of_belief(settings: ControlSettings, target: Target, belief: Belief) -> list[Finding]:
    found = []
    drift_pct = 100 * belief.nir_bias_pct / target.api_pct
    sigma_pct = 100 * belief.nir_bias_sigma_pct / target.api_pct
    if abs(drift_pct) > DRIFT_LIMIT_PCT_OF_TARGET and abs(drift_pct) > SIGMAS * sigma_pct:
        text = (
            f"NIR drift: it reads {drift_pct:+.1f}±{1.645 * sigma_pct:.1f} % of target against feeders and laboratory"
        )
        found.append(Finding("nir_drift", text, 2, DRIFT_PERSISTS_S))
    loss_pct = 100 * (belief.api_gain - 1)
    if abs(loss_pct) > 1.5 and abs(belief.api_gain - 1) > SIGMAS * belief.api_gain_sigma:
        api = settings.named("api")
        found.append(Finding("hidden_loss", f"{api} delivers {loss_pct:+.1f} % API against what it weighs", 2))
    return found


def _at_cap(settings: ControlSettings, decision: Decision | None) -> bool:
    """Whether PAT's trim uses up its cap; what a commanded transition goes further is the recipe's, not PAT's."""
    if decision is None or decision.figures.get("transition_s", 0.0) > 0:
        return False
    cap = next((mv.trim_cap_pct for mv in settings.mv if mv.role == "api"), None)
    trim = decision.figures.get("trim_pct")
    return cap is not None and trim is not None and abs(trim) >= cap * 0.999
