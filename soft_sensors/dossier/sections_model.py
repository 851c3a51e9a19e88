"""Findings -> headings 6 to 9: calibration set, region and pre-treatment, size, performance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from soft_sensors.card import AMOUNT_VIA_MASS, WRAPPED, Card
from soft_sensors.dossier import figures
from soft_sensors.dossier.digits import fixed, p_said
from soft_sensors.dossier.document import Block, Facts, Figure, Note, Paragraph, Subheading, Table
from soft_sensors.dossier.findings import Findings
from soft_sensors.dossier.material import Material
from soft_sensors.dossier.performance import Performance
from soft_sensors.dossier.sections_purpose import Content, shown
from soft_sensors.score import score
from soft_sensors.signals import Quality

BEST = 10  # pre-treatments are listed, and those in the model
GROUPS = 30  # as many are listed one by one


def calibration(m: Material, _: Findings) -> Content:
    """6: what the model was made from, and what was left out."""
    e, card = m.evidence, m.card
    labels = sorted(set(e.group) - {""})
    groups = f"{len(labels)}: {_some(labels)}" if labels else "none named"
    left = tuple((x.sample_id, x.reason) for x in card.excluded)
    blocks: list[Block] = [
        Paragraph(m.plan.text("calibration.design")),
        Facts((("Samples", f"{len(e.sample_ids)} offered, {card.n_samples} in the fit, {len(left)} left out"),
               ("Range", _range(m)), ("Batches or groups", groups), ("Held out", card.grouping))),
        Figure("Reference values of the calibration and the test set.", figures.distribution(m)),
        Subheading("Samples left out of the fit"),
    ]
    if left:
        blocks += [
            Table(f"Samples that the fit left out, with the figures that speak against them{_in(m.card.unit)}.",
                  ("Sample", "Reason"), left, (0.16, 0.84)),
            Paragraph(m.plan.text("calibration.left_out"))]
    else:
        blocks.append(Paragraph("None: no suspect reference and no outlying spectrum was found."))
    return tuple(blocks), m.source("plan", "calibration.npz", "card.toml")


def pretreatment(m: Material, _: Findings) -> Content:
    """7: the region, and what is done to a spectrum before the model sees it."""
    card, e = m.card, m.evidence
    if m.card.family == WRAPPED:
        return _wrapped(m)
    best = {name: float(np.min(curve)) * m.scale for name, curve in e.curves.items()}
    used = {member.rpartition(",")[0]: member.rpartition(",")[2].strip() for member in card.averaged}
    used.setdefault(card.pretreatment, str(card.n_latent))
    rows = tuple((name, m.result(value), f"yes, size {used[name]}" if name in used else "")
                 for place, (name, value) in enumerate(sorted(best.items(), key=lambda item: item[1]))
                 if place < BEST or name in used)
    return (
        Paragraph(m.plan.text("pretreatment.reason")),
        Facts((("Region in use", f"{card.window_low:g} to {card.window_high:g} {shown(card.axis_unit)}"),
               ("Pre-treatment", card.pretreatment), *_family(card),
               ("Averaged with", "; ".join(card.averaged[1:]) or "no other model"))),
        Figure("Calibration spectra (40 over the range, grey) and the region in use.", figures.spectra(m)),
        Table(f"What was tried, the best of {len(best)}: lowest cross-validated error of each. SNV: standard normal "
              "variate; SGd(w): Savitzky-Golay derivative d over w channels; steps in their order.",
              ("Pre-treatment", f"RMSECV ({m.unit})", "In the model"), rows, (0.34, 0.26, 0.40), (1,)),
        Paragraph("Where several cannot be told from the best within one standard error, their predictions are "
                  "averaged: that is steadier on new batches than a choice between equals."),
    ), m.source("plan", "calibration.npz", "card.toml")  # fmt: skip


def size(m: Material, _: Findings) -> Content:
    """8: how many latent variables, and why no more."""
    if m.card.family == WRAPPED:
        return (Paragraph("The network came trained; nothing was chosen or refitted here, so its size rests on the "
                          "statement below."), Paragraph(m.plan.text("size.reason"))), m.source("plan", "card.toml")
    return (
        Paragraph("Latent variables were added while they lowered the cross-validated error by more than its standard "
                  "error; the fewest within one standard error of the best are taken (half a standard error where "
                  "several models are averaged)."),
        Figure(f"Cross-validated error by model size{_at_mass(m)}.", figures.size(m)),
        Paragraph(m.plan.text("size.reason")),
    ), m.source("plan", "calibration.npz", "card.toml")  # fmt: skip


def performance(m: Material, f: Findings) -> Content:
    """9: figures of merit, at home and on independent samples, whole and by group."""
    judged, line = f.judged, f.judged.line
    blocks: list[Block] = [
        _merit(m, f),
        Figure("Independent test samples: predicted against reference.", figures.predicted(m)),
        Figure("Errors of the independent test samples over the range.", figures.residuals(m)),
        Subheading("Bias, slope and interval"),
        Paragraph(_bias_text(m, judged)),
        Paragraph(f"Slope of predicted on reference: {line.slope:.3f} (95 % interval {line.slope_low:.3f} to "
                  f"{line.slope_high:.3f}), intercept {m.change(line.intercept)} {m.unit}."),
        Paragraph(f"The 90 % prediction interval holds {100 * judged.score.coverage_90:.1f} % of the test references "
                  f"(95 % binomial interval {100 * judged.coverage_low:.0f} to {100 * judged.coverage_high:.0f} %)."),
    ]
    if m.test.aside.any():
        blocks += [Subheading("With the samples that the plan sets aside"), _both(m, f)]
    blocks += _by_group(m)
    return tuple(blocks), m.source("spectra", "reference", "calibration.npz", "graph.onnx")


def _wrapped(m: Material) -> Content:
    """7 for a network that brings its own pre-treatment."""
    card = m.card
    return (
        Paragraph(m.plan.text("pretreatment.reason")),
        Facts((("Region watched", f"{card.window_low:g} to {card.window_high:g} {shown(card.axis_unit)}"),
               ("Pre-treatment", "inside the network, as it was trained"), *_family(card),
               ("T², Q and distance", f"principal components of {card.pretreatment}, {card.n_latent} of them"))),
        Figure("Spectra (40 over the range, grey) and the region watched.", figures.spectra(m)),
    ), m.source("plan", "calibration.npz", "card.toml")


def _family(card: Card) -> list[tuple[str, str]]:
    """What kind of model it is, and what was compared."""
    tried = [(f"Compared{_in(card.unit)}", f"RMSECV: {'; '.join(card.tried)}")] if card.tried else []
    return [("Family", card.family), *tried]


def _merit(m: Material, f: Findings) -> Table:
    e, s, unit = m.evidence, f.judged.score, m.unit
    kept = e.reference[e.keep]
    nested = (e.predicted - e.reference)[e.keep]
    fit = (e.fitted - e.reference)[e.keep]
    n, spread = int(e.keep.sum()), float(((kept - kept.mean()) ** 2).sum())
    inside = float(np.mean(np.abs(e.predicted - e.reference) <= m.card.half_width))

    def row(name: str, *values: str) -> tuple[str, ...]:
        return (name, *values)

    def sized(values: Sequence[float]) -> list[str]:
        return [m.result(v * m.scale) for v in values]

    calibrated = sized([float(np.sqrt(np.mean(fit**2))), float(np.sqrt(np.mean(nested**2)))])
    nothing_fitted = ("Nothing was fitted here: the two figures at home are the network's errors on samples declared "
                      "not trained on. ")
    nested_text = "RMSECV is nested: region, pre-treatment and size, too, were chosen without the sample. "
    return Table(
        f"Figures of merit in {unit}{_at_mass(m)}. {nothing_fitted if m.card.family == WRAPPED else nested_text}"
        "Coverage at home counts the samples left out of the fit.",
        ("", "Calibration (RMSEC)", "Cross-validation (RMSECV)", "Test (RMSEP)"),
        (
            row("Samples", str(n), str(n), str(s.n)),
            row("Root mean square error", *calibrated, m.result(s.rmsep)),
            row("95 % interval of it", "", "", f"{m.result(f.judged.rmsep_low)} to {m.result(f.judged.rmsep_high)}"),
            row(f"Null model: {m.card.null}", "", *sized([m.card.rmsecv_null]), m.result(_null(m))),
            row("Bias", *(m.change(float(v.mean()) * m.scale) for v in (fit, nested)), m.change(s.bias)),
            row("SEP", *(m.result(float(v.std(ddof=1)) * m.scale) for v in (fit, nested)), m.result(s.sep)),
            row("R²", *(fixed(1 - float(v @ v) / spread, 4) for v in (fit, nested)), fixed(s.r2, 4)),
            row("Coverage of the 90 % interval", "", f"{100 * inside:.0f} %", f"{100 * s.coverage_90:.0f} %"),
        ), (0.31, 0.20, 0.25, 0.24), (1, 2, 3),
    )  # fmt: skip


def _null(m: Material) -> float:
    """Error on the test set of the calibration's mean alone (times each mass)."""
    mean = float(m.evidence.reference[m.evidence.keep].mean())
    guess = np.full(m.test.y.size, mean) if m.test.masses is None else mean * m.test.masses
    difference = (guess - m.test.y)[~m.test.aside]
    return float(np.sqrt(np.nanmean(difference**2)))


def _bias_text(m: Material, judged: Performance) -> str:
    s = judged.score
    verdict = "differs from zero" if judged.p_bias < 0.05 else "does not differ from zero"
    return (f"Bias {m.change(s.bias)} ± {m.result(judged.bias_half)} {m.unit} (95 %); by the two-sided t-test it "
            f"{verdict} at the 5 % level ({p_said(judged.p_bias)}, {s.n} samples).")


def _both(m: Material, f: Findings) -> Table:
    rows = []
    for name, found in (("without", f.judged), ("with", f.everything)):
        s = found.score
        rows.append((name, str(s.n), m.result(s.rmsep), m.change(s.bias), m.result(s.sep), fixed(s.r2, 4),
                     f"{100 * s.coverage_90:.0f} %"))
    return Table("Results without and with the samples set aside (reasons under heading 14).",
                 ("Samples set aside", "n", "RMSEP", "Bias", "SEP", "R²", "Coverage"), tuple(rows),
                 (0.25, 0.09, 0.14, 0.13, 0.13, 0.13, 0.13), (1, 2, 3, 4, 5, 6))


def _by_group(m: Material) -> list[Block]:
    if m.test.labels is None:
        return [Note("The test samples carry no batch or group (--group): an error that belongs to one batch cannot "
                     "be told from the others here.")]
    names = sorted(set(m.test.labels))
    rows = []
    for label in names[:GROUPS]:
        chosen = [k for k, other in enumerate(m.test.labels) if other == label and not m.test.aside[k]]
        s = score([m.test.predictions[k] for k in chosen], m.test.y[chosen])
        bad = sum(m.test.predictions[k].quality != Quality.GOOD.value for k in chosen)
        rows.append((label, str(s.n), m.result(s.rmsep), m.change(s.bias), f"{100 * s.coverage_90:.0f} %", str(bad)))
    more = f" The first {GROUPS} of {len(names)} groups." if len(names) > GROUPS else ""
    return [Subheading("By group"),
            Table(f"Test samples group by group.{more}", ("Group", "n", "RMSEP", "Bias", "Coverage", "Not good"),
                  tuple(rows), (0.30, 0.10, 0.16, 0.16, 0.14, 0.14), (1, 2, 3, 4, 5))]


def _range(m: Material) -> str:
    low, high = m.card.reference_low, m.card.reference_high
    text = f"{low:.4g} to {high:.4g} {m.card.unit}".strip()
    if m.card.target != AMOUNT_VIA_MASS:
        return text
    return f"{text}; {low * m.scale:.4g} to {high * m.scale:.4g} {m.unit} at a mass of {m.scale:.4g}"


def _at_mass(m: Material) -> str:
    return f" at the test set's mean mass of {m.scale:.4g}" if m.card.target == AMOUNT_VIA_MASS else ""


def _in(unit: str) -> str:
    return f" in {unit}" if unit else ""


def _some(labels: Sequence[str]) -> str:
    return ", ".join(labels[:GROUPS]) + (f" and {len(labels) - GROUPS} more" if len(labels) > GROUPS else "")
