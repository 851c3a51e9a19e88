"""tags, what other systems told -> context: batch, product and lots, as they are in force at a look at the line; pure.

Where the line has a tag for it that is not empty, the line's word holds: it is nearer to the material. What the line
does not tell is taken from what was told through the API. A batch told by the API that the line contradicts changes
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated

from pydantic import Field

from control.settings import Table
from edge.signals import Context, Scan

TagName = Annotated[str, Field(min_length=1)]
TAGS = "tags"
MOST_TEXT = 64  # characters of a batch, product or lot: our choice; a longer text is not taken


class ContextTable(Table):
    """The tags that say what is being made; lots: by setpoint name of the feeder. Each is optional."""

    batch: TagName | None = None
    product: TagName | None = None
    lots: dict[str, TagName] = Field(default_factory=dict)

    def tags(self) -> tuple[str, ...]:
        """Every tag named, in a fixed order."""
        named = (self.batch, self.product, *(self.lots[name] for name in sorted(self.lots)))
        return tuple(dict.fromkeys(tag for tag in named if tag is not None))


@dataclass(frozen=True)
class Known:
    """What the line and what other systems told last; the line's word outlives a lost link."""

    line: Context = field(default_factory=Context)
    told: Context = field(default_factory=Context)


def seen(known: Known, table: ContextTable | None, scan: Scan) -> Known:
    """What is known after a look: texts that came replace what the line told before, the others stay."""
    if table is None or not scan.texts:
        return known
    texts, line = scan.texts, known.line
    lots = {name: texts[tag] for name, tag in table.lots.items() if tag in texts}
    line = Context(
        batch=texts.get(table.batch or "", line.batch),
        product=texts.get(table.product or "", line.product),
        lots={**line.lots, **lots},
    )
    return replace(known, line=line)


def in_force(known: Known) -> Context | None:
    """The context now; None where nobody has told anything."""
    line, told = known.line, known.told
    lots = {**_told(told.lots), **_told(line.lots)}
    found = Context(line.batch or told.batch, line.product or told.product, dict(sorted(lots.items())))
    if found == Context():
        return None
    by_line = bool(line.batch or line.product or _told(line.lots))
    by_others = bool((not line.batch and told.batch) or (not line.product and told.product))
    by_others = by_others or any(name not in _told(line.lots) for name in _told(told.lots))
    who = (TAGS if by_line else "", told.source if by_others else "")
    return replace(found, source="+".join(part for part in who if part))


def change(before: Context | None, now: Context | None) -> dict[str, object] | None:
    """What a "batch" record says of a change of batch, product or lots; None where there is none."""
    old, new = before or Context(), now or Context()
    if (old.batch, old.product, dict(old.lots)) == (new.batch, new.product, dict(new.lots)):
        return None
    return {
        "batch": new.batch, "product": new.product, "lots": dict(new.lots), "source": new.source,
        "before": {"batch": old.batch, "product": old.product, "lots": dict(old.lots)},
    }  # fmt: skip


def _told(lots: Mapping[str, str]) -> dict[str, str]:
    return {name: lot for name, lot in lots.items() if lot}
