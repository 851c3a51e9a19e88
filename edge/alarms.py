"""findings -> alarms: raised when they last long enough, cleared when unseen for a while, so that nothing chatters."""

from __future__ import annotations

from collections.abc import Iterable

from control.assess import Finding
from edge.signals import Alarm

CLEAR_AFTER_S = 60.0  # our choice: longer than any single refill or bad scan


def update(
    standing: tuple[Alarm, ...], pending: tuple[Alarm, ...], findings: Iterable[Finding], now_s: float
) -> tuple[tuple[Alarm, ...], tuple[Alarm, ...]]:
    """The standing alarms after this cycle's findings, most urgent first, and those that have to last longer yet."""
    raised = {a.name: a for a in standing if now_s - a.seen_s <= CLEAR_AFTER_S}
    waiting = {a.name: a for a in pending if now_s - a.seen_s <= CLEAR_AFTER_S}
    for found in findings:
        known = raised.get(found.name) or waiting.get(found.name)
        since_s = now_s if known is None else known.since_s
        alarm = Alarm(found.name, found.text, found.priority, since_s, now_s)
        if found.name in raised or now_s - since_s >= found.persist_s:
            raised[found.name] = alarm
            waiting.pop(found.name, None)
        else:
            waiting[found.name] = alarm
    ordered = sorted(raised.values(), key=lambda a: (a.priority, a.since_s, a.name))
    return tuple(ordered), tuple(waiting.values())
