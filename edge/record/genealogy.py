"""journal -> genealogy: every minute of material with its origin, its estimate, its risk and who decided on it."""

from __future__ import annotations

import csv
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from control.signals import Belief, Estimate, Target
from control.track import Balance, Minute, TrackMemory, track
from control.track.follow import Tracker, tracker
from edge.config import LineConfig
from edge.errors import ConfigError
from edge.material import material
from edge.record.canonical import decode, from_plain
from edge.record.export import utc
from edge.record.journal import Journal
from edge.record.recorded import recorded_config, recorded_scan
from edge.record.shape import as_written
from edge.signals import Link

Cell = float | str
LOT_COLUMNS = ("feeder", "from", "lot")
SHOWN_HASH = 12


@dataclass(frozen=True)
class Deciders:
    """Who decided when a minute ended: mode, who asked for it, the soft sensor's and controller's hashes."""

    mode: str = ""
    asked_by: str = ""
    sensor: str = ""
    controller: str = ""


@dataclass(frozen=True)
class Entry:
    """One minute of the genealogy with who decided on it."""

    minute: Minute
    deciders: Deciders


@dataclass(frozen=True)
class Genealogy:
    """The minutes of a stretch of the record, and the balance of each start's run, in order."""

    entries: tuple[Entry, ...]
    balances: tuple[Balance, ...]

    @property
    def released_kg(self) -> float:
        """Mass that was released."""
        return sum(entry.minute.released_kg for entry in self.entries)

    @property
    def diverted_kg(self) -> float:
        """Mass that was diverted."""
        return sum(entry.minute.diverted_kg for entry in self.entries)

    @property
    def expected_nonconforming_kg(self) -> float:
        """Mass that is expected to be outside its limits among what was released."""
        return sum(entry.minute.released_kg * entry.minute.p_nonconf for entry in self.entries)


@dataclass
class _Run:
    """One start of the service: what its cycles are read with, and what they have come to so far."""

    config: LineConfig
    fixed: Tracker
    controller: str
    memory: TrackMemory | None = None
    balance: Balance | None = None
    asked_by: str = ""


def genealogy(
    journal: Journal, from_s: float | None, to_s: float | None, progress: Callable[[int, int], None]
) -> Genealogy:
    """The minutes that lie within from_s to_s (None: open).

    Where the record holds no tracking it is computed again from what was seen and thought. Raises RecorderError,
    ConfigError when the record's line has no material to track.
    """
    entries: list[Entry] = []
    balances: list[Balance] = []
    run: _Run | None = None
    newest = journal.last()
    for row in journal.rows():
        if row.kind == "start":
            balances += [run.balance] if run is not None and run.balance is not None else []
            with as_written(row):
                run = _begin(decode(row.body), row.seq)
        if row.kind != "cycle" or run is None:
            continue
        progress(row.seq, newest.seq if newest else 0)
        with as_written(row):
            body = decode(row.body)
            minute, deciders = _cycle(run, body), _deciders(run, body)
        if minute is None or (from_s is not None and minute.start_s < from_s):
            continue
        if to_s is not None and minute.end_s > to_s:
            break
        entries.append(Entry(minute, deciders))
    balances += [run.balance] if run is not None and run.balance is not None else []
    return Genealogy(tuple(entries), tuple(balances))


def _begin(body: dict[str, Any], seq: int) -> _Run:
    config = recorded_config(body, seq)
    control, limits = config.control(), config.diversion
    if control is None or limits is None:
        raise ConfigError(f"record {seq}: this line is only watched: it has no feeders and no gate to track between")
    fixed = tracker(control, config.track, limits.api_limit_lc_pct, limits.sigmas)
    return _Run(config, fixed, str(body.get("controller_hash") or ""))


def _cycle(run: _Run, body: dict[str, Any]) -> Minute | None:
    """The minute that ended with this cycle, as recorded or computed again."""
    thought = body["thought"]
    told = thought.get("track")
    if told is not None:
        run.balance = from_plain(Balance, told["balance"])
        return None if told["minute"] is None else from_plain(Minute, told["minute"])
    target, sample = thought.get("target"), body["sample"]
    if target is None or sample["link"] != Link.ONLINE:
        return None
    scan = recorded_scan(sample)
    estimate, belief = thought.get("estimate"), thought.get("belief")
    seen = material(
        run.fixed.control,
        run.config.track,
        scan,
        from_plain(Target, target),
        None if estimate is None else from_plain(Estimate, estimate),
        None if belief is None else from_plain(Belief, belief),
    )
    tracked, run.memory = track(run.fixed, run.memory, seen)
    run.balance = tracked.balance
    return tracked.minute


def _deciders(run: _Run, body: dict[str, Any]) -> Deciders:
    for request in body["sample"]["requests"]:
        if request["action"] == "mode":
            run.asked_by = str(request["user"])
    licence = body["sample"].get("licence") or {}
    return Deciders(
        str(body["thought"]["mode"]),
        run.asked_by,
        str(licence.get("bundle_hash", ""))[:SHOWN_HASH],
        run.controller[:SHOWN_HASH],
    )


Lots = Mapping[str, Sequence[tuple[float, str]]]


def read_lots(path: Path) -> Lots:
    """Which lot went into which feeder from when on: CSV with columns feeder, from (ISO 8601, UTC), lot.

    Raises ConfigError naming the line that does not fit.
    """
    found: dict[str, list[tuple[float, str]]] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not set(LOT_COLUMNS) <= set(reader.fieldnames or ()):
                raise ConfigError(f"{path}: needs the columns {', '.join(LOT_COLUMNS)}")
            for line in reader:
                moment = datetime.fromisoformat(f"{line['from']}".replace("Z", "+00:00"))
                if moment.tzinfo is None:
                    raise ConfigError(f"{path}, line {reader.line_num}: 'from' names no time zone: end it in Z")
                found.setdefault(line["feeder"], []).append((moment.timestamp(), line["lot"]))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); give a CSV of lots") from error
    except ValueError as error:
        raise ConfigError(f"{path}: {error}; write times as 2026-03-01T06:30:00Z") from error
    return {feeder: sorted(lots) for feeder, lots in found.items()}


def lots_between(lots: Lots, from_s: float, to_s: float) -> str:
    """The lots fed in a stretch of time, feeder by feeder, from the one that was in the hopper when it began."""
    parts = []
    for feeder, changes in lots.items():
        times = [time_s for time_s, _ in changes]
        first, last = max(0, bisect_right(times, from_s) - 1), bisect_right(times, to_s)
        names = [lot for _, lot in changes[first:last]]
        if names:
            parts.append(f"{feeder}: {'+'.join(names)}")
    return "; ".join(parts)


def table(found: Genealogy, lots: Lots) -> Iterator[dict[str, Cell]]:
    """One row a minute, in the units of its columns; times in UTC and in seconds since the epoch."""
    for entry in found.entries:
        minute, deciders = entry.minute, entry.deciders
        yield {
            "start_utc": utc(minute.start_s),
            "end_utc": utc(minute.end_s),
            **{f.name: getattr(minute, f.name) for f in fields(Minute)},
            "fed_from_utc": utc(minute.fed_from_s),
            "fed_to_utc": utc(minute.fed_to_s),
            "lots": lots_between(lots, minute.fed_from_s, minute.fed_to_s),
            **{f.name: getattr(deciders, f.name) for f in fields(Deciders)},
        }
