"""faults one after the other on a real service and a real line: begin, wait, end, wait until in charge again; judge."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.demo import Stage
from deploy.faults import line_end, service_end
from deploy.faults.impair import Fault, plan
from deploy.faults.judge import Injected, Seen, Verdict, judge
from deploy.faults.machine import Machine
from deploy.faults.stage import stage_line
from deploy.faults.wire import Wire
from edge.errors import PatloopError, RecorderError
from edge.record.canonical import decode, encode
from edge.record.journal import Journal

PORT = 48400
PATIENCE_S = 60.0
WATCHDOG_CYCLES = 4.0  # as in the shipped line: 20 s of 5 s
LONGEST_WATCHDOGS = 1.5  # the longest faults outlast the watchdog
REMEMBER_CYCLES = 300  # what fills by design is full in the first third of a long run: what still grows then, leaks
CALM_CYCLES = 3.0


@dataclass(frozen=True)
class Outcome:
    """What a run found: what was wrong, figures, and how many faults it was."""

    faults: int
    wrong: tuple[str, ...]
    figures: dict[str, Any]


class Follower:
    """Reads a journal and a line's log as they grow; keeps what is judged."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._seq, self._at = 0, 0
        self.cycles: list[Seen] = []
        self.line: list[dict[str, Any]] = []

    def look(self) -> None:
        """Take in what is new."""
        with contextlib.suppress(RecorderError), Journal.open_reader(self._stage.journal) as journal:
            for row in journal.rows(after_seq=self._seq):
                self._seq = row.seq
                if row.kind == "cycle":
                    self.cycles.append(Seen.of(decode(row.body)))
        log = self._stage.out / line_end.LOG
        if log.exists():
            with log.open("rb") as rows:
                rows.seek(self._at)
                for raw in rows:
                    if not raw.endswith(b"\n"):
                        break
                    self._at += len(raw)
                    self.line.append(json.loads(raw))

    @property
    def tick(self) -> dict[str, Any]:
        """The line as it last told; empty before it did."""
        return next((row for row in reversed(self.line) if row["what"] == "tick"), {})


def run(
    out: Path, faults: int, seed: int, *, cycle_s: float = 1.0, follow_tag: bool = False, number: int = 0,
    told: Callable[[int, Fault], None] = lambda *_: None, calm_cycles: float = CALM_CYCLES,
    script: tuple[Fault, ...] = (),
) -> Outcome:  # fmt: skip
    """Play so many faults on one wire, or a script of them. PatloopError: an end died, or the loop never closed."""
    watchdog_s = WATCHDOG_CYCLES * cycle_s
    injected: list[Injected] = []
    with Wire(seed, number) as wire, Machine() as machine:
        stage = stage_line(
            out, f"opc.tcp://{wire.line_host}:{PORT}", cycle_s, follow_tag=follow_tag,
            remember_s=REMEMBER_CYCLES * cycle_s,
        )  # fmt: skip
        follower = Follower(stage)
        with both_ends(wire, stage, watchdog_s, seed) as alive:
            until(lambda: close_when_seen(follower, stage), follower, alive, "the service's first cycles")
            until(lambda: _in_charge(follower), follower, alive, "the loop to be closed")
            time.sleep(calm_cycles * cycle_s)
            for done, fault in enumerate(script or plan(seed, faults, LONGEST_WATCHDOGS * watchdog_s)):
                told(done, fault)
                wire.spoil(fault)
                from_s = time.time()
                time.sleep(fault.duration_s)
                wire.heal()
                to_s = time.time()
                until(lambda since=to_s: _in_charge(follower, since), follower, alive, f"after {fault.kind}")  # type: ignore[misc]
                injected.append(Injected(fault.kind, from_s, to_s, follower.cycles[-1].time_s))
                time.sleep(calm_cycles * cycle_s + 0.1 * fault.duration_s)
        follower.look()
        counts = dict(wire.counts)
    sizes = [json.loads(row) for row in (out / service_end.LOG).read_text().splitlines()]
    verdict = judge(
        follower.cycles, follower.line, sizes, injected, machine, cycle_s=cycle_s, watchdog_s=watchdog_s
    )
    return outcome(stage, verdict, counts, len(injected))


def outcome(stage: Stage, verdict: Verdict, counts: dict[str, int], faults: int) -> Outcome:
    from edge.record.verify import verify

    checked = verify(stage.journal)
    wrong = list(verdict.wrong)
    if not checked.ok:
        wrong.append(f"journal: {checked.reason}")
    with Journal.open_reader(stage.journal) as journal:
        starts = sum(1 for _ in journal.rows(kind="start"))
    if starts != 1:
        wrong.append(f"the service started {starts} times")
    figures = {"packets": dict(sorted(counts.items())), **verdict.figures}
    return Outcome(faults, tuple(wrong), figures)


@contextmanager
def both_ends(
    wire: Wire, stage: Stage, watchdog_s: float, seed: int, people_h: float = 0.0
) -> Iterator[Callable[[], None]]:
    """Both ends as processes in their namespaces; gives a check that raises when one has died."""
    url = f"opc.tcp://{wire.line_host}:{PORT}"
    inside = ("ip", "netns", "exec")
    line = [
        *inside, wire.line, sys.executable, "-m", "deploy.faults.line_end", str(stage.out), "--url", url,
        "--state", str(stage.sim_state), "--watchdog-ms", str(round(1000 * watchdog_s)), "--seed", str(seed),
        "--people-hours", str(people_h),
    ]  # fmt: skip
    service = [*inside, wire.box, sys.executable, "-m", "deploy.faults.service_end", str(stage.line_file)]
    with (stage.out / "line.txt").open("w") as line_said, (stage.out / "service.txt").open("w") as service_said:
        ends = {
            "line": subprocess.Popen(line, stdout=line_said, stderr=line_said),
            "service": subprocess.Popen(service, stdout=service_said, stderr=service_said),
        }

        def alive() -> None:
            for name, end in ends.items():
                if end.poll() is not None:
                    said = (stage.out / f"{name}.txt").read_text().strip().splitlines()
                    raise PatloopError(f"the {name} ended with code {end.returncode}: {said[-1] if said else ''}")

        try:
            yield alive
        finally:
            for end in reversed(ends.values()):
                end.send_signal(signal.SIGTERM)
                try:
                    end.wait(15)
                except subprocess.TimeoutExpired:
                    end.kill()
                    end.wait()


def until(true: Callable[[], bool], follower: Follower, alive: Callable[[], None], why: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        follower.look()
        if true():
            return
        alive()
        if time.monotonic() > deadline:
            last = follower.cycles[-1] if follower.cycles else None
            raise PatloopError(f"waited {PATIENCE_S:.0f} s in vain: {why}; last cycle: {last}")
        time.sleep(0.05)


def close_when_seen(follower: Follower, stage: Stage) -> bool:
    if sum(c.online for c in follower.cycles) < 3:
        return False
    ask(stage, "closed")
    return True


def ask(stage: Stage, mode: str) -> None:
    """What an operator's page does: a request as a row of the journal."""
    body = {"action": "mode", "value": mode, "user": "campaign", "reason": "network faults", "cycle_seq": None}
    with Journal.open(stage.journal, "CDC-REF-1") as journal:
        journal.append("request", time.time(), encode(body))


def _in_charge(follower: Follower, since_s: float = 0.0) -> bool:
    """The newest cycle writes setpoints, over a link that was looked at after since_s."""
    last = follower.cycles[-1] if follower.cycles else None
    return last is not None and last.time_s > since_s and last.online and bool(last.writes)
