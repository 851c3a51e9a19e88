"""values as they come -> the health of each item: good, uncertain, bad, never seen, and since when it has not moved.

An item's age is counted from when its source time was last seen to change, on the line's own clock: a source whose
clock is wrong is fresh as long as it moves, and told of as skewed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from control.assess import Finding
from control.signals import Quality
from edge.acquire.raw import Raw

SKEW_S = 1.0  # our choice: clocks that agree better than this are synchronised
REFRESHED_S = 1.0  # servers refresh the value of their clock once a second: up to that it may be old
WAITING = "BadWaitingForInitialData"  # a server's word for a value that has not come yet: no fault
NAMED = 3  # items that a finding names before it counts the rest


class Health(NamedTuple):
    """What is known of one item of one connection.

    source_s, server_s: the times that came with it last (epoch, UTC; None: the server gave none); changed_s: line time
    at which its source time was last seen to change; seen: whether it was ever good or uncertain.
    """

    tag: str
    quality: Quality
    reason: str
    source_s: float | None
    server_s: float | None
    changed_s: float
    seen: bool

    def age_s(self, now_s: float) -> float:
        """Line seconds since it last moved."""
        return max(0.0, now_s - self.changed_s)


class HealthBook:
    """The health of every item that was looked at in this epoch."""

    def __init__(self) -> None:
        self._items: dict[str, Health] = {}

    def note(self, raw: Mapping[str, Raw], now_s: float) -> dict[str, Raw]:
        """Take in one look at the line at its time now_s; the same values with the moment each one last moved."""
        aged: dict[str, Raw] = {}
        for tag, (value, quality, reason, time_s, source_s, server_s, _) in raw.items():
            before = self._items.get(tag)
            seen = quality is not Quality.BAD
            if before is None:
                # What a source calls its time is believed at the first look; after that only that it moves.
                changed_s = now_s if source_s is None else min(now_s, source_s)
            else:
                moved = before.source_s != source_s or source_s is None
                changed_s, seen = now_s if moved else before.changed_s, seen or before.seen
            self._items[tag] = Health(tag, quality, reason, source_s, server_s, changed_s, seen)
            aged[tag] = Raw(value, quality, reason, time_s, source_s, server_s, changed_s)
        return aged

    def items(self) -> tuple[Health, ...]:
        """Every item, in the order it was first looked at."""
        return tuple(self._items.values())

    def findings(self, now_s: float, server_off_s: float | None) -> Iterator[Finding]:
        """What people must be told: items that are bad, and clocks that disagree.

        now_s: the line's time, s since the epoch, UTC; server_off_s: the server's clock minus ours, None: not told.
        """
        bad = [i for i in self._items.values() if i.quality is Quality.BAD and (i.seen or i.reason != WAITING)]
        if bad:
            told = ", ".join(f"{i.tag} ({i.reason if i.seen else 'never seen: ' + i.reason})" for i in bad[:NAMED])
            more = f" and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
            yield Finding("tags_bad", f"{len(bad)} of {len(self._items)} tags are bad: {told}{more}"[:300], 3, 10.0)
        if server_off_s is not None and not -SKEW_S - REFRESHED_S <= server_off_s <= SKEW_S:
            text = f"the server's clock is {server_off_s:+.1f} s off ours: synchronise both"
            yield Finding("clock_server", text, 3, 10.0)
        ahead = [i for i in self._items.values() if i.source_s is not None and i.source_s - now_s > SKEW_S]
        if ahead:
            worst = max(ahead, key=lambda i: i.source_s or 0.0)
            off = (worst.source_s or 0.0) - now_s
            text = f"{worst.tag} comes {off:.1f} s from the future ({len(ahead)} tags do): synchronise the clocks"
            yield Finding("clock_source", text, 3, 10.0)
