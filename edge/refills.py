"""look at the line -> the refill that is asked for now, and what people are told where none can be asked for."""

from __future__ import annotations

from collections.abc import Iterator

from control.assess import Finding
from control.decide.refill_plan import refill_now
from control.settings import ControlSettings
from control.signals import Refill, Situation
from edge.acquire.tags import REFILL
from edge.signals import Link, Scan
from edge.situation import Remembered
from edge.understand import feeders, reading, usable


def refill_wanted(settings: ControlSettings, scan: Scan, seen: Situation, remembered: Remembered) -> Refill | None:
    """The refill to ask for in this cycle, None for none; always None without [controller.refills]."""
    table = settings.controller.refills
    if table is None:
        return None
    unsettled = ["a change of the recipe"] if seen.transition_s > 0 else []
    unsettled += [] if remembered.cross is None else list(remembered.cross.wild)
    able = [name for name in table.levels if usable(reading(scan, f"{name}.{REFILL}"))]
    return refill_now(settings, feeders(settings, scan), able, unsettled)


def told_of_refills(settings: ControlSettings, scan: Scan) -> Iterator[Finding]:
    """The feeders whose refills are to be kept apart and whose PLC does not take a request for one."""
    table = settings.controller.refills
    if table is None or scan.link is not Link.ONLINE:
        return
    lacking = [name for name in table.levels if f"{name}.{REFILL}" not in scan.readings]
    if lacking:
        names = ", ".join(f"{name}.{REFILL}" for name in lacking)
        text = f"the PLC has no {names}: these refills cannot be brought forward"
        yield Finding("refills_as_they_come", text[:300], 3)
