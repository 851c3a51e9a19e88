"""journal -> the same decisions again: every recorded sample is thought through once more and compared bit for bit.

Twice where it differs: once on its own, as the running version would have gone on, and once with each stage given what
was recorded of the stages before it, which tells where a difference comes from.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edge.cycle import Loop, begin, think
from edge.errors import PatloopError
from edge.line import Line
from edge.record.canonical import encode
from edge.record.compare import STAGES, StageReport, Tally, tallies
from edge.record.given import Given
from edge.record.journal import Journal, Row
from edge.record.recompose import Remarks, add_sensor, recompose
from edge.record.recorder import SampleReader
from edge.signals import Licence, Sample, Thought
from edge.watching import carried

Progress = Callable[[int, int], None]
WATCHED = ("estimate",)  # what can be computed again without a controller bundle
NO_LICENCE = "licence (the recorded soft sensor is taken as released, for that version asked for no release)"


@dataclass(frozen=True)
class ReplayReport:
    """What became of every recorded decision.

    identical: every one is the same bit for bit, with nothing put in the place of anything recorded. stages: with the
    running version going on from its own results; own: each stage given what was recorded before it, empty when
    nothing differs. head: number and hash of the newest record. software: what wrote the record, by its starts.
    """

    identical: bool
    n_cycles: int
    first_difference: str | None
    stages: tuple[StageReport, ...] = ()
    own: tuple[StageReport, ...] = ()
    remarks: Remarks = field(default_factory=Remarks)
    software: tuple[str, ...] = ()
    line_name: str = ""
    head: tuple[int, str] = (0, "")
    span_s: tuple[float, float] = (0.0, 0.0)

    @property
    def written_differs(self) -> int | None:
        """In how many cycles other values would have gone to the line; None when that could not be computed."""
        return next((s.differing for s in self.stages if s.stage == "written"), None)


@dataclass(frozen=True)
class Again:
    """One cycle thought again: its record, the recorded thought as plain values, and the thought now."""

    row: Row
    before: dict[str, Any]
    after: Thought


def replay_journal(
    path: Path, from_s: float | None, to_s: float | None, progress: Progress,
    around: Callable[[Line], Line] = lambda line: line, instead: Path | None = None,
) -> ReplayReport:  # fmt: skip
    """Think every cycle again from its start record on; cycles between from_s and to_s are compared.

    The bundles come from the journal itself; around: what is put round the line, to look on; instead: a line file or
    controller bundle to decide with in place of the recorded one. Raises PatloopError when the journal does not hold
    what is needed.
    """
    with Journal.open_reader(path) as journal, tempfile.TemporaryDirectory() as scratch:
        walk = Walk(journal, Path(scratch), instead, progress)
        counts, n_cycles, times = tallies(), 0, (0.0, 0.0)
        for again in walk.thoughts(from_s, to_s, around):
            n_cycles += 1
            times = (times[0] or again.row.time_s, again.row.time_s)
            if _same(again):
                _agreed(counts)
            else:
                _count(counts, again)
        if n_cycles == 0:
            raise PatloopError(
                f"{path}: {walk.skipped or 'no cycle in this period'}: there is nothing to compute again"
            )
        if walk.skipped:
            walk.remarks = walk.remarks.joined(Remarks(refused=(f"{walk.skipped}; replay the archive, too",)))
        stages = _reports(counts, walk.remarks)
        differs = any(stage.differing for stage in stages)
        own = _isolated(walk, from_s, to_s, around) if differs and walk.remarks.controlled else ()
        newest, remarks = journal.last(), walk.remarks
        not_as_recorded = (*remarks.refused, *remarks.substitutes, *remarks.inputs)
        first = _first(stages) if differs else next(iter(not_as_recorded), None)
        return ReplayReport(
            identical=first is None, n_cycles=n_cycles, first_difference=first, stages=stages, own=own,
            remarks=remarks, software=tuple(walk.software), line_name=walk.line_name,
            head=(0, "") if newest is None else (newest.seq, newest.hash.hex()), span_s=times,
        )  # fmt: skip


class Walk:
    """One journal, walked through from record to record as the service went; may be walked more than once."""

    def __init__(self, journal: Journal, scratch: Path, instead: Path | None, progress: Progress) -> None:
        self.remarks = Remarks()
        self.software: dict[str, None] = {}
        self.line_name = ""
        self.skipped = ""
        self._journal, self._scratch, self._instead, self._progress = journal, scratch, instead, progress
        self._lines: dict[int, Line] = {}

    def thoughts(
        self, from_s: float | None, to_s: float | None, around: Callable[[Line], Line], given: Given | None = None
    ) -> Iterator[Again]:
        """Every cycle thought again; given: hands each stage what was recorded of the stages before it."""
        newest = self._journal.last()
        total = newest.seq if newest else 0
        line: Line | None = None
        loop: Loop | None = None
        reader = SampleReader()
        known: tuple[Licence | None, float] = (None, 1.0)
        seq, skipped, lost, orphan = 0, 0, "", False
        for row in self._journal.rows():
            if row.seq != seq + 1:  # what the loop remembered of retired records is not known here
                loop, lost = None, f"records {seq + 1} to {row.seq - 1} are not in this journal"
                known, orphan = (None, 1.0), seq > 0
            seq = row.seq
            if row.kind == "start":
                self._take_over(row, orphan=orphan)
                line = around(self._line(row))
                loop, reader = begin(line, carried(line.config, *known)), SampleReader()
            if row.kind == "artefact" and line is not None:
                add_sensor(line, row, self._scratch / str(row.seq))
            if row.kind != "cycle":
                continue
            if to_s is not None and row.time_s > to_s:
                return
            body = row.content()
            if loop is not None and _dropped(row, body):
                loop, lost = None, f"the spectrum of record {row.seq} is not in this journal"
            if line is None or loop is None:
                if not lost:
                    raise PatloopError(f"record {row.seq}: a cycle without a start before it")
                skipped += 1
                self.skipped = f"{skipped} cycles could not be computed again, the last in record {row.seq}: {lost}"
                continue
            sample, before = self._sample(line, reader, row, body), body["thought"]
            known, orphan = (sample.licence, float(before.get("interval_factor", 1.0))), False
            if given is None:
                thought, loop = think(line, loop, sample)
            else:
                thought, loop = given.think(line, loop, sample, before)
            self._progress(row.seq, total)
            if from_s is None or row.time_s >= from_s:
                yield Again(row, before, thought)

    def _take_over(self, start: Row, *, orphan: bool) -> None:
        """A start goes on with the interval's width of the cycle before it: told where that one was retired."""
        if orphan:
            told = (
                f"interval's width that the start in record {start.seq} took over (its cycle was retired): the card's"
            )
            self.remarks = self.remarks.joined(Remarks(inputs=(told,)))

    def _line(self, start: Row) -> Line:
        body = start.content()
        self.software[str(body.get("software", "unknown"))] = None
        if start.seq not in self._lines:
            line, remarks = recompose(self._journal, start, self._scratch / str(start.seq), self._instead)
            self._lines[start.seq] = line
            self.remarks = self.remarks.joined(remarks)
            self.line_name = line.config.line.name
        return self._lines[start.seq]

    def _sample(self, line: Line, reader: SampleReader, row: Row, body: dict[str, Any]) -> Sample:
        """The recorded sample; what the release that wrote it did not ask for is stood in for, with a remark."""
        try:
            sample = reader.sample(body["sample"], row.blob)
        except (ValueError, KeyError, TypeError) as error:
            raise PatloopError(f"record {row.seq}: its sample cannot be read by this version ({error})") from error
        if "licence" in body["sample"]:
            return sample
        self.remarks = self.remarks.joined(Remarks(inputs=(NO_LICENCE,)))
        return replace(sample, licence=Licence(line.sensor.bundle_hash, "effective", float("inf")))


def _isolated(
    walk: Walk, from_s: float | None, to_s: float | None, around: Callable[[Line], Line]
) -> tuple[StageReport, ...]:
    given, counts = Given(), tallies()
    for again in walk.thoughts(from_s, to_s, lambda line: given.around(around(line)), given):
        if _same(again):
            _agreed(counts)
        else:
            _count(counts, again)
    return _reports(counts, walk.remarks)


def _dropped(row: Row, body: dict[str, Any]) -> bool:
    """Whether the cycle had a new spectrum that retention has taken since."""
    seen = body["sample"].get("spectrum")
    return row.blob is None and seen is not None and bool(seen.get("new"))


def _same(again: Again) -> bool:
    return encode(again.after) == encode(again.before)


def _agreed(counts: dict[str, Tally]) -> None:
    for tally in counts.values():
        tally.compared += 1


def _count(counts: dict[str, Tally], again: Again) -> None:
    for tally in counts.values():
        tally.add(again.row.seq, again.row.time_s, again.before, again.after)


def _reports(counts: dict[str, Tally], remarks: Remarks) -> tuple[StageReport, ...]:
    return tuple(counts[name].report() for name in STAGES if remarks.controlled or name in WATCHED)


def _first(stages: tuple[StageReport, ...]) -> str:
    """The first difference in words: of the earliest cycle that differs, in its earliest stage."""
    stage = min((s for s in stages if s.first_seq is not None), key=lambda s: s.first_seq or 0)
    change = next(f for f in stage.fields if f.first_seq == stage.first_seq)
    return f"record {change.first_seq}: {change.path}: recorded {change.first_before}, now {change.first_after}"


__all__ = ["Again", "ReplayReport", "Walk", "replay_journal"]
