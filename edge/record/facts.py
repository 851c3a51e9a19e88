"""journal -> facts: who did what, every setpoint that moved, minutes, alarms, models, gaps; what an inspector asks for.

Read leniently, so that the records of earlier releases can be told, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import median
from typing import Any

from edge.record.archive import cut_from
from edge.record.chain import Row
from edge.record.journal import Journal
from edge.record.minutes import Minute, Minutes
from edge.record.moves import Move, Moves
from edge.record.recorded import told_setpoints
from edge.record.shape import as_written
from edge.record.told import Event, told

MARGIN_S = 120.0  # around a period in which cycles are read, too: for what was in force before, and the read-back after
SILENCE_CYCLES = 2.5  # cycles without one, from which on it is a gap


@dataclass(frozen=True)
class AlarmSpan:
    """An alarm from when it stood until it was gone (None: it stood at the end)."""

    name: str
    text: str
    priority: int
    from_s: float
    to_s: float | None
    seq: int


@dataclass(frozen=True)
class Gap:
    """A time for which there is no cycle, or in which the line could not be seen or nothing could be moved, and why."""

    kind: str
    from_s: float
    to_s: float
    why: str
    seq: int


@dataclass(frozen=True)
class ModelUse:
    """A model in use: soft sensor or controller, its hash, how it stood with its registry, and from when to when.

    registry_id, head_seq, head_hash: the newest event that was seen then of which registry ("" and -1: none).
    """

    kind: str
    digest: str
    standing: str
    from_s: float
    to_s: float
    seq: int
    registry_id: str = ""
    head_seq: int = -1
    head_hash: str = ""


@dataclass(frozen=True)
class Passed:
    """A minute of material at the gate: mass released and diverted, kg, with the reason."""

    from_s: float
    to_s: float
    released_kg: float
    diverted_kg: float
    reason: str
    seq: int


@dataclass(frozen=True)
class Facts:
    """What the record tells of a period; times in seconds since the epoch, UTC."""

    line: str
    from_s: float
    to_s: float
    cycles: int
    cycle_s: float
    batches: tuple[str, ...]
    units: dict[str, str]
    events: tuple[Event, ...]
    moves: tuple[Move, ...]
    minutes: tuple[Minute, ...]
    alarms: tuple[AlarmSpan, ...]
    gaps: tuple[Gap, ...]
    models: tuple[ModelUse, ...]
    passed: tuple[Passed, ...]
    software: tuple[str, ...]


def gather(journal: Journal, from_s: float | None, to_s: float | None, progress: Callable[[int, int], None]) -> Facts:
    """The facts of the cycles from from_s to to_s (None: open), in one pass. Raises RecorderError.

    Of an archive: its beginning and the start of the service before it are not in it, so its line is what the cut says
    and its cycle is the usual step between the first cycles in it.
    """
    found = _Gathering(from_s, to_s)
    if piece := cut_from(journal.path):
        found.line, found.cycle_s = piece.line, _usual_step_s(journal)
    newest = journal.last()
    total = newest.seq if newest else 0
    for row in journal.rows():
        with as_written(row):
            found.take(row)
        progress(row.seq, total)
    return found.facts()


def _usual_step_s(journal: Journal) -> float:
    steps = [b.time_s - a.time_s for a, b in pairwise(journal.rows(kind="cycle", limit=100))]
    return median(steps) if steps else math.nan


@dataclass
class _Gathering:
    """The facts as far as the record was read."""

    from_s: float | None
    to_s: float | None
    line: str = ""
    cycle_s: float = math.nan
    units: dict[str, str] = field(default_factory=dict)
    software: dict[str, None] = field(default_factory=dict)
    batches: dict[str, None] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    moves: Moves = field(default_factory=Moves)
    minutes: Minutes = field(default_factory=Minutes)
    alarms: list[AlarmSpan] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    models: list[ModelUse] = field(default_factory=list)
    passed: list[Passed] = field(default_factory=list)
    cycles: int = 0
    span: tuple[float, float] = (math.nan, math.nan)
    mode: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    sensor: str = ""
    controller: str = ""
    release: tuple[str, int, str] = ("", -1, "")
    stopped: str = ""

    def take(self, row: Row) -> None:
        if row.kind in ("cycle", "act") and not self._within(row.time_s, MARGIN_S):
            return
        content = row.content()
        if row.kind == "genesis":
            self.line = str(content.get("line"))
        elif row.kind == "start":
            self._start(content)
        if row.kind == "request":
            self.moves.hear(content)
        if row.kind == "cycle":
            self._cycle(row, content)
        elif row.kind == "act":
            self.moves.act(content)
        elif self._within(row.time_s) and (event := told(row, content, self.config)) is not None:
            self.events.append(event)
        if row.kind == "start":
            self.config = content.get("config") or {}
        if row.kind == "stop":
            self.stopped = str(content.get("reason") or "stopped in good order")

    def facts(self) -> Facts:
        nothing = self.from_s if self.from_s is not None else self.to_s or 0.0
        first, last = self.span if self.cycles else (nothing, nothing)
        return Facts(
            self.line, first, last, self.cycles, self.cycle_s, tuple(self.batches), self.units,
            tuple(sorted(self.events, key=lambda e: (e.time_s, e.seq))), self.moves.all(), self.minutes.all(),
            tuple(sorted(self.alarms, key=lambda a: (a.from_s, a.seq))), tuple(self.gaps), tuple(self.models),
            tuple(self.passed), tuple(self.software),
        )  # fmt: skip

    def _within(self, time_s: float, margin_s: float = 0.0) -> bool:
        late = self.from_s is None or time_s >= self.from_s - margin_s
        return late and (self.to_s is None or time_s <= self.to_s + margin_s)

    def _start(self, content: dict[str, Any]) -> None:
        self.software[str(content.get("software", "unknown"))] = None
        config = content.get("config") or {}
        self.cycle_s = float((config.get("line") or {}).get("cycle_s", math.nan))
        self.units = {mv["name"]: mv["unit"] for mv in told_setpoints(config)}
        self.sensor = str(content.get("sensor_hash") or "")
        self.controller = str(content.get("controller_hash") or "")
        told = content.get("controller_release") or {}
        self.release = (str(told.get("registry_id", "")), int(told.get("head_seq", -1)), str(told.get("head_hash", "")))

    def _cycle(self, row: Row, content: dict[str, Any]) -> None:
        sample, thought = content.get("sample") or {}, content.get("thought") or {}
        inside = self._within(row.time_s)
        move_events = self.moves.cycle(row, sample, thought, tuple(self.units), kept=inside)
        if not inside:
            self.mode = str(thought.get("mode"))
            return
        self.events += move_events
        self._mode(row, sample, thought)
        self._silence(row)
        self._link(row, sample, thought)
        self._alarms(row, thought)
        self._models(row, sample)
        self.minutes.add(row, sample, thought)
        minute = (thought.get("track") or {}).get("minute")
        if minute is not None:
            mass = (float(minute["released_kg"]), float(minute["diverted_kg"]))
            self.passed.append(Passed(minute["start_s"], minute["end_s"], *mass, str(minute["reason"]), row.seq))
        if batch := (sample.get("context") or {}).get("batch"):
            self.batches[str(batch)] = None
        self.span = (self.span[0] if self.cycles else row.time_s, row.time_s)
        self.cycles += 1
        self.stopped = ""

    def _mode(self, row: Row, sample: dict[str, Any], thought: dict[str, Any]) -> None:
        mode, before = str(thought.get("mode")), self.mode
        self.mode = mode
        asked = [r for r in sample.get("requests") or () if r["action"] == "mode"]
        if mode != before and (before or asked):
            who, why = (asked[-1]["user"], asked[-1]["reason"]) if asked else ("the service", "start of the service")
            what = "mode of the service changed"
            self.events.append(Event(row.seq, row.time_s, "mode", who, what, why, before or "not running", mode))

    def _silence(self, row: Row) -> None:
        last = self.span[1]
        if self.cycles and row.time_s - last > SILENCE_CYCLES * self.cycle_s:
            why = self.stopped or "no cycle on the record"
            self.gaps.append(Gap("no cycles", last, row.time_s, why, row.seq))

    def _link(self, row: Row, sample: dict[str, Any], thought: dict[str, Any]) -> None:
        """Times without the line, and times of holding: the newest is made longer while it lasts."""
        command = thought.get("command") or {}
        lost = sample.get("link") != "online"
        kind = "line not seen" if lost else "held" if command.get("holding") else ""
        if not kind:
            return
        reasons = "; ".join(str(r) for r in command.get("reasons") or ())
        why = str(sample.get("reason") or "") if lost else reasons.replace("hold: ", "")
        newest = self.gaps[-1] if self.gaps else None
        if newest is not None and newest.kind == kind and row.time_s - newest.to_s <= SILENCE_CYCLES * self.cycle_s:
            self.gaps[-1] = Gap(kind, newest.from_s, row.time_s, newest.why, newest.seq)
        else:
            self.gaps.append(Gap(kind, row.time_s, row.time_s, why or "no reason recorded", row.seq))

    def _alarms(self, row: Row, thought: dict[str, Any]) -> None:
        standing = {a["name"]: a for a in thought.get("alarms") or ()}
        for i, span in enumerate(self.alarms):
            if span.to_s is None and span.name not in standing:
                self.alarms[i] = replace(span, to_s=row.time_s)
        known = {span.name for span in self.alarms if span.to_s is None}
        for name, alarm in standing.items():
            if name not in known:
                since = float(alarm["since_s"])
                self.alarms.append(AlarmSpan(name, str(alarm["text"]), int(alarm["priority"]), since, None, row.seq))

    def _models(self, row: Row, sample: dict[str, Any]) -> None:
        licence = sample.get("licence") or {}
        seen = (
            str(licence.get("registry_id") or ""),
            int(licence.get("head_seq", -1)),
            str(licence.get("head_hash") or ""),
        )
        digest = str(licence.get("bundle_hash") or self.sensor)
        uses = [ModelUse("soft sensor", digest, _standing(licence), row.time_s, row.time_s, row.seq, *seen)]
        if self.controller:
            standing = "as the start record names it"
            uses.append(
                ModelUse("controller", self.controller, standing, row.time_s, row.time_s, row.seq, *self.release)
            )
        for use in uses:
            last = next((i for i in reversed(range(len(self.models))) if self.models[i].kind == use.kind), None)
            old = None if last is None else self.models[last]
            if last is not None and old is not None and (old.digest, old.standing) == (use.digest, use.standing):
                self.models[last] = replace(old, to_s=row.time_s)
            else:
                self.models.append(use)


def _standing(licence: dict[str, Any]) -> str:
    if not licence:
        return "no licence on the record (an earlier release)"
    registry, head = str(licence.get("registry_id") or ""), licence.get("head_seq")
    told = [str(licence.get("state"))]
    if licence.get("bias"):
        told.append(f"bias {licence['bias']:+g}")
    if registry:
        told.append(f"registry {registry[:12]}, event {head} ({str(licence.get('head_hash'))[:12]})")
    return "; ".join([*told, *(str(licence[k]) for k in ("reason", "note") if licence.get(k))])
