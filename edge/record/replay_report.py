"""replay report -> what people and machines read: a table by stage, and JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.table import Table

from edge.record.compare import STAGES, FieldReport, StageReport
from edge.record.export import utc
from edge.record.replay import ReplayReport

FIELDS_SHOWN = 4  # a stage; the JSON has them all
LINES_SHOWN = 8  # a kind of remark
SECTIONS = (
    ("refused", "Recorded, but not usable as it is by this version:"),
    ("substitutes", "Used in its place (no proof for the recorded controller):"),
    ("inputs", "Not recorded by that release, and stood in for:"),
    ("unknown", "Recorded settings that this version does not know:"),
    ("newer", "Settings that the record does not tell (value used):"),
    ("changed", "Other than recorded:"),
)


def verdict(report: ReplayReport, running: str) -> str:
    """The answer in one line; running: the version that computed."""
    by = ", ".join(report.software) or "an unknown version"
    told = f"{report.n_cycles} cycles of {report.line_name}, recorded by {by}, computed again by {running}"
    if report.identical:
        text = f"identical: {told}, every one bit for bit"
        lost = ", ".join(report.remarks.unknown)
        return f"{text}\nnote: recorded settings that this version does not know: {lost}" if lost else text
    if report.remarks.controlled:
        return f"NOT IDENTICAL: {report.first_difference} ({told})"
    differing = sum(stage.differing for stage in report.stages)
    estimates = "every estimate is the same bit for bit" if differing == 0 else f"{differing} estimates differ"
    return (
        f"NOT IDENTICAL: only estimates could be computed again, for the recorded controller bundle is refused; "
        f"{estimates} ({told}); to see what the running version decides give --controller LINE.toml"
    )


def written(report: ReplayReport) -> str:
    """Whether anything else would have gone to the line, in one line."""
    count = report.written_differs
    if count is None:
        return "Written: not known, for nothing after the estimate could be computed."
    if count == 0:
        return "Written: the same values would have gone to the line in every cycle."
    stage = next(s for s in report.stages if s.stage == "written")
    sized = [f for f in stage.fields if f.largest is not None]
    worst = max(sized, key=lambda f: f.largest_relative or 0.0, default=None)
    text = f"Written: other values would have gone to the line in {count} of {stage.compared} cycles"
    if worst is None:
        return f"{text}."
    return f"{text}; the largest change is {_size(worst.largest, worst.largest_relative)} in {worst.path[5:]}."


def stage_table(report: ReplayReport) -> Table:
    """One row a stage: in how many cycles it differs going on by itself, and given what was recorded before it."""
    table = Table(box=None, pad_edge=False, collapse_padding=True)
    table.add_column("stage")
    for name in ("differs", "by itself", "first record"):
        table.add_column(name, justify="right")
    table.add_column("since")
    own = {stage.stage: stage for stage in report.own}
    for stage in report.stages:
        alone = own.get(stage.stage)
        first = ("-", "-") if stage.first_time_s is None else (str(stage.first_seq), utc(stage.first_time_s))
        counts = (f"{stage.differing}/{stage.compared}", "-" if alone is None else str(alone.differing))
        table.add_row(stage.stage, *counts, *first)
    done = {stage.stage for stage in report.stages}
    for name in STAGES:
        if name not in done:
            table.add_row(name, "not computed", "-", "-", "-")
    return table


def details(report: ReplayReport) -> Iterator[str]:
    """The fields that differ, the ones that have no partner, and every remark; line by line."""
    for stage in report.stages:
        yield from _fields(stage)
    then = [name for stage in report.stages for name in stage.not_recorded_then]
    now = [name for stage in report.stages for name in stage.not_made_now]
    for title, names in (("Not recorded then (no difference):", then), ("Recorded then, not made any more:", now)):
        if names:
            yield title
            yield f"  {', '.join(names)}"
    for name, title in SECTIONS:
        lines = getattr(report.remarks, name)
        if lines:
            yield title
            yield from (f"  {line}" for line in lines[:LINES_SHOWN])
            if len(lines) > LINES_SHOWN:
                yield f"  ... {len(lines) - LINES_SHOWN} more in --json"


def as_json(report: ReplayReport, running: str) -> dict[str, Any]:
    """The whole report as plain values; verdict is identical, differs or incomplete (not all could be computed)."""
    plain = asdict(report)
    word = "identical" if report.identical else "differs" if report.remarks.controlled else "incomplete"
    first, last = report.span_s
    return {
        "verdict": word,
        "running": running,
        "from_utc": utc(first),
        "to_utc": utc(last),
        "written_differs": report.written_differs,
        **plain,
        "head": {"seq": report.head[0], "hash": report.head[1]},
    }


def _fields(stage: StageReport) -> Iterator[str]:
    if not stage.fields:
        return
    yield f"{stage.stage}: {len(stage.fields)} fields differ"
    for found in stage.fields[:FIELDS_SHOWN]:
        yield f"  {_field(found)}"
    if len(stage.fields) > FIELDS_SHOWN:
        yield f"  ... {len(stage.fields) - FIELDS_SHOWN} more in --json"


def _field(found: FieldReport) -> str:
    text = f"{found.path}: {found.cycles} cycles, first in record {found.first_seq}"
    text += f": {found.first_before} -> {found.first_after}"
    if found.largest is None:
        return text
    typical = _size(found.typical, found.typical_relative)
    return f"{text}; largest {_size(found.largest, found.largest_relative)}, typical {typical}"


def _size(absolute: float | None, relative: float | None) -> str:
    share = "" if relative is None else f" ({100 * relative:.2g} %)"
    return f"{0.0 if absolute is None else absolute:.3g}{share}"
