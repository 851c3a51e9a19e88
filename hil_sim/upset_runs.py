"""many upsets -> rows: the whole closed loop under each, one process a core, finished rows kept on disk."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

from edge.line import Line
from hil_sim.bench import compose_for, run_one
from hil_sim.campaign import RUN, Ledger, Row, run_name
from hil_sim.upsets import score, upset

RESULTS = "upsets.jsonl"


@lru_cache(maxsize=1)
def _line(line_file: Path, controller: str) -> Line:
    """Composed once a process: reading and checking the bundles takes as long as half a run."""
    return compose_for(line_file, controller)


def run_upset(line_file: Path, controller: str, number: int) -> Row:
    """Play one upset in closed loop; the same arguments give the same row but for wall_s."""
    line, made = _line(line_file, controller), upset(number)
    run = run_one(line, made.scenario, number)
    found = score(run.trace, line.config.line.cycle_s)
    return {
        "number": number,
        "kind": made.kind,
        "released_oos_kg": found.released_oos_kg,
        "diverted_kg": found.diverted_kg,
        "oos_kg": found.oos_kg,
        "ideal_kg": found.ideal_kg,
        "faults": json.dumps([fault.model_dump(mode="json") for fault in made.scenario.fault]),
        "wall_s": float(run.row["wall_s"] or 0.0),
    }


def run_upsets(
    line_file: Path, controller: str, numbers: Sequence[int], workers: int, out: Path, told: Callable[[Row], None],
    *, resume: bool = False,
) -> list[Row]:  # fmt: skip
    """All rows in the order of the numbers; told(row) after each.

    Each is appended to RESULTS in out as soon as it is there; Ctrl-C ends it and drops what is still waiting. With
    resume, rows that are there already are taken where the same code, line and models made them.
    """
    ledger = Ledger(out, RESULTS)
    names = {number: run_name(line_file, upset(number).scenario.model_dump_json(), controller) for number in numbers}
    there = ledger.known() if resume else {}
    found = {number: there[name] for number, name in names.items() if name in there}
    ledger.begin(list(found.values()))
    for row in found.values():
        told(row)
    for row in _rows(line_file, controller, [number for number in numbers if number not in found], workers):
        number = int(row["number"] or 0)
        found[number] = {**row, RUN: names[number]}
        ledger.keep(found[number])
        told(row)
    return [{key: value for key, value in found[number].items() if key != RUN} for number in numbers]


def _rows(line_file: Path, controller: str, numbers: Sequence[int], workers: int) -> Iterator[Row]:
    if workers == 1:
        yield from (run_upset(line_file, controller, number) for number in numbers)
        return
    with _pool(workers) as pool:
        for done in as_completed([pool.submit(run_upset, line_file, controller, number) for number in numbers]):
            yield done.result()


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    os.environ["OMP_NUM_THREADS"] = "1"  # inherited by the workers: one core each
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
