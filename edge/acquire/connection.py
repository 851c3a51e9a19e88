"""event -> state of one connection: six states, the moves between them written down, and epochs; pure.

DISCONNECTED -> CONNECTING -> SYNCING -> ONLINE <-> STALE, and from all but the first to LOST, from where it is dialled
anew. Each synchronised connection is a new epoch: what was computed on an older one is not sent on it.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

FIRST_PAUSE_S = 0.2  # between the first attempts; doubled each time up to the line's own pace
REFUSED_PAUSE_S = 30.0  # our choice: a refusal needs a person, and hammering locks accounts
JITTER = 0.2  # of the pause, to either side: boxes that lost one server together do not come back together


class State(StrEnum):
    """How far a connection is."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    SYNCING = "syncing"
    ONLINE = "online"
    STALE = "stale"
    LOST = "lost"


class Event(StrEnum):
    """What can happen to a connection."""

    DIAL = "dial"  # an attempt begins
    OPENED = "opened"  # channel and session are there
    SYNCED = "synced"  # names resolved, types and first values read
    STOPPED = "stopped"  # the server answers, but nothing behind it moves
    MOVES = "moves"  # it moves again
    FAILED = "failed"  # transport trouble, or no answer in time
    REFUSED = "refused"  # certificates or account: a person is needed
    CLOSE = "close"  # we end it in good order


TRANSITIONS: Mapping[tuple[State, Event], State] = {
    (State.DISCONNECTED, Event.DIAL): State.CONNECTING,
    (State.LOST, Event.DIAL): State.CONNECTING,
    (State.CONNECTING, Event.OPENED): State.SYNCING,
    (State.CONNECTING, Event.FAILED): State.LOST,
    (State.CONNECTING, Event.REFUSED): State.LOST,
    (State.SYNCING, Event.SYNCED): State.ONLINE,
    (State.SYNCING, Event.FAILED): State.LOST,
    (State.SYNCING, Event.REFUSED): State.LOST,
    (State.ONLINE, Event.STOPPED): State.STALE,
    (State.ONLINE, Event.FAILED): State.LOST,
    (State.ONLINE, Event.REFUSED): State.LOST,
    (State.STALE, Event.MOVES): State.ONLINE,
    (State.STALE, Event.FAILED): State.LOST,
    (State.STALE, Event.REFUSED): State.LOST,
    **{(state, Event.CLOSE): State.DISCONNECTED for state in State},
}
UP = frozenset({State.ONLINE, State.STALE})


@dataclass(frozen=True)
class Connection:
    """Where a connection stands.

    epoch: how many were synchronised until now; attempts: in vain since the last one; retry_at_s: no attempt before
    (monotonic clock); trouble: why it is down, empty when it is up; refused: that it needs a person.
    """

    state: State = State.DISCONNECTED
    epoch: int = 0
    attempts: int = 0
    retry_at_s: float = 0.0
    trouble: str = ""
    refused: bool = False

    @property
    def up(self) -> bool:
        """Whether there is a session whose values may be read."""
        return self.state in UP

    def may_dial(self, now_s: float) -> bool:
        """Whether an attempt is due at this time of the monotonic clock."""
        return (self.state, Event.DIAL) in TRANSITIONS and now_s >= self.retry_at_s

    def carries(self, epoch: int) -> bool:
        """Whether a command that was computed in an epoch may go out now: on that very connection, or never."""
        return self.up and epoch == self.epoch


def step(
    now: Connection, event: Event, now_s: float = 0.0, *, why: str = "", name: str = "", cap_s: float = 1.0
) -> Connection:
    """The connection after an event; ValueError for one that cannot happen in this state.

    now_s: monotonic clock; why: of a failure or refusal; name: of the line, for its own jitter; cap_s: longest pause
    between attempts after transport trouble.
    """
    state = TRANSITIONS.get((now.state, event))
    if state is None:
        raise ValueError(f"a connection that is {now.state} cannot be told '{event}'")
    match event:
        case Event.SYNCED:
            return Connection(state, now.epoch + 1)
        case Event.FAILED | Event.REFUSED:
            refused = event is Event.REFUSED
            rest_s = REFUSED_PAUSE_S if refused else min(cap_s, FIRST_PAUSE_S * 2.0 ** min(now.attempts, 20))
            at_s = now_s + rest_s * _jitter(name, now.attempts)
            return Connection(state, now.epoch, now.attempts + 1, at_s, why, refused)
        case Event.CLOSE:
            return Connection(state, now.epoch)
    return replace(now, state=state)


def _jitter(name: str, attempt: int) -> float:
    """1 +- JITTER, another for each line and attempt, and always the same: nothing here is drawn."""
    spread = zlib.crc32(f"{name}/{attempt}".encode()) / 2**32
    return 1.0 + JITTER * (2.0 * spread - 1.0)
