"""bundle + good spectra -> how many faults were seen before the value was wrong by half the acceptance limit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from soft_sensors.bundle import Bundle
from soft_sensors.challenge.faults import FAULTS
from soft_sensors.challenge.scene import Fault, Scene, Signal
from soft_sensors.estimate import estimate
from soft_sensors.fingerprint import Fingerprint, judge_shape
from soft_sensors.signals import Estimate, FloatArray, Quality, Spectrum
from soft_sensors.validate import Previous, validate

SEVERITIES = tuple(float(s) for s in np.geomspace(0.01, 1.0, 12))
NEVER = -1


@dataclass(frozen=True)
class Samples:
    """Good spectra [n, channels] on the card's axis, in time order, with their references [n] in the target's unit.

    mass [n]: multiplies the model's value (ones where the target is no amount); signal: what the values are.
    """

    sample_ids: tuple[str, ...]
    spectra: FloatArray
    reference: FloatArray
    mass: FloatArray
    signal: Signal


@dataclass(frozen=True)
class Step:
    """One severity of one case: error = value(faulty) - value(clean), total = value(faulty) - reference (target's unit,
    NaN where validate refused and there is no value), and what quality the value carried."""

    severity: float
    error: float
    total: float
    quality: Quality
    reason: str


@dataclass(frozen=True)
class Case:
    """One fault on one sample, from faint to full."""

    fault: str
    sample_id: str
    steps: tuple[Step, ...]
    half_limit: float

    @property
    def exceeds(self) -> int:
        """The first step whose error is beyond half the acceptance limit while there is a value; NEVER."""
        return next((k for k, s in enumerate(self.steps) if abs(s.error) > self.half_limit), NEVER)

    @property
    def seen(self) -> int:
        """The first step that is not good; NEVER."""
        return next((k for k, s in enumerate(self.steps) if s.quality is not Quality.GOOD), NEVER)

    @property
    def harmful(self) -> bool:
        """The value would be wrong by more than half the limit, at some severity."""
        return self.exceeds != NEVER

    @property
    def escape(self) -> float:
        """The largest error (absolute) beyond half the limit that went out as good, at any severity; 0: none did."""
        sizes = [abs(s.error) for s in self.steps if s.quality is Quality.GOOD and abs(s.error) > self.half_limit]
        return max(sizes, default=0.0)

    @property
    def caught(self) -> bool:
        """Nothing that wrong went out as good, and the fault was seen: at the step where the value would first be
        wrong by more than half the limit, or at the full severity when it never is."""
        return self.escape == 0.0 and (self.harmful or self.steps[-1].quality is not Quality.GOOD)


def challenge(
    bundle: Bundle, samples: Samples, accept: float, seed: int, fingerprint: Fingerprint | None = None,
    faults: Sequence[Fault] = FAULTS, told: Callable[[str], None] = lambda _: None,
) -> tuple[tuple[Case, ...], tuple[Estimate, ...]]:
    """Every fault on every sample at every severity, and the clean estimates (per unit of mass).

    accept: the acceptance limit of the CQA in the target's unit; half of it is the line; fingerprint: judges as well,
    where the bundle has none of its own. Deterministic for a seed.
    The error is known, although refused values are not used: the model's value is taken from the graph, T2 and Q aside.
    """
    judge = Judge(bundle, fingerprint)
    clean = tuple(judge(values, Previous.none()) for values in samples.spectra)
    value = np.array([bundle.infer(values)["value"] for values in samples.spectra])
    cases: list[Case] = []
    for f, fault in enumerate(faults):
        told(f"{fault.name} ({f + 1} of {len(faults)})")
        for k, sample_id in enumerate(samples.sample_ids):
            if clean[k].quality is not Quality.GOOD:
                continue  # a sample that is refused as it is says nothing about faults
            steps = tuple(_steps(judge, samples, fault, k, float(value[k]), (seed, f, k)))
            cases.append(Case(fault.name, sample_id, steps, accept / 2.0))
    return tuple(cases), clean


@dataclass(frozen=True)
class Judge:
    """A spectrum and what came before it -> estimate, as the service would have it."""

    bundle: Bundle
    fingerprint: Fingerprint | None

    def __call__(self, values: FloatArray, previous: Previous) -> Estimate:
        """The estimate of a scan with these values."""
        card, scan = self.bundle.card, self.scan(values, 2)
        verdict, _ = validate(card, scan, previous, now_s=2.0, max_age_s=10.0)
        if self.fingerprint is not None and verdict.quality is not Quality.BAD:
            shape = judge_shape(self.fingerprint, values[card.window], card.refuse_factor)
            verdict = max(verdict, shape, key=lambda v: v.quality.rank)
        return estimate(self.bundle, scan, verdict)

    def after(self, before: FloatArray) -> Previous:
        """The memory that the sample before leaves behind."""
        return validate(self.bundle.card, self.scan(before, 1), Previous.none(), now_s=1.0, max_age_s=10.0)[1]

    def scan(self, values: FloatArray, counter: int) -> Spectrum:
        """The values as an acquisition, one a second."""
        return Spectrum(self.bundle.card.axis, self.bundle.card.axis_unit, values, counter, float(counter))


def _steps(
    judge: Judge, samples: Samples, fault: Fault, k: int, clean_value: float, seeds: tuple[int, int, int]
) -> Iterator[Step]:
    card, before = judge.bundle.card, samples.spectra[k - 1]  # the first sample follows the last
    scene = Scene(card.axis, card.axis_unit, samples.spectra[k], before, samples.signal)
    mass, memory = float(samples.mass[k]), judge.after(before)
    for severity in SEVERITIES if fault.graded else (1.0,):
        values = fault.make(scene, severity, np.random.default_rng(seeds))
        seen = judge(values, memory)
        value = seen.value if math.isfinite(seen.value) else judge.bundle.infer(values)["value"]
        yield Step(severity, (value - clean_value) * mass, value * mass - float(samples.reference[k]), seen.quality,
                   seen.reason)
