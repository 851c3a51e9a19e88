"""Document -> one HTML page that needs no other file."""

from __future__ import annotations

import base64
from html import escape
from importlib.resources import files

from soft_sensors.dossier.document import (
    Block,
    Document,
    Facts,
    Figure,
    Note,
    Outcome,
    Paragraph,
    Section,
    Subheading,
    Table,
)

MARKS = {Outcome.MEETS: "meets", Outcome.FAILS: "fails", Outcome.OPEN: "open"}


def html(document: Document) -> str:
    """The page; all text is escaped, pictures are inside."""
    style = (files("soft_sensors.dossier") / "page.css").read_text(encoding="utf-8")
    items = "".join(f'<li><a href="#s{s.number}">{escape(s.title)}</a></li>' for s in document.sections)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(document.title)}</title><style>{style}</style></head><body>"
        f"<header><p>{escape(document.subtitle)}</p><h1>{escape(document.title)}</h1>{_facts(document.facts)}</header>"
        f'<nav aria-label="Contents"><ol>{items}</ol></nav><main>'
        + "".join(map(_section, document.sections)) + "</main></body></html>\n"
    )  # fmt: skip


def _section(section: Section) -> str:
    body = "".join(map(_block, section.blocks))
    names = escape(", ".join(source.name for source in section.sources))
    foot = f'<p class="sources">Evidence: {names}</p>' if section.number < 18 else ""
    head = f"<h2>{section.number}&ensp;{escape(section.title)}</h2>"
    return f'<section id="s{section.number}">{head}{body}{foot}</section>'


def _block(block: Block) -> str:
    match block:
        case Paragraph(text):
            return f"<p>{escape(text)}</p>"
        case Subheading(text):
            return f"<h3>{escape(text)}</h3>"
        case Note(text, outcome):
            mark = MARKS[outcome] if outcome else ""
            return f'<div class="note {mark}">{escape(text)}</div>'
        case Facts():
            return _facts(block)
        case Table():
            return _table(block)
        case Figure(caption, picture):
            inside = base64.b64encode(picture).decode()
            return (f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{inside}">'
                    f"<figcaption>{escape(caption)}</figcaption></figure>")


def _facts(facts: Facts) -> str:
    rows = "".join(f'<tr><th scope="row">{escape(a)}</th><td{_class(b)}>{escape(b)}</td></tr>' for a, b in facts.rows)
    return f'<table class="facts">{rows}</table>'


def _table(table: Table) -> str:
    widths = "".join(f'<col style="width:{100 * w:.0f}%">' for w in table.widths)
    head = "".join(f'<th scope="col"{_number(table, k)}>{escape(name)}</th>' for k, name in enumerate(table.head))
    room = f' style="height:{table.row_mm:g}mm"' if table.row_mm else ""
    rows = "".join(
        f"<tr{room}>"
        + "".join(f"<td{_number(table, k) or _class(cell)}>{escape(cell)}</td>" for k, cell in enumerate(row))
        + "</tr>" for row in table.rows)  # fmt: skip
    return (f'<div class="scroll"><table><caption>{escape(table.caption)}</caption><colgroup>{widths}</colgroup>'
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>")


def _number(table: Table, column: int) -> str:
    return ' class="n"' if column in table.numeric else ""


def _class(cell: str) -> str:
    """Outcomes are coloured, hashes set in a fixed width."""
    outcome = next((o for o in Outcome if o.value == cell), None)
    if outcome is not None:
        return f' class="{MARKS[outcome]}"'
    return ' class="hash"' if len(cell) == 64 and " " not in cell else ""
