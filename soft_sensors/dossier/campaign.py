"""result of `patloop sensor challenge --json` -> blocks of heading 12."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from soft_sensors.dossier.document import Block, Facts, Note, Subheading, Table
from soft_sensors.dossier.material import Material

MOST_COLUMNS = 6


def campaign_blocks(m: Material) -> list[Block]:
    """The fault campaign as it was recorded: single figures, then one row a fault."""
    if m.faults is None:
        return [Note("No fault campaign is part of the evidence (patloop sensor challenge --json F, then --faults F).")]
    facts = tuple((_words(key), _text(value)) for key, value in m.faults.items()
                  if isinstance(value, str | int | float) and not isinstance(value, bool))
    blocks: list[Block] = [Subheading("Campaign of spectral faults")]
    if facts:
        blocks.append(Facts(facts))
    for key, value in m.faults.items():
        rows = _rows(value)
        if rows:
            blocks.append(_table(_words(key), rows))
    return blocks


def _rows(value: object) -> list[Mapping[str, Any]]:
    """A list of records, or a record of records with its keys as the first column."""
    if isinstance(value, dict) and value and all(isinstance(v, dict) for v in value.values()):
        return [{"name": name, **inner} for name, inner in value.items()]
    if isinstance(value, list) and value and all(isinstance(v, dict) for v in value):
        return value
    return []


def _table(name: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    plain = [key for key in rows[0] if not isinstance(rows[0][key], list | dict)][:MOST_COLUMNS]
    first = 0.34 if len(plain) > 1 else 1.0
    widths = (first, *(((1 - first) / (len(plain) - 1)),) * (len(plain) - 1)) if len(plain) > 1 else (1.0,)
    cells = tuple(tuple(_text(row.get(key, "")) for key in plain) for row in rows)
    numeric = tuple(k for k, key in enumerate(plain) if isinstance(rows[0][key], int | float))
    return Table(f"Fault campaign: {name}.", tuple(_words(key) for key in plain), cells, widths, numeric)


def _words(key: str) -> str:
    return key.replace("_", " ")


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
