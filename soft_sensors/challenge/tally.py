"""cases of a campaign -> figures: by kind of fault, and altogether."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from soft_sensors.challenge.campaign import Case
from soft_sensors.signals import Estimate, Quality

CAUGHT_LEAST, REFUSED_MOST = 0.95, 0.01


@dataclass(frozen=True)
class Kind:
    """One kind of fault over all samples.

    n: cases; harmful: cases whose value would be wrong by more than half the limit at some severity; escaped: harmful
    cases in which such a value went out as good; largest_escape: the largest of these errors, over the acceptance
    limit; seen: cases that are not good at full severity; reason: what was said first, in most of the cases.
    """

    name: str
    n: int
    harmful: int
    escaped: int
    largest_escape: float
    seen: int
    reason: str

    @property
    def caught(self) -> float:
        """Share of the harmful cases in which no wrong value went out as good (1 when there are none)."""
        return 1.0 - self.escaped / self.harmful if self.harmful else 1.0


@dataclass(frozen=True)
class Tally:
    """The campaign's answer; shares 0..1.

    caught: of the harmful cases, not good before the error exceeds half the acceptance limit; seen_or_harmless: of all
    cases, nothing wrong went out as good; kinds_caught: kinds of fault with caught >= 95 %; refused, not_good: of the
    clean spectra, bad, and bad or uncertain.
    """

    kinds: tuple[Kind, ...]
    n_cases: int
    n_harmful: int
    caught: float
    seen_or_harmless: float
    kinds_caught: int
    n_clean: int
    refused: float
    not_good: float

    @property
    def passed(self) -> bool:
        """At least 95 % of what would do harm is seen in time, and at most 1 % of good spectra is refused."""
        return self.caught >= CAUGHT_LEAST and self.refused <= REFUSED_MOST


def tally(cases: Sequence[Case], clean: Sequence[Estimate]) -> Tally:
    """Count cases and clean estimates; both not empty."""
    names = tuple(dict.fromkeys(case.fault for case in cases))
    kinds = tuple(_kind(name, [case for case in cases if case.fault == name]) for name in names)
    harmful, escaped = sum(k.harmful for k in kinds), sum(k.escaped for k in kinds)
    return Tally(
        kinds=kinds, n_cases=len(cases), n_harmful=harmful, caught=1.0 - escaped / harmful if harmful else 1.0,
        seen_or_harmless=1.0 - escaped / len(cases) if cases else 1.0,
        kinds_caught=sum(k.caught >= CAUGHT_LEAST for k in kinds), n_clean=len(clean),
        refused=sum(e.quality is Quality.BAD for e in clean) / len(clean),
        not_good=sum(e.quality is not Quality.GOOD for e in clean) / len(clean),
    )


def _kind(name: str, cases: Sequence[Case]) -> Kind:
    escapes = [case.escape for case in cases if case.escape > 0.0]
    said = [_first_word(case) for case in cases]
    return Kind(
        name=name, n=len(cases), harmful=sum(case.harmful for case in cases), escaped=len(escapes),
        largest_escape=max(escapes, default=0.0) / (2.0 * cases[0].half_limit),
        seen=sum(case.steps[-1].quality is not Quality.GOOD for case in cases), reason=max(said, key=said.count),
    )


def _first_word(case: Case) -> str:
    """Who saw the fault first, without the numbers."""
    if case.seen < 0:
        return "-"
    said = case.steps[case.seen].reason.removeprefix("shape: ").split(" is ", maxsplit=1)[0]
    return said.split(":", maxsplit=1)[0]
