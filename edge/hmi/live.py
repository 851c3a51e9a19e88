"""journal -> what the page shows: follows the newest records and keeps the last hour for the trend."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edge.record.chain import Row
from edge.record.journal import Journal

HOUR_S = 3600.0
LEAST_STALE_S = 3.0
STALE_CYCLES = 3  # our choice: two missed cycles can be a slow solver, three are a service that is gone
REQUESTS_SHOWN = 3


@dataclass(frozen=True)
class Point:
    """One cycle of the trend; all in % of label claim (in the estimate's unit without a target), NaN where unknown."""

    time_s: float
    estimate: float
    lower: float
    upper: float
    belief: float


@dataclass(frozen=True)
class Lab:
    """A laboratory value at the time its sample was taken."""

    time_s: float
    value: float


@dataclass(frozen=True)
class Asked:
    """A person's request and whether the service has taken it up."""

    seq: int
    time_s: float
    text: str
    user: str
    taken_up: bool


@dataclass(frozen=True)
class Live:
    """The newest cycle with all that belongs to it; cycle is None until there is one.

    age_s: since the newest cycle came, on this machine's clock; stale: too old to be shown as if it were now.
    """

    line: str
    seq: int
    time_s: float
    age_s: float
    stale: bool
    thought: Mapping[str, Any] | None
    sample: Mapping[str, Any]
    start: Mapping[str, Any]
    points: tuple[Point, ...]
    labs: tuple[Lab, ...]
    asked: tuple[Asked, ...]


class Follower:
    """Reads a journal as it grows. monotonic and wall: seconds, of this machine."""

    def __init__(self, journal: Journal, line: str, monotonic: Callable[[], float], wall: Callable[[], float]) -> None:
        self._journal, self._line, self._monotonic, self._wall = journal, line, monotonic, wall
        self._lock = threading.Lock()
        self._seq = 0
        self._cycle: Row | None = None
        self._content: dict[str, Any] = {}
        self._start: dict[str, Any] = {}
        self._ended = False  # the service said goodbye: what it said before is old at once
        self._came_s = 0.0
        self._points: deque[Point] = deque()
        self._labs: dict[int | str, Lab] = {}
        self._asked: deque[Asked] = deque(maxlen=REQUESTS_SHOWN)

    def look(self) -> Live:
        """What there is to show now. Raises RecorderError when the journal cannot be read."""
        with self._lock:
            first_look = self._seq == 0
            if first_look:
                self._begin()
            before = self._cycle
            for row in self._journal.rows(after_seq=self._seq):
                self._take(row)
            if self._cycle is not before:
                self._came_s = self._monotonic()
                if first_look and self._cycle is not None:  # it came before we looked: at least as old as its stamp
                    self._came_s -= max(0.0, self._wall() - self._cycle.time_s)
            return self._live()

    def _begin(self) -> None:
        """Find the record from which an hour of cycles begins, looking back twice as far until it is enough."""
        newest = self._journal.last("cycle")
        start = self._journal.last("start")
        if start is not None:
            self._start = start.content()
        if newest is None:
            return
        reach = 1024
        while reach < newest.seq:
            (first, *_) = [*self._journal.rows(after_seq=newest.seq - reach, kind="cycle", limit=1), newest]
            if first.time_s <= newest.time_s - HOUR_S:
                break
            reach *= 2
        self._seq = max(0, newest.seq - reach)

    def _take(self, row: Row) -> None:
        self._seq = row.seq
        self._ended = row.kind == "stop" or (self._ended and row.kind not in ("cycle", "start"))
        if row.kind == "cycle":
            self._take_cycle(row)
        elif row.kind == "start":
            self._start = row.content()
        elif row.kind == "request":
            body = row.content()
            text = " ".join(str(body.get(key) or "") for key in ("action", "value")).strip()
            self._asked.append(Asked(row.seq, row.time_s, text, str(body.get("user", "")), taken_up=False))

    def _take_cycle(self, row: Row) -> None:
        if self._cycle is not None and row.time_s < self._cycle.time_s:
            self._points.clear()  # the line's clock was set back: two times on one axis would only mislead
            self._labs.clear()
        self._cycle, self._content = row, row.content()
        thought, sample = self._content["thought"], self._content["sample"]
        scale = scale_of(thought)
        self._points.append(_point(row.time_s, thought, scale))
        while self._points[0].time_s < row.time_s - HOUR_S:
            self._points.popleft()
        for result in (*(sample.get("lab") or ()), *(sample.get("lims") or ())):
            if result["counter"] > 0 and math.isfinite(result["assay_pct"]):
                name = result.get("sample_id") or result["counter"]  # a corrected sample has one mark, not two
                self._labs[name] = Lab(result["sample_time_s"], scale * result["assay_pct"])
        self._labs = {n: lab for n, lab in self._labs.items() if lab.time_s >= row.time_s - HOUR_S}
        answered = set(thought.get("answered") or ())
        self._asked = deque(
            (Asked(a.seq, a.time_s, a.text, a.user, a.taken_up or a.seq in answered) for a in self._asked),
            maxlen=REQUESTS_SHOWN,
        )

    def _live(self) -> Live:
        row = self._cycle
        age_s = self._monotonic() - self._came_s
        cycle_s = float(((self._start.get("config") or {}).get("line") or {}).get("cycle_s") or 1.0)
        return Live(
            line=self._line,
            seq=row.seq if row else 0,
            time_s=row.time_s if row else math.nan,
            age_s=age_s,
            stale=row is None or self._ended or age_s > max(LEAST_STALE_S, STALE_CYCLES * cycle_s),
            thought=self._content["thought"] if row else None,
            sample=self._content["sample"] if row else {},
            start=self._start,
            points=tuple(self._points),
            labs=tuple(self._labs.values()),
            asked=tuple(self._asked),
        )


def scale_of(thought: Mapping[str, Any]) -> float:
    """What turns % w/w into % of label claim: 100 / target; 1 on a line without a target."""
    target = thought.get("target")
    return 100.0 / target["api_pct"] if target else 1.0


def _point(time_s: float, thought: Mapping[str, Any], scale: float) -> Point:
    estimate, belief = thought.get("estimate") or {}, thought.get("belief") or {}
    bad = estimate.get("quality", "bad") == "bad"
    lost = belief.get("quality", "bad") == "bad"
    return Point(
        time_s,
        estimate=math.nan if bad else scale * estimate["value"],
        lower=math.nan if bad else scale * estimate["lower"],
        upper=math.nan if bad else scale * estimate["upper"],
        belief=math.nan if lost else scale * belief["api_pct"],
    )
