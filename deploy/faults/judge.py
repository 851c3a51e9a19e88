"""the journal, the line's own log and the service's size -> what was wrong with a run under network faults.

Judged by arithmetic of its own, from what both ends wrote down; nothing of the loop is asked for its opinion.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from deploy.faults.machine import Machine

Rows = Sequence[Mapping[str, Any]]
WITHIN_LOOKS = 2  # after a fault's end: the first may find out that the connection is gone
OLD_TICKS = 1.0  # line seconds: a look is between two of the line's ticks, and so is what both ends wrote down
LATE_SHARE = 0.5  # of a cycle: a look at the line later than this after its due time is out of period


@dataclass(frozen=True)
class Injected:
    """A fault as it was: what, from when to when (wall, s)."""

    kind: str
    from_s: float
    to_s: float
    back_s: float


@dataclass(frozen=True)
class Seen:
    """A cycle as the journal has it, reduced to what is judged."""

    time_s: float
    online: bool
    epoch: int
    session: int
    phase: str
    remote: bool
    writes: Mapping[str, float]
    holding: bool
    outcome: str
    reason: str
    line_time_s: float

    @staticmethod
    def of(body: Mapping[str, Any]) -> Seen:
        """From the body of a cycle's record."""
        sample, thought = body["sample"], body["thought"]
        readings, command = sample["readings"], thought["command"]
        remote, told = readings.get("Apc.RemoteActive"), readings.get("Line.Time")
        return Seen(
            sample["time_s"], sample["link"] == "online", sample["epoch"], sample["session_id"], thought["handshake"],
            remote is not None and remote["value"] == 1.0, command["writes"], command["holding"],
            sample["acted"]["outcome"], sample["reason"], math.nan if told is None else told["value"],
        )  # fmt: skip


@dataclass
class Verdict:
    """wrong: every breach in words; figures: what was counted; machine: knows when nobody here could keep time."""

    machine: Machine
    wrong: list[str] = field(default_factory=list)
    excused: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def late(self, what: str, from_s: float, to_s: float) -> None:
        """A breach in time: the loop's, unless the machine itself stood still then."""
        (self.excused if self.machine.stalled(from_s, to_s) else self.wrong).append(what)


def judge(
    cycles: Sequence[Seen], line: Rows, sizes: Rows, faults: Sequence[Injected], machine: Machine,
    *, cycle_s: float, watchdog_s: float,
) -> Verdict:  # fmt: skip
    """Everything that must not be, over a whole run."""
    verdict = Verdict(machine)
    _period(verdict, cycles, cycle_s)
    ticks = [row for row in line if row["what"] == "tick"]
    _recovery(verdict, cycles, ticks, faults, cycle_s)
    _handshake(verdict, cycles)
    _setpoints(verdict, cycles, line, watchdog_s)
    _growth(verdict, sizes, "service", {"rss_mb": 6.0, "objects": 1000.0, "files": 1.0, "sockets": 1.0, "tasks": 2.0})
    _growth(verdict, ticks, "line", {"connections": 4.0, "subscriptions": 1.0, "tasks": 40.0})
    stalls = [b - a for a, b in machine.stalls]
    worst_s = max(stalls, default=0.0)
    verdict.figures["machine"] = {"stalls": len(stalls), "worst_s": worst_s, "excused": verdict.excused}
    return verdict


def _period(verdict: Verdict, cycles: Sequence[Seen], cycle_s: float) -> None:
    """Every due time has its cycle, on the line's clock, whatever the network does."""
    missed_online = missed_lost = 0
    for before, after in pairwise(cycles):
        gap = math.floor(after.time_s / cycle_s + 1e-6) - math.floor(before.time_s / cycle_s + 1e-6)
        if gap > 1 and before.online and after.online:
            missed_online += gap - 1
            told = f"{gap - 1} cycles missing before {after.time_s:.2f}, online on both sides"
            verdict.late(told, before.time_s, after.time_s)
        elif gap > 1:
            missed_lost += gap - 1
            if gap > 2:
                told = f"{gap - 1} cycles missing before {after.time_s:.2f} while the link was lost"
                verdict.late(told, before.time_s, after.time_s)
    late = [c.time_s % cycle_s for c in cycles]
    steps = np.diff([c.time_s for c in cycles])
    verdict.figures["period"] = {
        "cycles": len(cycles), "missed_online": missed_online, "missed_lost": missed_lost,
        "after_due_s_p50": float(np.median(late)), "after_due_s_p99": float(np.percentile(late, 99)),
        "step_s_p01": float(np.percentile(steps, 1)), "step_s_p50": float(np.median(steps)),
        "step_s_p99": float(np.percentile(steps, 99)), "step_s_max": float(steps.max()),
        "lost": sum(not c.online for c in cycles), "out_of_period": sum(x > LATE_SHARE * cycle_s for x in late),
    }  # fmt: skip
    for cycle in cycles:
        if not cycle.online and (not cycle.holding or cycle.writes):
            verdict.wrong.append(f"the cycle at {cycle.time_s:.2f} had no link and did not hold")


def _recovery(
    verdict: Verdict, cycles: Sequence[Seen], ticks: Rows, faults: Sequence[Injected], cycle_s: float
) -> None:
    """Online and looking at the line as it is now, within two cycles of the fault's end."""
    told_at = [row["wall_s"] for row in ticks]
    took: dict[str, list[float]] = {}
    back: dict[str, list[float]] = {}
    steps: dict[str, list[int]] = {}
    for number, fault in enumerate(faults):
        until = faults[number + 1].from_s if number + 1 < len(faults) else math.inf
        after = [c for c in cycles if fault.to_s < c.time_s < until]
        first = next((c for c in after if c.online), None)
        if first is None:
            verdict.wrong.append(f"{fault.kind} ended at {fault.to_s:.2f}: never online again before the next")
            continue
        waited = (first.time_s - fault.to_s) / cycle_s
        took.setdefault(fault.kind, []).append(waited)
        back.setdefault(fault.kind, []).append((fault.back_s - fault.to_s) / cycle_s)
        looks = math.floor(first.time_s / cycle_s) - math.floor(fault.to_s / cycle_s)
        if looks > WITHIN_LOOKS:
            told = f"{fault.kind} ended at {fault.to_s:.2f}: online at the look number {looks} ({waited:.2f} cycles)"
            verdict.late(told, fault.to_s, first.time_s)
        now = bisect(told_at, first.time_s) - 1
        old_s = ticks[now]["time_s"] - first.line_time_s if now >= 0 else 0.0
        if not old_s <= OLD_TICKS:
            verdict.wrong.append(f"{fault.kind}: the first look after it shows a line that is {old_s:.0f} s old")
        epochs = [c.epoch for c in cycles if c.time_s <= fault.from_s][-1:] + [c.epoch for c in after]
        steps.setdefault(fault.kind, []).append(epochs[-1] - epochs[0])
    verdict.figures["online_after_cycles"] = {k: _spread(v) for k, v in sorted(took.items())}
    verdict.figures["in_charge_after_cycles"] = {k: _spread(v) for k, v in sorted(back.items())}
    verdict.figures["epoch_steps"] = {k: dict(sorted(Counter(v).items())) for k, v in sorted(steps.items())}


def _spread(values: Iterable[float]) -> dict[str, float]:
    found = np.array(list(values))
    return {"n": len(found), "p50": round(float(np.median(found)), 3), "worst": round(float(found.max()), 3)}


def _handshake(verdict: Verdict, cycles: Sequence[Seen]) -> None:
    """In each session: no setpoint before a request of this session was granted and one cycle moved nothing."""
    session, granted, sessions = 0, False, 0
    asked = False
    for cycle in cycles:
        if cycle.session == 0:
            continue
        if cycle.session != session:
            session, asked, granted, sessions = cycle.session, False, False, sessions + 1
        if cycle.phase not in ("requested", "remote"):
            asked = granted = False
        if cycle.writes and not (cycle.phase == "remote" and granted and cycle.remote):
            verdict.wrong.append(f"setpoints at {cycle.time_s:.2f} in phase {cycle.phase} without a granted request")
        granted = granted or (cycle.phase == "remote" and asked and cycle.remote)
        asked = asked or cycle.phase == "requested"
    verdict.figures["sessions"] = sessions
    verdict.figures["acted"] = dict(Counter(c.outcome for c in cycles))


def _setpoints(verdict: Verdict, cycles: Sequence[Seen], line: Rows, watchdog_s: float) -> None:
    """Whatever the line took as a setpoint was decided in the session that it follows, and not long ago.

    A packet that the network held can bring a setpoint late while the line still waits for that session's heartbeat:
    its watchdog is the bound.
    """
    decided = {(c.session, f"{n}.SP_Remote", v): c.time_s for c in cycles for n, v in c.writes.items()}
    taken = [row for row in line if row["what"] == "setpoint" and row["code"].startswith("Good")]
    late = []
    for row in taken:
        at = decided.get((row["session"], row["tag"], row["value"]))
        if at is None:
            verdict.wrong.append(f"the line took {row['tag']} = {row['value']} that no cycle on record decided")
        elif not row["remote"]:
            verdict.wrong.append(f"the line took {row['tag']} while it was not remote")
        else:
            late.append(row["wall_s"] - at)
    if max(late, default=0.0) > watchdog_s + 1.0:
        verdict.wrong.append(f"a setpoint moved the line {max(late):.2f} s after it was decided")
    refused = Counter(row["code"] for row in line if row["what"] == "setpoint" and not row["code"].startswith("Good"))
    verdict.figures["setpoints"] = {
        "taken": len(taken), "refused": dict(refused), "latest_s": max(late, default=0.0),
        "late_over_1s": sum(x > 1.0 for x in late),
    }  # fmt: skip


def _growth(verdict: Verdict, rows: Rows, whose: str, most: Mapping[str, float]) -> None:
    """The middle of the last fifth against the middle of the third.

    The campaign lets the observer remember a third of a long run only: all that fills by design is full by then. A late
    laboratory value still lifts resident memory once, by some megabytes: the filter runs again over all it remembers.
    What leaks with a connection shows in the number of objects.
    """
    if len(rows) < 25:
        verdict.figures[whose] = {"rows": len(rows)}
        return
    fifth = len(rows) // 5
    told: dict[str, Any] = {}
    for name, limit in most.items():
        values = np.array([row[name] for row in rows], dtype=float)
        early, last = float(np.median(values[2 * fifth : 3 * fifth])), float(np.median(values[-fifth:]))
        told[name] = {"early": early, "last": last, "most": float(values.max())}
        if last - early > limit:
            verdict.wrong.append(f"{whose}: {name} grew from {early:.1f} to {last:.1f}")
    verdict.figures[whose] = told
