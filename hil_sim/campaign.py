"""many scenarios, controllers, seeds and settings -> rows: one process a core, progress told, each row kept at once."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import control
import edge
import hil_sim
import soft_sensors
from edge.line import Line
from hil_sim.bench import run_one
from hil_sim.elsewhere import play_there
from hil_sim.scenario import load_scenario
from hil_sim.variants import Setting, compose_variant, variant

Row = dict[str, float | int | str | None]
ROWS_FILE = "rows.jsonl"
# Folders of the packages that have no part in a closed loop on the bench.
NOT_PLAYED = frozenset({"hmi", "people", "calibrate", "challenge", "dossier", "read", "wrap", "scenarios"})
RUN = "run"  # the column that names the run, so that a resumed campaign knows what it already has


@dataclass(frozen=True)
class Job:
    """One run: line file, scenario name or file, controller, seed, hours (None: the scenario's own).

    settings: keys of the line file and what they are set to instead; bundles: folder for controller bundles that they
    ask for (None: the line file's own bundle is used).
    """

    line_file: Path
    scenario: str
    controller: str
    seed: int
    hours: float | None
    settings: tuple[Setting, ...] = ()
    bundles: Path | None = None


def run_job(job: Job) -> Row:
    """Play one job; its settings are columns of the row."""
    line = _line(job.line_file, job.controller, job.settings, job.bundles)
    row = run_one(line, load_scenario(job.scenario), job.seed, job.hours).row
    return {**row, **{key: _shown(value) for key, value in job.settings}}


def identity(job: Job) -> str:
    """A name for the run that changes with all that makes it: code, line file, models, scenario, controller, seed."""
    scenario = load_scenario(job.scenario).model_dump_json()
    return run_name(job.line_file, scenario, job.controller, str(job.seed), str(job.hours), repr(job.settings))


def run_name(line_file: Path, *parts: str) -> str:
    """A name that changes with the code, the line file, the models it names, and with each of the parts."""
    return hashlib.sha256("\n".join([_code(), _fingerprint(line_file), *parts]).encode()).hexdigest()[:16]


def run_jobs(
    jobs: Sequence[Job],
    workers: int,
    told: Callable[[Job], None],
    keep: Callable[[Row], None] = lambda _: None,
    known: Mapping[str, Row] | None = None,
    scheduler: str | None = None,
) -> list[Row]:
    """All rows in the order of the jobs; keep(row), then told(job) after each that was played.

    known: rows by RUN that need not be played again; scheduler: address of a Dask scheduler whose workers play instead
    of this machine's processes. Ctrl-C ends it and drops what is still waiting. Raises ConfigError when the scheduler
    or its workers cannot be used.
    """
    names = [identity(job) for job in jobs]
    found = {i: (known or {})[name] for i, name in enumerate(names) if name in (known or {})}
    open_jobs = [i for i in range(len(jobs)) if i not in found]

    def finished(i: int, row: Row) -> None:
        found[i] = {**row, RUN: names[i]}
        keep(found[i])
        told(jobs[i])

    if scheduler is not None:
        play_there(scheduler, [jobs[i] for i in open_jobs], run_job, _code, lambda k, row: finished(open_jobs[k], row))
    elif workers == 1 or len(open_jobs) < 2:
        for i in open_jobs:
            finished(i, run_job(jobs[i]))
    else:
        _in_processes([jobs[i] for i in open_jobs], workers, lambda k, row: finished(open_jobs[k], row))
    return [found[i] for i in range(len(jobs))]


def _in_processes(jobs: Sequence[Job], workers: int, finished: Callable[[int, Row], None]) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # inherited by the workers: one core each
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(run_job, job): i for i, job in enumerate(jobs)}
        try:
            for done in as_completed(waiting):
                finished(waiting[done], done.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class Ledger:
    """The rows of a folder, one JSON line each, written as soon as they are known."""

    def __init__(self, folder: Path, name: str = ROWS_FILE) -> None:
        self.file = folder / name
        folder.mkdir(parents=True, exist_ok=True)

    def known(self) -> dict[str, Row]:
        """The rows that are there, by RUN; a last line that was cut off does not count."""
        if not self.file.is_file():
            return {}
        found: dict[str, Row] = {}
        for line in self.file.read_text(encoding="utf-8").splitlines():
            try:
                row: Row = json.loads(line)
            except json.JSONDecodeError:
                continue
            found[str(row.get(RUN))] = row
        return found

    def begin(self, rows: Sequence[Row]) -> None:
        """Start the file with these rows only."""
        self.file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def keep(self, row: Row) -> None:
        """Add one row."""
        with self.file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")


@lru_cache(maxsize=16)
def _line(line_file: Path, controller: str, settings: tuple[Setting, ...], bundles: Path | None) -> Line:
    return compose_variant(variant(line_file, controller, settings), bundles)


@lru_cache(maxsize=16)
def _fingerprint(line_file: Path) -> str:
    """Of the line file and of the models it names."""
    config, digest = variant(line_file, "ratio", ())
    named = [config.sensor.bundle, config.sensor.registry]
    if config.controller is not None:
        named.append(config.controller.bundle)
    return digest + "".join(_digest([f for f in folder.rglob("*") if f.is_file()]) for folder in named if folder)


@lru_cache(maxsize=1)
def _code() -> str:
    """Of the code that plays a run: a row that other code made is another row."""
    folders = [Path(str(package.__file__)).parent for package in (soft_sensors, control, edge, hil_sim)]
    found = [(folder, file) for folder in folders for kind in ("*.py", "*.c", "*.toml") for file in folder.rglob(kind)]
    return _digest([f for folder, f in found if not NOT_PLAYED.intersection(f.relative_to(folder).parts)])


def _digest(files: Sequence[Path]) -> str:
    found = hashlib.sha256()
    for file in sorted(files):
        found.update(file.name.encode() + file.read_bytes())
    return found.hexdigest()


def _shown(value: object) -> float | int | str:
    return value if isinstance(value, float | int | str) else json.dumps(value)
