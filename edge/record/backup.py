"""a running line -> a folder that can be brought back: record, line file, bundles, accounts, public certificates."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from edge.config import LineConfig, read_config
from edge.errors import ConfigError, RecorderError
from edge.record.chain import connect_reader, head_path
from edge.record.journal import Journal
from edge.record.verify import verify

MANIFEST, LINE, STATE, PARTS, JOURNAL, PEOPLE = (
    "manifest.json", "line.toml", "state", "parts", "journal.sqlite", "people.db",
)  # fmt: skip
FORMAT = 1
PAGES = 256  # copied at a time: 1 MB, then whoever waits for the disk has a turn
PUBLIC = frozenset({".der", ".crt", ".cer", ".pub"})
SCRATCH = ("-wal", "-shm", "-journal", ".head", ".reserve")  # of SQLite, and what is made anew
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Held:
    """One file of a backup: its SHA-256, its size and who may read it (mode bits)."""

    sha256: str
    size: int
    mode: int


@dataclass(frozen=True)
class Manifest:
    """What a backup holds. seq, hash: the newest record in it; left_out: secrets that it does not hold; archives: cut
    off parts of the record that lie elsewhere, name -> SHA-256."""

    line: str
    made_s: float
    software: str
    seq: int
    hash: str
    files: Mapping[str, Held]
    left_out: tuple[str, ...]
    archives: Mapping[str, str]
    format: int = FORMAT


def make_backup(
    line_file: Path, state: Path | None, to: Path, progress: Progress, *,
    secrets: bool, now: Callable[[], float] = time.time,
) -> Manifest:  # fmt: skip
    """Copy a line that may be running to the new folder `to`, verify the copy, and say what it holds.

    The writer never waits: the journal is read as it is at one instant. Without secrets no private key and no password
    is taken along. Raises ConfigError when `to` is taken or cannot be written, RecorderError when the record is not
    sound (nothing is left at `to` then).
    """
    config, _ = read_config(line_file)
    folder = state or config.line.state_dir
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise ConfigError(f"--to {to}: there is something already; name a new folder")
    draft = to.with_name(f".{to.name}.{os.getpid()}")
    try:
        draft.mkdir(parents=True, mode=0o700)
        try:
            manifest = _fill(draft, line_file, config, folder, progress, now(), secrets=secrets)
            draft.replace(to)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        sync_folder(to.parent)
    except OSError as error:
        raise ConfigError(f"--to {to}: cannot be written ({error.strerror or error})") from error
    return manifest


def parts_of(config: LineConfig) -> dict[tuple[str, str], Path]:
    """Folders and files that the line file names and a line cannot run without: (table, key) -> where."""
    named = {
        ("sensor", "bundle"): config.sensor.bundle,
        ("sensor", "registry"): config.sensor.registry,
        ("analyser", "verification"): config.analyser.verification,
    }
    if config.controller is not None:
        named[("controller", "bundle")] = config.controller.bundle
        named[("controller", "registry")] = config.controller.registry
    if config.press is not None:
        named[("press", "bundle")] = config.press.bundle
    return {key: path for key, path in named.items() if path is not None}


def part_name(key: tuple[str, str]) -> str:
    """Where a part lies in a backup, below PARTS."""
    return f"{key[0]}_{key[1]}"


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """The names in a folder are on the disk when this returns."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _fill(
    draft: Path, line_file: Path, config: LineConfig, state: Path, progress: Progress, now_s: float, *, secrets: bool
) -> Manifest:
    source = state / JOURNAL
    if not source.is_file():
        raise ConfigError(f"there is no journal {source}: has the service run?")
    copy = draft / STATE / JOURNAL
    copy.parent.mkdir(mode=0o700)
    copy_database(source, copy, progress)
    seq, digest = _head_of(copy)
    copy_file(line_file, draft / LINE)
    for key, path in parts_of(config).items():
        _copy_part(path, draft / PARTS / part_name(key))
    left_out = []
    for file in _state_files(state, config):
        name = file.relative_to(state)
        if _secret(name, file) and not secrets:
            left_out.append(name.as_posix())
        elif name.name == PEOPLE:
            copy_database(file, draft / STATE / name, _silent)
        else:
            copy_file(file, draft / STATE / name)
    archives = _archives(copy)
    clean(copy)
    files = {path.relative_to(draft).as_posix(): _held(path) for path in walk(draft)}
    manifest = Manifest(
        config.line.name, now_s, f"patloop {version('patloop')}", seq, digest, files, tuple(left_out), archives
    )
    (draft / MANIFEST).write_text(json.dumps(asdict(manifest), indent=1, sort_keys=True) + "\n")
    for folder in {path.parent for path in walk(draft)}:
        sync_folder(folder)
    return manifest


def copy_database(source: Path, target: Path, progress: Progress) -> None:
    """Copy an SQLite file that others write to, as it is at one instant, in steps. Raises RecorderError.

    One read transaction spans all steps: without it each write by another process would begin the copy anew. In
    write-ahead mode readers and the writer do not wait for each other.
    """

    def told(_status: int, left: int, total: int) -> None:
        progress(total - left, total)

    try:
        with closing(connect_reader(source)) as reader, closing(sqlite3.connect(target)) as writer:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
            reader.backup(writer, pages=PAGES, progress=told, sleep=0.001)
    except sqlite3.Error as error:
        raise RecorderError(f"{source} cannot be copied: {error}") from error
    target.chmod(source.stat().st_mode & 0o777)
    sync_file(target)


def copy_file(source: Path, target: Path) -> None:
    """Copy one file, mode bits too; on the disk when this returns."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.copy2(source, target)
    sync_file(target)


def sync_file(path: Path) -> None:
    """What was written to a file is on the disk when this returns."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def clean(database: Path) -> None:
    """Remove what a look at a file in write-ahead mode leaves beside it; nobody may have it open."""
    for end in SCRATCH[:2]:
        database.with_name(database.name + end).unlink(missing_ok=True)


def walk(folder: Path) -> Iterator[Path]:
    """Every plain file below a folder, in order."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())


def _silent(_done: int, _total: int) -> None:
    return


def _copy_part(source: Path, target: Path) -> None:
    if source.is_file():
        copy_file(source, target / source.name)
    for file in walk(source) if source.is_dir() else ():
        copy_file(file, target / file.relative_to(source))


def _state_files(state: Path, config: LineConfig) -> Iterator[Path]:
    """All that the service and its companions keep, but the journal (copied already) and what is only scratch."""
    archive = None if config.record is None else config.record.archive
    for file in walk(state):
        scratch = file.name.endswith(SCRATCH)
        if not scratch and file != state / JOURNAL and (archive is None or archive not in file.parents):
            yield file


def _secret(name: Path, file: Path) -> bool:
    """What only its owner may read is a secret, and all in pki/ that is no certificate. Of accounts only hashes are
    kept, so they are none: without them nobody could log in to a restored line."""
    if name.name == PEOPLE:
        return False
    private = not file.stat().st_mode & 0o077
    return private or (name.parts[0] == "pki" and (name.suffix not in PUBLIC or "key" in name.stem))


def _head_of(copy: Path) -> tuple[int, str]:
    """Note the head beside the copied journal, and verify it whole. Raises RecorderError."""
    with Journal.open_reader(copy) as journal:
        newest = journal.last()
    if newest is None:
        raise RecorderError(f"{copy} holds no record")
    head = head_path(copy)
    head.write_text(json.dumps({"seq": newest.seq, "hash": newest.hash.hex()}) + "\n", encoding="ascii")
    sync_file(head)
    found = verify(copy)
    if not found.ok:
        raise RecorderError(f"the journal is not sound, so no backup is made of it: {found.reason}")
    return newest.seq, newest.hash.hex()


def _held(path: Path) -> Held:
    found = path.stat()
    return Held(digest_of(path), found.st_size, found.st_mode & 0o777)


def _archives(copy: Path) -> dict[str, str]:
    """The parts of the record that retention moved to files of their own, as the journal names them."""
    with Journal.open_reader(copy) as journal:
        told = [row.content() for row in journal.rows(kind="retired")]
    return {body["archive"]: body["archive_sha256"] for body in told if body.get("archive")}
