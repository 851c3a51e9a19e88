"""what other systems tell -> records: laboratory results and context, with who told them."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from edge.config import LineConfig
from edge.context import MOST_TEXT
from edge.errors import PatloopError
from edge.lab.files import read_results
from edge.lab.intake import Intake, Origin
from edge.lab.result import ResultError
from edge.lab.settings import LabTable
from edge.record.canonical import encode
from edge.record.journal import Journal

FORMS = {"application/json": ".json", "text/csv": ".csv"}
MOST_LOTS = 50


def _one_line(text: str) -> str:
    if text and not text.isprintable():
        raise ValueError("must be one line of printable text")
    return text.strip()


Text = Annotated[str, Field(max_length=MOST_TEXT), AfterValidator(_one_line)]


class ContextIn(BaseModel):
    """What is being made: batch, product, and the lot in each feeder by setpoint name; "" where it is not told."""

    model_config = ConfigDict(extra="forbid", strict=True)

    batch: Text = ""
    product: Text = ""
    lots: Annotated[dict[Text, Text], Field(max_length=MOST_LOTS)] = Field(default_factory=dict)
    reason: Annotated[str, Field(max_length=200), AfterValidator(_one_line)] = ""


class WrongMediaError(PatloopError):
    """A body in a form that is not taken."""


class Telling:
    """Appends to the journal; the only part of the API that does, and only then is the journal open for it."""

    def __init__(self, config: LineConfig, journal: Path, wall: Callable[[], float]) -> None:
        self._config, self._path, self._wall = config, journal, wall
        self._lock = threading.Lock()
        self._open: tuple[Journal, Intake] | None = None

    def close(self) -> None:
        """Close the journal, where it was opened."""
        with self._lock:
            if self._open is not None:
                self._open[0].close()
                self._open = None

    def results(self, raw: bytes, media: str, teller: str) -> list[dict[str, Any]]:
        """Record the results in a body; what became of each. Raises WrongMediaError, ResultError, RecorderError."""
        if media not in FORMS:
            raise WrongMediaError(f"'{media[:40]}' is not taken: send {' or '.join(FORMS)}")
        now_s = self._wall()
        source, sha256 = f"rest:{teller}", hashlib.sha256(raw).hexdigest()
        with self._lock:
            _, intake = self._writing()
            origin = Origin(source, sha256, changed_ns=round(1e9 * now_s))
            try:
                entries = read_results(f"body{FORMS[media]}", raw)
            except ResultError as error:
                intake.enter(None, str(error), origin, now_s)
                raise
            made = [(e, Origin(source, sha256, changed_ns=origin.changed_ns, number=e.number)) for e in entries]
            return [asdict(intake.enter(entry.told, entry.why, each, now_s)) for entry, each in made]

    def context(self, told: ContextIn, teller: str) -> int:
        """Record what is being made; the record's number. Raises ResultError (a lot of no setpoint), RecorderError."""
        strange = sorted(set(told.lots) - {mv.name for mv in self._config.mv}) if self._config.mv else []
        if strange:
            raise ResultError(f"lots: '{strange[0]}' is no setpoint of this line")
        with self._lock:
            journal, _ = self._writing()
            body = {**told.model_dump(), "source": f"rest:{teller}"}
            return journal.append("context", self._wall(), encode(body)).seq

    def _writing(self) -> tuple[Journal, Intake]:
        if self._open is None:
            line = self._config.line
            journal = Journal.open(self._path, line.name)
            self._open = journal, Intake(journal, self._config.lab or LabTable(), line.cycle_s)
        return self._open
