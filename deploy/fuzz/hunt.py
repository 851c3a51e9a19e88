"""a target, for a while, in a process of its own -> how often, how far, and what was found; a hang or a crash too."""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import random as randoms
import re
import resource
import signal
import struct
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

from deploy.fuzz.lines import ROOT, Lines
from deploy.fuzz.mutate import mutate
from deploy.fuzz.target import Broken, Once, Target

HANG_S = 5.0  # of the processor's time: a machine that is busy with other things is not a hang
MEMORY = 1 << 30  # what an input may take beyond what the process has
MOST_KEPT = 400
SMALLER_S = 10.0  # time to make a finding smaller
BOARD = 1 << 20


class Hang(BaseException):
    """An input took longer than HANG_S; not an Exception, so that nobody can swallow it."""


@dataclass(frozen=True)
class Finding:
    """An input that ended in something that is not declared: what, where (innermost line of ours), the whole story."""

    target: str
    raw: bytes
    what: str
    where: str
    story: str

    @property
    def key(self) -> tuple[str, str]:
        """Two findings with the same key are one: the kind of error and its place."""
        return self.where, self.what.partition(":")[0]


@dataclass(frozen=True)
class Hunt:
    """One spell of fuzzing: executions, pairs of lines reached, inputs kept (to go on with), findings."""

    target: str
    executions: int
    reached: int
    kept: tuple[bytes, ...]
    findings: tuple[Finding, ...]
    spent_s: float
    known: frozenset[tuple[str, int, int]] = field(default_factory=frozenset)


def replay(target: Target, raw: bytes, once: Once) -> Finding | None:
    """One input, once, in this process; None when it ends as declared."""
    try:
        with _limited():
            once(raw)
    except target.declared:
        return None
    except (Exception, Hang) as error:  # noqa: BLE001 - whatever is not declared is what is looked for
        return _finding(target, raw, error)
    return None


def hunt(target: Target, seconds: float, seed: int, kept: tuple[bytes, ...] = ()) -> Hunt:
    """Fuzz in a forked child for so long; a child that dies or hangs for good is a finding with its last input."""
    context = get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    board = mmap.mmap(-1, BOARD)
    started = time.monotonic()
    child = context.Process(target=_child, args=(target, seconds, seed, kept, board, theirs))
    child.start()
    theirs.close()
    found: Hunt | None = None
    deadline = started + seconds + 2 * HANG_S + 4 * SMALLER_S + 60.0
    try:
        while time.monotonic() < deadline and found is None and (child.is_alive() or ours.poll()):
            if ours.poll(0.2):
                with contextlib.suppress(EOFError):
                    found = ours.recv()
                break
    finally:
        if found is None and child.is_alive():
            child.kill()
        child.join()
        ours.close()
    if found is not None:
        return found
    executions, length = struct.unpack_from("<QI", board, 0)
    raw = bytes(board[12 : 12 + length])
    what = f"the process ended with {child.exitcode}" if child.exitcode not in (-signal.SIGKILL, None) else "hang"
    finding = Finding(target.name, raw, what, "outside Python", "")
    return Hunt(target.name, executions, 0, kept, (finding,), time.monotonic() - started)


def _child(
    target: Target, seconds: float, seed: int, kept: tuple[bytes, ...], board: mmap.mmap, out: Connection
) -> None:
    with TemporaryDirectory() as scratch:
        os.chdir(scratch)  # whatever an input makes somebody write lies here
        once = target.prepare(Path(scratch))
        size = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
        out.send(_search(target, once, seconds, seed, kept, board))
    out.close()
    os._exit(0)  # no clean-up of libraries that were only forked


def _search(
    target: Target, once: Once, seconds: float, seed: int, kept: tuple[bytes, ...], board: mmap.mmap
) -> Hunt:
    random, lines = randoms.Random(seed), Lines(target.watched)
    seeds = [bytes(raw)[: target.most] for raw in target.seeds()]
    if not any(_well(target, once, raw) for raw in seeds):
        raise Broken(f"{target.name}: no seed comes through: what is fuzzed is not the parser")
    corpus = [*seeds, *kept]
    fresh: list[bytes] = []
    findings: dict[tuple[str, str], Finding] = {}
    started, executions = time.monotonic(), 0
    queue: Iterator[bytes] = iter(corpus)
    while time.monotonic() - started < seconds:
        first = next(queue, None)
        raw = first if first is not None else mutate(random.choice(corpus), seeds, target.words, random, target.most)
        struct.pack_into("<QI", board, 0, executions, min(len(raw), BOARD - 12))
        board[12 : 12 + min(len(raw), BOARD - 12)] = raw[: BOARD - 12]
        executions += 1
        finding = _try(target, once, raw, lines)
        if finding is not None and finding.key not in findings:
            findings[finding.key] = _smaller(target, once, finding)
        elif finding is None and lines.new and first is None:
            corpus.append(raw)
            fresh.append(raw)
    most = tuple((*kept, *fresh)[-MOST_KEPT:])
    spent_s = time.monotonic() - started
    return Hunt(target.name, executions, len(lines.reached), most, tuple(findings.values()), spent_s,
                frozenset(lines.reached))  # fmt: skip


def _well(target: Target, once: Once, raw: bytes) -> bool:
    try:
        once(raw)
    except target.declared:
        return False
    return True


def _try(target: Target, once: Once, raw: bytes, lines: Lines) -> Finding | None:
    try:
        with _limited():
            lines.run(lambda: once(raw))
    except target.declared:
        return None
    except (Exception, Hang) as error:  # noqa: BLE001 - whatever is not declared is what is looked for
        return _finding(target, raw, error)
    return None


@contextmanager
def _limited() -> Iterator[None]:
    before = signal.signal(signal.SIGPROF, _too_long)
    signal.setitimer(signal.ITIMER_PROF, HANG_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)


def _too_long(_number: int, _frame: FrameType | None) -> None:
    raise Hang(f"longer than {HANG_S:g} s")


def _finding(target: Target, raw: bytes, error: BaseException) -> Finding:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if f.filename.startswith(str(ROOT)) and "/deploy/fuzz/" not in f.filename
            and "/.venv/" not in f.filename]  # fmt: skip
    last = ours[-1] if ours else frames[-1]
    where = f"{Path(last.filename).name}:{last.lineno}"
    text = re.sub(r"[\d.]+|'[^']*'|0x[0-9a-f]+", "~", str(error))[:120]
    story = "".join(traceback.format_exception(error))[-4000:]
    return Finding(target.name, raw, f"{type(error).__name__}: {text}", where, story)


def _smaller(target: Target, once: Once, finding: Finding) -> Finding:
    """Cut pieces out while the same thing happens at the same place."""
    best, until = finding, time.monotonic() + SMALLER_S
    step = max(1, len(best.raw) // 2)
    while step >= 1 and time.monotonic() < until:
        at, shrunk = 0, False
        while at < len(best.raw) and time.monotonic() < until:
            tried = replay(target, best.raw[:at] + best.raw[at + step :], once)
            if tried is not None and tried.key == best.key:
                best, shrunk = tried, True
            else:
                at += step
        step = step if shrunk and step > 1 else step // 2
    return best


def store(finding: Finding, folder: Path) -> Path:
    """Keep a finding's input as a file of its target's folder, named by its content."""
    there = folder / finding.target
    there.mkdir(parents=True, exist_ok=True)
    file = there / hashlib.sha256(finding.raw).hexdigest()[:12]
    file.write_bytes(finding.raw)
    return file


