"""one look at the analyser after another -> what kind of acquisition each is; pure.

Identity is counter and end time together. The rest of the judgement (axis, age, saturation) is VALIDATE's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

LATE_LOOKS = 1.5  # looks: one that came later than this was itself missed


class Kind(StrEnum):
    """What a look at the analyser found."""

    NEW = "new"
    DUPLICATED = "duplicated"  # the acquisition that was seen before: same counter, same end time
    SKIPPED = "skipped"  # a new one, and others between were never seen
    FROZEN = "frozen"  # a new counter over the very same array
    STALLED = "stalled"  # nothing has moved for longer than a spectrum may be old
    RESET = "reset"  # the counter began anew: the analyser was restarted
    TORN = "torn"  # array and counter are of two acquisitions


@dataclass(frozen=True)
class Seen:
    """The last acquisition: counter, end time, digest of its array.

    moved_s: line time at which it was first seen; usual: by how many the counter goes on from look to look (0: not
    known yet).
    """

    counter: int
    end_s: float
    digest: str
    moved_s: float
    usual: int = 0


@dataclass(frozen=True)
class Judged:
    """A look's kind, the sentence that people are told (empty for an ordinary one), and what to remember."""

    kind: Kind
    text: str
    seen: Seen


def judge(before: Seen | None, counter: int, end_s: float, digest: str, *, now_s: float, max_age_s: float,
          look_s: float) -> Judged:  # fmt: skip
    """What this look is after the one before.

    now_s: line time; max_age_s: how long the analyser may stand still; look_s: time between looks. Of an analyser that
    is faster than we look, only more than its usual number between two looks counts as skipped.
    """
    seen = Seen(counter, end_s, digest, now_s)
    if before is None:
        return Judged(Kind.NEW, "", seen)
    if counter == before.counter and end_s == before.end_s and digest != before.digest:
        return Judged(Kind.TORN, f"acquisition {counter} has other values than when it was read before", before)
    if counter == before.counter and end_s == before.end_s:
        stood_s = now_s - before.moved_s
        if stood_s > max_age_s:
            text = f"the analyser stands still: acquisition {counter} is the newest for {stood_s:.0f} s"
            return Judged(Kind.STALLED, text, before)
        return Judged(Kind.DUPLICATED, "", before)
    ahead = counter - before.counter
    if ahead <= 0:
        text = f"the analyser was restarted: its counter went from {before.counter} to {counter}"
        return Judged(Kind.RESET, text, seen)
    if digest == before.digest:
        text = f"frozen: acquisition {counter} has the very values of {before.counter}"
        return Judged(Kind.FROZEN, text, seen)
    late = now_s - before.moved_s > LATE_LOOKS * look_s
    more = before.usual > 0 and ahead > (1 if before.usual == 1 else before.usual + 1)
    seen = replace(seen, usual=before.usual if late or more else ahead)
    if ahead > 1 and (late or more):
        many = "1 acquisition was" if ahead == 2 else f"{ahead - 1} acquisitions were"
        return Judged(Kind.SKIPPED, f"{many} skipped, between {before.counter} and {counter}", seen)
    return Judged(Kind.NEW, "", seen)
