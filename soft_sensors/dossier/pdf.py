"""Document -> PDF: A4, contents, running head, page x of y, fonts embedded, figures and heads kept whole."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
from PIL import Image as Picture
from reportlab.lib import colors  # type: ignore[import-untyped]
from reportlab.lib.pagesizes import A4  # type: ignore[import-untyped]
from reportlab.lib.styles import ParagraphStyle  # type: ignore[import-untyped]
from reportlab.lib.units import mm  # type: ignore[import-untyped]
from reportlab.pdfbase import pdfmetrics  # type: ignore[import-untyped]
from reportlab.pdfbase.ttfonts import TTFont  # type: ignore[import-untyped]
from reportlab.platypus import (  # type: ignore[import-untyped]
    BaseDocTemplate,
    CondPageBreak,
    Frame,
    Image,
    KeepTogether,
    PageBreak,
    PageTemplate,
    Spacer,
    TableStyle,
)
from reportlab.platypus import Paragraph as Text
from reportlab.platypus import Table as Grid
from reportlab.platypus.tableofcontents import TableOfContents  # type: ignore[import-untyped]

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
from soft_sensors.dossier.plan import PlanError

SANS, BOLD, MONO = "DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono"
INK, SOFT, LINE, BLUE = (colors.HexColor(c) for c in ("#1c2126", "#5a6269", "#d8dde2", "#1f5f8b"))
OUTCOMES = {Outcome.MEETS: ("#1e6b3a", "#edf6f0"), Outcome.FAILS: ("#a93226", "#fbeeec"),
            Outcome.OPEN: ("#9a5b00", "#fdf4e4")}  # fmt: skip
SIDE, TOP, FOOT = 22 * mm, 25 * mm, 22 * mm
WIDTH = A4[0] - 2 * SIDE
LONG, ROOM = 14, 50 * mm  # rows beyond which a table may be split, and what has to be free below its caption


def _style(name: str, **more: Any) -> Any:
    return ParagraphStyle(name, **{"fontName": SANS, "fontSize": 8.8, "leading": 13, "textColor": INK, **more})


BODY = _style("body", spaceAfter=6)
CELL = _style("cell", fontSize=7.8, leading=10.5)
RIGHT = _style("right", parent=CELL, fontSize=7.8, leading=10.5, alignment=2)
NAME = _style("name", fontSize=7.8, leading=10.5, textColor=SOFT)
HEAD = _style("head", fontName=BOLD, fontSize=7.6, leading=10)
HEAD_RIGHT = _style("headright", fontName=BOLD, fontSize=7.6, leading=10, alignment=2)
FIXED = _style("fixed", fontName=MONO, fontSize=6.4, leading=9)
CAPTION = _style("caption", fontSize=7.8, leading=10.5, textColor=SOFT, spaceBefore=3, spaceAfter=10)
ABOVE = _style("above", fontSize=7.8, leading=10.5, textColor=SOFT, spaceBefore=6, spaceAfter=3)
H1 = _style("h1", fontName=BOLD, fontSize=12.5, leading=16, textColor=BLUE, spaceBefore=16, spaceAfter=6)
H2 = _style("h2", fontName=BOLD, fontSize=9.2, leading=13, spaceBefore=8, spaceAfter=3)
TITLE = _style("title", fontName=BOLD, fontSize=19, leading=25, spaceAfter=14)
SMALL = _style("small", fontSize=9.5, leading=13, textColor=SOFT, spaceAfter=4)
CONTENTS = _style("contents", fontSize=8.8, leading=15)


def pdf(document: Document) -> bytes:
    """The PDF's bytes, the same each time; PlanError when a text has characters that the fonts lack."""
    _register()
    _check_glyphs(document)
    pages = 0
    for _ in range(3):  # the number of pages stands in each page's foot: set until it is right
        content, counted = _set(document, pages)
        if counted == pages:
            break
        pages = counted
    return content


def _set(document: Document, pages: int) -> tuple[bytes, int]:
    whole = BytesIO()
    # Without its first font named, each page would begin in one that is not embedded.
    template = BaseDocTemplate(whole, pagesize=A4, initialFontName=SANS, invariant=1, title=document.title, author="",
                               subject=document.subtitle, leftMargin=SIDE, rightMargin=SIDE, topMargin=TOP,
                               bottomMargin=FOOT)
    frame = Frame(SIDE, FOOT, WIDTH, A4[1] - TOP - FOOT, leftPadding=0, rightPadding=0, topPadding=0, bottomPadding=0)
    template.addPageTemplates(PageTemplate("page", [frame], onPage=_running(document, pages)))
    template.afterFlowable = _noting(template)
    template.multiBuild(_story(document))
    return whole.getvalue(), template.page


def _running(document: Document, pages: int) -> Callable[[Any, Any], None]:
    def paint(canvas: Any, template: Any) -> None:
        canvas.saveState()
        canvas.setFont(SANS, 7.5)
        canvas.setFillColor(SOFT)
        canvas.drawString(SIDE, A4[1] - 15 * mm, document.running)
        canvas.drawRightString(A4[0] - SIDE, A4[1] - 15 * mm, document.facts.rows[0][1])
        canvas.setStrokeColor(LINE)
        canvas.line(SIDE, A4[1] - 17 * mm, A4[0] - SIDE, A4[1] - 17 * mm)
        canvas.drawRightString(A4[0] - SIDE, 12 * mm, f"page {template.page} of {pages}")
        canvas.restoreState()

    return paint


def _noting(template: Any) -> Callable[[Any], None]:
    """Headings go into the contents and the outline as they are set."""

    def note(flowable: Any) -> None:
        number = getattr(flowable, "section_number", None)
        if number is not None:
            key = f"section{number}"
            template.canv.bookmarkPage(key)
            template.canv.addOutlineEntry(flowable.getPlainText(), key, 0)
            template.notify("TOCEntry", (0, escape(flowable.getPlainText()), template.page, key))

    return note


def _story(document: Document) -> list[Any]:
    contents = TableOfContents(levelStyles=[CONTENTS], dotsMinLevel=0)
    contents.tableStyle = TableStyle([*contents.tableStyle.getCommands(), _FONT])
    story: list[Any] = [Spacer(1, 30 * mm), Text(escape(document.subtitle), SMALL), Text(escape(document.title), TITLE),
                        _facts(document.facts), Spacer(1, 14 * mm), Text("Contents", H2), contents, PageBreak()]
    for section in document.sections:
        story += _section(section)
    return story


def _section(section: Section) -> list[Any]:
    heading = Text(f"{section.number}&nbsp;&nbsp;{escape(section.title)}", H1)
    heading.section_number = section.number
    flow = [heading]
    for block in section.blocks:
        flow += _block(block)
    if section.number < 18:
        flow.append(Text("Evidence: " + escape(", ".join(source.name for source in section.sources)), CAPTION))
    return _kept_with_heads(flow)


def _kept_with_heads(flow: list[Any]) -> list[Any]:
    """A heading and what follows it on one page; of a long table, its caption and the first rows."""
    kept: list[Any] = []
    waiting: list[Any] = []
    for item in flow:
        waiting += item if isinstance(item, list) else [item]
        if getattr(item, "style", None) in (H1, H2, ABOVE):
            continue
        splits = isinstance(item, Grid) and len(item._cellvalues) > LONG
        kept += [CondPageBreak(ROOM), *waiting] if splits else waiting if len(waiting) == 1 else [KeepTogether(waiting)]
        waiting = []
    return kept + waiting


def _block(block: Block) -> list[Any]:
    match block:
        case Paragraph(text):
            return [Text(escape(text), BODY)]
        case Subheading(text):
            return [Text(escape(text), H2)]
        case Note(text, outcome):
            return [_note(text, outcome), Spacer(1, 7)]
        case Facts():
            return [[_facts(block), Spacer(1, 7)]]
        case Table():
            return [Text(escape(block.caption), ABOVE), _table(block), Spacer(1, 9)]
        case Figure(caption, picture):
            return [[_image(picture), Text(escape(caption), CAPTION)]]


def _note(text: str, outcome: Outcome | None) -> Any:
    edge, ground = OUTCOMES[outcome] if outcome else ("#5a6269", "#f4f6f8")
    box = Grid([[Text(escape(text), BODY)]], colWidths=[WIDTH])
    box.setStyle([_FONT, ("BACKGROUND", (0, 0), (-1, -1), colors.HexColor(ground)),
                  ("LEFTPADDING", (0, 0), (-1, -1), 9),
                  ("LINEBEFORE", (0, 0), (0, -1), 3, colors.HexColor(edge)), ("TOPPADDING", (0, 0), (-1, -1), 6),
                  ("BOTTOMPADDING", (0, 0), (-1, -1), 1)])
    return box


def _facts(facts: Facts) -> Any:
    rows = [[Text(escape(a), NAME), Text(_cell(b), FIXED if _is_hash(b) else CELL)] for a, b in facts.rows]
    grid = Grid(rows, colWidths=[0.27 * WIDTH, 0.73 * WIDTH])
    grid.setStyle([*_LINES, ("VALIGN", (0, 0), (-1, -1), "TOP")])
    return grid


def _table(table: Table) -> Any:
    head = [Text(escape(name), HEAD_RIGHT if k in table.numeric else HEAD) for k, name in enumerate(table.head)]
    rows = [[Text(_cell(cell), FIXED if _is_hash(cell) else RIGHT if k in table.numeric else CELL)
             for k, cell in enumerate(row)] for row in table.rows]
    grid = Grid([head, *rows], colWidths=[share * WIDTH for share in table.widths], repeatRows=1,
                rowHeights=[None, *(table.row_mm * mm or None for _ in rows)])
    grid.setStyle([*_LINES, ("VALIGN", (0, 0), (-1, -1), "TOP"), ("LINEBELOW", (0, 0), (-1, 0), 0.9, INK),
                   *(("LEFTPADDING", (k + 1, 0), (k + 1, -1), 12) for k in table.numeric)])
    return grid


_FONT = ("FONTNAME", (0, 0), (-1, -1), SANS)  # a grid sets its own first font: no other than an embedded one
_LINES = [_FONT, ("LINEBELOW", (0, 0), (-1, -1), 0.4, LINE), ("LEFTPADDING", (0, 0), (-1, -1), 3),
          ("RIGHTPADDING", (0, 0), (-1, -1), 3), ("TOPPADDING", (0, 0), (-1, -1), 2.5),
          ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5)]  # fmt: skip


def _cell(text: str) -> str:
    """Outcomes in their colour; everything else as it is."""
    outcome = next((o for o in Outcome if o.value == text), None)
    shown = escape(text)
    return shown if outcome is None else f'<font name="{BOLD}" color="{OUTCOMES[outcome][0]}">{shown}</font>'


def _is_hash(text: str) -> bool:
    return len(text) == 64 and " " not in text


def _image(picture: bytes) -> Any:
    with Picture.open(BytesIO(picture)) as opened:
        width, height = opened.size
    return Image(BytesIO(picture), width=WIDTH, height=WIDTH * height / width)


def _register() -> None:
    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    for name in (SANS, BOLD, MONO):
        if name not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(TTFont(name, str(folder / f"{name}.ttf")))


def _check_glyphs(document: Document) -> None:
    """A box instead of a letter must not reach an assessor."""
    known = pdfmetrics.getFont(SANS).face.charToGlyph
    whole = repr(document.sections) + repr(document.facts) + document.title
    missing = sorted({c for c in whole if c.isprintable() and ord(c) not in known})
    if missing:
        raise PlanError(f"no font for {' '.join(missing[:10])} in a text of the plan or a name; write it otherwise")
