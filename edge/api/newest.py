"""journal -> what holds now, as the API tells it: state, estimate, belief, decision, alarms, setpoints, record."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.record.chain import Row
from edge.record.checkpoint import latest_anchor
from edge.record.export import utc
from edge.record.journal import Journal
from edge.units import UnitError, ucum

LEAST_STALE_S, STALE_CYCLES = 3.0, 3  # as on the operator's page
Plain = dict[str, Any]


@dataclass(frozen=True)
class Newest:
    """The newest cycle on the record; age_s: since it came, on this machine's clock; stale: too old to act on."""

    row: Row
    sample: Mapping[str, Any]
    thought: Mapping[str, Any]
    age_s: float
    stale: bool


class Watcher:
    """Looks at the newest cycle of a journal. monotonic, wall: seconds, of this machine."""

    def __init__(self, journal: Journal, cycle_s: float, monotonic: Callable[[], float], wall: Callable[[], float]):
        self._journal, self._cycle_s, self._monotonic, self._wall = journal, cycle_s, monotonic, wall
        self._lock = threading.Lock()
        self._seq, self._came_s = 0, 0.0

    def look(self) -> Newest | None:
        """The newest cycle; None before the first. Raises RecorderError."""
        row = self._journal.last("cycle")
        if row is None:
            return None
        content = row.content()
        with self._lock:
            if row.seq != self._seq:
                first, self._seq, self._came_s = self._seq == 0, row.seq, self._monotonic()
                if first:  # it came before we looked: at least as old as its stamp says
                    self._came_s -= max(0.0, self._wall() - row.time_s)
            age_s = self._monotonic() - self._came_s
        ended = (newest := self._journal.last("stop")) is not None and newest.seq > row.seq
        stale = ended or age_s > max(LEAST_STALE_S, STALE_CYCLES * self._cycle_s)
        return Newest(row, content["sample"], content["thought"], age_s, stale)


def plain(found: Any) -> Any:
    """What JSON can hold: numbers that are none become null, arrays lists."""
    if isinstance(found, float):
        return found if math.isfinite(found) else None
    if isinstance(found, Mapping):
        return {str(key): plain(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [plain(value) for value in found]
    if isinstance(found, np.ndarray):
        return [plain(value) for value in found.tolist()]
    return found


def stamped(now: Newest, content: Plain) -> Plain:
    """An answer with the record it comes from, its time and whether it is still of now."""
    seen = {"seq": now.row.seq, "time": utc(now.row.time_s), "age_s": round(now.age_s, 3), "stale": now.stale}
    return {**seen, **plain(content)}


def state(now: Newest, line: str) -> Plain:
    """Mode, link, whether it holds and why, and what is being made."""
    command = now.thought.get("command") or {}
    found = {
        "line": line,
        "mode": now.thought.get("mode"),
        "holding": command.get("holding"),
        "diverting": command.get("divert"),
        "reasons": command.get("reasons"),
        "link": now.sample.get("link"),
        "epoch": now.sample.get("epoch"),
        "handshake": now.thought.get("handshake"),
        "authority": now.thought.get("authority"),
        "alarms": len(now.thought.get("alarms") or ()),
        "last_write": now.sample.get("acted"),
        "context": now.sample.get("context"),
    }
    return stamped(now, found)


def part(now: Newest, name: str) -> Plain:
    """The estimate, belief or decision of the newest cycle, whole; null where there is none."""
    return stamped(now, {name: now.thought.get(name)})


def alarms(now: Newest) -> Plain:
    """The standing alarms, most urgent first."""
    found = [
        {**alarm, "since": utc(alarm["since_s"]), "seen": utc(alarm["seen_s"])}
        for alarm in now.thought.get("alarms") or ()
    ]
    return stamped(now, {"alarms": found})


def setpoints(now: Newest, units: Mapping[str, str]) -> Plain:
    """Each setpoint: what the PLC works with, what is recommended, what was written; with its unit and UCUM code."""
    command, decision = now.thought.get("command") or {}, now.thought.get("decision") or {}
    readings = now.sample.get("readings") or {}
    found = {}
    for name, unit in units.items():
        working = readings.get(f"{name}.SP_Working") or {}
        found[name] = {
            "unit": unit, "ucum": ucum_or_none(unit),
            "working": working.get("value"), "quality": working.get("quality", "bad"),
            "recommended": (command.get("recommended") or {}).get(name),
            "written": (command.get("writes") or {}).get(name),
        }  # fmt: skip
    told = {"reason": decision.get("reason")}
    if decision.get("press"):
        told["press_reason"] = decision["press"]["reason"]
    return stamped(now, {"setpoints": found, **told})


def record(journal: Journal, line: str) -> Plain:
    """The head of the record, and the newest checkpoint to hold it to from outside."""
    head, anchor = journal.last(), latest_anchor(journal)
    told = None
    if anchor is not None:
        told = {"seq": anchor.seq, "time": anchor.time, "text": anchor.text()}
    newest = None if head is None else {"seq": head.seq, "time": utc(head.time_s), "hash": head.hash.hex()}
    return {"line": line, "head": newest, "anchor": told}


def ucum_or_none(unit: str) -> str | None:
    """The UCUM code of a unit of the line file, None where it is none."""
    try:
        return ucum(unit)
    except UnitError:
        return None
