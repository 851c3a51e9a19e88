"""The record against plain SQLite rows and Parquet: bytes a day, ingest, and one spectrum out of 30 days.

The cycles are real ones, of the reference line on the rig; a journal of 30 days is too long to make here, so the seek
is timed in one of some thousands of cycles and in one ten times as long: what it costs must not grow.
"""

from __future__ import annotations

import math
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
from rich.console import Console

from deploy.crash.cycles import prepare
from deploy.crash.writer import LINE_FILE
from deploy.service_facts import Fact
from deploy.side_by_side import Row, compare
from edge.record.canonical import encode, pack_spectrum, unpack_spectrum
from edge.record.journal import Journal
from edge.record.recorder import JournalRecorder
from soft_sensors.signals import FloatArray

DAY_CYCLES = 86_400
DISTINCT = 240  # cycles of the rig, then again from the first: more than a dictionary reaches, so none meets itself
SHORT, LONG = 2_000, 20_000  # cycles in the two journals
GROUP = 1_000  # rows of a Parquet row group: smaller ones pack worse, larger ones are read more of for one spectrum
INGEST = "a record that is on the disk: one cycle with its spectrum"
SEEK = "one spectrum out of the record, at random"


@dataclass(frozen=True)
class Cycle:
    """A recorded cycle: its body and its spectrum."""

    body: bytes
    spectrum: FloatArray


class PlainRows:
    """The peer: the same content as rows of one table, float64 as they are; durable as the journal is."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=FULL")
        self.connection.execute("CREATE TABLE cycles (seq INTEGER PRIMARY KEY, time_s REAL, body TEXT, spectrum BLOB)")

    def append(self, time_s: float, cycle: Cycle) -> None:
        """One row in a transaction of its own."""
        values = (time_s, cycle.body.decode("ascii"), cycle.spectrum.tobytes())
        self.connection.execute("INSERT INTO cycles (time_s, body, spectrum) VALUES (?, ?, ?)", values)

    def spectrum(self, seq: int) -> FloatArray:
        """The spectrum of a row."""
        (found,) = self.connection.execute("SELECT spectrum FROM cycles WHERE seq = ?", (seq,)).fetchone()
        return np.frombuffer(found, dtype="<f8")


def rows(say: Callable[[str], None], cycles: int = LONG) -> Iterator[Row | Fact]:
    """Every comparison, and the facts beside them. Raises PatloopError."""
    say("the record: real cycles to write")
    made = _recorded()
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        yield from _bytes_a_day(folder, made)
        yield _ingest(folder, made)
        say(f"the record: a journal of {cycles} cycles")
        yield from _seek(folder, made, cycles)


def _recorded() -> list[Cycle]:
    """Cycles as the service records them, those with a new spectrum."""
    prepared = prepare(LINE_FILE, DISTINCT)
    with TemporaryDirectory() as scratch, Journal.open(Path(scratch) / "journal.sqlite", "BENCH") as journal:
        recorder = JournalRecorder(journal)
        for sample, thought in prepared.cycles:
            recorder.cycle(sample, thought)
        return [Cycle(row.body, unpack_spectrum(row.blob)) for row in journal.rows(kind="cycle") if row.blob]


def _append(journal: Journal, number: int, cycle: Cycle) -> None:
    """What the service writes in one cycle: the record of the cycle, and that of what became of its writes."""
    journal.append("cycle", float(number), cycle.body, pack_spectrum(cycle.spectrum))
    journal.append("act", float(number), encode({"cycle": number, "result": "good", "codes": {}}))


def _bytes_a_day(folder: Path, made: list[Cycle]) -> Iterator[Fact]:
    """File sizes per cycle, once through the real cycles, times the cycles of a day."""
    path, plain, table = folder / "day.sqlite", PlainRows(folder / "plain.sqlite"), folder / "day.parquet"
    with Journal.open(path, "BENCH") as journal:
        for number, cycle in enumerate(made):
            _append(journal, number, cycle)
            plain.append(float(number), cycle)
    plain.connection.close()
    _write_parquet(table, made)
    ours, rowed, packed = ((f.stat().st_size / len(made)) for f in (path, folder / "plain.sqlite", table))
    how = (f"{len(made)} real cycles with spectra of {made[0].spectrum.size} float64, write outcomes included, all "
           f"lossless; the same in plain SQLite rows {rowed * DAY_CYCLES / 1e6:.0f} MB, in Parquet (zstd, written at "
           f"once, no chain, not durable cycle by cycle) {packed * DAY_CYCLES / 1e6:.0f} MB")  # fmt: skip
    yield Fact("record: bytes a day, a cycle and a spectrum a second", "MB", ours * DAY_CYCLES / 1e6, 300.0, how)


def _ingest(folder: Path, made: list[Cycle]) -> Row:
    plain = PlainRows(folder / "plain_ingest.sqlite")
    with Journal.open(folder / "ingest.sqlite", "BENCH") as journal, closing(plain.connection):

        def ours(k: int) -> None:
            cycle = made[k % len(made)]
            journal.append("cycle", float(k), cycle.body, pack_spectrum(cycle.spectrum))

        def theirs(k: int) -> None:
            plain.append(float(k), made[k % len(made)])

        told = "both read back the same; ours is chained, packed, and its head noted in a file beside it"
        row = compare(INGEST, "plain SQLite row, same durability", ours, theirs, 400, told)
        newest = journal.last("cycle")
        (last,) = plain.connection.execute("SELECT max(seq) FROM cycles").fetchone()
        assert newest is not None, "cycles were appended"
        assert unpack_spectrum(newest.blob or b"").tobytes() == plain.spectrum(last).tobytes(), "the newest is the same"
    return row


def _seek(folder: Path, made: list[Cycle], cycles: int) -> Iterator[Row | Fact]:
    """One spectrum at random: journal, plain rows and Parquet of the same cycles; also while the journal is short."""
    path, plain, table = folder / "long.sqlite", PlainRows(folder / "long_plain.sqlite"), folder / "long.parquet"
    many = [made[i % len(made)] for i in range(cycles)]
    plain.connection.execute("PRAGMA synchronous=OFF")  # the peer is only read here
    for number, cycle in enumerate(many):
        plain.append(float(number), cycle)
    _write_parquet(table, many)
    dice, short_ms, long_ms, told = random.Random(1), math.nan, math.nan, ""
    order: list[int] = []
    with Journal.open(path, "BENCH") as journal:

        def ours(k: int) -> FloatArray:
            # cycles are every second record after the first
            return unpack_spectrum(journal.blob(2 + 2 * order[k % len(order)]) or b"")

        def rowed(k: int) -> FloatArray:
            return plain.spectrum(order[k % len(order)] + 1)

        for number, cycle in enumerate(many):
            _append(journal, number, cycle)
            if number + 1 in (SHORT, cycles):
                order = [dice.randrange(number + 1) for _ in range(1300)]
                told = f"same bytes; {number + 1} cycles, {path.stat().st_size / 1e6:.0f} MB"
                row = compare(f"{SEEK}, of {number + 1} cycles", "plain SQLite row", ours, rowed, 1000, told)
                short_ms, long_ms = long_ms, row.ours_ms_p50
                yield row
        with closing(_Parquet(table)) as file:

            def grouped(k: int) -> FloatArray:
                return file.spectrum(order[k % len(order)])

            assert ours(0).tobytes() == rowed(0).tobytes() == grouped(0).tobytes(), "all three give the same spectrum"
            yield compare(f"{SEEK}, of {cycles} cycles", "Parquet row group", ours, grouped, 100, told)
    plain.connection.close()
    month = 30 * DAY_CYCLES
    how = (f"median of 1000 seeks among {cycles} and among {SHORT} cycles; the tree of spectra is {_levels(month)} "
           f"levels deep for 30 days at one a second, {_levels(cycles)} and {_levels(SHORT)} in these")  # fmt: skip
    name = "record: a random spectrum from the long journal over the short one"
    yield Fact(name, "times", long_ms / short_ms, 2.0, how)


def _levels(cycles: int) -> int:
    """Levels of the spectra's tree: some 600 pages below an inner page of 8192 bytes, nine spectra on a leaf."""
    return 1 + math.ceil(math.log(cycles / 9, 600))


def _write_parquet(path: Path, cycles: list[Cycle]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "time_s": np.arange(len(cycles), dtype=float), "body": [c.body.decode("ascii") for c in cycles],
        "spectrum": [c.spectrum.tobytes() for c in cycles],
    }  # fmt: skip
    pq.write_table(pa.table(columns), path, compression="zstd", row_group_size=GROUP)


class _Parquet:
    """A Parquet file kept open: one spectrum is read with the row group it lies in."""

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        self._file = pq.ParquetFile(path)

    def spectrum(self, cycle: int) -> FloatArray:
        """The spectrum of a cycle."""
        group = self._file.read_row_group(cycle // GROUP, columns=["spectrum"])
        return np.frombuffer(group["spectrum"][cycle % GROUP].as_py(), dtype="<f8")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@click.command()
@click.option("--cycles", default=200_000, show_default=True, type=click.IntRange(SHORT + 1), help="Of the long one.")
def main(cycles: int) -> None:
    """Only the record's part of the bench, on a journal as long as you like.

    \b
    Example:
      python -m deploy.record_bench --cycles 200000
    """
    with Console(stderr=True).status("starting") as status:
        for found in rows(status.update, cycles):
            if isinstance(found, Fact):
                click.echo(f"{found.name}: {found.value:.3g} {found.unit} (at most {found.budget:g}; {found.how})")
            else:
                times = f"{1e3 * found.ours_ms_p50:.0f} us, peer {1e3 * found.peer_ms_p50:.0f} us"
                click.echo(f"{found.name} / {found.peer}: {times}, ratio {found.ratio_p50:.2f} ({found.equal_result})")


if __name__ == "__main__":
    main()
