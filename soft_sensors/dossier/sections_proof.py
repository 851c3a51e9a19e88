"""Findings -> headings 10 to 14: specificity, precision, robustness, limits, independence."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from soft_sensors.card import AMOUNT_VIA_MASS
from soft_sensors.dossier import figures
from soft_sensors.dossier.campaign import campaign_blocks
from soft_sensors.dossier.digits import fixed, p_said, p_value, signed
from soft_sensors.dossier.document import Block, Facts, Figure, Note, Paragraph, Subheading, Table
from soft_sensors.dossier.findings import Findings
from soft_sensors.dossier.material import Material
from soft_sensors.dossier.performance import levels
from soft_sensors.dossier.sections_purpose import Content, shown
from soft_sensors.signals import Quality

LISTED = 20  # spectra that are not good


def specificity(m: Material, f: Findings) -> Content:
    """10: that the model answers to the analyte, and to what else."""
    blocks: list[Block] = [Paragraph(m.plan.text("specificity.basis"))]
    blocks += _against_pure(m, f) if m.pure is not None else _without_pure(m, f)
    unit = shown(m.card.axis_unit)
    rows = tuple((f"{b.low:g} to {b.high:g} {unit}", f"{signed(b.share_pct, 0)} %") for b in f.bands[:6])
    blocks += [
        Table("Where the response comes from: the six parts of the region with the largest shares of the response to "
              "the analyte (of twelve; shares may count against each other).", ("Part of the axis", "Share"), rows,
              (0.6, 0.4), (1,)),
        *_errors_against_others(m)]
    return tuple(blocks), m.source("plan", "pure", "graph.onnx", "calibration.npz", "spectra")


def precision(m: Material, f: Findings) -> Content:
    """11: linearity, range, accuracy by level, repeatability."""
    line, p = f.judged.line, m.plan
    bent = math.isfinite(line.p_quadratic) and line.p_quadratic < 0.05
    curve = ("A quadratic term is significant at the 5 % level" if bent else
             "A quadratic term is not significant at the 5 % level") + f" ({p_said(line.p_quadratic)})."
    rows = []
    for level in levels(m.test):
        recovery = f"{100 * (1 + level.bias / level.mean):.1f} %" if level.mean > 0 else ""
        rows.append((f"{m.result(level.low)} to {m.result(level.high)}", str(level.n), m.result(level.mean),
                     m.change(level.bias), recovery, m.result(level.sd)))
    return (
        Subheading("Linearity and range"),
        Paragraph(f"Predicted against reference over {levels(m.test)[0].low:.4g} to {levels(m.test)[-1].high:.4g} "
                  f"{m.unit}: slope {line.slope:.3f} ({line.slope_low:.3f} to {line.slope_high:.3f}), R² "
                  f"{fixed(f.judged.score.r2, 4)}. {curve} The range asked for is {p.number('target.range_low'):g} to "
                  f"{p.number('target.range_high'):g} {m.unit}."),
        Subheading("Accuracy and precision over the range"),
        Table(f"Test samples by level of the reference, in {m.unit}. SD: standard deviation of the differences, which "
              "holds the reference's own error.", ("Level", "n", "Mean", "Bias", "Recovery", "SD"), tuple(rows),
              (0.30, 0.08, 0.16, 0.16, 0.16, 0.14), (1, 2, 3, 4, 5)),
        Subheading("Repeatability"),
        _repeatability(m, f),
    ), m.source("plan", "spectra", "reference", "repeat")  # fmt: skip


def robustness(m: Material, f: Findings) -> Content:
    """12: what small disturbances do, and the campaign of faults where there was one."""
    rows = tuple((e.name, e.size, m.change(e.mean), m.result(e.rms), f"{100 * e.not_good:.0f} %") for e in f.effects)
    blocks: list[Block] = [
        Paragraph(m.plan.text("robustness.scope")),
        Subheading("Computed disturbances of the test spectra"),
        Figure("Change of the value by each disturbance. Grey: beyond the limit, but at least 90 % of the spectra are "
               "marked as not good; red: beyond it unnoticed.", figures.robustness(m, f.effects)),
        Table(f"Each disturbance on every test spectrum; change of the value in {m.unit}.",
              ("Disturbance", "Size", "Mean", "Root mean square", "Not good"), rows,
              (0.40, 0.16, 0.13, 0.18, 0.13), (2, 3, 4)),
        *campaign_blocks(m),
    ]  # fmt: skip
    return tuple(blocks), m.source("plan", "spectra", "graph.onnx", "faults")


def limits(m: Material, _: Findings) -> Content:
    """13: what is refused, by which limit, and what happens then."""
    card = m.card
    nearest = card.distance_limit
    counts = {q: sum(p.quality == q.value for p in m.test.predictions) for q in Quality}
    reasons = tuple((p.sample_id, p.quality, p.reason) for p in m.test.predictions if p.quality != Quality.GOOD.value)
    blocks: list[Block] = [
        Facts((("Hotelling's T²", f"{card.t2_limit:.4g}: distance inside the model"),
               ("Q", f"{card.q_limit:.4g}: squared residual, what the model does not know"),
               *([("Distance to calibration", f"{nearest:.4g}: to the nearest sample, in standardised scores")]
                 if math.isfinite(nearest) else []),
               ("Effect", f"above a limit: uncertain; above {card.refuse_factor:g} times the limit: bad, refused"),
               ("Intensity", f"mean signal in the region {card.intensity_low:.4g} to {card.intensity_high:.4g}"),
               ("Saturation", f"a channel above {card.saturation:.4g}, or {card.flat_run} equal neighbours: bad"),
               ("Action", m.plan.text("limits.action")))),
        Figure("Distances over their limits, each calibration sample under a model that had not seen it.",
               figures.distances(m)),
        Paragraph(f"Of {len(m.test.predictions)} test spectra {counts[Quality.GOOD]} are good, "
                  f"{counts[Quality.UNCERTAIN]} uncertain and {counts[Quality.BAD]} bad."),
    ]  # fmt: skip
    if reasons:
        some = f", the first {LISTED} of {len(reasons)}" if len(reasons) > LISTED else ""
        blocks.append(Table(f"Test spectra that are not good{some}.", ("Sample", "Quality", "Reason"), reasons[:LISTED],
                            (0.2, 0.16, 0.64)))
    return tuple(blocks), m.source("plan", "card.toml", "calibration.npz", "spectra")


def independence(m: Material, _: Findings) -> Content:
    """14: that no test sample was known to the model."""
    grouped = bool(set(m.evidence.group) - {""}) and m.test.labels is not None
    blocks: list[Block] = [
        Paragraph(m.plan.text("test.origin")),
        Table("Each test spectrum was held against each calibration spectrum, those left out of the fit included.",
              ("Look", "Result"),
              (("Identical values", "none found"),
               ("Nearly the same shape (SNV, first derivative, region in use): closer than half the 5 % quantile of "
                "the calibration's own nearest neighbours", "none found"),
               ("Same sample_id with much the same spectrum", "none found"),
               ("Same batch or group", "none found" if grouped else "not judged: no groups named on both sides")),
              (0.72, 0.28)),
    ]  # fmt: skip
    if not grouped:
        blocks.append(Note("Independence of batches rests on the statement above alone."))
    aside = tuple((row["sample_id"], row["reason"]) for row in m.plan.rows("test.set_aside"))
    if aside:
        blocks.append(Table("Test samples set aside by the plan.", ("Sample", "Reason"), aside, (0.2, 0.8)))
    return tuple(blocks), m.source("plan", "calibration.npz", "spectra")


def _against_pure(m: Material, f: Findings) -> list[Block]:
    rows = tuple((r.name, f"{signed(r.relative_pct, 0)} %", signed(r.correlation, 2)) for r in f.responses)
    place = [r.name for r in f.responses].index(m.plan.text("specificity.analyte"))
    pure = np.zeros(0) if m.pure is None else m.pure.values[place]
    return [
        Paragraph("The model's regression vector is held against the spectra of the pure components. The net analyte "
                  "signal of a component is the part of its spectrum that no other component has."),
        Table("Response of the model to each pure component relative to the analyte's, and correlation of the "
              "regression vector with the component's net analyte signal.",
              ("Component", "Relative response", "Correlation"), rows, (0.5, 0.25, 0.25), (1, 2)),
        Figure("Regression vector and the spectrum of the pure analyte, both after the model's derivative.",
               figures.vector(m, f, f.treatment.of_spectra(pure[m.card.window]), "pure analyte"))]


def _without_pure(m: Material, f: Findings) -> list[Block]:
    return [
        Note(f"Pure component spectra are not part of the evidence: {m.plan.text('specificity.without_pure_spectra')} "
             "Instead, the regression vector is held against the difference between high and low samples."),
        Facts((("Response to the difference spectrum", f"{f.at_home.response:.3f} (calibration), "
                                                       f"{f.at_test.response:.3f} (test); 1 is ideal"),
               ("Correlation with the regression vector", f"{f.at_home.correlation:.2f} (calibration), "
                                                          f"{f.at_test.correlation:.2f} (test), after the "
                                                          "model's pre-treatment"))),
        Figure("Regression vector and difference spectrum (change per unit of the analyte over the calibration set), "
               "both after the model's pre-treatment.",
               figures.vector(m, f, f.at_home.change, "difference high - low"))]


def _errors_against_others(m: Material) -> list[Block]:
    """Whether the error follows anything else that was measured on the test samples."""
    error = np.array([p.value for p in m.test.predictions]) - m.test.y
    rows, followed = [], []
    for name, values in m.test.others.items():
        usable = np.isfinite(error) & np.isfinite(values) & ~m.test.aside
        if int(usable.sum()) >= 5 and float(np.ptp(values[usable])) > 0:
            found = stats.pearsonr(error[usable], values[usable])
            rows.append((name, signed(float(found.statistic), 2), p_value(float(found.pvalue))))
            followed += [name] if found.pvalue < 0.05 else []
    if not rows:
        return []
    found_text = (f"At the 5 % level, each column by itself, the errors follow {', '.join(followed)}: the model is not "
                  "wholly indifferent to it." if followed else "At the 5 % level the errors follow none of these.")
    return [Table("Correlation of the test errors with whatever else was measured on the samples.",
                  ("Column", "Correlation", "p"), tuple(rows), (0.5, 0.25, 0.25), (1, 2)), Paragraph(found_text)]


def _repeatability(m: Material, f: Findings) -> Block:
    r = f.repeatability
    if r.freedom:
        mass = f", at a mass of {m.scale:.4g}" if m.card.target == AMOUNT_VIA_MASS else ""
        return Paragraph(f"Repeated scans of {r.samples} sample(s): standard deviation "
                         f"{fixed(r.sd, m.places + 1)} {m.unit} with {r.freedom} degrees of freedom{mass}.")
    return Note(f"Repeated scans are not part of the evidence: {m.plan.text('precision.without_repeat_scans')} "
                "Instead, the noise of the calibration spectra, propagated through the regression vector, gives "
                f"{fixed(r.sd, m.places + 1)} {m.unit}: a lower bound that holds no sample presentation.")
