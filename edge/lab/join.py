"""a look's laboratory results -> the same, each sample once: by its id, or by its time where one of two has none; pure.

One sample may come by the line's tags and by the laboratory's system, again, in parts, or corrected with a reason. The
first word on a quantity is used; another one without a reason is told and not used. What cannot be used yet, because
the line does not answer, waits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from control.assess import Finding
from control.signals import LabResult
from edge.signals import Scan

KEPT = 100  # samples remembered: days of them
AHEAD_S = 60.0  # our choice: the laboratory's clock and the line's may differ by so much
EQUAL_REL = 1e-3  # two systems round differently
QUANTITIES = {"assay_pct": "% w/w", "tablet_weight_mg": "mg", "hardness_n": "N"}


@dataclass(frozen=True)
class LabMemory:
    """What is remembered of laboratory results: the samples known, newest last, and those not yet taken in.

    line_counter: of the newest result that the line's tags told; ignored: the one among these that was known already.
    """

    known: tuple[LabResult, ...] = ()
    waiting: tuple[LabResult, ...] = ()
    line_counter: int = 0
    ignored: int = 0


def join(memory: LabMemory, scan: Scan, within_s: float) -> tuple[Scan, LabMemory]:
    """The look with each sample once and with what people must be told of them, and what is remembered.

    within_s: as far apart may be what two systems call one sample's time.
    """
    told: list[Finding] = []
    memory = _by_line(memory, scan.lab, within_s, told)
    by_line = None if scan.lab is not None and scan.lab.counter == memory.ignored else scan.lab
    fresh: list[LabResult] = []
    for result in scan.lims:
        if result.sample_time_s > scan.time_s + AHEAD_S:
            late_s = result.sample_time_s - scan.time_s
            told.append(_finding(f"sample {result.name} is said to be taken {late_s:.0f} s from now: not used"))
            continue
        memory, part = _by_record(memory, result, within_s, told)
        if part is not None:
            fresh.append(part)
            memory = _queued(memory, part, within_s)
    if by_line is not scan.lab or scan.lims:
        scan = replace(scan, lab=by_line, lims=tuple(fresh), told=(*scan.told, *told))
    return scan, memory


def observed(memory: LabMemory) -> LabMemory:
    """What is remembered once all that waited was taken in."""
    return replace(memory, waiting=()) if memory.waiting else memory


def _by_line(memory: LabMemory, result: LabResult | None, within_s: float, told: list[Finding]) -> LabMemory:
    """The line's tags show their newest result at every look: only the first look at it counts."""
    if result is None or result.counter <= 0 or result.counter == memory.line_counter:
        return memory
    memory = replace(memory, line_counter=result.counter)
    place = _place(memory, result, within_s)
    if place is None:
        return _with(memory, result)
    _compare(memory.known[place], result, told)
    return replace(memory, ignored=result.counter)


def _by_record(
    memory: LabMemory, result: LabResult, within_s: float, told: list[Finding]
) -> tuple[LabMemory, LabResult | None]:
    place = _place(memory, result, within_s)
    if place is None:
        result = replace(result, corrects=False)
        return _with(memory, result), result
    before = memory.known[place]
    if result.corrects:
        # Its sample keeps the time at which it was taken in, so that what is taken back is what was put there.
        now = _merged(replace(result, sample_time_s=before.sample_time_s), before)
        return _replaced(memory, place, now), now
    new = {name: _value(result, name) for name in QUANTITIES if not math.isfinite(_value(before, name))}
    _compare(before, result, told)
    if not any(math.isfinite(value) for value in new.values()):
        return memory, None
    nothing = dict.fromkeys(QUANTITIES, math.nan)
    part = replace(result, **{**nothing, **new}, sample_time_s=before.sample_time_s)  # type: ignore[arg-type]
    return _replaced(memory, place, _merged(before, part)), part


def _queued(memory: LabMemory, part: LabResult, within_s: float) -> LabMemory:
    """A correction of what still waits takes its place: there is nothing to take back."""
    if not part.corrects:
        return replace(memory, waiting=(*memory.waiting, part))
    left = tuple(waiting for waiting in memory.waiting if not _same(waiting, part, within_s))
    if len(left) < len(memory.waiting):
        part = replace(part, corrects=False)
    return replace(memory, waiting=(*left, part))


def _place(memory: LabMemory, result: LabResult, within_s: float) -> int | None:
    found = [i for i, known in enumerate(memory.known) if _same(known, result, within_s)]
    return found[-1] if found else None


def _same(one: LabResult, other: LabResult, within_s: float) -> bool:
    if one.sample_id and other.sample_id:
        return one.sample_id == other.sample_id
    return abs(one.sample_time_s - other.sample_time_s) <= within_s


def _compare(before: LabResult, after: LabResult, told: list[Finding]) -> None:
    for name, unit in QUANTITIES.items():
        one, other = _value(before, name), _value(after, name)
        if math.isfinite(one) and math.isfinite(other) and not math.isclose(one, other, rel_tol=EQUAL_REL):
            text = f"sample {after.name} has two values, {one:.5g} and {other:.5g} {unit}: the first is used"
            told.append(_finding(f"{text}; correct it with a reason"))


def _merged(first: LabResult, second: LabResult) -> LabResult:
    """The first result, with what it does not hold taken from the second."""
    held = {n: v if math.isfinite(v := _value(first, n)) else _value(second, n) for n in QUANTITIES}
    return replace(first, **held, sample_id=first.sample_id or second.sample_id)  # type: ignore[arg-type]


def _with(memory: LabMemory, result: LabResult) -> LabMemory:
    return replace(memory, known=(*memory.known, result)[-KEPT:])


def _replaced(memory: LabMemory, place: int, result: LabResult) -> LabMemory:
    return replace(memory, known=(*memory.known[:place], result, *memory.known[place + 1 :]))


def _value(result: LabResult, name: str) -> float:
    return float(getattr(result, name))


def _finding(text: str) -> Finding:
    return Finding("lab_results", f"laboratory: {text}"[:300], 3)
