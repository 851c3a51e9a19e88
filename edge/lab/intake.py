"""laboratory results -> records: each one once, with what it means beside those that were there before it.

Every result becomes a `lab_result` record, whatever it is worth: new, an addition to a sample (another quantity), a
duplicate, a correction (other values, with a reason) or refused. Importers of one line take turns by a lock on a file
beside the journal, so that two of them never judge by the same past.
"""

from __future__ import annotations

import fcntl
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edge.errors import RecorderError
from edge.lab.result import ResultError, Told, converted
from edge.lab.settings import LabTable
from edge.record.canonical import encode
from edge.record.chain import Row
from edge.record.journal import Journal
from edge.record.seek import nearest

KIND = "lab_result"
USED = ("new", "addition", "correction")  # the states that the cycle is handed
AHEAD_S = 60.0  # our choice: the laboratory's clock may be ahead of the line's by so much
NEAR_CYCLES = 3.0  # a sample without a cycle so near, or within a minute, was taken while nobody looked
EQUAL_REL = 1e-9
VALUES = ("assay_pct", "tablet_weight_mg", "hardness_n")


@dataclass(frozen=True)
class Origin:
    """Who told a result and how: `file:NAME`, `rest:TOKEN` or `import:USER`.

    Of a file: the SHA-256 of its bytes, its name, its time of change (ns) and the result's number in it.
    """

    source: str
    sha256: str = ""
    name: str = ""
    changed_ns: int = 0
    number: int = 0

    @property
    def key(self) -> tuple[str, int, str, int]:
        """What a result of a file is known by, when the file is read again after a crash."""
        return (self.sha256, self.changed_ns, self.name, self.number)


@dataclass(frozen=True)
class Entered:
    """What became of a result: its record, its state, why it was refused; again: it was there before (same file)."""

    seq: int
    sample_id: str
    status: str
    why: str
    again: bool = False


class Intake:
    """Enters results into the journal of one line. cycle_s: of the line. Raises RecorderError."""

    def __init__(self, journal: Journal, table: LabTable, cycle_s: float) -> None:
        self._journal, self._table, self._cycle_s = journal, table, cycle_s
        self._seq = 0
        self._samples: dict[str, dict[str, Any]] = {}
        self._entered: dict[tuple[str, int, str, int], Entered] = {}

    def enter(self, told: Told | None, why: str, origin: Origin, now_s: float) -> Entered:
        """Record a result (None: something that could not be read as one, and why); the same part of a file once.

        now_s: seconds since the epoch, UTC, of this machine.
        """
        with self._turn():
            self._catch_up()
            known = self._entered.get(origin.key) if origin.sha256 else None
            if known is not None:
                return replace(known, again=True)
            body = self._judged(told, why, now_s)
            row = self._journal.append(KIND, now_s, encode({**body, "source": origin.source, "file": asdict(origin)}))
            self._catch_up()
            return Entered(row.seq, body["sample_id"], body["status"], body["why"])

    def _judged(self, told: Told | None, why: str, now_s: float) -> dict[str, Any]:
        if told is None:
            return _body(None, "refused", why)
        try:
            self._check_time(told.sample_time_s, now_s)
            values = converted(told, self._label_claim_pct(told.sample_time_s))
        except ResultError as error:
            return _body(told, "refused", str(error))
        body = {**_body(told, "new", ""), **values, "result_time_s": told.result_time_s or now_s}
        before = self._samples.get(told.sample_id)
        return body if before is None else _beside(body, values, before)

    def _check_time(self, sample_s: float, now_s: float) -> None:
        """Raises ResultError for a sample that the line's record cannot be joined to."""
        near = nearest(self._journal, sample_s)
        newest = self._journal.last("cycle")
        latest_s = max(now_s, newest.time_s if newest else -math.inf) + AHEAD_S
        if sample_s > latest_s:
            raise ResultError("sample_time lies in the future: mend the time or the clock")
        if sample_s < latest_s - AHEAD_S - 3600.0 * self._table.oldest_h and not self._recent(sample_s, newest):
            raise ResultError(f"sample_time lies more than {self._table.oldest_h:g} h back ([lab] oldest_h)")
        if near is None or abs(near.time_s - sample_s) > max(AHEAD_S, NEAR_CYCLES * self._cycle_s):
            raise ResultError("sample_time is not known: the record has no cycle of the line near it")

    def _recent(self, sample_s: float, newest: Row | None) -> bool:
        """By the line's own clock, which need not be this machine's."""
        return newest is not None and sample_s >= newest.time_s - 3600.0 * self._table.oldest_h

    def _label_claim_pct(self, sample_s: float) -> float | None:
        row = nearest(self._journal, sample_s)
        target = None if row is None else row.content()["thought"].get("target")
        return None if target is None else float(target["api_pct"])

    def _catch_up(self) -> None:
        for row in self._journal.rows(after_seq=self._seq, kind=KIND):
            self._seq = row.seq
            body = row.content()
            origin = Origin(**body["file"])
            if origin.sha256:
                self._entered[origin.key] = Entered(row.seq, body["sample_id"], body["status"], body["why"])
            if body["status"] in USED:
                self._samples[body["sample_id"]] = {**body, "seq": row.seq}

    @contextmanager
    def _turn(self) -> Iterator[None]:
        path = lock_path(self._journal.path)
        try:
            file = path.open("ab")
        except OSError as error:
            raise RecorderError(f"{path}: {error.strerror}; give the account the right to write there") from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def lock_path(journal: Path) -> Path:
    """The file beside a journal by which importers take turns."""
    return journal.with_name(journal.name + ".lab.lock")


def _body(told: Told | None, status: str, why: str) -> dict[str, Any]:
    nothing = dict.fromkeys(VALUES, math.nan)
    if told is None:
        return {
            "status": status, "why": why, "sample_id": "", "sample_time_s": math.nan, "result_time_s": math.nan,
            **nothing, "told": {}, "analyst": "", "reason": "", "of": 0, "before": {},
        }  # fmt: skip
    return {
        "status": status, "why": why, "sample_id": told.sample_id, "sample_time_s": told.sample_time_s,
        "result_time_s": math.nan if told.result_time_s is None else told.result_time_s, **nothing,
        "told": {name: list(value) for name, value in told.values.items()},
        "analyst": told.analyst, "reason": told.reason, "of": 0, "before": {},
    }  # fmt: skip


def _beside(body: dict[str, Any], values: Mapping[str, float], before: Mapping[str, Any]) -> dict[str, Any]:
    """What a result means beside the one that holds for its sample; what is in force is on the newest record, whole."""
    body = {**body, "of": before["seq"], "before": {name: before[name] for name in VALUES}}
    if body["sample_time_s"] != before["sample_time_s"]:
        why = f"record {before['seq']} holds this sample with another sample_time: give the sample an id of its own"
        return {**body, "status": "refused", "why": why}
    both = [n for n in VALUES if math.isfinite(values[n]) and math.isfinite(before[n])]
    merged = {n: values[n] if math.isfinite(values[n]) else before[n] for n in VALUES}
    if any(not math.isclose(values[n], before[n], rel_tol=EQUAL_REL) for n in both):
        if not body["reason"]:
            why = f"record {before['seq']} holds other values for this sample: a correction needs a 'reason'"
            return {**body, "status": "refused", "why": why}
        return {**body, **merged, "status": "correction"}
    more = any(math.isfinite(values[n]) and not math.isfinite(before[n]) for n in VALUES)
    return {**body, **merged, "status": "addition"} if more else {**body, "status": "duplicate"}
