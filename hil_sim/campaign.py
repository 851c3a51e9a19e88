"""many scenarios, controllers and seeds -> rows: one process a core, progress told, interruptible between runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from hil_sim.bench import compose_for, run_one
from hil_sim.scenario import load_scenario

Row = dict[str, float | int | str | None]


@dataclass(frozen=True)
class Job:
    """One run: line file, scenario name or file, controller, seed, hours (None: the scenario's own)."""

    line_file: Path
    scenario: str
    controller: str
    seed: int
    hours: float | None


def run_job(job: Job) -> Row:
    """Play one job from scratch."""
    line = compose_for(job.line_file, job.controller)
    return run_one(line, load_scenario(job.scenario), job.seed, job.hours).row


def run_jobs(jobs: Sequence[Job], workers: int, told: Callable[[Job], None]) -> list[Row]:
    """All rows in the order of the jobs; told(job) after each. Ctrl-C ends it and drops what is still waiting."""
    if workers == 1:
        rows = []
        for job in jobs:
            rows.append(run_job(job))
            told(job)
        return rows
    os.environ["OMP_NUM_THREADS"] = "1"  # inherited by the workers: one core each
    found: dict[int, Row] = {}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(run_job, job): i for i, job in enumerate(jobs)}
        try:
            for done in as_completed(waiting):
                found[waiting[done]] = done.result()
                told(jobs[waiting[done]])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [found[i] for i in range(len(jobs))]
