"""result of `patloop sensor challenge --json` -> blocks of heading 12."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from soft_sensors.dossier.document import Block, Facts, Note, Outcome, Subheading, Table
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
    rows = tuple((str(k["name"]), str(k["n"]), str(k["harmful"]), str(k["escaped"]), _size(float(k["largest_escape"])),
                  str(k["reason"])) for k in kinds)
    verdict = "was reached" if passed else "was not reached"
    return [
        Subheading("Campaign of injected faults"),
        Note(f"{100 * found['caught']:.1f} % of the harmful cases were marked before the value was wrong by half the "
             f"acceptance limit of {found['accept']:g} {unit}; {100 * found['refused']:.1f} % of "
             f"{found['n_clean']} good spectra were refused. The goal of 95 % and 1 % {verdict}.",
             Outcome.MEETS if passed else Outcome.FAILS),
        Facts((("Cases", f"{found['n_cases']}, {len(kinds)} kinds of fault; {found['n_harmful']} would do harm"),
               ("Good spectra", f"{100 * found['not_good']:.1f} % uncertain or bad as they are"))),
        Table("Each kind of fault, from faint to full severity; escapes first. Harmful: the value would be wrong by "
              "more than half the limit; escaped: such a value went out as good; largest: that error over the limit.",
              ("Fault", "Cases", "Harmful", "Escaped", "Largest", "Seen first by"), rows,
              (0.32, 0.09, 0.11, 0.11, 0.11, 0.26), (1, 2, 3, 4)),
    ]  # fmt: skip


def _size(value: float) -> str:
    return f"{value:.2f}" if value > 0 else ""
