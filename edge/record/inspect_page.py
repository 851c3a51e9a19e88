"""facts -> one HTML page that needs nothing else: what an inspector reads, filters and prints.

Its frame and prose are in inspect.html, its looks in inspect.css, its filter in inspect.js.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

from edge.record.approvals import Approvals
from edge.record.facts import Facts
from edge.record.inspect_chart import chart
from edge.record.inspect_moves import MinuteMoves, by_minute
from edge.record.inspect_tables import (
    alarms_table,
    approvals_table,
    fixed,
    gaps_table,
    material_table,
    models_table,
    moment,
    number,
    percent,
    row,
    table,
)
from edge.record.minutes import Minute
from edge.record.moves import OUTSIDE
from edge.record.told import Event

HERE = Path(__file__).parent
UNCHANGED = 1e-5  # relative: a step below it is no change to a reader; the data beside the page has every digit
NONE = '<p class="none">None in this period.</p>'


@dataclass(frozen=True)
class Made:
    """Where the page comes from: who made it, when (seconds since the epoch, UTC), with what, and of which record."""

    by: str
    time_s: float
    software: str
    anchor: str
    records: int
    head_hash: str
    sound: str


def page(facts: Facts, made: Made, approved: Approvals | None = None) -> str:
    """The whole page; every text from the record is escaped; approved: what the models' registry says, if read."""
    parts = [
        ("events", "Who did what", _events(facts.events), len(facts.events)),
        ("setpoints", "Set-points written, minute by minute", *_moves(facts)),
        ("estimates", "Estimates and their limits, minute by minute", _minutes(facts), len(facts.minutes)),
        ("alarms", "Alarms", alarms_table(facts.alarms), len(facts.alarms)),
        ("models", "Models in use and their approval", models_table(facts), len(facts.models)),
        (
            "approvals",
            "Who released the models",
            approvals_table(approved),
            0 if approved is None else len(approved.events),
        ),
        ("gaps", "Gaps: no cycles, line not seen, held", gaps_table(facts.gaps), len(facts.gaps)),
        ("material", "Material released and diverted", material_table(facts), len(facts.passed)),
    ]
    links = " ".join(f'<a href="#{key}">{escape(title)}</a>' for key, title, _, _ in parts)
    told = {
        "title": f"Record of line {facts.line}", "period": f"{moment(facts.from_s)} to {moment(facts.to_s)}",
        "batches": f" Batch {', '.join(facts.batches)}." if facts.batches else "", "by": made.by,
        "made": f"{moment(made.time_s)} UTC", "software": made.software, "sound": made.sound, "anchor": made.anchor,
        "writers": ", ".join(facts.software) or "an unknown version", "records": str(made.records),
        "head": made.head_hash,
    }  # fmt: skip
    return Template((HERE / "inspect.html").read_text()).substitute(
        {name: escape(text) for name, text in told.items()},
        style=(HERE / "inspect.css").read_text(),
        script=(HERE / "inspect.js").read_text(),
        cards="".join(_cards(facts)),
        links=links,
        chart=_chart(facts),
        sections="".join(_section(*part) for part in parts),
    )


def _cards(facts: Facts) -> Iterator[str]:
    closed = sum(minute.closed for minute in facts.minutes)
    foreign = sum(1 for move in facts.moves if move.by == OUTSIDE)
    told = [
        (f"{facts.cycles}", f"cycles of {facts.cycle_s:.3g} s" if math.isfinite(facts.cycle_s) else "cycles"),
        (f"{100 * closed / facts.cycles:.0f} %" if facts.cycles else "-", "of them in closed loop"),
        (str(len(facts.moves) - foreign), "set-point values written"),
        (str(foreign), "changes made at the PLC"),
        (str(sum(1 for e in facts.events if e.kind == "request")), "requests by people"),
        (str(len(facts.alarms)), "alarms"),
        (str(sum(1 for gap in facts.gaps if gap.kind == "no cycles")), "gaps without cycles"),
    ]
    if facts.passed:
        told.append((f"{sum(passed.released_kg for passed in facts.passed):.2f} kg", "released"))
        told.append((f"{sum(passed.diverted_kg for passed in facts.passed):.2f} kg", "diverted"))
    for figure, text in told:
        yield f'<div class="card"><b>{escape(figure)}</b><span>{escape(text)}</span></div>'


def _section(key: str, title: str, body: str, count: int) -> str:
    shown = f' <span class="count" id="n-{key}">{count}</span>' if count else ""
    return f'<section id="{key}"><h2>{escape(title)}{shown}</h2>{body or NONE}</section>'


def _events(events: Iterable[Event]) -> str:
    heads = [
        ("Time (UTC)", "t"),
        ("Who", ""),
        ("What", ""),
        ("Before", ""),
        ("After", ""),
        ("Why", ""),
        ("Record", "n"),
    ]
    rows = (
        row(
            (moment(e.time_s), "t"), (escape(e.who), ""), (escape(e.what), ""),
            (f'<span class="old">{escape(e.before)}</span>' if e.before else "", ""),
            (f'<span class="changed">{escape(e.after)}</span>' if e.after else "", ""),
            (escape(e.why), "w"), (str(e.seq), "n"),
        )
        for e in events
    )  # fmt: skip
    return table("events", heads, rows)


def _moves(facts: Facts) -> tuple[str, int]:
    found = by_minute(facts.moves)
    heads = [
        ("Minute (UTC)", "t"), ("Set-point", ""), ("Before", "n"), ("Sent last", "n"), ("Change", "n"),
        ("PLC took", ""), ("Writes", "n"), ("Decided by", ""), ("Why (largest step)", ""), ("Records", "n"),
    ]  # fmt: skip
    body = table("setpoints", heads, (_move_row(m, facts.units.get(m.name, "")) for m in found))
    note = (
        '<p class="soft">Each row is one set-point in one minute; every single value is in '
        '<a href="data/setpoints.csv">data/setpoints.csv</a>, by its record number.</p>'
    )
    return (note + body if body else ""), len(found)


def _move_row(m: MinuteMoves, unit: str) -> str:
    who = escape(m.by) + (f'<br><span class="soft">asked for by {escape(m.asked_by)}</span>' if m.asked_by else "")
    records = str(m.first_seq) if m.first_seq == m.last_seq else f"{m.first_seq}-{m.last_seq}"
    return row(
        (moment(m.from_s)[:16], "t"), (escape(m.name), ""), (number(m.before), "n"),
        ("" if m.foreign else f"{number(m.sent)} {escape(unit)}", "n"), (_change(m), "n"), (_taken(m), ""),
        (str(m.writes), "n"), (who, "h"), (escape(m.why), "w"), (records, "n"),
    )  # fmt: skip


def _change(m: MinuteMoves) -> str:
    change = (m.took if m.foreign else m.sent) - m.before
    if not math.isfinite(change):
        return "-"
    if abs(change) <= UNCHANGED * max(abs(m.before), 1e-9):
        return '<span class="soft">unchanged</span>'
    mark, kind = ("▲", "up") if change > 0 else ("▼", "down")
    percent = f" ({100 * change / abs(m.before):+.2g} %)" if m.before else ""
    return f'<span class="{kind}">{mark} {change:+.3g}{percent}</span>'


def _taken(m: MinuteMoves) -> str:
    """What the PLC worked with after the last of them, and whether every one was taken as it was sent."""
    if m.foreign:
        return f'<span class="bad">{number(m.took)}: not ours</span>'
    told = f"{number(m.took)} as sent" if math.isfinite(m.took) else "no look after it"
    if m.not_as_sent:
        told = f'<span class="uncertain">{number(m.took)}: {m.not_as_sent} of {m.writes} not as sent</span>'
    return told if m.outcome == "good" else f'{told}; <span class="uncertain">{escape(m.outcome)}</span>'


def _minutes(facts: Facts) -> str:
    heads = [
        ("Minute (UTC)", "t"), ("Mode", ""), ("Target % w/w", "n"), ("Estimate", "n"), ("90 % interval", "n"),
        ("Quality", ""), ("T2 of limit", "n"), ("Q of limit", "n"), ("Believed", "n"),
        ("Laboratory", "n"), ("Record", "n"),
    ]  # fmt: skip
    return table("estimates", heads, (_minute_row(m) for m in facts.minutes))


def _minute_row(m: Minute) -> str:
    quality = f'<span class="{m.quality}">{m.quality}</span>' + (f" {escape(m.reason)}" if m.reason else "")
    widened = f" x{m.factor:.2g}" if m.factor > 1 else ""
    believed = f"{fixed(m.belief)} ±{fixed(m.belief_half)}" if math.isfinite(m.belief) else "-"
    return row(
        (moment(m.from_s)[:16], "t"), (escape(m.modes), ""), (fixed(m.target), "n"), (fixed(m.estimate), "n"),
        (f"{fixed(m.low)} to {fixed(m.high)}{widened}", "n"), (quality, ""), (percent(m.t2), "n"),
        (percent(m.q), "n"), (believed, "n"),
        (fixed(m.lab) if math.isfinite(m.lab) else "", "n"), (str(m.seq), "n"),
    )  # fmt: skip


def _chart(facts: Facts) -> str:
    drawn = chart(facts.minutes)
    return f'<div id="chart"><h2>The period at a glance</h2>{drawn}</div>' if drawn else ""
