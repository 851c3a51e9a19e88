"""journal -> what was, page by page: cycles, spectra, genealogy, laboratory results, contexts, requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edge.api.newest import Plain, plain
from edge.errors import PatloopError
from edge.record.canonical import unpack_spectrum
from edge.record.chain import Row
from edge.record.export import flatten, utc
from edge.record.journal import Journal
from edge.record.seek import first_at
from edge.units import of_column

MOST_ROWS, USUAL_ROWS = 1000, 100
LOOKED_THROUGH = 2000  # cycles read for one page of minutes
AXIS_WITHIN = 3000  # records: the axis is written again after every checkpoint, hundreds of cycles apart


class NotThereError(PatloopError):
    """What was asked for is not on the record."""


@dataclass(frozen=True)
class Asked:
    """Which records: between two times (s, epoch, UTC; None: open), after a record number, so many at most."""

    from_s: float | None = None
    to_s: float | None = None
    after: int | None = None
    limit: int = USUAL_ROWS


def history(journal: Journal, asked: Asked, columns: tuple[str, ...], setpoints: Mapping[str, str]) -> Plain:
    """Cycles as flat rows; columns: names or beginnings that end with '.*', none: all but the readings.

    setpoints: the units of the line's own, by name. Each column's UCUM code goes with the page.
    """
    rows, after = _page(journal, "cycle", asked, lambda row: _chosen(flatten(row), columns))
    names = sorted({name for row in rows for name in row})
    units = {name: unit for name in names if (unit := of_column(name, setpoints)) is not None}
    return {"rows": rows, "next": after, "units": units}


def of_kind(journal: Journal, kind: str, asked: Asked) -> Plain:
    """Records of one kind with their content, oldest first."""
    rows, after = _page(journal, kind, asked, _whole)
    return {"rows": rows, "next": after}


def requests(journal: Journal, asked: Asked) -> Plain:
    """People's requests."""
    return of_kind(journal, "request", asked)


def minutes(journal: Journal, asked: Asked) -> Plain:
    """The genealogy: each minute of material as the tracking closed it; a page looks through so many cycles."""
    found: list[Plain] = []
    after, seen = _start(journal, "cycle", asked), 0
    for row in _until(journal, "cycle", after, asked.to_s):
        seen, after = seen + 1, row.seq
        content = row.content()
        minute = (content["thought"].get("track") or {}).get("minute")
        if minute is not None:
            context = content["sample"].get("context")
            times = {"start": utc(minute["start_s"]), "end": utc(minute["end_s"])}
            found.append(plain({"seq": row.seq, **times, **minute, "context": context}))
        if len(found) == asked.limit or seen == LOOKED_THROUGH:
            return {"rows": found, "next": after}
    return {"rows": found, "next": None}


def spectrum(journal: Journal, seq: int) -> Plain:
    """The spectrum of a cycle record. Raises NotThereError saying what there is instead."""
    row = journal.get(seq)
    if row is None or row.kind != "cycle":
        raise NotThereError(f"record {seq} is no cycle")
    content = row.content()
    seen = content["sample"].get("spectrum")
    if seen is None:
        raise NotThereError(f"record {seq} holds no spectrum")
    if row.blob is None:
        why = "its values were retired" if seen["new"] else "it shows an earlier record's spectrum again"
        raise NotThereError(f"record {seq}: {why} (acquisition {seen['counter']})")
    axis_seq, axis = _axis(journal, row, seen)
    found: Plain = plain({
        "seq": seq, "time": utc(seen["time_s"]), "counter": seen["counter"], "quality": seen["quality"],
        "reason": seen["reason"], "axis_unit": seen["axis_unit"], "axis": axis, "axis_seq": axis_seq,
        "values": unpack_spectrum(row.blob), "estimate": content["thought"].get("estimate"),
    })  # fmt: skip
    return found


def _axis(journal: Journal, row: Row, seen: Plain) -> tuple[int | None, Any]:
    """The axis is on the record where it changed, and again after every checkpoint: look back for it."""
    if seen["axis"] is not None:
        return row.seq, seen["axis"]
    reach = 100
    while True:
        begin = max(0, row.seq - reach)
        earlier = [r for r in journal.rows(after_seq=begin, kind="cycle", limit=reach) if r.seq < row.seq]
        for before in reversed(earlier):
            told = before.content()["sample"].get("spectrum")
            if told is not None and told["axis"] is not None:
                return before.seq, told["axis"]
        if begin == 0 or reach >= AXIS_WITHIN:
            return None, None
        reach *= 4


def _page(
    journal: Journal, kind: str, asked: Asked, made: Callable[[Row], Plain]
) -> tuple[list[Plain], int | None]:
    """One page, and the number to go on after; None at the end."""
    rows: list[Plain] = []
    last = 0
    for row in _until(journal, kind, _start(journal, kind, asked), asked.to_s):
        if len(rows) == asked.limit:
            return rows, last
        rows.append(plain(made(row)))
        last = row.seq
    return rows, None


def _start(journal: Journal, kind: str, asked: Asked) -> int:
    """The record number to read on from."""
    after = asked.after or 0
    if asked.from_s is None:
        return after
    first = first_at(journal, asked.from_s, kind)
    if first is None:
        newest = journal.last()
        return after if newest is None else newest.seq
    return max(after, first.seq - 1)


def _until(journal: Journal, kind: str, after: int, to_s: float | None) -> Iterator[Row]:
    for row in journal.rows(after_seq=after, kind=kind):
        if to_s is not None and row.time_s > to_s:
            return
        yield row


def _whole(row: Row) -> Plain:
    return {"seq": row.seq, "time": utc(row.time_s), **row.content()}


def _chosen(cells: Mapping[str, Any], columns: tuple[str, ...]) -> Plain:
    if not columns:
        return {name: cell for name, cell in cells.items() if not name.startswith("reading.")}
    begins = tuple(column[:-1] for column in columns if column.endswith(".*"))
    kept = {"seq", "time_utc", *columns}
    return {name: cell for name, cell in cells.items() if name in kept or (begins and name.startswith(begins))}
