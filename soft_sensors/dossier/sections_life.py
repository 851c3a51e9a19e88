"""Findings -> headings 15 to 17: running, maintenance, life and signatures."""

from __future__ import annotations

from soft_sensors.bundle import GOLDEN_RTOL
from soft_sensors.dossier.document import Block, Facts, Note, Paragraph, Subheading, Table
from soft_sensors.dossier.findings import Findings
from soft_sensors.dossier.material import Material
from soft_sensors.dossier.sections_purpose import Content

REPEATS = 100


def running(m: Material, _: Findings) -> Content:
    """15: what runs, how it is known to be that, and that it always gives the same number."""
    parts = ("graph.onnx", "card.toml", "golden.npz", "calibration.npz")
    hashes = tuple((name, m.sources[name].sha256) for name in parts)
    return (
        Facts((("Platform", m.plan.text("running.platform")), ("Input", f"{m.card.input_type}, one spectrum at a time"),
               ("Made with", m.card.software), ("Seed", str(m.card.seed)), ("Bundle hash", m.model.bundle_hash))),
        Table("SHA-256 of the bundle's parts. The bundle hash covers the first three; the fourth is kept for evidence "
              "and is not loaded in operation.", ("Part", "SHA-256"), hashes, (0.2, 0.8)),
        Subheading("The same number every time"),
        Facts((("Golden vectors", f"recomputed here: largest relative difference {m.golden_difference:.1e}, "
                                  f"allowed {GOLDEN_RTOL:.0e}; checked at every start"),
               ("Repeatability of computing", f"{REPEATS} repeats of one test spectrum, compared bit by bit: "
                                              + ("all identical" if _repeats(m) == 1 else "NOT identical")),
               ("At start", "a model whose hash, axis or golden vectors do not agree is not started"))),
    ), m.source("plan", *parts, "hashes.toml")  # fmt: skip


def maintenance(m: Material, _: Findings) -> Content:
    """16: who watches the model, what makes it change, and how a change is ranked."""
    p = m.plan
    rows = tuple((r["change"], r["category"], r["evidence"]) for r in p.rows("maintenance.changes"))
    return (
        Facts((("Owner", p.text("maintenance.owner")), ("Monitoring", p.text("maintenance.monitoring")),
               ("Periodic review", p.text("maintenance.review")), ("Triggers", p.text("maintenance.triggers")))),
        Table("Changes and their categories, after ICH Q12.",
              ("Change", "Category", "Evidence before it is effective"), rows,
              (0.32, 0.24, 0.44)),
        Paragraph("The model never learns in operation: it changes only as a new version with a bundle hash of "
                  "its own, which needs a dossier of its own."),
    ), m.source("plan")  # fmt: skip


def life(m: Material, _: Findings) -> Content:
    """17: what was signed so far, and who signs this document."""
    blocks: list[Block] = []
    if m.history:
        rows = tuple((e.time, e.action, f"{e.person} ({e.key})", e.said) for e in m.history)
        blocks += [
            Paragraph("From the registry, whose chain and signatures were verified while this dossier was built. In "
                      "brackets: the fingerprint of the signing key."),
            Table("Signed events of this bundle, UTC.", ("Time", "Event", "Signed by", "Said"), rows,
                  (0.21, 0.11, 0.30, 0.38))]
    elif "registry" in m.sources:
        blocks.append(Note("The registry verifies, but holds no event of this bundle: it was not registered yet."))
    else:
        blocks.append(Note("No registry is part of the evidence: this bundle has no signed history here."))
    signers = tuple((r["name"], r["role"], r["meaning"], "") for r in m.plan.rows("signatures"))
    blocks += [Subheading("Signatures of this document"),
               Table("To be signed by hand, or linked to an electronic signature over this file.",
                     ("Name", "Role", "Meaning", "Date and signature"), signers, (0.22, 0.22, 0.22, 0.34), row_mm=13.0)]
    return tuple(blocks), m.source("plan", "registry")


def _repeats(m: Material) -> int:
    """How many different results so many runs give: 1 is as it should be."""
    spectrum = m.test.table.values[0]
    return len({tuple(value.hex() for value in m.model.infer(spectrum).values()) for _ in range(REPEATS)})
