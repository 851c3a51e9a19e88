"""What a dossier consists of, whatever it is rendered to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a result stands to its criterion; OPEN: the evidence is short of a measurement."""

    MEETS = "meets"
    FAILS = "does not meet"
    OPEN = "not shown"


@dataclass(frozen=True)
class Paragraph:
    """Running text, plain."""

    text: str


@dataclass(frozen=True)
class Subheading:
    """A heading inside a section; it stays with what follows."""

    text: str


@dataclass(frozen=True)
class Note:
    """A text in a box, marked with an outcome where it states one."""

    text: str
    outcome: Outcome | None = None


@dataclass(frozen=True)
class Facts:
    """Names and values, one a row."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Table:
    """Columns with a head; widths: shares of the page's width; numeric: columns set to the right.

    row_mm: height of a row, where something is written in by hand.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    widths: tuple[float, ...]
    numeric: tuple[int, ...] = ()
    row_mm: float = 0.0


@dataclass(frozen=True)
class Figure:
    """A picture (PNG bytes) of a page's width, with its caption."""

    caption: str
    picture: bytes


Block = Paragraph | Subheading | Note | Facts | Table | Figure


@dataclass(frozen=True)
class Source:
    """What a section rests on: a file by name, and its SHA-256."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Section:
    """One numbered heading with its evidence."""

    number: int
    title: str
    blocks: tuple[Block, ...]
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class Document:
    """A whole dossier; running: the line at the head of each page; facts: those of the first page."""

    title: str
    subtitle: str
    running: str
    facts: Facts
    sections: tuple[Section, ...]
