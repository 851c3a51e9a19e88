"""All targets, in the order they take their turns."""

from __future__ import annotations

from deploy.fuzz import files, scan
from deploy.fuzz.target import Target


def targets() -> tuple[Target, ...]:
    """Every parser that reads what comes from outside."""
    return (*scan.targets(), *files.targets())
