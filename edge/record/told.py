"""record -> event: what a record that is no cycle says, in plain words, with who, why, and what it was before."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from edge.record.chain import Row

# What a person's name beside a request or an account event means (21 CFR 11.50: the meaning of a signature).
MEANINGS = {
    "mode": "asked the service to run in this mode",
    "accept": "accepted the recommendation that was shown",
    "decline": "declined the recommendation that was shown",
    "ack": "acknowledged this alarm",
    "run_down": "asked to run the line down in ratio (start), or to go back to the recipe (cancel)",
    "login": "entered with their own password",
    "login_refused": "was refused entry",
    "logout": "left",
    "password_changed": "changed their own password",
}
QUIET = frozenset({"cycle", "act", "artefact", "checkpoint", "genesis"})


@dataclass(frozen=True)
class Event:
    """Somebody or something did something: kind is the record's; before and after are empty where nothing changed."""

    seq: int
    time_s: float
    kind: str
    who: str
    what: str
    why: str = ""
    before: str = ""
    after: str = ""


def told(row: Row, content: dict[str, Any], config: dict[str, Any]) -> Event | None:
    """The event in a record; None for the kinds that are told elsewhere. config: of the start before it."""
    if row.kind in QUIET:
        return None
    match row.kind:
        case "request":
            return _request(row, content)
        case "people":
            return _people(row, content)
        case "start":
            changed = "; ".join(_changes(config, content.get("config") or {}, "")) if config else ""
            what = f"service started ({content.get('software')}, mode {content.get('mode')})"
            return Event(row.seq, row.time_s, row.kind, "the service", what, after=changed)
        case "stop":
            return Event(row.seq, row.time_s, row.kind, "the service", "service stopped", str(content.get("reason")))
        case "gap":
            what = f"no cycles for {float(content.get('seconds', 0.0)):.0f} s before this start"
            return Event(row.seq, row.time_s, row.kind, "the service", what, str(content.get("why", "")))
        case "lab_result":
            return _laboratory(row, content)
        case "context" | "batch":
            return _making(row, content)
        case "token":
            what = f"API token {content.get('event')}: {content.get('name')} ({content.get('role')})"
            return Event(row.seq, row.time_s, row.kind, _who(content), what)
        case "retired":
            what = f"{content.get('what')} of the record went to the archive {content.get('archive')}"
            return Event(row.seq, row.time_s, row.kind, "the service", what, str(content.get("reason", "")))
    return Event(row.seq, row.time_s, row.kind, _who(content), row.kind, after=_short(content))


def _request(row: Row, content: dict[str, Any]) -> Event:
    action, value = str(content.get("action")), str(content.get("value") or "")
    what = MEANINGS.get(action, f"asked for {action}")
    shown = content.get("cycle_seq")
    seen = f" (shown: record {shown})" if shown else ""
    return Event(row.seq, row.time_s, row.kind, _who(content), what + seen, str(content.get("reason") or ""), "", value)


def _people(row: Row, content: dict[str, Any]) -> Event:
    event, name, by = (str(content.get(key) or "") for key in ("event", "name", "by"))
    what = MEANINGS.get(event, event.replace("_", " "))
    about = "" if by == name else f" (account {name})"
    return Event(row.seq, row.time_s, row.kind, by, what + about, str(content.get("reason") or ""))


def _laboratory(row: Row, content: dict[str, Any]) -> Event:
    values, before = _values(content), _values(content.get("before") or {})
    what = f"laboratory result {content.get('sample_id') or ''} ({content.get('status') or 'entered'})"
    why = str(content.get("why") or content.get("reason") or "")
    return Event(row.seq, row.time_s, row.kind, str(content.get("source") or "LIMS"), what, why, before, values)


def _values(results: dict[str, Any]) -> str:
    """The results in a record of the laboratory, without those that were not measured."""
    names = [name for name in sorted(results) if name.endswith(("_pct", "_mg", "_n"))]
    known = {name: results[name] for name in names if isinstance(results[name], float) and math.isfinite(results[name])}
    return ", ".join(f"{name} {value:g}" for name, value in known.items())


def _making(row: Row, content: dict[str, Any]) -> Event:
    """What was said to be made (context), and what counted from the next cycle on (batch)."""
    what = "said what is being made" if row.kind == "context" else "what is being made changed"
    before = _batch(content["before"]) if content.get("before") else ""
    who = str(content.get("source") or "the line")
    return Event(row.seq, row.time_s, row.kind, who, what, before=before, after=_batch(content))


def _batch(making: dict[str, Any]) -> str:
    lots = ", ".join(f"{name} {lot}" for name, lot in (making.get("lots") or {}).items() if lot)
    text = f"batch {making.get('batch') or 'none'}, product {making.get('product') or 'none'}"
    return f"{text}, lots {lots}" if lots else text


def _who(content: dict[str, Any]) -> str:
    """Whoever the record names; a nested origin counts."""
    for key in ("user", "by", "who", "source", "name"):
        if isinstance(content.get(key), str) and content[key]:
            return str(content[key])
    return "the service"


def _changes(before: Any, after: Any, where: str) -> list[str]:
    """Settings that are not what they were at the start before, as "table.key: before -> after"."""
    if isinstance(before, dict) and isinstance(after, dict):
        names = sorted({*before, *after})
        return [t for n in names for t in _changes(before.get(n), after.get(n), f"{where}.{n}" if where else n)]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [t for i, (old, new) in pairs for t in _changes(old, new, f"{where}[{i}]")]
    return [] if before == after else [f"{where}: {before} -> {after}"]


def _short(content: dict[str, Any]) -> str:
    text = ", ".join(f"{key} {value}" for key, value in content.items())
    return text if len(text) <= 200 else text[:197] + "..."
