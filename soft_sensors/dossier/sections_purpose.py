"""Findings -> headings 1 to 5: decision, use, target, instrument, reference."""

from __future__ import annotations

from soft_sensors.dossier.document import Block, Facts, Note, Outcome, Paragraph, Source, Subheading, Table
from soft_sensors.dossier.findings import Findings
from soft_sensors.dossier.material import Material

Content = tuple[tuple[Block, ...], tuple[Source, ...]]
GRADES = ("low", "medium", "high")
VERDICTS = {Outcome.MEETS: "meets its plan", Outcome.FAILS: "does not meet its plan", Outcome.OPEN: "open"}
DECISIONS = {
    Outcome.MEETS: "The soft sensor meets every criterion of its plan. The evidence supports the intended use.",
    Outcome.FAILS: "The soft sensor does not meet its plan: {names}. The evidence does not support the intended use.",
    Outcome.OPEN: "No criterion is failed, but the evidence is not complete: {names} was not shown by measurement. "
                  "Until it is, the evidence supports the intended use only with that gap accepted in writing.",
}  # fmt: skip


def summary(m: Material, f: Findings) -> Content:
    """1: what was asked, what was found, and the decision that follows."""
    names = ", ".join(c.name for c in f.criteria if c.outcome is f.outcome)
    rows = tuple((c.name, c.demanded, c.found, c.outcome.value, str(c.section)) for c in f.criteria)
    s = f.judged.score
    text = (
        f"The soft sensor {m.card.name} predicts {m.plan.text('target.attribute')} of "
        f"{m.plan.text('document.product')} from one spectrum. On {s.n} independent samples the root mean "
        f"square error of prediction is {m.result(s.rmsep)} {m.unit} (95 % interval "
        f"{m.result(f.judged.rmsep_low)} to {m.result(f.judged.rmsep_high)}), the bias "
        f"{m.change(s.bias)} {m.unit}, and {100 * s.coverage_90:.0f} % of the references lie inside their 90 % "
        "prediction interval."
    )
    blocks: list[Block] = [
        Note(f"Decision: {VERDICTS[f.outcome]}. {DECISIONS[f.outcome].format(names=names)}", f.outcome),
        Paragraph(text)]
    if m.test.aside.any():
        blocks.append(Note(
            f"{int(m.test.aside.sum())} test sample(s) are set aside by the plan for the reasons under heading 14; "
            f"with them RMSEP is {m.result(f.everything.score.rmsep)} {m.unit}. Heading 9 shows "
            "both results."))
    blocks.append(Table("Criteria of the plan against results.", ("Criterion", "Demanded", "Found", "Outcome", "See"),
                        rows, (0.29, 0.21, 0.26, 0.18, 0.06), (4,)))
    return tuple(blocks), m.source("plan", "card.toml", "spectra", "reference")


def use(m: Material, _: Findings) -> Content:
    """2: what the number is used for, and the risk: model influence by decision consequence."""
    p = m.plan
    influence, consequence = p.text("use.model_influence"), p.text("use.decision_consequence")
    risk = GRADES[(GRADES.index(influence) + GRADES.index(consequence) + 1) // 2]
    return (
        Facts((("Intended use", p.text("use.intended_use")), ("Decision taken", p.text("use.decision")),
               ("Without a good value", p.text("use.fallback")), ("Site", p.text("document.site")),
               ("Product", p.text("document.product")))),
        Subheading("Context of use and risk"),
        Table("Model risk: influence of the model on the decision by consequence of a wrong decision. A value between "
              "two grades counts as the higher.",
              ("Element", "Grade", "Reason"),
              (("Model influence", influence, p.text("use.model_influence_reason")),
               ("Decision consequence", consequence, p.text("use.decision_consequence_reason")),
               ("Model risk", risk, "from both")), (0.24, 0.14, 0.62)),
    ), m.source("plan")  # fmt: skip


def target(m: Material, f: Findings) -> Content:
    """3: the analytical target profile."""
    p = m.plan
    low, high = p.number("target.range_low"), p.number("target.range_high")
    rows = tuple((c.name, c.demanded) for c in f.criteria)
    return (
        Facts((("Attribute", f"{p.text('target.attribute')} ({m.unit})"), ("Range", f"{low:g} to {high:g} {m.unit}"),
               ("Largest uncertainty", f"±{p.number('target.max_uncertainty'):g} {m.unit} (half width of the 90 % "
                                       "prediction interval)"),
               ("Why that is enough", p.text("target.max_uncertainty_reason")))),
        Subheading("Acceptance criteria, declared before the test"),
        Table("Acceptance criteria.", ("Criterion", "Demanded"), rows, (0.5, 0.5)),
    ), m.source("plan")  # fmt: skip


def instrument(m: Material, _: Findings) -> Content:
    """4: what measures the spectrum, and how the sample meets it."""
    p, card = m.plan, m.card
    axis = f"{card.axis.size} channels, {card.axis[0]:g} to {card.axis[-1]:g} {shown(card.axis_unit)}"
    return (
        Facts((("Instrument", p.text("instrument.make_and_model")), ("Mode", p.text("instrument.mode")),
               ("Sample presentation", p.text("instrument.sample_presentation")),
               ("Acquisition", p.text("instrument.acquisition")), ("Environment", p.text("instrument.environment")),
               ("Verification", p.text("instrument.verification")), ("Axis the model expects", axis))),
        Paragraph("A spectrum on any other axis, of another unit or with another number of channels is refused."),
    ), m.source("plan", "card.toml")  # fmt: skip


def reference(m: Material, f: Findings) -> Content:
    """5: the method that gives the references, and how much of the model's error is its."""
    p, s = m.plan, f.judged.score
    error = p.number("reference.standard_error")
    share = error**2 / s.sep**2 if s.sep > 0 else 0.0
    text = (
        f"The reference method's standard error of {error:g} {m.unit} is {100 * error / s.sep:.0f} % of the standard "
        f"error of prediction ({m.result(s.sep)} {m.unit}): {100 * min(share, 1.0):.0f} % of the variance of the "
        "differences is the reference's own. No soft sensor can show a smaller difference to a reference than the "
        "reference has to itself."
    )
    return (
        Facts((("Method", p.text("reference.method")), ("Standard error", f"{error:g} {m.unit}"),
               ("Its source", p.text("reference.standard_error_source")),
               ("Laboratory and pairing", p.text("reference.laboratory")))),
        Paragraph(text),
    ), m.source("plan", "reference")  # fmt: skip


def shown(axis_unit: str) -> str:
    """An axis unit as it is printed."""
    return axis_unit.replace("cm-1", "cm⁻¹")
