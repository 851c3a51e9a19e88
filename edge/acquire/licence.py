"""ACQUIRE the licence: registry -> which model may run now; read outside think, and again only when it changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from edge.config import SensorTable
from edge.errors import ConfigError
from edge.signals import Licence
from soft_sensors.bundle import Bundle, load_bundle
from soft_sensors.errors import AlteredError, RegistryError, SensorError
from soft_sensors.registry.entries import Entry, Kind, Registry, Standing, State, standing
from soft_sensors.registry.log import LOG, MODELS, read_registry

UNGOVERNED = "ungoverned"
CLOCK_BACK_S = 60.0  # our choice: more than clocks are corrected by, far less than an expiry is worth
Stamp = tuple[int, int, int, int]


@dataclass(frozen=True)
class Seen:
    """The newest event that was seen of which registry, and the time of the record's newest cycle."""

    registry_id: str = ""
    seq: int = -1
    line_hash: str = ""
    time_s: float = 0.0


class Ungoverned:
    """The licence of a bundle that no registry governs: it may advise."""

    def __init__(self, sensor: Bundle, folder: Path) -> None:
        self._folder, self._hash, self._seen = folder, sensor.bundle_hash, Seen()

    def acquire(self, now_s: float) -> Licence:  # noqa: ARG002 - the same at any time
        """The same each time; what was seen of a registry before is handed on, so that it is not forgotten."""
        reason = "the model is not governed by a registry: name one in [sensor]"
        seen = self._seen
        return Licence(self._hash, UNGOVERNED, 0.0, 0.0, None, seen.registry_id, seen.seq, seen.line_hash, reason)

    def folders(self) -> dict[str, Path]:
        """The one bundle."""
        return {self._hash: self._folder}

    def resume(self, last: Licence | None, time_s: float) -> None:
        """Remember which registry the record followed before."""
        self._seen = self._seen if last is None else Seen(last.registry_id, last.head_seq, last.head_hash, time_s)


class Governed:
    """The licence of a model as its registry stands; sensors: filled with every bundle that is licensed, by hash."""

    def __init__(self, table: SensorTable, sensors: dict[str, Bundle]) -> None:
        """Read the registry and load what it licenses. ConfigError when there is no model that could estimate."""
        if table.registry is None or table.registry_id is None or table.model is None:
            raise ConfigError("[sensor] names no registry; give 'registry', 'registry_id' and 'model'")
        self._folder, self._id, self._model = table.registry, table.registry_id, table.model
        self._sensors, self._seen = sensors, Seen()
        self._stamp: Stamp | None = None
        self._licence = Licence("", "none", 0.0, registry_id=self._id)
        self._look()
        if not self._licence.bundle_hash:
            raise ConfigError(f"model {self._model!r}: {self._licence.reason}")

    def acquire(self, now_s: float) -> Licence:
        """The licence of this moment; as long as the log is the same file with the same stamps, as it was read."""
        if self._stamp is None or stamp_of(self._folder) != self._stamp:
            self._look()
        back_s = self._seen.time_s - now_s
        if not self._licence.reason and back_s > CLOCK_BACK_S:
            return replace(self._licence, reason=f"the line's clock is {back_s:.0f} s behind the record: set it right")
        return self._licence

    def folders(self) -> dict[str, Path]:
        """Every bundle that was loaded."""
        return {digest: self._place(digest) for digest in self._sensors}

    def resume(self, last: Licence | None, time_s: float) -> None:
        """Hold the registry to what the record's newest cycle saw of it."""
        if last is None:
            return
        self._seen = Seen(last.registry_id, last.head_seq, last.head_hash, time_s)
        self._stamp = None

    def _look(self) -> None:
        self._stamp = stamp_of(self._folder)  # before reading: what changes meanwhile is read again
        try:
            registry = read_registry(self._folder, self._id)
            self._hold_to_seen(registry)
            self._licence = self._of(standing(registry, self._model))
        except SensorError as error:
            # What runs goes on being shown; it may not close the loop until the registry can be believed again.
            self._stamp = None
            seen = self._seen
            self._licence = replace(
                self._licence, reason=str(error), registry_id=seen.registry_id or self._id,
                head_seq=seen.seq, head_hash=seen.line_hash,
            )  # fmt: skip

    def _hold_to_seen(self, registry: Registry) -> None:
        seen, lines = self._seen, registry.line_hashes
        if seen.registry_id and seen.registry_id != registry.registry_id:
            raise RegistryError(
                f"the record followed registry {seen.registry_id[:12]}, "
                f"the line file names {registry.registry_id[:12]}; "
                "give the line file its registry back, or start with a new state folder"
            )
        if seen.seq >= 0 and (len(lines) <= seen.seq or lines[seen.seq] != seen.line_hash):
            raise RegistryError(
                f"{self._folder / LOG}: event {seen.seq}, which the record has seen, is gone or another; "
                "restore the registry"
            )
        self._seen = replace(seen, registry_id=registry.registry_id, seq=len(lines) - 1, line_hash=lines[-1])

    def _of(self, found: Standing) -> Licence:
        entry = found.shown
        if entry is None:
            raise RegistryError(f"the registry has no bundle of model {self._model!r} that may run; activate one")
        if entry.kind is not Kind.SENSOR:
            raise RegistryError(f"{self._model!r} is a {entry.kind.value} there; name a soft sensor in [sensor]")
        self._load(entry)
        reason = "" if entry.state is State.EFFECTIVE else (
            f"bundle {entry.bundle[:12]} is {entry.state.value}, not effective"
        )
        challenger, note = self._challenger(found.challenger)
        seen = self._seen
        return Licence(
            entry.bundle, entry.state.value, entry.criteria.valid_until_s, entry.bias, challenger,
            seen.registry_id, seen.seq, seen.line_hash, reason, note,
        )  # fmt: skip

    def _challenger(self, entry: Entry | None) -> tuple[str | None, str]:
        """A challenger that cannot be loaded is told, and does not stop the champion."""
        if entry is None:
            return None, ""
        try:
            self._load(entry)
        except SensorError as error:
            return None, f"no shadow estimates: {error}"
        return entry.bundle, ""

    def _load(self, entry: Entry) -> None:
        if entry.bundle in self._sensors:
            return
        folder = self._place(entry.bundle)
        bundle = load_bundle(folder)
        if bundle.bundle_hash != entry.bundle:
            raise AlteredError(f"{folder}: is bundle {bundle.bundle_hash[:12]}; restore the approved bundle")
        self._sensors[entry.bundle] = bundle

    def _place(self, digest: str) -> Path:
        return self._folder / MODELS / digest


def stamp_of(registry: Path) -> Stamp | None:
    """What tells cheaply that a registry's log is as it was; None when there is none."""
    try:
        found = (registry / LOG).stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
