"""All targets, in the order they take their turns."""

from __future__ import annotations

from deploy.fuzz import api, files, pages, records, scan, systems, wire
from deploy.fuzz.target import Target


def targets() -> tuple[Target, ...]:
    """Every parser that reads what comes from outside."""
    others = (*wire.targets(), *files.targets(), *systems.targets(), *records.targets(), *pages.targets(),
              *api.targets())
    return (*scan.targets(), *others)
