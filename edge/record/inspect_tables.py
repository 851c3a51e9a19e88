"""facts -> the page's smaller tables, and what all tables are made of; every text from the record is escaped."""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape

from edge.record.approvals import Approvals
from edge.record.export import utc
from edge.record.facts import AlarmSpan, Facts, Gap


def alarms_table(alarms: Iterable[AlarmSpan]) -> str:
    """Every alarm, from when it stood until it was gone."""
    heads = [("Since (UTC)", "t"), ("Until", "t"), ("Priority", "n"), ("Alarm", ""), ("Text", ""), ("Record", "n")]
    rows = (
        row(
            (moment(a.from_s), "t"), ("still standing" if a.to_s is None else moment(a.to_s), "t"),
            (str(a.priority), "n"), (escape(a.name), ""), (escape(a.text), "w"), (str(a.seq), "n"),
        )
        for a in alarms
    )  # fmt: skip
    return table("alarms", heads, rows)


def models_table(facts: Facts) -> str:
    """The models in use, by hash, with their standing."""
    heads = [("Model", ""), ("Hash (SHA-256)", ""), ("Standing", ""), ("From (UTC)", "t"), ("To", "t"), ("Record", "n")]
    rows = (
        row(
            (escape(m.kind), ""), (f"<code>{escape(m.digest or 'not recorded')}</code>", ""), (escape(m.standing), "w"),
            (moment(m.from_s), "t"), (moment(m.to_s), "t"), (str(m.seq), "n"),
        )
        for m in facts.models
    )  # fmt: skip
    return table("models", heads, rows)


def approvals_table(approved: Approvals | None) -> str:
    """The signed events behind the models, with what was checked of the registry."""
    if approved is None:
        return (
            "<p>The signed approvals are in the registry of models that is "
            "named above; it was not read for this page.</p>"
        )
    heads = [
        ("Time (UTC)", "t"),
        ("Who signed", ""),
        ("Meaning", ""),
        ("Model (SHA-256)", ""),
        ("Why", ""),
        ("Key", ""),
    ]
    rows = (
        row(
            (moment(a.time_s), "t"), (escape(a.person), ""), (escape(a.meaning), ""),
            (f"<code>{escape(a.bundle[:12])}</code>", ""), (escape(a.reason), "w"),
            (f"<code>{escape(a.key)}</code>", ""),
        )
        for a in approved.events
    )  # fmt: skip
    remarks = "".join(f"<p>{escape(remark)}</p>" for remark in approved.remarks)
    return remarks + table("approvals", heads, rows)


def gaps_table(gaps: Iterable[Gap]) -> str:
    """Times without cycles, without the line, or of holding."""
    heads = [("From (UTC)", "t"), ("To", "t"), ("Seconds", "n"), ("What", ""), ("Why", ""), ("Record", "n")]
    rows = (
        row(
            (moment(g.from_s), "t"), (moment(g.to_s), "t"), (f"{g.to_s - g.from_s:.0f}", "n"), (escape(g.kind), ""),
            (escape(g.why), "w"), (str(g.seq), "n"),
        )
        for g in gaps
    )  # fmt: skip
    return table("gaps", heads, rows)


def material_table(facts: Facts) -> str:
    """The mass that passed the gate, minute by minute."""
    heads = [("Minute (UTC)", "t"), ("Released kg", "n"), ("Diverted kg", "n"), ("Why", ""), ("Record", "n")]
    rows = (
        row(
            (moment(p.from_s), "t"), (f"{p.released_kg:.4f}", "n"),
            (f'<span class="bad">{p.diverted_kg:.4f}</span>' if p.diverted_kg > 0 else "0", "n"),
            (escape(p.reason), "w"), (str(p.seq), "n"),
        )
        for p in facts.passed
    )  # fmt: skip
    return table("material", heads, rows)


def table(key: str, heads: Iterable[tuple[str, str]], rows: Iterable[str]) -> str:
    """A table whose rows the filter can find, counted in the element n-KEY; empty where there is no row."""
    head = "".join(f'<th class="{kind}">{escape(text)}</th>' for text, kind in heads)
    body = "".join(rows)
    if not body:
        return ""
    return f'<table data-filter="n-{key}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def row(*cells: tuple[str, str]) -> str:
    """One row: content and class of each cell."""
    return (
        "<tr>"
        + "".join(f'<td class="{kind}">{text}</td>' if kind else f"<td>{text}</td>" for text, kind in cells)
        + "</tr>"
    )


def moment(time_s: float) -> str:
    """A time as people read it, UTC, to the second."""
    return utc(time_s)[:19].replace("T", " ")


def number(value: float, digits: int = 6) -> str:
    """A number in few digits; a dash where there is none."""
    return f"{value:.{digits}g}" if math.isfinite(value) else "-"


def fixed(value: float) -> str:
    """A content in % w/w with the digits it is worth; a dash where there is none."""
    return f"{value:.3f}" if math.isfinite(value) else "-"


def percent(share: float) -> str:
    """A share of its limit, marked where it is beyond."""
    text = f"{100 * share:.0f} %" if math.isfinite(share) else "-"
    return f'<span class="bad">{text}</span>' if share > 1 else text
