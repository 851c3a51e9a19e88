"""What the cycle asks of the world: one- and two-method protocols, obeyed by the real and the simulated alike."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from edge.signals import Acted, Licence, Request, Sample, Scan, Thought, Verification


class Source(Protocol):
    """Sees the line."""

    async def scan(self) -> Scan:
        """Everything now; a lost link is a scan with link LOST, not an error."""
        ...


class Actuator(Protocol):
    """Moves the line."""

    async def write(self, wire: tuple[tuple[str, float], ...], epoch: int | None = None) -> Acted:
        """Write in one call, in order; the outcome says what is known of it.

        epoch: of the look that it was computed from: dropped on any other connection; None: on whatever there is.
        """
        ...


class Recorder(Protocol):
    """Keeps the record; a record is durable when the call returns. Raises edge.errors.RecorderError."""

    def cycle(self, sample: Sample, thought: Thought) -> None:
        """Record a cycle before anything acts on it."""
        ...

    def acted(self, sample: Sample, acted: Acted) -> None:
        """Record what became of a cycle's writes."""
        ...

    def requests(self) -> tuple[Request, ...]:
        """People's requests that came since the last call, oldest first."""
        ...

    def artefact(self, time_s: float, name: str, digest: str, folder: Path) -> None:
        """Keep a bundle that came into use while running, before anything is decided with it."""
        ...


class Licences(Protocol):
    """Knows which model may run."""

    def acquire(self, now_s: float) -> Licence:
        """The licence of this moment; a registry that cannot be believed is a licence with a reason, not an error."""
        ...

    def folders(self) -> dict[str, Path]:
        """Where the bundles that were loaded until now lie, by hash."""
        ...

    def resume(self, last: Licence | None, time_s: float) -> None:
        """Go on from what the record's newest cycle knew, at its time."""
        ...


class Instrument(Protocol):
    """Knows whether the analyser passed its last verification."""

    def acquire(self, now_s: float) -> Verification:
        """The verification of this moment; a record that is missing or cannot be believed is one with a reason."""
        ...

    def resume(self, last: Verification | None) -> None:
        """Go on from what the record's newest cycle knew."""
        ...


class Clock(Protocol):
    """The line's time: seconds since the epoch, UTC."""

    def now_s(self) -> float:
        """The time now, on the clock the line runs by."""
        ...

    async def sleep_until(self, time_s: float) -> None:
        """Return when that time has come (or the link that tells the time is lost)."""
        ...
