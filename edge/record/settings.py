"""[record] of a line file -> how long the journal keeps what, and where the rest goes."""

from __future__ import annotations

from pathlib import Path

from pydantic import model_validator

from control.settings import Positive, Table


class RecordTable(Table):
    """How long the journal keeps which class of record; without this table it keeps all of it for ever.

    keep_days: cycles, and what became of their writes; keep_spectra_days: the spectra of kept cycles; max_gb: the
    journal's file, in 10^9 bytes: when it is larger, the oldest go before their days are over. What goes is first
    written to a file in `archive`, read back and hashed. Starts, bundles, requests, people, signatures, checkpoints
    and gaps are never removed.
    """

    archive: Path
    keep_days: Positive | None = None
    keep_spectra_days: Positive | None = None
    max_gb: Positive | None = None

    @model_validator(mode="after")
    def _bounded(self) -> RecordTable:
        if self.keep_days is None and self.keep_spectra_days is None and self.max_gb is None:
            raise ValueError("give one of keep_days, keep_spectra_days, max_gb")
        if self.keep_days is not None and (self.keep_spectra_days or 0.0) > self.keep_days:
            raise ValueError("keep_spectra_days may not be above keep_days: spectra go with their cycles at the latest")
        return self
