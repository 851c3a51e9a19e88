"""journal -> the inspector's bundle: a folder with page, data, record and verifier that opens without patloop."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import sqlite3
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, fields
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import ConfigError, RecorderError
from edge.record.approvals import approvals
from edge.record.archive import cut_from
from edge.record.canonical import unpack_spectrum
from edge.record.chain import Row, connect_reader, head_path
from edge.record.checkpoint import latest_anchor
from edge.record.export import columns_of, cycles, export_csv, export_parquet, utc
from edge.record.facts import AlarmSpan, Facts, Gap, ModelUse, Passed, gather
from edge.record.inspect_page import Made, page
from edge.record.journal import Journal
from edge.record.minutes import Minute
from edge.record.moves import Move
from edge.record.shape import as_written
from edge.record.told import Event
from edge.record.verify import verify
from soft_sensors.registry.log import LOG

VERIFIER = Path(__file__).with_name("standalone_verifier.py")
AXIS_IN_BODY = b'"axis":{'  # in the canonical JSON of a cycle that records a new axis
MANIFEST = "MANIFEST.sha256"
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Bundle:
    """What was made: the folder, its zip, the facts in it, and whether the record in it is sound."""

    folder: Path
    archive: Path
    facts: Facts
    sound: bool
    verdict: str


@dataclass(frozen=True)
class Who:
    """Who makes the bundle, when (seconds since the epoch, UTC) and with which version."""

    name: str
    time_s: float
    software: str


@dataclass(frozen=True)
class Wanted:
    """What is to be told: a period (None: open), a batch within it, and where the registry of the models lies."""

    from_s: float | None = None
    to_s: float | None = None
    batch: str | None = None
    registry: Path | None = None


def make_bundle(journal: Path, to: Path, who: Who, wanted: Wanted, progress: Progress) -> Bundle:
    """Write the bundle into the new folder `to`, and its zip beside it.

    The record is copied as it is at one instant, whole, and everything is made from the copy; the line may go on.
    Raises ConfigError when `to` is taken or cannot be written, the record does not know the batch, or the registry
    cannot be believed; RecorderError when the record cannot be read.
    """
    archive = to.with_name(to.name + ".zip")
    if archive.exists() or (to.exists() and (not to.is_dir() or any(to.iterdir()))):
        raise ConfigError(f"--out {to}: there is something already (or {archive.name}); name a new folder")
    draft = to.with_name(f".{to.name}.part")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        try:
            bundle = _filled(draft, journal, to, who, wanted, progress)
            draft.replace(to)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        _zipped(to, archive)
    except OSError as error:
        raise ConfigError(f"--out {to}: cannot be written ({error.strerror or error})") from error
    return bundle


def _filled(draft: Path, journal: Path, to: Path, who: Who, wanted: Wanted, progress: Progress) -> Bundle:
    from_s, to_s = wanted.from_s, wanted.to_s
    for name in ("record", "check", "data"):
        (draft / name).mkdir(parents=True)
    copy = _copied(journal, draft / "record" / "journal.sqlite")
    verdict = verify(copy, progress)
    with Journal.open_reader(copy) as record:
        if wanted.batch is not None:
            from_s, to_s = _of_batch(record, wanted.batch, from_s, to_s)
        facts = gather(record, from_s, to_s, progress)
        told = verdict.reason or "no remark"
        sound = f"The record was checked when this was made: every record follows the one before.{_piece(copy)}"
        made = _made(record, who, sound if verdict.ok else f"THE RECORD IS NOT SOUND: {told}.")
        _data(record, facts, from_s, to_s, draft / "data", {"line": facts.line, "anchor": made.anchor}, progress)
    approved = None if wanted.registry is None else approvals(wanted.registry, facts.models)
    if wanted.registry is not None:
        shutil.copyfile(wanted.registry / LOG, draft / "record" / "registry_log.jsonl")
    (draft / "index.html").write_text(page(facts, made, approved), encoding="utf-8")
    (draft / "check" / "anchor.txt").write_text(made.anchor + "\n", encoding="ascii")
    shutil.copyfile(VERIFIER, draft / "check" / VERIFIER.name)
    (draft / "README.txt").write_text(_readme(facts, made), encoding="utf-8")
    _manifest(draft)
    return Bundle(to, to.with_name(to.name + ".zip"), facts, verdict.ok, told)


def _copied(journal: Path, to: Path) -> Path:
    """The record as it is at one instant, in one file, with its head beside it."""
    try:
        with closing(connect_reader(journal)) as source, closing(sqlite3.connect(to)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # a file for reading: no log beside it
    except sqlite3.Error as error:
        raise RecorderError(f"{journal} cannot be copied: {error}") from error
    with Journal.open_reader(to) as record:
        newest = record.last()
    if newest is not None:
        head_path(to).write_text(json.dumps({"seq": newest.seq, "hash": newest.hash.hex()}), encoding="ascii")
    return to


def _of_batch(record: Journal, batch: str, from_s: float | None, to_s: float | None) -> tuple[float, float]:
    times: list[float] = []
    known: dict[str, None] = {}
    for row in cycles(record, from_s, to_s):
        with as_written(row):
            name = str((row.content()["sample"].get("context") or {}).get("batch") or "")
        known[name] = None
        if name == batch:
            times.append(row.time_s)
    if not times:
        others = ", ".join(sorted(n for n in known if n)) or "none"
        raise ConfigError(f"--batch {batch}: the record knows no cycle of it in this period (known: {others})")
    return times[0], times[-1]


def _piece(copy: Path) -> str:
    """What a reader must know when it is an archive and not the whole record."""
    cut = cut_from(copy)
    if cut is None:
        return ""
    where = f" It is an archive: records {cut.first} to {cut.last}, cut out of the journal of line {cut.line}"
    return f"{where}, which holds this archive's SHA-256, the models, and how the service was started before."


def _made(record: Journal, who: Who, sound: str) -> Made:
    newest, anchor = record.last(), latest_anchor(record)
    head = "" if newest is None else newest.hash.hex()
    count = 0 if newest is None else newest.seq
    return Made(who.name, who.time_s, who.software, "" if anchor is None else anchor.text(), count, head, sound)


def _data(
    record: Journal, facts: Facts, from_s: float | None, to_s: float | None, folder: Path, origin: dict[str, str],
    progress: Progress,
) -> None:  # fmt: skip
    rows = partial(_counted, record, from_s, to_s, progress)
    columns = columns_of(rows())
    export_csv(rows, folder / "cycles.csv", origin, facts.units, columns)
    if find_spec("pyarrow") is not None:
        export_parquet(rows, folder / "cycles.parquet", origin, facts.units, columns)
    tables: dict[str, tuple[type, Iterable[Any]]] = {
        "setpoints": (Move, facts.moves), "events": (Event, facts.events), "minutes": (Minute, facts.minutes),
        "alarms": (AlarmSpan, facts.alarms), "models": (ModelUse, facts.models), "gaps": (Gap, facts.gaps),
        "material": (Passed, facts.passed),
    }  # fmt: skip
    for name, (kind, found) in tables.items():
        _table(folder / f"{name}.csv", kind, found)
    _spectra(record, from_s, to_s, folder)


def _counted(record: Journal, from_s: float | None, to_s: float | None, progress: Progress) -> Iterator[Row]:
    newest = record.last("cycle")
    for row in cycles(record, from_s, to_s):
        progress(row.seq, newest.seq if newest else 0)
        yield row


def _table(out: Path, kind: Any, rows: Iterable[Any]) -> None:
    """Dataclasses of one kind as CSV: their fields as they are, each time also as UTC; NaN is an empty cell."""
    names = [f.name for f in fields(kind)]
    times = [name for name in names if name.endswith("_s")]
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*(name.removesuffix("_s") + "_utc" for name in times), *names])
        for row in rows:
            cells = {name: getattr(row, name) for name in names}
            stamps = ["" if cells[name] is None else utc(cells[name]) for name in times]
            writer.writerow([*stamps, *("" if cell != cell else cell for cell in cells.values())])  # noqa: PLR0124 - NaN


def _spectra(record: Journal, from_s: float | None, to_s: float | None, folder: Path) -> None:
    """Every new spectrum, by the number of its record; a new file where the axis changes."""
    axis: np.ndarray[Any, Any] | None = None
    columns: np.ndarray[Any, Any] | None = None
    count = 0
    file = None
    try:
        for row in record.rows(kind="cycle"):
            inside = (from_s is None or row.time_s >= from_s) and (to_s is None or row.time_s <= to_s)
            if not inside and AXIS_IN_BODY not in row.body:
                continue  # a month of records is passed over without being read
            with as_written(row):
                seen = row.content()["sample"].get("spectrum")
                if seen is None:
                    continue
                axis = axis if seen["axis"] is None else np.asarray(seen["axis"], dtype=np.float64)
            if not inside or row.blob is None or axis is None:
                continue
            if file is None or columns is None or not np.array_equal(columns, axis):
                if file is not None:
                    file.close()
                count, columns = count + 1, axis
                name = "spectra.csv" if count == 1 else f"spectra_{count}.csv"
                file = (folder / name).open("w", encoding="ascii")
                file.write(f"sample_id,{','.join(map(repr, axis.tolist()))}\n")
            with as_written(row):
                file.write(f"{row.seq},{','.join(map(repr, unpack_spectrum(row.blob).tolist()))}\n")
    finally:
        if file is not None:
            file.close()


def _readme(facts: Facts, made: Made) -> str:
    return (Path(__file__).with_name("inspect_readme.txt").read_text(encoding="utf-8")).format(
        line=facts.line, start=utc(facts.from_s), end=utc(facts.to_s), by=made.by, made=utc(made.time_s),
        software=made.software, anchor=made.anchor, sound=made.sound, records=made.records, head=made.head_hash,
    )  # fmt: skip


def _manifest(folder: Path) -> None:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    lines = [f"{_digest(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    (folder / MANIFEST).write_text("".join(lines), encoding="utf-8")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _zipped(folder: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as packed:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            packed.write(path, f"{folder.name}/{path.relative_to(folder).as_posix()}")
