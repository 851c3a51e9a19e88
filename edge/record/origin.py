"""journal -> where an export comes from: line, record and anchor, and who made it when; said on every one of them."""

from __future__ import annotations

import getpass
import time
from importlib.metadata import version

from edge.record.archive import cut_from
from edge.record.checkpoint import latest_anchor
from edge.record.export import utc
from edge.record.journal import Journal
from edge.record.recorded import told_setpoints


def origin(journal: Journal) -> dict[str, str]:
    """The line and the anchor of the record as it stands, or of an archive of it. Raises RecorderError."""
    first, anchor, piece = journal.last("genesis"), latest_anchor(journal), cut_from(journal.path)
    line = piece.line if piece else "" if first is None else str(first.content().get("line"))
    return {"line": line, "anchor": "" if anchor is None else anchor.text()}


def setpoint_units(journal: Journal) -> dict[str, str]:
    """The unit of each of the line's setpoints by its name, as the newest start tells them. Raises RecorderError."""
    start = journal.last("start")
    mvs = () if start is None else told_setpoints(start.content().get("config") or {})
    return {str(mv["name"]): str(mv["unit"]) for mv in mvs if {"name", "unit"} <= mv.keys()}


def stated(told: dict[str, str]) -> str:
    """The same in one sentence, with whoever makes the export on this machine, and when."""
    made = f"Made by local:{getpass.getuser()} at {utc(time.time())} with patloop {version('patloop')}"
    return f"{made} from the record of line {told['line']} up to the anchor {told['anchor']}."
