"""Material -> Findings: everything that is computed for a dossier, and each criterion of the plan held against it."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from soft_sensors.dossier import performance, perturbation, sensitivity
from soft_sensors.dossier.digits import fixed
from soft_sensors.dossier.document import Outcome
from soft_sensors.dossier.headings import Lack, UnsupportedError
from soft_sensors.dossier.material import Material
from soft_sensors.dossier.performance import Performance
from soft_sensors.dossier.perturbation import Effect
from soft_sensors.dossier.sensitivity import Band, Direction, Response, Treatment
from soft_sensors.predictions import predict
from soft_sensors.read.tables import SpectraTable
from soft_sensors.signals import FloatArray

SIZES = ("axis_shift", "broadening", "offset", "tilt", "gain_pct", "noise_factor")


@dataclass(frozen=True)
class Criterion:
    """One demand of the plan, what was found, and how the one stands to the other."""

    name: str
    demanded: str
    found: str
    outcome: Outcome
    section: int


@dataclass(frozen=True)
class Repeatability:
    """Standard deviation of repeated scans in the target's unit; measured by degrees of freedom, 0: from the noise."""

    sd: float
    freedom: int
    samples: int


@dataclass(frozen=True)
class Findings:
    """judged: without the samples set aside; everything: with them; vector [window]: the regression vector."""

    judged: Performance
    everything: Performance
    vector: FloatArray
    treatment: Treatment
    at_home: Direction
    at_test: Direction
    bands: list[Band]
    responses: list[Response]
    repeatability: Repeatability
    effects: list[Effect]
    criteria: tuple[Criterion, ...]

    @property
    def outcome(self) -> Outcome:
        """The decision: one failure fails, else one open question leaves it open."""
        outcomes = {criterion.outcome for criterion in self.criteria}
        return next((o for o in (Outcome.FAILS, Outcome.OPEN) if o in outcomes), Outcome.MEETS)


def find(m: Material) -> Findings:
    """Compute everything; UnsupportedError when the pure spectra lack the analyte or the repeats repeat nothing."""
    used = m.card.window
    kept = m.evidence.keep
    vector = sensitivity.regression_vector(m.model, m.evidence.spectra[kept].mean(axis=0))
    treatment = sensitivity.Treatment.named(m.card.pretreatment, vector.size)
    at_home = sensitivity.direction(vector, m.evidence.spectra[kept][:, used], m.evidence.reference[kept], treatment)
    y = m.test.y if m.test.masses is None else m.test.y / m.test.masses
    usable = np.isfinite(y) & ~m.test.aside & np.isfinite([p.value for p in m.test.predictions])
    at_test = sensitivity.direction(vector, m.test.table.values[usable][:, used], y[usable], treatment)
    responses = _responses(m, vector, used, treatment)
    judged = performance.judged(m.test)
    repeatability = _repeatability(m, vector, used)
    effects = perturbation.effects(m.model, m.test, {s: m.plan.number(f"robustness.{s}") for s in SIZES}, m.card.seed)
    specificity = at_test.correlation if m.pure is None else _own(m, responses).correlation
    axis = treatment.of_axis(m.card.axis[used])
    return Findings(
        judged=judged, everything=performance.whole(m.test),
        vector=vector, treatment=treatment,
        at_home=at_home, at_test=at_test, bands=sensitivity.bands(treatment.of_vector(vector), at_home.change, axis),
        responses=responses,
        repeatability=repeatability, effects=effects,
        criteria=tuple(_criteria(m, judged, specificity, repeatability, effects)),
    )  # fmt: skip


def _responses(m: Material, vector: FloatArray, used: slice, treatment: Treatment) -> list[Response]:
    if m.pure is None:
        return []
    analyte = m.plan.text("specificity.analyte")
    if analyte not in m.pure.sample_ids:
        raise UnsupportedError([Lack(10, f"specificity.analyte {analyte!r} is no row of the pure spectra; they are "
                                         f"{', '.join(m.pure.sample_ids)}")])
    place = m.pure.sample_ids.index(analyte)
    return sensitivity.responses(vector, m.pure.sample_ids, m.pure.values[:, used], place, treatment)


def _own(m: Material, responses: list[Response]) -> Response:
    return next(r for r in responses if r.name == m.plan.text("specificity.analyte"))


def _repeatability(m: Material, vector: FloatArray, used: slice) -> Repeatability:
    """Pooled over samples, sample_id being sample#scan; without repeats the noise of the spectra, propagated."""
    if m.repeat is None:
        noise = sensitivity.noise(m.evidence.spectra[m.evidence.keep][:, used])
        return Repeatability(noise * float(np.linalg.norm(vector)) * m.scale, 0, 0)
    values = defaultdict(list)
    for sample_id, value in zip(m.repeat.sample_ids, _values(m, m.repeat), strict=True):
        if math.isfinite(value):
            values[sample_id.rpartition("#")[0] or sample_id].append(value)
    freedom = sum(len(scans) - 1 for scans in values.values())
    if freedom < 1:
        raise UnsupportedError([Lack(11, "no sample was scanned twice: name the rows of --repeat sample#scan, "
                                         "for example T1#1, T1#2")])
    squares = sum(float(((np.array(scans) - np.mean(scans)) ** 2).sum()) for scans in values.values())
    return Repeatability(math.sqrt(squares / freedom), freedom, sum(len(scans) > 1 for scans in values.values()))


def _values(m: Material, table: SpectraTable) -> list[float]:
    """Predicted values in the target's unit; a repeated scan of an amount counts at the mean mass."""
    masses = None if m.test.masses is None else np.full(len(table.sample_ids), m.scale)
    return [p.value for p in predict(m.model, table, masses)]


def _criteria(
    m: Material, judged: Performance, specificity: float, repeatability: Repeatability, effects: list[Effect]
) -> list[Criterion]:
    plan, unit, score = m.plan, m.unit, judged.score
    share = 100 * score.coverage_90
    refused = 100 * score.n_bad / max(1, int((~m.test.aside).sum()))
    unnoticed = [e for e in effects if e.size and not e.caught]
    worst = max(unnoticed, key=lambda e: e.rms if math.isfinite(e.rms) else math.inf, default=None)
    low, high = m.card.reference_low * m.scale, m.card.reference_high * m.scale
    asked = plan.number("target.range_low"), plan.number("target.range_high")

    def most(name: str, key: str, value: float, section: int, of: str = unit) -> Criterion:
        limit = plan.number(key)
        shown = m.result(value) if of == unit else fixed(value, 1)
        return Criterion(name, f"at most {limit:g} {of}".strip(), f"{shown} {of}".strip(),
                         _meets(value <= limit), section)

    def least(name: str, key: str, value: float, section: int) -> Criterion:
        return Criterion(name, f"at least {plan.number(key):g}", f"{value:.4g}".replace("-", "−"),
                         _meets(value >= plan.number(key)), section)

    def between(name: str, low_key: str, high_key: str, value: float, of: str) -> Criterion:
        ends = plan.number(low_key), plan.number(high_key)
        return Criterion(name, f"{ends[0]:g} to {ends[1]:g} {of}".strip(), f"{value:.3g} {of}".strip(),
                         _meets(ends[0] <= value <= ends[1]), 9)

    scans = most("Repeatability (SD)", "criteria.max_repeatability_sd", repeatability.sd, 11)
    if repeatability.freedom == 0 and scans.outcome is Outcome.MEETS:
        scans = Criterion(scans.name, scans.demanded, f"{scans.found} from noise, not measured", Outcome.OPEN, 11)
    return [
        Criterion("Range", f"{asked[0]:g} to {asked[1]:g} {unit}", f"calibrated {low:.4g} to {high:.4g} {unit}",
                  _meets(low <= asked[0] < asked[1] <= high), 11),
        most("Uncertainty (half 90 % interval)", "target.max_uncertainty", judged.half_width, 9),
        least("Independent test samples", "criteria.min_test_samples", score.n, 14),
        most("RMSEP", "criteria.max_rmsep", score.rmsep, 9),
        most("Bias, without sign", "criteria.max_abs_bias", abs(score.bias), 9),
        least("R²", "criteria.min_r2", score.r2, 9),
        between("Slope", "criteria.slope_low", "criteria.slope_high", judged.line.slope, ""),
        between("Coverage of the 90 % interval", "criteria.coverage_low_pct", "criteria.coverage_high_pct", share, "%"),
        most("Refused test spectra", "criteria.max_refused_pct", refused, 13, "%"),
        Criterion("Skill over the null model", "above 0", f"{m.card.skill:.3f}", _meets(m.card.skill > 0), 9),
        least("Specificity: correlation", "criteria.min_specificity_correlation", specificity, 10),
        scans,
        most("Robustness: largest unnoticed change", "criteria.max_robustness_change", worst.rms if worst else 0.0, 12),
    ]


def _meets(met: bool) -> Outcome:
    return Outcome.MEETS if met else Outcome.FAILS
