"""One manipulated variable's way through the PLC: remote or local target, clamp, rate limit, working setpoint."""

from __future__ import annotations

import math
from enum import Enum

from hil_sim.tags import MvSpec

SEQUENCE_WINDOW = 20
"""A sequence number counts when it is 1 to this many above the last accepted one."""

REMOTE, HIGH, LOW, RATE, NOT_INVITED, SATURATED = 1, 2, 4, 8, 16, 32


class Verdict(Enum):
    """What the PLC made of a remote setpoint."""

    NONE = "none"
    ACCEPTED = "accepted"
    INVALID = "invalid"
    DEVIATION = "deviation"
    SEQUENCE = "sequence"
    NOT_INVITED = "not_invited"


class SetpointSlot:
    """Setpoint logic of one MV; all values in the MV's unit."""

    def __init__(self, spec: MvSpec, start: float) -> None:
        self.spec = spec
        self.remote = self.local = self.working = start
        self.sequence = 0
        self.echo = 0
        self.low, self.high = spec.low, spec.high
        self.available = True
        self.flags = NOT_INVITED
        self._target = start
        self._written = False
        self._poisoned = False
        self._waiting = False

    def write_remote(self, value: float) -> str:
        """Take a remote target as written on the wire; it moves nothing before its sequence number does.

        Returns "good", "clamped", or "bad_out_of_range" for a non-finite value or one outside the engineering range.
        """
        if not math.isfinite(value) or not self.spec.eu_low <= value <= self.spec.eu_high:
            self._poisoned = True
            return "bad_out_of_range"
        self._poisoned = False
        self._waiting = True
        self.remote = value
        return "good" if self.low <= value <= self.high else "clamped"

    def write_sequence(self, value: int) -> None:
        """Take a sequence number; judged on the next PLC scan."""
        self.sequence = value
        self._written = True

    def start_session(self) -> None:
        """Count sequence numbers from 0 again and forget what an earlier session wrote."""
        self.sequence = self.echo = 0
        self._written = self._poisoned = self._waiting = False

    def initialise_remote(self) -> None:
        """Bumpless start of remote: the remote target is where the PLC works now."""
        self.remote = self._target = self.working
        self._written = self._poisoned = self._waiting = False

    def judge(self) -> Verdict:
        """Accept or refuse what was written since the last scan (remote is active)."""
        poisoned, self._poisoned = self._poisoned, False
        if not self._written:
            return Verdict.INVALID if poisoned else Verdict.NONE
        self._written = False
        if poisoned:
            return Verdict.INVALID
        if not self.available:
            return Verdict.NOT_INVITED
        if not 1 <= self.sequence - self.echo <= SEQUENCE_WINDOW:
            return Verdict.SEQUENCE
        if abs(self.remote - self.working) > self.spec.dev_limit:
            return Verdict.DEVIATION
        self.echo = self.sequence
        self._target = self.remote
        return Verdict.ACCEPTED

    def follow_remote(self, dt_s: float) -> None:
        """Move the working setpoint towards the accepted remote target."""
        self._move(dt_s, self._target, REMOTE)
        self.local = self.working

    def follow_local(self, dt_s: float) -> None:
        """Move the working setpoint towards the local target."""
        self._move(dt_s, self.local, NOT_INVITED)

    def hold(self) -> None:
        """Keep the working setpoint (shed); local follows it, so that leaving the hold is bumpless."""
        self.flags = NOT_INVITED
        self.local = self._target = self.working

    def stand_by(self, value: float, *, invited: bool) -> None:
        """Show what a loop of the PLC has in force, so that whoever comes next starts from there; moves nothing.

        invited: remote is active. A remote target that was written then stays, for its number may come after this scan.
        """
        self._waiting = self._waiting and invited
        if not self._waiting:
            self.remote = value
        self.local = self.working = value
        self.flags = 0 if invited else NOT_INVITED

    def _move(self, dt_s: float, target: float, flag: int) -> None:
        wanted = min(self.high, max(self.low, target))
        step = self.spec.rate_per_s * dt_s
        moved = min(self.working + step, max(self.working - step, wanted))
        self.flags = flag | (HIGH if target > self.high else 0) | (LOW if target < self.low else 0)
        if moved != wanted:
            self.flags |= RATE
        self.working = moved
