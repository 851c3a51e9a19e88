"""a running line -> backed up, restored beside it and tried out: does it come back, does it still think the same?"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from edge.cycle import begin, think
from edge.errors import PatloopError, RecorderError
from edge.record.backup import JOURNAL, STATE, Progress, make_backup
from edge.record.canonical import encode, from_plain
from edge.record.journal import Journal, Row
from edge.record.recompose import add_sensor, recompose
from edge.record.recorder import SampleReader
from edge.record.restore import check_backup, restore_backup
from edge.record.verify import verify
from edge.signals import Licence
from edge.watching import carried

KIND = "drill"
NEAR = 1000  # records before a start: the last cycle before it is among them, or there is none
COMPARED = 20  # records, by lot


@dataclass(frozen=True)
class Drill:
    """What a drill found. seq: newest record of the backup; files: in it; replayed: cycles thought again from the
    restored record; compared: records that are the same in both; wrong: empty when the line came back whole."""

    seq: int
    files: int
    replayed: int
    compared: int
    seconds: float
    wrong: tuple[str, ...]


def run_drill(
    line_file: Path, state: Path, scratch: Path, cycles: int, dice: random.Random,
    progress: Progress, now: Callable[[], float], monotonic: Callable[[], float],
) -> Drill:  # fmt: skip
    """Back up into the empty folder `scratch`, restore there, verify, think `cycles` cycles again, compare; record it.

    state: the line's state folder. Raises PatloopError when a step cannot be done at all; that is not on the record.
    """
    begun = monotonic()
    made = make_backup(line_file, state, scratch / "backup", progress, secrets=False, now=now)
    wrong = list(check_backup(scratch / "backup").wrong)
    restore_backup(scratch / "backup", scratch / "restored", force=False, now=now)
    copy = scratch / "restored" / STATE / JOURNAL
    found = verify(copy)
    if not found.ok:
        wrong.append(f"the restored journal is not sound: {found.reason}")
    with Journal.open_reader(copy) as restored, Journal.open_existing(state / JOURNAL) as live:
        replayed, differs = think_again(restored, scratch / "bundles", cycles)
        compared, other = _compare(live, restored, made.seq, dice)
        wrong += [*differs, *other]
        drill = Drill(made.seq, len(made.files), replayed, compared, round(monotonic() - begun, 3), tuple(wrong))
        live.append(KIND, now(), encode({"what": "backup and restore", **asdict(drill)}))
    return drill


def think_again(journal: Journal, scratch: Path, cycles: int) -> tuple[int, list[str]]:
    """Think the first `cycles` cycles after the newest start again: how many were, and what was not the same.

    The first, for what a loop knows begins with its start; one whose first cycles or spectra were retired is passed by.
    """
    start = _newest_whole_start(journal)
    if start is None:
        return 0, []
    try:
        line, remarks = recompose(journal, start, scratch / str(start.seq), None)
    except PatloopError as error:
        return 0, [f"record {start.seq}: the line cannot be composed from the restored record: {error}"]
    if not_as_recorded := (*remarks.refused, *remarks.substitutes):
        return 0, [f"record {start.seq}: {not_as_recorded[0]}"]
    loop, reader, done = begin(line, carried(line.config, *_known(journal, start))), SampleReader(), 0
    for row in journal.rows(after_seq=start.seq):
        if row.kind == "start" or done == cycles:
            break
        if row.kind == "artefact":
            add_sensor(line, row, scratch / str(row.seq))
        if row.kind == "cycle":
            body = row.content()
            thought, loop = think(line, loop, reader.sample(body["sample"], row.blob))
            if encode(thought) != encode(body["thought"]):
                return done, [f"record {row.seq}: thought again, the decision is another; see 'patloop replay'"]
            done += 1
    return done, []


def _newest_whole_start(journal: Journal) -> Row | None:
    for start in sorted(journal.rows(kind="start"), key=lambda row: -row.seq):
        first = next(journal.rows(after_seq=start.seq, kind="cycle", limit=1), None)
        if first is None:
            continue
        sample = first.content()["sample"]
        seen = sample["spectrum"] is None or not sample["spectrum"]["new"] or first.blob is not None
        if sample["cycle"] == 0 and seen:
            return start
    return None


def _known(journal: Journal, start: Row) -> tuple[Licence | None, float]:
    """What the last cycle before a start knew: its licence, and how much wider its interval was."""
    near = journal.rows(after_seq=max(0, start.seq - NEAR), kind="cycle", limit=NEAR)
    before = [row for row in near if row.seq < start.seq]
    if not before:
        return None, 1.0
    body = before[-1].content()
    told = body["sample"].get("licence")
    licence = None if told is None else from_plain(Licence, told)
    return licence, float(body["thought"].get("interval_factor", 1.0))


def _compare(live: Journal, restored: Journal, newest: int, dice: random.Random) -> tuple[int, list[str]]:
    """Records by lot, in both: those that were retired in between are passed over."""
    same = 0
    for _ in range(COMPARED):
        row = next(restored.rows(after_seq=dice.randrange(newest), limit=1), None)
        if row is None:
            raise RecorderError("the restored journal ended while it was read")
        mine = live.get(row.seq)
        if mine is not None and mine != row:
            return same, [f"record {row.seq} is another in the restored journal"]
        same += mine is not None
    return same, []
