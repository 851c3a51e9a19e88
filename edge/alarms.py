"""findings -> alarms: raised at once, cleared when unseen for a while, so that nothing chatters."""

from __future__ import annotations

from collections.abc import Iterable

from control.assess import Finding
from edge.signals import Alarm

CLEAR_AFTER_S = 60.0  # our choice: longer than any single refill or bad scan


def update(standing: tuple[Alarm, ...], findings: Iterable[Finding], now_s: float) -> tuple[Alarm, ...]:
    """The standing alarms after this cycle's findings, most urgent first, then oldest first."""
    alarms = {a.name: a for a in standing if now_s - a.seen_s <= CLEAR_AFTER_S}
    for found in findings:
        since_s = alarms[found.name].since_s if found.name in alarms else now_s
        alarms[found.name] = Alarm(found.name, found.text, found.priority, since_s, now_s)
    return tuple(sorted(alarms.values(), key=lambda a: (a.priority, a.since_s, a.name)))
