"""journal -> table: one row a cycle, the main columns flattened, as CSV or Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edge.record.chain import Row
from edge.record.journal import Journal
from edge.record.shape import as_written
from edge.units import UnitError, of_column

Cell = int | float | str | bool | None
METADATA = "-metadata.json"  # what is added to a CSV file's name for the file that describes it
_DATATYPES = {int: "integer", float: "double", str: "string", bool: "boolean"}
BATCH = 2000  # rows held in memory at a time

FIRST_COLUMNS = ("seq", "time_s", "time_utc", "cycle", "link", "mode")
_PARTS = ("target", "estimate", "belief", "decision", "command")


def utc(time_s: float) -> str:
    """A time in seconds since the epoch as ISO 8601, UTC, milliseconds; out of the calendar's reach as it is."""
    try:
        moment = datetime.fromtimestamp(time_s, UTC)
    except (OverflowError, ValueError, OSError):
        return repr(time_s)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def flatten(row: Row) -> dict[str, Cell]:
    """The columns of one cycle record. Raises RecorderError when it is damaged or not as any release writes it.

    `estimate.value`, `belief.api_pct`, ... as in the types they come from; `recommended.NAME`, `written.NAME` for
    setpoints; `reading.TAG` with `reading.TAG.quality`; `lab.*` of the newest result,
    by the line's tags or the LIMS; lists joined with "; ".
    `interval_factor`; `coverage`, the share of `coverage.results` laboratory results inside the interval that went out;
    `batch`, `product`, `lots` (NAME=LOT) as far as they were known.
    Read leniently, so that the journals of older versions can be exported too.
    """
    with as_written(row):
        return _flat(row)


def _flat(row: Row) -> dict[str, Cell]:
    content = row.content()
    sample, thought = content.get("sample") or {}, content.get("thought") or {}
    number = sample.get("cycle")
    cells: dict[str, Cell] = {
        "seq": row.seq,
        "time_s": row.time_s,
        "time_utc": utc(row.time_s),
        "cycle": number if isinstance(number, int) else None,
        "link": _text(sample.get("link")),
        "mode": _text(thought.get("mode")),
    }
    for part in _PARTS:
        cells |= _scalars(part, thought.get(part))
    command = thought.get("command") or {}
    cells |= _scalars("recommended", command.get("recommended"))
    cells |= _scalars("written", command.get("writes"))
    cells["reasons"] = "; ".join(command.get("reasons") or ())
    cells["alarms"] = "; ".join(alarm["name"] for alarm in thought.get("alarms") or ())
    results = [*(sample.get("lab") or ()), *(sample.get("lims") or ())]
    cells |= _scalars("lab", results[-1] if results else None)
    cells |= _standing(thought) | _making(sample.get("context") or {})
    for tag, reading in (sample.get("readings") or {}).items():
        cells[f"reading.{tag}"] = _cell(reading.get("value"))
        cells[f"reading.{tag}.quality"] = _text(reading.get("quality"))
    return cells


def export_csv(
    rows: Callable[[], Iterable[Row]], out: Path, origin: Mapping[str, str] | None = None,
    setpoints: Mapping[str, str] | None = None, columns: Mapping[str, type] | None = None,
) -> int:  # fmt: skip
    """Write the cycles as CSV; an empty cell is a value that was not there. Returns the number of rows.

    Beside it, OUT-metadata.json (W3C, Metadata Vocabulary for Tabular Data) tells each column's type and unit (UCUM)
    and the origin. setpoints: the units of the line's setpoints, by name; columns: see columns_of; looked for when they
    are not known yet.
    """
    columns = columns_of(rows()) if columns is None else columns
    about = {"@context": "http://www.w3.org/ns/csvw", "url": out.name, **{f"dc:{k}": v for k, v in _dc(origin).items()},
             "tableSchema": {"columns": [_described(n, k, setpoints or {}) for n, k in columns.items()]}}  # fmt: skip
    with draft(out.with_name(out.name + METADATA)) as part:
        part.write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    count = 0
    with draft(out) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for row in rows():
            writer.writerow(flatten(row))
            count += 1
    return count


def export_parquet(
    rows: Callable[[], Iterable[Row]], out: Path, origin: Mapping[str, str] | None = None,
    setpoints: Mapping[str, str] | None = None, columns: Mapping[str, type] | None = None,
) -> int:  # fmt: skip
    """Write the cycles as Parquet (needs pyarrow). Returns the number of rows.

    The file's metadata hold the origin, each field's its unit (UCUM). setpoints, columns: as for export_csv.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_()}
    columns = columns_of(rows()) if columns is None else columns
    unit = {name: _unit(name, setpoints or {}) for name in columns}
    schema = pa.schema(
        [pa.field(n, kinds[k], metadata={"unit": u} if (u := unit[n]) else None) for n, k in columns.items()],
        metadata=dict(origin or {}),
    )  # fmt: skip
    count = 0
    with draft(out) as part, pq.ParquetWriter(part, schema) as writer:
        for batch in _batches(rows()):
            table = {name: [_as(kind, cells.get(name)) for cells in batch] for name, kind in columns.items()}
            writer.write_table(pa.table(table, schema=schema))
            count += len(batch)
    return count


def cycles(journal: Journal, from_s: float | None, to_s: float | None) -> Iterator[Row]:
    """The cycle records with from_s <= time_s <= to_s; None leaves that end open."""
    for row in journal.rows(kind="cycle"):
        if (from_s is None or row.time_s >= from_s) and (to_s is None or row.time_s <= to_s):
            yield row


def columns_of(rows: Iterable[Row]) -> dict[str, type]:
    """Every column that occurs, with its type: the general ones first, then in alphabetical order.

    A column that is always empty is one of numbers; one that holds values of several types is one of text.
    """
    kinds: dict[str, set[type]] = {}
    for row in rows:
        for name, cell in flatten(row).items():
            held = kinds.setdefault(name, set())
            if cell is not None:
                held.add(type(cell))
    first = dict(zip(FIRST_COLUMNS, (int, float, str, int, str, str), strict=True))
    rest = {name: kinds[name] for name in sorted(kinds.keys() - first.keys())}
    return first | {name: held.pop() if len(held) == 1 else str if held else float for name, held in rest.items()}


def _dc(origin: Mapping[str, str] | None) -> dict[str, str]:
    """Where it comes from, by the names of Dublin Core that the vocabulary knows."""
    told = origin or {}
    names = {"subject": "line", "source": "anchor"}
    return {name: told[key] for name, key in names.items() if told.get(key)}


def _described(name: str, kind: type, setpoints: Mapping[str, str]) -> dict[str, str]:
    unit = _unit(name, setpoints)
    found = {"titles": name, "datatype": _DATATYPES[kind]}
    return found if unit is None else {**found, "schema:unitText": unit}


def _unit(name: str, setpoints: Mapping[str, str]) -> str | None:
    """Its UCUM code; of a unit that an old record spells in a way nobody knows, none."""
    try:
        return of_column(name, setpoints)
    except UnitError:
        return None


@contextmanager
def draft(out: Path) -> Iterator[Path]:
    """A file that takes its name only when it is whole."""
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    try:
        yield part
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def _batches(rows: Iterable[Row]) -> Iterator[list[dict[str, Cell]]]:
    batch: list[dict[str, Cell]] = []
    for row in rows:
        batch.append(flatten(row))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _as(kind: type, cell: Cell) -> Cell:
    return None if cell is None else kind(cell)


def _scalars(prefix: str, part: Mapping[str, Any] | None) -> dict[str, Cell]:
    return {
        f"{prefix}.{name}": _cell(value)
        for name, value in (part or {}).items()
        if value is None or isinstance(value, (bool, int, float, str))
    }


def _cell(value: Any) -> Cell:
    """Numbers as float whatever they were written as, so that a column has one type; what is no cell as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return str(value)
    return value if isinstance(value, (bool, float)) else _text(value)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _standing(thought: Mapping[str, Any]) -> dict[str, Cell]:
    """How far the estimate's interval was widened, and how it had covered the laboratory's results."""
    inside, results = thought.get("covered") or (0, 0)
    return {
        "interval_factor": _cell(thought.get("interval_factor")),
        "coverage": inside / results if results else None,
        "coverage.results": _cell(results),
    }


def _making(context: Mapping[str, Any]) -> dict[str, Cell]:
    lots = (f"{name}={lot}" for name, lot in sorted((context.get("lots") or {}).items()) if lot)
    told = {"batch": context.get("batch"), "product": context.get("product"), "lots": "; ".join(lots)}
    return {name: text or "" for name, text in told.items()}
