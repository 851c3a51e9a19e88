"""a writer on a logged disk -> the power fails at random instants -> is anything lost? (`make powercuts`)"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from deploy.crash.cycles import Prepared, prepare
from deploy.crash.disk import Entry, Mood, Op, after_cut, read_log, whole
from deploy.crash.judge import judge
from deploy.crash.writer import ACKNOWLEDGED, FOLDING, LINE_FILE, Task, write_and_retire, write_cycles
from edge.errors import PatloopError
from edge.record.chain import Row
from edge.record.journal import Journal
from edge.record.verify import verify

SHIM = Path(__file__).with_name("disk_log.c")
ACKS, NAME = "acknowledged", "journal.sqlite"
CUTS_A_SESSION = 20  # states that one recorded session is cut into; the last is where the next session begins
CONTROL_SESSIONS = 5
RECORDS = (3, 60)  # records of a session
MOODS = tuple(Mood(s, n, t) for s in (0.0, 0.2, 0.5, 0.9, 1.0) for n in (0.0, 0.5, 1.0) for t in (False, True))
Folder = Mapping[str, tuple[int, bytes]]


@dataclass
class PowerCuts:
    """What a campaign found. unflushed: writes that the disk was free to lose, over all cuts; restarts: cuts that the
    next session began from; retired: records that lay in archives at the end of that."""

    sessions: int = 0
    cuts: int = 0
    restarts: int = 0
    acknowledged: int = 0
    unflushed: int = 0
    retired: int = 0
    wrong: list[str] = field(default_factory=list)


def run_powercuts(
    prepared: Prepared, scratch: Path, sessions: int, seed: int, done: Callable[[], object], weak: str = ""
) -> PowerCuts:
    """Record sessions, each on what a cut of the one before left, and judge CUTS_A_SESSION cuts of each.

    weak: a pragma that takes durability away, for the control. Raises ValueError when the log missed something.
    """
    found, dice, known = PowerCuts(), random.Random(seed), dict[int, bytes]()
    folder = scratch / "state"
    folder.mkdir(parents=True)
    for number in range(sessions):
        before = _held(folder)
        now_s = prepared.cycles[-1][0].scan.time_s + 60.0 * number
        pragmas = ((FOLDING,) if number % 2 else ()) + ((weak,) if weak else ())
        log = _record(Task(folder / NAME, prepared, now_s, pragmas), dice, scratch / "log")
        _complete(before, log, folder)
        for position in _positions(log, dice):
            state = after_cut(before, log, position, dice.choice(MOODS), dice)
            told = known | _acknowledged(log[:position])
            left, retired, wrong = _judged(scratch / "cut", state, told)
            found.cuts += 1
            found.unflushed += _unflushed(log[:position])
            if wrong:
                found.wrong.append(f"session {number + 1}, cut after {position} of {len(log)} (seed {seed}): {wrong}")
        found.sessions += 1
        found.acknowledged += len(_acknowledged(log))
        shutil.rmtree(folder)
        if weak or found.wrong:
            known = {}
            folder.mkdir()
        else:
            known, found.restarts, found.retired = left, found.restarts + 1, retired
            (scratch / "cut").rename(folder)
        done()
    return found


def _record(task: Task, dice: random.Random, log: Path) -> list[Entry]:
    """One session in a child, logged: ended in the midst of it, or in every fourth in good order."""
    most, orderly, retiring = dice.randint(*RECORDS), dice.random() < 0.25, dice.random() < 0.5
    most *= 2 if retiring else 1
    child = os.fork()
    if child == 0:
        _session(task, log, most, orderly=orderly, retiring=retiring)
    _, status = os.waitpid(child, 0)
    if status != 0:
        raise ValueError(f"a writer failed, status {status}")
    return read_log(log)


def _session(task: Task, log: Path, most: int, *, orderly: bool, retiring: bool) -> None:
    try:
        folder = os.fsencode(task.path.parent)
        if ctypes.CDLL(None).disk_log_begin(folder, os.fsencode(log)) != 0:
            raise OSError("the log of the disk cannot be begun")
        told = os.open(task.path.with_name(ACKS), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        left = [most]

        def report(row: Row) -> None:
            os.write(told, ACKNOWLEDGED.pack(row.seq, row.hash))
            left[0] -= 1
            if left[0] <= 0 and not orderly:
                os._exit(0)  # nothing is closed: the log of SQLite stays as it is

        work = write_and_retire if retiring else write_cycles
        work(task, report, most)
        os._exit(0)
    finally:
        os._exit(1)


def _held(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {file.relative_to(folder).as_posix(): (file.stat().st_ino, file.read_bytes()) for file in files}


def _kept(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name: held for name, held in files.items() if not name.endswith("-shm") and name != ACKS}


def _complete(before: Folder, log: Sequence[Entry], folder: Path) -> None:
    """The log, all of it applied, must give the folder as it is: nothing went past it."""
    real = {name: held for name, (_, held) in _held(folder).items()}
    if _kept(whole(before, log)) != _kept(real):
        raise ValueError("the log of the disk is not complete: it does not give the files as they are")


def _positions(log: Sequence[Entry], dice: random.Random) -> list[int]:
    """Where to cut: half anywhere, half the instant after an acknowledgement, when least may be lost."""
    acks = [i + 1 for i, entry in enumerate(log) if entry.op is Op.WRITE and len(entry.data) == ACKNOWLEDGED.size]
    half = CUTS_A_SESSION // 2
    return [*dice.choices(acks, k=half), *(dice.randint(0, len(log)) for _ in range(CUTS_A_SESSION - half))]


def _acknowledged(log: Sequence[Entry]) -> dict[int, bytes]:
    acks = next((entry.file for entry in log if entry.op is Op.CREATE and entry.name == ACKS), None)
    told = [entry.data for entry in log if entry.op is Op.WRITE and entry.file == acks]
    return dict(ACKNOWLEDGED.unpack(data) for data in told)


def _unflushed(log: Sequence[Entry]) -> int:
    """How many writes no flush of their file had covered."""
    pending: dict[int, int] = {}
    for entry in log:
        if entry.op is Op.WRITE and len(entry.data) != ACKNOWLEDGED.size:
            pending[entry.file] = pending.get(entry.file, 0) + 1
        elif entry.op is Op.SYNC_END:
            pending[entry.file] = 0
    return sum(pending.values())


def _judged(folder: Path, state: Mapping[str, bytes], told: Mapping[int, bytes]) -> tuple[dict[int, bytes], int, str]:
    """Put a state on the disk, judge it, go on with it, judge again: the records it held, and what is wrong."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, held in _kept(state).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(held)
    verdict = judge(folder / NAME, told, writers=1)
    if verdict.wrong:
        return dict(verdict.held), verdict.retired, verdict.wrong
    try:
        with Journal.open(folder / NAME, "CDC-REF-1", now=lambda: 0.0) as journal:
            journal.append("request", 0.0, b"{}")
            held_now = {**verdict.held, **{row.seq: row.hash for row in journal.rows()}}
    except PatloopError as error:
        return dict(verdict.held), verdict.retired, f"cannot go on: {error}"
    after = verify(folder / NAME)
    return held_now, verdict.retired, "" if after.ok else f"went on, and does not verify: {after.reason}"


def build_shim(folder: Path) -> Path:
    """The logging library, compiled; it must be preloaded. Raises click.ClickException without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise click.ClickException("a C compiler is needed to log the disk: install gcc")
    built = folder / "disk_log.so"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", built, SHIM, "-ldl", "-lpthread"], check=True)
    return built


def main() -> None:
    """Run a campaign and write its figures; exit 1 when anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("out/powercuts.json"))
    given = parser.parse_args()
    if not hasattr(ctypes.CDLL(None), "disk_log_begin"):
        with tempfile.TemporaryDirectory() as scratch:
            ended = subprocess.run(
                [sys.executable, "-m", "deploy.crash.powercuts", *sys.argv[1:]], check=False,
                env={**os.environ, "LD_PRELOAD": str(build_shim(Path(scratch)))},
            )  # fmt: skip
        sys.exit(ended.returncode)
    sys.exit(_campaign(given.sessions, given.seed, given.out))


def _campaign(sessions: int, seed: int, out: Path) -> int:
    begun_s, prepared = time.monotonic(), prepare(LINE_FILE, 24)
    weak = {"normal": "synchronous = NORMAL", "off": "synchronous = OFF"}
    with tempfile.TemporaryDirectory() as scratch, Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("cutting the power", total=sessions + len(weak) * CONTROL_SESSIONS)

        def done() -> None:
            bar.advance(task)

        controls = {
            name: run_powercuts(prepared, Path(scratch, name), CONTROL_SESSIONS, seed, done, pragma)
            for name, pragma in weak.items()
        }
        found = run_powercuts(prepared, Path(scratch, "full"), sessions, seed, done)
    for name, control in controls.items():
        if not control.wrong:
            found.wrong.append(f"the control, synchronous={name}, lost nothing: the campaign proves nothing")
    told = {"seed": seed, **asdict(found), "wall_s": round(time.monotonic() - begun_s, 1)}
    told["controls"] = {name: {"cuts": c.cuts, "found": len(c.wrong)} for name, c in controls.items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(told, indent=1) + "\n")
    for wrong in found.wrong[:10]:
        click.echo(wrong)
    caught = ", ".join(f"synchronous={name} {len(c.wrong)} of {c.cuts}" for name, c in controls.items())
    click.echo(
        f"{found.cuts} power cuts in {found.sessions} sessions, {found.restarts} gone on from, {found.acknowledged} "
        f"acknowledged records, {found.retired} retired: {len(found.wrong)} wrong (controls found: {caught})"
    )
    return 1 if found.wrong else 0


if __name__ == "__main__":
    main()
