"""cycles -> moves: every setpoint that was sent or changed, with who decided it, why, and what the PLC took."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from edge.record.chain import Row
from edge.record.told import Event

OURS_FOR = 2  # cycles after our last write in which the PLC may still be on its way to it
SAME = 1e-9  # relative: the PLC keeps setpoints as it was sent them, or rounds them visibly
OUTSIDE = "not this system"


@dataclass(frozen=True)
class Move:
    """A setpoint that was sent, or that changed without us (by: OUTSIDE, sent: NaN).

    before: in force when it was decided; sent: what we wrote; outcome: what became of the write; took: in force at the
    next look, NaN where there was none; all in the setpoint's unit. by: what decided, in which mode; asked_by: who had
    asked for that mode, with their reason.
    """

    seq: int
    time_s: float
    name: str
    before: float
    sent: float
    outcome: str
    took: float
    mode: str
    by: str
    asked_by: str
    why: str


@dataclass
class Moves:
    """The moves as far as the record was read: a move is whole when the cycle after it was read."""

    done: list[Move] = field(default_factory=list)
    waiting: list[Move] = field(default_factory=list)
    asked: str = ""
    heard: str = ""
    first: bool = True
    before: dict[str, float] = field(default_factory=dict)
    since_write: dict[str, int] = field(default_factory=dict)

    def hear(self, request: dict[str, Any]) -> None:
        """A person's request; it counts where the cycle that took it up is not read, being before the period."""
        if request.get("action") == "mode":
            self.heard = f"{request.get('user')}: {request.get('reason')}"

    def act(self, content: dict[str, Any]) -> None:
        """What became of the writes of the cycle before."""
        codes = "; ".join(f"{tag} {code}" for tag, code in (content.get("codes") or {}).items())
        told = " ".join(part for part in (str(content.get("result", "")), content.get("step") or "", codes) if part)
        self.waiting = [replace(move, outcome=told) for move in self.waiting]

    def cycle(
        self, row: Row, sample: dict[str, Any], thought: dict[str, Any], names: tuple[str, ...], *, kept: bool
    ) -> list[Event]:
        """Take a cycle in; gives the changes that were not ours as events; kept: whether its own moves are told."""
        now = {name: _working(sample, name) for name in names}
        said = str((sample.get("acted") or {}).get("read_back") or "")
        for move in self.waiting:
            outcome = f"{move.outcome}; {said}" if said else move.outcome
            self.done.append(replace(move, took=now.get(move.name, math.nan), outcome=outcome))
        self.waiting = []
        foreign = self._foreign(row, now, thought) if kept else []
        self.asked = self.asked or (self.heard if self.first else "")
        self.first = False
        self._ask(sample)
        command, decision = thought.get("command") or {}, thought.get("decision") or {}
        writes = command.get("writes") or {}
        for name in names:
            self.since_write[name] = 0 if name in writes else self.since_write.get(name, OURS_FOR + 1) + 1
        if kept:
            mode = str(thought.get("mode"))
            by = f"{decision.get('controller', '?')}{_rung(decision)} in {mode} mode"
            why = "; ".join([str(decision.get("reason") or ""), *map(str, command.get("reasons") or ())]).strip("; ")
            self.waiting = [
                Move(row.seq, row.time_s, name, now.get(name, math.nan), float(value), "not told", math.nan, mode, by,
                     self.asked, why)
                for name, value in writes.items()
            ]  # fmt: skip
        self.before = now
        return foreign

    def all(self) -> tuple[Move, ...]:
        """Every move in order; what the record's end left open has no read-back."""
        return (*self.done, *self.waiting)

    def _ask(self, sample: dict[str, Any]) -> None:
        for request in sample.get("requests") or ():
            if request["action"] == "mode":
                self.asked = f"{request['user']}: {request['reason']}"

    def _foreign(self, row: Row, now: dict[str, float], thought: dict[str, Any]) -> list[Event]:
        found = []
        mode = str(thought.get("mode"))
        for name, value in now.items():
            old = self.before.get(name, math.nan)
            changed = math.isfinite(old) and math.isfinite(value) and abs(value - old) > SAME * max(abs(old), 1.0)
            if not changed or self.since_write.get(name, OURS_FOR + 1) <= OURS_FOR:
                continue
            why = "changed at the PLC: by its operator, or by the PLC's own logic"
            self.done.append(Move(row.seq, row.time_s, name, old, math.nan, "not ours", value, mode, OUTSIDE, "", why))
            what = f"set-point {name} changed at the PLC"
            found.append(Event(row.seq, row.time_s, "setpoint", OUTSIDE, what, why, f"{old:.6g}", f"{value:.6g}"))
        return found


def _working(sample: dict[str, Any], name: str) -> float:
    reading = (sample.get("readings") or {}).get(f"{name}.SP_Working") or {}
    value = reading.get("value", math.nan)
    return float(value) if reading.get("quality") != "bad" and isinstance(value, (int, float)) else math.nan


def _rung(decision: dict[str, Any]) -> str:
    fallback = str(decision.get("fallback") or "")
    return f" (fallback: {fallback})" if fallback else ""
