"""Targets: journals of strangers: the file's own bytes, a body in a chain that holds, what is noted beside it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from click.testing import CliRunner

from deploy.fuzz.files import LINE_FILE
from deploy.fuzz.target import Broken, Once, Target
from edge.errors import PatloopError, RecorderError

LINE = "CDC-REF-1"
ANSWERS = (0, 1, 2)  # exit codes of a command that knew what to say
CYCLES = 4


def targets() -> tuple[Target, ...]:
    """Everything that is read of a record."""
    record = ("edge/record",)
    return (
        Target("journal_file", lambda: (_journal(),), _file, (PatloopError,), record, most=400_000),
        Target("journal_body", _bodies, _body, (PatloopError,), record, (b'"~f":"nan"', b'"~a":', b'"spectrum":null',
               b'"readings":{}', b'"kind":'), most=60_000),
        Target("journal_reports", _bodies, _reports, (PatloopError,), record, (b'"~f":"nan"', b'"track":', b'"lims":[]',
               b'"time_s":', b'"minute":'), most=60_000),
        Target("journal_head", _heads, _head, (), record),
        Target("spectrum_blob", _blobs, lambda _: _blob, (ValueError,), record),
    )  # fmt: skip


def fill(path: Path) -> None:
    """A small journal as the service writes it: start, cycles with spectra, a request, an end."""
    from edge.cycle import begin, cycle
    from edge.record.journal import Journal
    from edge.record.recorder import JournalRecorder
    from edge.service import start_body
    from edge.signals import Acted
    from hil_sim.bench import RigLine, ScriptedRecorder, compose_for
    from hil_sim.rig import Rig
    from hil_sim.scenario import Scenario

    line = compose_for(LINE_FILE, "mpc")
    rig = Rig(Scenario(name="small", description="a quiet line", hours=1.0), 1)
    with Journal.open(path, LINE, now=lambda: 1.76e9) as journal:
        recorder = JournalRecorder(journal)
        recorder.start(rig.time_s, start_body(line), {})
        scripted, wire = ScriptedRecorder(recorder), RigLine(rig, line.config, 1)

        async def play() -> None:
            loop, acted = begin(line), Acted("none")
            for number in range(CYCLES):
                _, loop, acted = await cycle(line, loop, number, acted, wire, wire, scripted, wire)
                for _ in range(10):
                    rig.step()

        asyncio.run(play())
        recorder.stop(rig.time_s, "stopped")


def _journal() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal.sqlite"
        fill(path)
        return path.read_bytes()


def _bodies() -> Sequence[bytes]:
    from edge.record.journal import Journal

    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal.sqlite"
        fill(path)
        with Journal.open_reader(path) as journal:
            rows = list(journal.rows())
    return [row.kind.encode() + b"\n" + row.body for row in rows]


def _heads() -> Sequence[bytes]:
    from edge.record.chain import head_path

    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal.sqlite"
        fill(path)
        return (head_path(path).read_bytes(),)


def _blobs() -> Sequence[bytes]:
    from edge.record.canonical import pack_spectrum

    return [pack_spectrum(np.linspace(0.1, 0.9, n)) for n in (0, 1, 125)]


def _blob(raw: bytes) -> object:
    from edge.record.canonical import unpack_spectrum

    return unpack_spectrum(raw)


def _run(*argv: str) -> None:
    """A command as a person gives it: it knows what to say, whatever the file."""
    from edge.record.commands import journal, replay

    command = replay if argv[0] == "replay" else journal
    result = CliRunner().invoke(command, list(argv[1:] if argv[0] == "replay" else argv))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exit_code not in ANSWERS or "Usage:" in result.output:
        raise Broken(f"{argv[0]} ended with {result.exit_code}: {result.output}")


def _judged(path: Path) -> None:
    """Both verifiers and every reader of a journal."""
    from edge.record import standalone_verifier
    from edge.record.verify import verify

    own = verify(path)
    alone = standalone_verifier.judge(path, (), ())
    if own.ok and alone.reason:
        raise Broken(f"verified, but not by the stand-alone verifier: {alone.reason}")
    with TemporaryDirectory() as folder:
        for argv in (("show", str(path)), ("show", str(path), "--seq", "3"),
                     ("export", str(path), "--out", f"{folder}/x.csv"), ("replay", str(path))):  # fmt: skip
            _run(*argv)


def _file(folder: Path) -> Once:
    path = folder / "journal.sqlite"

    def once(raw: bytes) -> object:
        for old in folder.glob("journal.sqlite*"):
            old.unlink()
        path.write_bytes(raw)
        _judged(path)
        return None

    return once


def _body(folder: Path) -> Once:
    """The body is in a journal whose chain holds: whoever wrote it, wrote it as the service writes."""
    from edge.record.journal import Journal

    path = folder / "journal.sqlite"

    def once(raw: bytes) -> object:
        for old in folder.glob("journal.sqlite*"):
            old.unlink()
        kind, _, body = raw.partition(b"\n")
        unwritable = contextlib.suppress(RecorderError, UnicodeDecodeError)
        with Journal.open(path, LINE, now=lambda: 1.76e9) as journal, unwritable:
            journal.append(kind.decode() or "cycle", 1.76e9, body)
        _judged(path)
        return None

    return once


def _reports(folder: Path) -> Once:
    """The body is one more record of a journal that is well: whoever tells what happened meets it on the way."""
    from edge.record.chain import head_path
    from edge.record.journal import Journal

    whole, path = folder / "whole.sqlite", folder / "journal.sqlite"
    fill(whole)
    with Journal.open_reader(whole) as journal:
        newest = journal.last()
    assert newest is not None, "fill has written"

    def once(raw: bytes) -> object:
        for old in (*folder.glob("journal.sqlite*"), head_path(path)):
            old.unlink(missing_ok=True)
        shutil.copyfile(whole, path)
        kind, _, body = raw.partition(b"\n")
        unwritable = contextlib.suppress(RecorderError, UnicodeDecodeError)
        with Journal.open(path, LINE) as journal, unwritable:
            journal.append(kind.decode() or "cycle", newest.time_s + 5.0, body)
        with TemporaryDirectory() as out:
            for name in ("inspect", "genealogy", "shadow"):
                _run(name, str(path), "--out", f"{out}/{name}")
            _run("genealogy", str(path), "--format", "html", "--out", f"{out}/page.html")
            _run("performance", str(path))
            _run("anchor", str(path))
        return None

    return once


def _head(folder: Path) -> Once:
    from edge.record import standalone_verifier
    from edge.record.chain import head_path
    from edge.record.verify import verify

    path = folder / "journal.sqlite"
    fill(path)

    def once(raw: bytes) -> object:
        head_path(path).write_bytes(raw)
        own, alone = verify(path), standalone_verifier.judge(path, (), ())
        if own.ok and alone.reason:
            raise Broken(f"verified, but not by the stand-alone verifier: {alone.reason}")
        return own

    return once
