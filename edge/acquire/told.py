"""ACQUIRE from the record: what other systems told (laboratory results, context) joins the look at the line.

Whatever they tell is a record first; here it is picked up, once. A result that was handed to a cycle which could not be
recorded is handed on again, and so is one that came while the service was down.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from control.signals import LabResult
from edge.config import LineConfig
from edge.context import Known, change, in_force, seen
from edge.lab.intake import KIND, USED
from edge.ports import Source
from edge.record.canonical import encode, from_plain
from edge.record.chain import Row
from edge.record.journal import Journal
from edge.signals import Context, Link, Scan

NEXT_CYCLES = 5  # a result is taken up by one of the next few cycles, or not at all
LOOKED_AT = 20  # results of before the start that are looked at


class WithRecord:
    """A Source: another one's look at the line, with what the journal holds for it. Raises RecorderError.

    newest: the look that was given last.
    """

    def __init__(self, source: Source, journal: Journal, config: LineConfig) -> None:
        self._source, self._journal, self._table = source, journal, config.context
        before = _last_context(journal)
        told = journal.last("context")
        self._known = Known(_by_line(config, before), Context() if told is None else context_of(told.content()))
        self._context_seq = 0 if told is None else told.seq
        self._force = before
        self._handed: tuple[Row, ...] = _not_taken_up(journal)
        newest = journal.last(KIND)
        self._lab_seq = 0 if newest is None else newest.seq
        self._looked_at = time.monotonic()
        self.newest = Scan(0.0, Link.LOST, 0, 0, {}, reason="not looked yet")

    async def scan(self) -> Scan:
        """Everything now, with the results that came since the last look, and the context that is in force."""
        self._looked_at = time.monotonic()
        scan = await self._source.scan()
        self._hear_context()
        known = seen(self._known, self._table, scan) if scan.link is Link.ONLINE else self._known
        now = in_force(known)
        changed = change(self._force, now)
        if changed is not None:
            self._journal.append("batch", scan.time_s, encode(changed))
        self._known, self._force = known, now
        self.newest = replace(scan, lims=self._results(), context=now)
        return self.newest

    def since_look_s(self) -> float:
        """How long ago the newest look began, s."""
        return time.monotonic() - self._looked_at

    def _hear_context(self) -> None:
        for row in self._journal.rows(after_seq=self._context_seq, kind="context"):
            self._context_seq = row.seq
            self._known = replace(self._known, told=context_of(row.content()))

    def _results(self) -> tuple[LabResult, ...]:
        """What came, and what was handed out and is in no record of a cycle."""
        taken = _taken(self._journal.last("cycle")) if self._handed else frozenset()
        left = [row for row in self._handed if row.seq not in taken]
        for row in self._journal.rows(after_seq=self._lab_seq, kind=KIND):
            self._lab_seq = row.seq
            if row.content()["status"] in USED:
                left.append(row)
        self._handed = tuple(left)
        return tuple(result_of(row) for row in left)


def result_of(row: Row) -> LabResult:
    """The result in a `lab_result` record; numbered by its record."""
    body = row.content()
    return LabResult(
        counter=row.seq,
        sample_time_s=body["sample_time_s"],
        result_time_s=body["result_time_s"],
        assay_pct=body["assay_pct"],
        tablet_weight_mg=body["tablet_weight_mg"],
        hardness_n=body["hardness_n"],
        sample_id=body["sample_id"],
        # A first record with a reason corrects what the line's own tags told of the sample.
        corrects=body["status"] == "correction" or (body["status"] == "new" and bool(body["reason"])),
    )


def context_of(body: dict[str, Any]) -> Context:
    """The context in the body of a `context` record."""
    return Context(body["batch"], body["product"], body["lots"], body["source"])


def _last_context(journal: Journal) -> Context | None:
    row = journal.last("cycle")
    plain = None if row is None else row.content()["sample"].get("context")
    return None if plain is None else from_plain(Context, plain)


def _by_line(config: LineConfig, before: Context | None) -> Context:
    """What the line had told at the last record of before the start: it holds until the line tells otherwise."""
    table = config.context
    if table is None or before is None:
        return Context()
    lots = {name: lot for name, lot in before.lots.items() if name in table.lots}
    return Context(before.batch if table.batch else "", before.product if table.product else "", lots)


def _not_taken_up(journal: Journal) -> tuple[Row, ...]:
    """Results that came before the start and that no cycle has taken up."""
    found = [row for row in journal.rows(kind=KIND) if row.content()["status"] in USED][-LOOKED_AT:]
    return tuple(row for row in found if not _was_taken_up(journal, row))


def _was_taken_up(journal: Journal, row: Row) -> bool:
    cycles = journal.rows(after_seq=row.seq, kind="cycle", limit=NEXT_CYCLES)
    return any(row.seq in _taken(cycle) for cycle in cycles)


def _taken(cycle: Row | None) -> frozenset[int]:
    if cycle is None:
        return frozenset()
    return frozenset(result["counter"] for result in cycle.content()["sample"].get("lims") or ())


__all__ = ["WithRecord", "context_of", "result_of"]
