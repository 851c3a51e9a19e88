"""what a laboratory told -> a result in the product's units, or why it is none; pure.

The fields are the same in a CSV row, a JSON object and a request to the API: sample_id, sample_time, and any of assay,
weight, hardness, each with its unit in UCUM (assay_unit, weight_unit, hardness_unit); optional result_time, analyst,
and the reason of a correction. A field that is not known is refused: a mistyped one would lose its value in silence.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from edge.errors import PatloopError
from edge.units import LABEL, UnitError, convert, parse_unit

MOST_TEXT = 200  # characters of a name or a reason
MOST_NUMBER_TEXT = 40
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


@dataclass(frozen=True)
class Quantity:
    """What a laboratory measures: the record's name and unit for it, and the highest value that can be."""

    recorded: str
    unit: str
    most: float


QUANTITIES = {
    "assay": Quantity("assay_pct", "%{w/w}", 100.0),
    "weight": Quantity("tablet_weight_mg", "mg", 10_000.0),
    "hardness": Quantity("hardness_n", "N", 1000.0),
}
REQUIRED = ("sample_id", "sample_time")
TEXTS = ("sample_id", "analyst", "reason")
TIMES = ("sample_time", "result_time")
FIELDS = (*REQUIRED, "result_time", *(f for q in QUANTITIES for f in (q, f"{q}_unit")), "analyst", "reason")


class ResultError(PatloopError):
    """What was told is no laboratory result; the text says what and how to mend it."""


@dataclass(frozen=True)
class Told:
    """A result as it was told: times in seconds since the epoch, UTC; values with their unit, by quantity."""

    sample_id: str
    sample_time_s: float
    result_time_s: float | None
    values: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    analyst: str = ""
    reason: str = ""


def parse_result(fields: Mapping[str, object]) -> Told:
    """A result from its fields; values may be numbers or texts. Raises ResultError naming the field."""
    unknown = sorted(str(name) for name in set(fields) - set(FIELDS))
    if unknown:
        raise ResultError(f"'{unknown[0][:MOST_TEXT]}' is not a field of a result: it may have {', '.join(FIELDS)}")
    texts = {name: _text(fields, name) for name in TEXTS}
    times = {name: _time_s(fields, name) for name in TIMES}
    sampled_s = times["sample_time"]
    if not texts["sample_id"] or sampled_s is None:
        missing = "sample_time" if texts["sample_id"] else "sample_id"
        raise ResultError(f"'{missing}' is missing: a result without it cannot be joined to the line")
    found = {name: value for name in QUANTITIES if (value := _value(fields, name)) is not None}
    if not found:
        raise ResultError(f"nothing was measured: give one of {', '.join(QUANTITIES)}")
    return Told(
        texts["sample_id"], sampled_s, times["result_time"], found, texts["analyst"], texts["reason"]
    )  # fmt: skip


def converted(told: Told, label_claim_pct: float | None) -> dict[str, float]:
    """The values by their names on the record, in its units; NaN where not measured.

    label_claim_pct: API in % w/w that 100 % of the label claim stood for when the sample was taken, None where the
    record does not know. Raises ResultError.
    """
    found = {quantity.recorded: math.nan for quantity in QUANTITIES.values()}
    for name, (value, unit) in told.values.items():
        quantity = QUANTITIES[name]
        try:
            if name == "assay" and parse_unit(unit).basis == LABEL:
                number = _of_claim(convert(value, unit, "%{label}"), label_claim_pct)
            else:
                number = convert(value, unit, quantity.unit)
        except UnitError as error:
            raise ResultError(f"{name}_unit: {error}") from error
        if not 0.0 <= number <= quantity.most:
            raise ResultError(f"{name}: {value:g} {unit} is {number:.6g} {quantity.unit}, which cannot be")
        found[quantity.recorded] = number
    return found


def _of_claim(lc_pct: float, label_claim_pct: float | None) -> float:
    if label_claim_pct is None:
        raise ResultError("assay: the record knows no label claim for that time; give the assay in %{w/w}")
    return lc_pct * label_claim_pct / 100.0


def _text(fields: Mapping[str, object], name: str) -> str:
    told = fields.get(name)
    if told is None:
        return ""
    if not isinstance(told, str | int) or isinstance(told, bool):
        raise ResultError(f"'{name}' must be text")
    text = str(told).strip() if isinstance(told, str) or abs(told) < 10**18 else ""
    if len(text) > MOST_TEXT or (text and not text.isprintable()):
        raise ResultError(f"'{name}' must be one line of at most {MOST_TEXT} characters")
    return text


def _time_s(fields: Mapping[str, object], name: str) -> float | None:
    text = _text(fields, name)
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ResultError(f"'{name}' names no time zone: end it in Z, or in +02:00")
        return moment.timestamp()
    except (ValueError, OverflowError) as error:
        raise ResultError(f"'{name}': '{text[:40]}' is no time: write it as 2026-03-01T06:30:00Z") from error


def _value(fields: Mapping[str, object], name: str) -> tuple[float, str] | None:
    told, unit = fields.get(name), _text(fields, f"{name}_unit")
    if told is None or told == "":
        if unit:
            raise ResultError(f"'{name}_unit' is given, '{name}' is not")
        return None
    if not unit:
        raise ResultError(f"'{name}_unit' is missing: a number without its unit is not taken")
    if isinstance(told, bool) or not isinstance(told, int | float | str) or len(str(told)) > MOST_NUMBER_TEXT:
        raise ResultError(f"'{name}' is no number")
    if isinstance(told, str) and not NUMBER.fullmatch(told.strip()):
        raise ResultError(f"'{name}': '{told}' is no number; write it with a point, such as 10.25")
    value = float(told)
    if not math.isfinite(value):
        raise ResultError(f"'{name}' is {value}: leave it out where nothing was measured")
    return value, unit
