"""result of `patloop sensor challenge --json` -> blocks of heading 12."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from soft_sensors.dossier.document import Block, Facts, Note, Outcome, Paragraph, Subheading, Table
from soft_sensors.dossier.material import Material
from soft_sensors.errors import TableError


def campaign_blocks(m: Material) -> list[Block]:
    """What of the injected faults was seen in time; TableError when the file is no campaign's result."""
    if m.faults is None:
        return [Note("No campaign of injected faults is part of the evidence (patloop sensor challenge).")]
    try:
        return _blocks(m.faults, m.unit)
    except (KeyError, TypeError, ValueError) as error:
        raise TableError(f"{m.sources['faults'].name}: not the result of 'patloop sensor challenge --json' of this "
                         f"version ({error}); run it again") from error


def _blocks(found: Mapping[str, Any], unit: str) -> list[Block]:
    passed = bool(found["passed"])
    kinds = sorted(found["kinds"], key=lambda kind: (-int(kind["escaped"]), str(kind["name"])))
    verdict = "was reached" if passed else "was not reached"
    return [
        Subheading("Campaign of injected faults"),
        Note(f"{100 * found['caught']:.1f} % of the harmful cases were marked before the value was wrong by half the "
             f"acceptance limit of {found['accept']:g} {unit}; {100 * found['refused']:.1f} % of "
             f"{found['n_clean']} good spectra were refused. The goal of 95 % and 1 % {verdict}.",
             Outcome.MEETS if passed else Outcome.FAILS),
        Facts((("Cases", f"{found['n_cases']}, {len(kinds)} kinds of fault; {found['n_harmful']} would do harm"),
               ("Good spectra", f"{100 * found['not_good']:.1f} % uncertain or bad as they are"))),
        *_escapes([kind for kind in kinds if kind["escaped"]]),
        Paragraph("Always marked in time: " + _names(kinds, harmful=True)),
        Paragraph("Harmless to this model at every severity: " + _names(kinds, harmful=False)),
    ]  # fmt: skip


def _escapes(kinds: list[Mapping[str, Any]]) -> list[Block]:
    rows = tuple((str(k["name"]), f"{k['escaped']} of {k['harmful']}", f"{float(k['largest_escape']):.2f}",
                  str(k["reason"]).strip("-") or "nothing") for k in kinds)
    if not rows:
        return []
    return [Table("Kinds of fault of which some went out as good with a value wrong by more than half the limit: how "
                  "many of the harmful cases, the largest error over the limit, and what marks the others first.",
                  ("Fault", "Escaped", "Largest", "Marked by"), rows, (0.36, 0.18, 0.16, 0.30), (1, 2))]


def _names(kinds: list[Mapping[str, Any]], *, harmful: bool) -> str:
    names = [str(k["name"]) for k in kinds if not k["escaped"] and bool(k["harmful"]) is harmful]
    return (", ".join(names) or "none") + "."
