"""moves -> one line a setpoint and minute, so that a shift can be read; the single values are in the data beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from edge.record.minutes import MINUTE_S
from edge.record.moves import OUTSIDE, Move

AS_SENT = 1e-6  # relative: what is told as taken as it was sent


@dataclass(frozen=True)
class MinuteMoves:
    """What became of one setpoint in one minute, ours and others' changes apart.

    before: in force when the first was decided; sent, took: of the last; not_as_sent: writes after which the PLC worked
    with another value; outcome: the first that was not good; why: of the largest step.
    """

    from_s: float
    name: str
    before: float
    sent: float
    took: float
    writes: int
    not_as_sent: int
    outcome: str
    by: str
    asked_by: str
    why: str
    first_seq: int
    last_seq: int

    @property
    def foreign(self) -> bool:
        """Whether the PLC changed it without us."""
        return self.by == OUTSIDE


def by_minute(moves: Iterable[Move]) -> tuple[MinuteMoves, ...]:
    """The moves in order of minute and setpoint; who decided and who asked keep their own lines."""
    groups: dict[tuple[float, str, str, str], list[Move]] = {}
    for move in moves:
        minute = MINUTE_S * math.floor(move.time_s / MINUTE_S)
        groups.setdefault((minute, move.name, move.by, move.asked_by), []).append(move)
    found = [_summed(key[0], group) for key, group in groups.items()]
    return tuple(sorted(found, key=lambda m: (m.from_s, m.first_seq)))


def _summed(from_s: float, group: list[Move]) -> MinuteMoves:
    first, last = group[0], group[-1]
    largest = max(group, key=_step)
    return MinuteMoves(
        from_s, first.name, first.before, last.sent, last.took, len(group), sum(map(_other, group)),
        next((move.outcome for move in group if move.outcome != "good"), "good"),
        first.by, first.asked_by, largest.why, first.seq, last.seq,
    )  # fmt: skip


def _step(move: Move) -> float:
    step = abs((move.took if move.by == OUTSIDE else move.sent) - move.before)
    return step if math.isfinite(step) else 0.0


def _other(move: Move) -> bool:
    return math.isfinite(move.took) and abs(move.took - move.sent) > AS_SENT * max(abs(move.sent), 1e-9)
