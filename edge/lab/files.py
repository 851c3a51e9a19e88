"""a LIMS file -> its results, each one read or with why it could not be; pure.

CSV: a header with the fields of `edge.lab.result`, separated by comma, semicolon or tab. JSON: one result, a list of
them, or {"results": [...]}.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, NoReturn

from edge.lab.result import FIELDS, REQUIRED, ResultError, Told, parse_result

MOST_BYTES = 1_000_000
MOST_RESULTS = 1000
SUFFIXES = (".csv", ".json")


@dataclass(frozen=True)
class Entry:
    """One result of a file: its number there from 1, and the result, or why it is none."""

    number: int
    told: Told | None
    why: str = ""


def read_results(name: str, raw: bytes) -> tuple[Entry, ...]:
    """The results in a file of that name, in its order. Raises ResultError when the file as a whole cannot be read."""
    if len(raw) > MOST_BYTES:
        raise ResultError(f"larger than {MOST_BYTES} bytes: split the file")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ResultError(f"not UTF-8 text (byte {error.start}): write it in UTF-8") from error
    suffix = PurePath(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise ResultError(f"'{suffix}' is not read: drop {' or '.join(SUFFIXES)}")
    items = list(_json(text) if suffix == ".json" else _csv(text))
    if not 1 <= len(items) <= MOST_RESULTS:
        raise ResultError(f"holds {len(items)} results: a file holds 1 to {MOST_RESULTS}")
    return tuple(_entry(number, item) for number, item in enumerate(items, start=1))


def _entry(number: int, item: Any) -> Entry:
    if not isinstance(item, dict):
        return Entry(number, None, "is no object with the fields of a result")
    try:
        return Entry(number, parse_result(item))
    except ResultError as error:
        return Entry(number, None, str(error))


def _csv(text: str) -> Iterator[Any]:
    header = text.split("\n", 1)[0]
    separator = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        if len(set(names)) < len(names) or not set(REQUIRED) <= set(names):
            raise ResultError(f"its first line must name the columns, each once: {', '.join(FIELDS)}")
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(names):
                yield f"line {reader.line_num}"  # told as what it is: not a result
                continue
            yield dict(zip(names, (cell.strip() for cell in cells), strict=True))
    except csv.Error as error:
        raise ResultError(f"line {reader.line_num} is not CSV: {error}") from error


def _json(text: str) -> list[Any]:
    try:
        found = json.loads(text, parse_constant=_refused, object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as error:
        raise ResultError(f"not JSON: {error}"[:200]) from error
    if isinstance(found, dict) and set(found) == {"results"} and isinstance(found["results"], list):
        found = found["results"]
    return found if isinstance(found, list) else [found]


def _refused(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object with a key twice says two things at once."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field is given twice")
    return found
