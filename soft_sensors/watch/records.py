"""InstrumentRecord <-> the JSON that the command writes and the service reads."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from soft_sensors.watch.instrument import Figure, InstrumentRecord, VerificationError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _FigureRow(_Strict):
    name: str
    value: float | None
    low: float
    high: float
    unit: str
    passed: bool


class _RecordFile(_Strict):
    instrument: Annotated[str, Field(min_length=1)]
    time: float
    passed: bool
    figures: tuple[_FigureRow, ...]
    valid_until: float


def write_record(record: InstrumentRecord, path: Path) -> None:
    """Write the record; times in seconds since the epoch, UTC; a figure that was not found is null."""
    figures = tuple(_FigureRow(name=f.name, value=f.value if math.isfinite(f.value) else None, low=f.low, high=f.high,
                               unit=f.unit, passed=f.passed) for f in record.figures)
    row = _RecordFile(instrument=record.instrument, time=record.time_s, passed=record.passed, figures=figures,
                      valid_until=record.valid_until_s)
    path.write_text(json.dumps(row.model_dump(), indent=2) + "\n", encoding="utf-8")


def read_record(text: str, where: str) -> InstrumentRecord:
    """The record in a JSON text; VerificationError, naming where, when it is none or contradicts itself.

    Verdicts are computed again from the figures: a file that says passed where a figure did not is refused.
    """
    try:
        row = _RecordFile.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        raise VerificationError(f"{where}: {'.'.join(map(str, first['loc']))}: {first['msg']}; verify again") from error
    figures = tuple(Figure(f.name, math.nan if f.value is None else f.value, f.low, f.high, f.unit)
                    for f in row.figures)
    record = InstrumentRecord(row.instrument, row.time, row.valid_until, figures)
    if record.passed is not row.passed or [f.passed for f in figures] != [f.passed for f in row.figures]:
        raise VerificationError(f"{where}: says passed where its figures do not, or the reverse; verify again")
    return record
