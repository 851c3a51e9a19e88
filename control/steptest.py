"""STEP TEST: a small, bounded excitation of one feeder, the rule that stops it, and what its answer says of the line.

All pure: `design` cuts the amplitude until the predicted quality stays inside its limits with a margin, `level` is the
sequence, `verdict` the rule that aborts; `control.identify` reads gain, time constant and dead time from the answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from control.errors import ControlError
from control.settings import ControlSettings, StepTestSettings
from control.signals import Quality, Situation, Target

# Taps of maximal-length shift registers, by number of bits (Golomb, Shift Register Sequences, 1967).
TAPS = {3: (3, 2), 4: (4, 3), 5: (5, 3), 6: (6, 5), 7: (7, 6), 8: (8, 6, 5, 4)}
LEAST_PCT = 0.1  # our choice: less than that disappears in the feeders' own noise
FEWEST_SWITCHES = 4


@dataclass(frozen=True)
class Design:
    """A test of one feeder: +-amplitude_pct of its ratio in the order of `signs`, switch_s each, after a quiet lead.

    length_s: lead, test and an equal quiet tail; cut: why the amplitude is less than was asked, empty when it is not;
    predicted_lc_pct: how far the API is expected to go at most, % of target.
    """

    variable: str
    amplitude_pct: float
    switch_s: float
    lead_s: float
    signs: tuple[int, ...]
    predicted_lc_pct: float
    cut: str = ""

    @property
    def length_s(self) -> float:
        """From the first cycle to the last, s."""
        return 2 * self.lead_s + self.switch_s * len(self.signs)


@dataclass(frozen=True)
class Verdict:
    """Whether the test may go on; reason: why not."""

    going: bool
    reason: str = ""


@dataclass(frozen=True)
class Look:
    """What the rule that stops a test looks at: API and its sigma in % of target, weight in % of target, how long there
    was no usable estimate (s), whether belief is usable, and whether the recipe is still the test's."""

    api_off_lc_pct: float
    api_sigma_lc_pct: float
    weight_off_pct: float
    blind_s: float
    quality: Quality
    same_recipe: bool = True


def design(settings: ControlSettings, asked: StepTestSettings, ratio: Mapping[str, float]) -> Design:
    """The test that was asked for, its amplitude cut to what limits, cap and quality leave; ControlError if nothing is.

    ratio: the recipe's setpoints, as in `Situation.ratio` (kg/h a feeder). Quality: the stationary answer of the blend
    (mass balance of the feeders) plus `margin_lc_pct` for everything else
    that moves it stays within api_limit_lc_pct.
    """
    mv = next((mv for mv in settings.mv if mv.name == asked.variable and mv.role != "force"), None)
    if mv is None:
        feeders = ", ".join(mv.name for mv in settings.mv if mv.role != "force")
        raise ControlError(f"step test: '{asked.variable}' is not a feeder; take one of {feeders}")
    centre = ratio[mv.name]
    answer = abs(answer_lc_pct(settings, asked.variable, ratio))
    rooms = {
        "": asked.amplitude_pct,
        "the quality limit": (asked.api_limit_lc_pct - asked.margin_lc_pct) / answer,
        "its trim cap": mv.trim_cap_pct or math.inf,
        "its low limit": 100 * (centre - mv.low) / centre,
        "its high limit": 100 * (mv.high - centre) / centre,
    }
    why = min(rooms, key=lambda name: rooms[name])
    amplitude = rooms[why]
    if amplitude < LEAST_PCT:
        raise ControlError(
            f"step test: {why or 'amplitude_pct'} leaves {max(amplitude, 0.0):.2g} % of {mv.name}, "
            f"at least {LEAST_PCT:g} % is needed; widen it or choose another variable"
        )
    switches = int(asked.length_min * 60 / asked.switch_s)
    if switches < FEWEST_SWITCHES:
        raise ControlError(
            f"step test: {asked.length_min:g} min hold {switches} switches of {asked.switch_s:g} s, at least "
            f"{FEWEST_SWITCHES} are needed; make it longer or switch sooner"
        )
    signs = prbs(switches) if asked.shape == "prbs" else staircase(switches)
    return Design(mv.name, amplitude, asked.switch_s, asked.lead_s, signs, answer * amplitude,
                  f"{why} leaves {amplitude:.2f} of {asked.amplitude_pct:g} %" if why else "")  # fmt: skip


def answer_lc_pct(settings: ControlSettings, variable: str, ratio: Mapping[str, float]) -> float:
    """Stationary change of the blend's API, % of target, for 1 % more of a feeder, the others at their ratio."""
    share = ratio[variable] / sum(ratio[mv.name] for mv in settings.mv if mv.role != "force")
    return 1.0 - share if variable == settings.named("api") else -share


def prbs(switches: int) -> tuple[int, ...]:
    """A maximal-length binary sequence of +1 and -1, begun anew when it is over; balanced to one in a period."""
    bits = next((n for n in TAPS if 2**n - 1 >= switches), max(TAPS))
    state, signs = [1] * bits, []
    for _ in range(switches):
        signs.append(1 if state[-1] else -1)
        fresh = sum(state[tap - 1] for tap in TAPS[bits]) % 2
        state = [fresh, *state[:-1]]
    return tuple(signs)


def staircase(switches: int) -> tuple[int, ...]:
    """One long step up, one down, and back: for who wants to see it with the eye."""
    third = switches // 3
    return (1,) * third + (-1,) * third + (0,) * (switches - 2 * third)


def level(made: Design, elapsed_s: float) -> int:
    """-1, 0 or 1: where the test is after elapsed_s."""
    place = math.floor((elapsed_s - made.lead_s) / made.switch_s + 1e-9)
    return made.signs[place] if 0 <= place < len(made.signs) else 0


def look(situation: Situation, target: Target, blind_s: float) -> Look:
    """The situation as the rule that stops a test sees it; target: the one the test was made for."""
    belief, to_lc = situation.belief, 100 / target.api_pct
    return Look(
        to_lc * (belief.api_pct - target.api_pct), to_lc * belief.api_sigma_pct,
        100 * (belief.tablet_weight_mg / target.tablet_weight_mg - 1), blind_s, belief.quality,
        situation.target == target,
    )  # fmt: skip


def verdict(seen: Look, limits: StepTestSettings) -> Verdict:
    """Abort when the API is within a sigma of its limit, weight beyond its own, nothing seen, or the recipe changed."""
    if not seen.same_recipe:
        return Verdict(False, "the recipe changed")
    if seen.quality is Quality.BAD or not math.isfinite(seen.api_off_lc_pct):
        return Verdict(False, "the belief is not usable")
    if seen.blind_s > limits.blind_s:
        return Verdict(False, f"no usable estimate for {seen.blind_s:.0f} s")
    if abs(seen.api_off_lc_pct) + seen.api_sigma_lc_pct > limits.api_limit_lc_pct:
        return Verdict(False, f"API {seen.api_off_lc_pct:+.2f} % of target, limit {limits.api_limit_lc_pct:g} %")
    if abs(seen.weight_off_pct) > limits.weight_limit_pct:
        return Verdict(False, f"weight {seen.weight_off_pct:+.2f} % of target, limit {limits.weight_limit_pct:g} %")
    return Verdict(True)
