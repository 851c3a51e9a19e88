"""predictions with times, and laboratory results -> what the chart pairs."""

from __future__ import annotations

import contextlib
import csv
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from soft_sensors.errors import TableError
from soft_sensors.watch.chart import Result, Sensed

T = TypeVar("T")
Row = Mapping[str, str]


@dataclass(frozen=True)
class Stream:
    """One row of the predictions file, with its time: numbers are NaN where the cell is empty."""

    sensed: Sensed
    lower: float
    upper: float
    t2: float
    q: float
    quality: str


def read_stream(path: Path) -> tuple[Stream, ...]:
    """Predictions (the contract's columns and `time`: ISO 8601, or seconds since the epoch), in time order."""
    rows = _read(path, ("sample_id", "time", "value", "lower", "upper", "t2", "q", "quality"), _stream)
    return tuple(sorted(rows, key=lambda row: row.sensed.sample_time_s))


def read_results(path: Path, column: str) -> tuple[Result, ...]:
    """Laboratory results: column, with sample_id or time (when the sample was taken) or both, and when it was received.

    Without a `received` column the order of the rows counts. Several rows of one sample are corrections.
    """
    rows = _read(path, (column,), lambda row, where: _result(row, where, column))
    return tuple(r if math.isfinite(r.received_s) else Result(r.sample_id, r.sample_time_s, r.value, float(k))
                 for k, r in enumerate(rows))


def seconds(cell: str, where: str) -> float:
    """A time as seconds since the epoch: a number, or ISO 8601 (UTC where it names no zone); empty: NaN."""
    if not cell.strip():
        return math.nan
    for read in (float, _moment):
        with contextlib.suppress(ValueError):  # the next form may fit; when none does, the cell is named below
            return read(cell)
    raise TableError(f"{where}: {cell!r} is no time; write ISO 8601 or seconds since the epoch")


def _moment(cell: str) -> float:
    when = datetime.fromisoformat(cell.strip())
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _stream(row: Row, where: str) -> Stream:
    time_s = seconds(row["time"], where)
    if not math.isfinite(time_s):
        raise TableError(f"{where}: no time; every prediction needs one")
    number = {name: _number(row[name], where, name) for name in ("value", "lower", "upper", "t2", "q")}
    return Stream(Sensed(row["sample_id"].strip(), time_s, number["value"]), number["lower"], number["upper"],
                  number["t2"], number["q"], row["quality"].strip())


def _result(row: Row, where: str, column: str) -> Result:
    sample_id, time_s = row.get("sample_id", "").strip(), seconds(row.get("time", ""), where)
    if not sample_id and not math.isfinite(time_s):
        raise TableError(f"{where}: neither sample_id nor time; a result needs one of them")
    return Result(sample_id, time_s, _number(row[column], where, column), seconds(row.get("received", ""), where))


def _number(cell: str, where: str, name: str) -> float:
    try:
        return float(cell) if cell.strip() else math.nan
    except ValueError:
        raise TableError(f"{where}: {name} {cell!r} is not a number; mend the cell") from None


def _read(path: Path, needed: tuple[str, ...], make: Callable[[Row, str], T]) -> list[T]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, restval="")
            missing = [name for name in needed if name not in (reader.fieldnames or ())]
            if missing:
                raise TableError(f"{path}: no column {missing[0]!r}; the header needs {', '.join(needed)}")
            rows = [make(row, f"{path}, line {reader.line_num}") for row in reader]
    except FileNotFoundError:
        raise TableError(f"{path}: no such file") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{path}: not readable as CSV ({error})") from error
    if not rows:
        raise TableError(f"{path}: no rows below the header")
    return rows
