"""registry -> the signed events behind the models in use: who registered, verified, approved and activated them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge.errors import ConfigError
from edge.record.facts import ModelUse
from soft_sensors.errors import SensorError
from soft_sensors.registry.entries import Registry
from soft_sensors.registry.events import Event
from soft_sensors.registry.log import read_registry

# What the person's signature stands for (21 CFR 11.50).
MEANINGS = {
    "register": "author: submitted this model with its criteria",
    "register_controller": "author: submitted this controller with its criteria",
    "verify": "verifier: examined it on data of its own",
    "verify_controller": "verifier: examined the runs of its closed loop",
    "approve": "approver: released it",
    "activate": "approver: put it in effect",
    "rollback": "took it back",
    "retire": "took it out of use",
}


@dataclass(frozen=True)
class Approval:
    """One signed event: who, when (seconds since the epoch, UTC), what it means, of which bundle, and why."""

    seq: int
    time_s: float
    person: str
    meaning: str
    bundle: str
    reason: str
    key: str


@dataclass(frozen=True)
class Approvals:
    """The signed events of the models in use, and whether the registry is the one that the record saw."""

    events: tuple[Approval, ...]
    remarks: tuple[str, ...]


def approvals(folder: Path, models: Iterable[ModelUse]) -> Approvals:
    """Read the registry in a folder, every signature checked. Raises ConfigError when it cannot be believed."""
    used = tuple(models)
    try:
        registry = read_registry(folder)
    except SensorError as error:
        raise ConfigError(f"--registry {folder}: {error}") from error
    digests = {use.digest for use in used}
    events = tuple(_told(event) for event in registry.events if str(event.body.get("bundle")) in digests)
    return Approvals(events, tuple(dict.fromkeys(_remarks(registry, used))))


def _told(event: Event) -> Approval:
    meaning = MEANINGS.get(event.action, event.action.replace("_", " "))
    reason = str(event.body.get("reason") or "")
    return Approval(event.seq, event.time_s, event.person, meaning, str(event.body["bundle"]), reason, event.key[:12])


def _remarks(registry: Registry, used: Iterable[ModelUse]) -> Iterator[str]:
    for use in used:
        if not use.registry_id:
            continue
        if use.registry_id != registry.registry_id:
            yield f"The record names registry {use.registry_id[:12]}; this one is {registry.registry_id[:12]}."
        elif not 0 <= use.head_seq < len(registry.line_hashes):
            yield f"The record saw event {use.head_seq} of the registry, which this copy does not hold."
        elif registry.line_hashes[use.head_seq] != use.head_hash:
            yield f"Event {use.head_seq} of this registry is not the one that the record saw."
        else:
            yield f"Every signature fits; event {use.head_seq} is the one that the record saw while the model ran."
