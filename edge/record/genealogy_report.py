"""genealogy -> file: CSV, Parquet or one page of HTML."""

from __future__ import annotations

import csv
import html
from collections.abc import Sequence
from pathlib import Path

from control.track import Balance
from edge.record.genealogy import Cell, Genealogy, Lots, table
from edge.record.origin import stated

SHOWN = {
    "start_utc": "from, UTC", "end_utc": "to, UTC", "released_kg": "released kg", "diverted_kg": "diverted kg",
    "api_pct": "API % w/w", "sigma_pct": "sigma", "p_nonconf": "P(non-conforming)", "fed_from_utc": "fed from",
    "fed_to_utc": "fed to", "lots": "lots", "mode": "mode", "asked_by": "asked by", "sensor": "soft sensor",
    "controller": "controller", "reason": "diverted because",
}  # fmt: skip
NEVER = 1e-6  # a smaller probability says more of the normal tail than of the material
MEANING = (  # of the names (21 CFR 11.50)
    "<i>Asked by</i> names who had asked for the mode in force; soft sensor and controller are named by their hash."
)
STYLE = (
    "body{font:14px system-ui,sans-serif;margin:2em;color:#222}table{border-collapse:collapse;font-size:12px}"
    "td,th{border-bottom:1px solid #ddd;padding:.25em .6em;text-align:right;white-space:nowrap}"
    "th{text-align:left}.diverted{background:#fbeedc}td:last-child{text-align:left}"
)


def write(found: Genealogy, lots: Lots, form: str, out: Path, made_from: dict[str, str]) -> None:
    """Write the genealogy as csv, parquet or html; made_from: see edge.record.origin, told by the latter two.

    Raises OSError; ModuleNotFoundError without pyarrow.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    rows = list(table(found, lots))
    if form == "csv":
        _write_csv(rows, out)
    elif form == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows).replace_schema_metadata(made_from), out)
    else:
        out.write_text(_page(found, rows, stated(made_from)), encoding="utf-8")


def said(balance: Balance) -> str:
    """A balance in one line."""
    fed = f"fed {balance.fed_kg:.2f} kg"
    if balance.missing:
        return f"{fed}; whether the masses add up cannot be told without {balance.missing}"
    parts = f"released {balance.released_kg:.2f} + diverted {balance.diverted_kg:.2f}"
    held = f"hold-up {balance.holdup_change_kg:+.2f}"
    verdict = "BEYOND 3 sigma" if balance.beyond else "within 3 sigma"
    return f"{fed} = {parts} + {held} + residual {balance.residual_kg:+.2f}±{balance.sigma_kg:.2f} kg: {verdict}"


def _write_csv(rows: Sequence[dict[str, Cell]], out: Path) -> None:
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else list(SHOWN), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _page(found: Genealogy, rows: Sequence[dict[str, Cell]], made: str) -> str:
    head = "".join(f"<th>{html.escape(title)}</th>" for title in SHOWN.values())
    body = "".join(_line(row) for row in rows)
    balances = "".join(f"<p>{html.escape(said(balance))}</p>" for balance in found.balances)
    summary = (
        f"{len(rows)} minutes, {found.released_kg:.2f} kg released, {found.diverted_kg:.2f} kg diverted; of what was "
        f"released {1000 * found.expected_nonconforming_kg:.2f} g are expected to be outside the limits."
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Genealogy</title><style>{STYLE}</style>'
        f"<h1>Genealogy</h1><p>{summary}</p>{balances}<table><tr>{head}</tr>{body}</table>"
        f"<p>{html.escape(made)} {MEANING}</p></html>\n"
    )


def _line(row: dict[str, Cell]) -> str:
    day = str(row["start_utc"])[:11]  # said once a line where it is the same: the table has to fit a screen
    shown = {name: _text(name, row[name]) for name in SHOWN}
    short = {name: _text(name, str(row[name]).removeprefix(day)) for name in ("end_utc", "fed_from_utc", "fed_to_utc")}
    cells = "".join(f"<td>{html.escape(text)}</td>" for text in (shown | short).values())
    return f"<tr{' class=diverted' if float(row['diverted_kg']) > 0 else ''}>{cells}</tr>"


def _text(name: str, cell: Cell) -> str:
    """As a person reads it; the files keep every digit."""
    if isinstance(cell, str):
        return cell.partition(".")[0].replace("T", " ") if name.endswith("_utc") else cell
    if name == "p_nonconf":
        return f"< {NEVER:g}" if cell < NEVER else f"{cell:.2g}"
    return f"{cell:.3f}"
