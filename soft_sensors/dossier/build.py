"""Material -> Document -> dossier.html and dossier.pdf: the whole procedure, in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path

from soft_sensors.dossier import sections_life as of_life
from soft_sensors.dossier import sections_model as of_model
from soft_sensors.dossier import sections_proof as of_proof
from soft_sensors.dossier import sections_purpose as of_purpose
from soft_sensors.dossier.document import Block, Document, Facts, Figure, Outcome, Section, Source, Table
from soft_sensors.dossier.findings import Findings, find
from soft_sensors.dossier.headings import HEADINGS, Lack, UnsupportedError
from soft_sensors.dossier.html import html
from soft_sensors.dossier.material import Inputs, Material, gather
from soft_sensors.dossier.pdf import pdf
from soft_sensors.dossier.sections_purpose import Content

HTML, PDF = "dossier.html", "dossier.pdf"
WRITERS: Mapping[int, Callable[[Material, Findings], Content]] = {
    1: of_purpose.summary, 2: of_purpose.use, 3: of_purpose.target, 4: of_purpose.instrument, 5: of_purpose.reference,
    6: of_model.calibration, 7: of_model.pretreatment, 8: of_model.size, 9: of_model.performance,
    10: of_proof.specificity, 11: of_proof.precision, 12: of_proof.robustness, 13: of_proof.limits,
    14: of_proof.independence, 15: of_life.running, 16: of_life.maintenance, 17: of_life.life,
}  # fmt: skip
SHORT_HASH = 16


def build(inputs: Inputs, out: Path, progress: Callable[[str], None] = lambda _: None) -> Outcome:
    """Write dossier.html and dossier.pdf into out; the outcome of the decision under heading 1.

    The same files give the same bytes. UnsupportedError, and nothing written, when any heading has no evidence.
    """
    progress("reading and checking the evidence")
    material = gather(inputs)
    progress("computing the results")
    findings = find(material)
    progress("writing the dossier")
    document = compose(material, findings)
    pages, printed = html(document), pdf(document)
    out.mkdir(parents=True, exist_ok=True)
    (out / HTML).write_text(pages, encoding="utf-8")
    (out / PDF).write_bytes(printed)
    return findings.outcome


def compose(m: Material, f: Findings) -> Document:
    """All headings with their blocks; UnsupportedError when one of them has none, or rests on no file."""
    sections = []
    for heading in HEADINGS[:-1]:
        blocks, sources = WRITERS[heading.number](m, f)
        if not blocks or not sources:
            raise UnsupportedError([Lack(heading.number, "nothing is known about it; give its evidence")])
        sections.append(Section(heading.number, heading.title, blocks, sources))
    sections = _captions_numbered([*sections, _index(sections)])
    text = m.plan.text
    short = m.model.bundle_hash[:SHORT_HASH]
    return Document(
        title=f"Soft sensor {m.card.name}: {text('target.attribute')}",
        subtitle="Dossier of a spectroscopic procedure", running=f"{m.card.name}   bundle {short}",
        facts=Facts((
            ("Document", f"{text('document.number')}, version {text('document.version')}"),
            ("Date", text("document.date")), ("Product", text("document.product")), ("Site", text("document.site")),
            ("Bundle hash", m.model.bundle_hash), ("Decision", of_purpose.VERDICTS[f.outcome]),
        )),
        sections=tuple(sections),
    )  # fmt: skip


def _captions_numbered(sections: list[Section]) -> list[Section]:
    """Tables and figures counted through the document, so that they can be cited."""
    counts = {Table: count(1), Figure: count(1)}
    names = {Table: "Table", Figure: "Figure"}

    def numbered(block: Block) -> Block:
        if not isinstance(block, Table | Figure):
            return block
        kind = type(block)
        return replace(block, caption=f"{names[kind]} {next(counts[kind])}. {block.caption}")

    return [replace(section, blocks=tuple(map(numbered, section.blocks))) for section in sections]


def _index(sections: list[Section]) -> Section:
    """Heading 18: which heading rests on which file."""
    heading = HEADINGS[-1]
    files: dict[Source, list[int]] = {}
    for section in sections:
        for source in section.sources:
            files.setdefault(source, []).append(section.number)
    rows = tuple((source.name, ", ".join(map(str, numbers)), source.sha256) for source, numbers in files.items())
    table = Table("Every file that a heading rests on, with the SHA-256 of its bytes.",
                  ("File", "Headings", "SHA-256"), rows, (0.25, 0.19, 0.56))
    return Section(heading.number, heading.title, (table,), tuple(files))
