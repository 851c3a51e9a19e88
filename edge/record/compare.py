"""recorded thought, thought now -> what differs: by stage and field, since when, and how much."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from control.signals import WHEN_SET
from edge.record.canonical import encode, to_plain
from edge.signals import Thought

# Every part of a thought has its stage, in the order in which one follows from the other.
STAGES: dict[str, tuple[str, ...]] = {
    "asked": ("mode", "answered", "target", "unlicensed"),
    "estimate": ("estimate", "shadow", "interval_factor", "unverified", "covered"),
    "belief": ("belief",),
    "room": ("room", "economy"),
    "decision": ("decision",),
    "command": ("command", "handshake", "authority"),
    "written": ("wire",),
    "track": ("track",),
    "alarms": ("alarms",),
}

CHARS = 60  # of a value as it is shown


@dataclass(frozen=True)
class Change:
    """One field of one cycle that is not what was recorded; the values are plain."""

    path: str
    before: Any
    after: Any

    def size(self) -> float | None:
        """How much a number changed; None where one of the two is no finite number."""
        pair = (self.before, self.after)
        if any(isinstance(v, bool) or not isinstance(v, (int, float)) or not math.isfinite(v) for v in pair):
            return None
        return abs(float(self.after) - float(self.before))


@dataclass(frozen=True)
class Unmatched:
    """A field that has no partner: not recorded then ("then"), or recorded and not made any more ("now")."""

    path: str
    missing: str


@dataclass(frozen=True)
class FieldReport:
    """What became of one field: in how many cycles it differs, since when, an example, and how much.

    Sizes are in the field's own unit, relative ones to the recorded value; None where it is no number. typical: the
    median over the cycles that differ.
    """

    path: str
    cycles: int
    first_seq: int
    first_time_s: float
    first_before: str
    first_after: str
    largest: float | None
    typical: float | None
    largest_relative: float | None
    typical_relative: float | None


@dataclass(frozen=True)
class StageReport:
    """What became of one stage: cycles compared, cycles that differ, the first of them, and its fields, worst first."""

    stage: str
    compared: int
    differing: int
    first_seq: int | None
    first_time_s: float | None
    fields: tuple[FieldReport, ...]
    not_recorded_then: tuple[str, ...]
    not_made_now: tuple[str, ...]


@dataclass
class Tally:
    """Counts the differences of one stage, cycle by cycle."""

    stage: str
    compared: int = 0
    seen: list[tuple[int, float]] = field(default_factory=list)
    changes: dict[str, list[tuple[int, float, Change]]] = field(default_factory=dict)
    unmatched: set[Unmatched] = field(default_factory=set)

    def add(self, seq: int, time_s: float, before: Mapping[str, Any], after: Thought) -> None:
        """Compare the stage of one cycle: the recorded thought as decoded, and the thought now."""
        self.compared += 1
        found: dict[str, Change] = {}
        for name in STAGES[self.stage]:
            if name not in before:
                self.unmatched.add(Unmatched(name, "then"))
                continue
            for item in differences(name, _named(name, before[name]), _named(name, getattr(after, name))):
                if isinstance(item, Unmatched):
                    self.unmatched.add(item)
                elif item.path not in found or (item.size() or 0.0) > (found[item.path].size() or 0.0):
                    found[item.path] = item
        if found:
            self.seen.append((seq, time_s))
        for path, change in found.items():
            self.changes.setdefault(path, []).append((seq, time_s, change))

    def report(self) -> StageReport:
        """The counts as they stand."""
        seq, time_s = self.seen[0] if self.seen else (None, None)
        told = [_field(path, changes) for path, changes in self.changes.items()]
        told.sort(key=lambda f: (f.first_seq, -f.cycles, f.path))
        then = tuple(sorted(u.path for u in self.unmatched if u.missing == "then"))
        now = tuple(sorted(u.path for u in self.unmatched if u.missing == "now"))
        return StageReport(self.stage, self.compared, len(self.seen), seq, time_s, tuple(told), then, now)


def tallies(stages: tuple[str, ...] = tuple(STAGES)) -> dict[str, Tally]:
    """A fresh count for each of the stages."""
    return {stage: Tally(stage) for stage in stages}


def differences(path: str, before: Any, after: Any) -> Iterator[Change | Unmatched]:
    """Where a recorded plain value and a typed one differ, bit for bit.

    A field of a type that the record lacks was not recorded then, which is no difference; a key of a mapping that it
    lacks is one. Items of sequences share one path.
    """
    if is_dataclass(after) and not isinstance(after, type) and isinstance(before, dict):
        known = {f.name: f for f in fields(after)}
        yield from (Unmatched(f"{path}.{name}", "now") for name in before if name not in known)
        for name, told in known.items():
            if name in before or told.metadata == WHEN_SET:  # such a one was not set where it is not there
                yield from differences(f"{path}.{name}", before.get(name, told.default), getattr(after, name))
            else:
                yield Unmatched(f"{path}.{name}", "then")
    elif isinstance(after, Mapping) and isinstance(before, dict):
        for key in sorted({*before, *after}):
            yield from differences(f"{path}.{key}", before.get(key), after.get(key))
    elif isinstance(after, (tuple, list)) and isinstance(before, list) and len(before) == len(after):
        for old, new in zip(before, after, strict=True):
            yield from differences(f"{path}[]", old, new)
    elif encode(before) != encode(after):
        yield Change(path, to_plain(before), to_plain(after))


def shown(value: Any) -> str:
    """A plain value in few characters."""
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dict) and set(value) == {"~f"}:
        return str(value["~f"])
    if value is None:
        return "nothing"
    text = f"{len(value)} items" if isinstance(value, (list, dict)) and len(str(value)) > CHARS else str(value)
    return text if len(text) <= CHARS else text[: CHARS - 3] + "..."


def shown_apart(before: Any, after: Any) -> tuple[str, str]:
    """Two values that differ in few characters each; texts that are alike for longer are shown from where they part."""
    told = shown(before), shown(after)
    if told[0] != told[1] or not (isinstance(before, str) and isinstance(after, str)):
        return told
    part = next((i for i, (old, new) in enumerate(zip(before, after, strict=False)) if old != new), 0)
    start = max(0, part - CHARS // 2)
    lead = "..." if start else ""
    return lead + shown(before[start:]), lead + shown(after[start:])


def _field(path: str, changes: list[tuple[int, float, Change]]) -> FieldReport:
    seq, time_s, first = changes[0]
    sized = [(size, change) for _, _, change in changes if (size := change.size()) is not None]
    sizes = [size for size, _ in sized]
    relative = [size / abs(change.before) for size, change in sized if change.before != 0]
    return FieldReport(
        path, len(changes), seq, time_s, *shown_apart(first.before, first.after),
        max(sizes, default=None), statistics.median(sizes) if sizes else None,
        max(relative, default=None), statistics.median(relative) if relative else None,
    )  # fmt: skip


def _named(part: str, value: Any) -> Any:
    """Alarms and writes by name, so that one more of them is one difference and not a shift of all."""
    if part == "wire":
        return {str(tag): number for tag, number in value}
    if part == "alarms":
        return {(a["name"] if isinstance(a, dict) else a.name): a for a in value}
    return value


__all__ = ["STAGES", "Change", "FieldReport", "StageReport", "Tally", "Thought", "differences", "shown", "tallies"]
