"""registry -> what happened to one bundle, signature by signature."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from soft_sensors.registry.log import read_registry


@dataclass(frozen=True)
class Event:
    """One signed step of a bundle's life: time in UTC, who signed with which key, and the reason or figures given."""

    time: str
    action: str
    person: str
    key: str
    said: str


def read_history(folder: Path | None, bundle_hash: str) -> tuple[Event, ...]:
    """The bundle's events in a registry whose every line verifies; none without a registry. Raises RegistryError."""
    if folder is None:
        return ()
    events = read_registry(folder).events
    return tuple(
        Event(event.time, event.action, event.person, event.key[:12], _said(event.body))
        for event in events if event.body.get("bundle") == bundle_hash
    )  # fmt: skip


def _said(body: object) -> str:
    if not isinstance(body, dict):
        return ""
    figures = body.get("figures")
    numbers = [f"{k} {v:.4g}" for k, v in figures.items() if isinstance(v, int | float)] if figures else []
    return "; ".join([*([str(body["reason"])] if body.get("reason") else []), *numbers])
