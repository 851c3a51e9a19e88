"""journal -> the same decisions again: every recorded sample is thought through once more and compared bit for bit."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.config import LineConfig
from edge.cycle import Loop, begin, think
from edge.errors import ConfigError, PatloopError
from edge.line import Line, compose_ungoverned
from edge.record.canonical import decode, encode, from_plain
from edge.record.journal import Journal, Row
from edge.record.recorder import SampleReader, unpack_folder
from edge.signals import Licence
from edge.watching import carried
from soft_sensors.bundle import load_bundle
from soft_sensors.errors import SensorError


@dataclass(frozen=True)
class ReplayReport:
    """Whether every recomputed thought equals the recorded one, how many were computed, and the first that differs."""

    identical: bool
    n_cycles: int
    first_difference: str | None


def replay_journal(
    path: Path, from_s: float | None, to_s: float | None, progress: Callable[[int, int], None],
    around: Callable[[Line], Line] = lambda line: line,
) -> ReplayReport:  # fmt: skip
    """Think every cycle again from its start record on; cycles between from_s and to_s are compared.

    The bundles come from the journal itself; around: what is put round the line, to look on. Raises PatloopError when
    the journal does not hold what is needed.
    """
    compared = 0
    with Journal.open_reader(path) as journal, tempfile.TemporaryDirectory() as scratch:
        newest = journal.last()
        total = newest.seq if newest else 0
        line: Line | None = None
        loop: Loop | None = None
        reader: SampleReader | None = None
        newest_known: tuple[Licence | None, float] = (None, 1.0)
        for row in journal.rows():
            if to_s is not None and row.time_s > to_s and row.kind == "cycle":
                break
            if row.kind == "start":
                line = around(_line_of(journal, row, Path(scratch) / str(row.seq)))
                loop, reader = begin(line, carried(line.config, *newest_known)), SampleReader()
            if row.kind == "artefact" and line is not None:
                _add_sensor(line, row, Path(scratch) / str(row.seq))
            if row.kind != "cycle":
                continue
            if line is None or loop is None or reader is None:
                raise PatloopError(f"record {row.seq}: a cycle without a start before it")
            body = decode(row.body)
            newest_known = _known(body)
            thought, loop = think(line, loop, reader.sample(body["sample"], row.blob))
            progress(row.seq, total)
            if from_s is not None and row.time_s < from_s:
                continue
            compared += 1
            again, before = decode(encode(thought)), body["thought"]
            if encode(again) != encode(before):
                where = next(iter(_differences("thought", before, again)), "thought")
                return ReplayReport(identical=False, n_cycles=compared, first_difference=f"record {row.seq}: {where}")
    return ReplayReport(identical=True, n_cycles=compared, first_difference=None)


def _line_of(journal: Journal, start: Row, scratch: Path) -> Line:
    """The line as it was composed at a start; the licences are those that the samples carry."""
    body = decode(start.body)
    artefacts = {decode(r.body)["hash"]: r for r in journal.rows(kind="artefact") if r.seq < start.seq}
    config: LineConfig = LineConfig.model_validate(body["config"])
    for name in ("sensor", "controller"):
        digest = body.get(f"{name}_hash")
        if digest is not None and digest not in artefacts:
            raise ConfigError(f"record {start.seq}: the journal does not hold the {name} bundle {digest[:12]}")
    if config.controller is not None and body.get("controller_hash") is not None:
        folder = scratch / "controller"
        unpack_folder(artefacts[body["controller_hash"]].blob or b"", folder)
        config = config.model_copy(update={"controller": config.controller.with_bundle(folder)})
    folder = scratch / "sensor"
    unpack_folder(artefacts[body["sensor_hash"]].blob or b"", folder)
    line = compose_ungoverned(config, body["config_hash"], folder)
    for row in artefacts.values():
        _add_sensor(line, row, scratch / str(row.seq))
    return line


def _known(body: dict[str, Any]) -> tuple[Licence | None, float]:
    """Licence and interval factor of a cycle, which the next start goes on from."""
    told = body["sample"].get("licence")
    licence = None if told is None else from_plain(Licence, told)
    return licence, float(body["thought"].get("interval_factor", 1.0))


def _add_sensor(line: Line, row: Row, scratch: Path) -> None:
    """A soft sensor of the record among those that the licences may name."""
    told = decode(row.body)
    if not told["name"].startswith("sensor") or told["hash"] in line.sensors:
        return
    unpack_folder(row.blob or b"", scratch)
    try:
        line.sensors[told["hash"]] = load_bundle(scratch)
    except SensorError as error:
        raise ConfigError(f"record {row.seq}: {error}") from error


def _differences(where: str, before: Any, after: Any) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(set(before) | set(after)):
            yield from _differences(f"{where}.{key}", before.get(key), after.get(key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for i, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _differences(f"{where}[{i}]", old, new)
    elif encode(before) != encode(after):
        yield f"{where}: recorded {before!r}, now {after!r}"


__all__ = ["ReplayReport", "replay_journal"]
