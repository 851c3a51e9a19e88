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
from typing import TextIO

from edge.line import Line
from hil_sim.bench import compose_for, run_one
from hil_sim.upsets import score, upset

Row = dict[str, float | int | str]
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
    line_file: Path, controller: str, numbers: Sequence[int], workers: int, out: Path, told: Callable[[Row], None]
) -> list[Row]:
    """All rows in the order of the numbers; told(row) after each.

    Each is appended to RESULTS in out as soon as it is there; Ctrl-C ends it and drops what is still waiting.
    """
    out.mkdir(parents=True, exist_ok=True)
    found: dict[int, Row] = {}
    with (out / RESULTS).open("w", encoding="utf-8") as file:
        for row in _rows(line_file, controller, numbers, workers):
            found[int(row["number"])] = row
            _append(file, row)
            told(row)
    return [found[number] for number in numbers]


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


def _append(file: TextIO, row: Row) -> None:
    file.write(json.dumps(row) + "\n")
    file.flush()
