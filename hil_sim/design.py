"""design file -> jobs: scenarios, controllers and seeds over a grid or a latin hypercube of the line's settings."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from edge.errors import ConfigError
from hil_sim.campaign import Job
from hil_sim.variants import Setting

Level = float | int | str | bool | list[float] | list[int]


class Table(BaseModel):
    """A table of the design file: frozen, no key that is not declared."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Range(Table):
    """A setting that is drawn from a range; scale log draws evenly in its logarithm."""

    low: float
    high: float
    scale: Literal["linear", "log"] = "linear"

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if not self.low < self.high or (self.scale == "log" and self.low <= 0):
            raise ValueError(f"low {self.low} must be below high {self.high}, and above 0 on a log scale")
        return self


Levels = Annotated[
    Annotated[list[Level], Field(min_length=1), Tag("list")] | Annotated[Range, Tag("range")],
    Discriminator(lambda given: "list" if isinstance(given, list) else "range"),
]
ControllerName = Literal["ratio", "pid", "smith", "hybrid", "mpc"]


class Design(Table):
    """A campaign: every point of the settings with every scenario, controller and seed.

    factors: dotted key of the line file -> list of levels (all combinations) or range (points draws, latin hypercube).
    """

    line: Path
    scenarios: Annotated[tuple[str, ...], Field(min_length=1)]
    controllers: Annotated[tuple[ControllerName, ...], Field(min_length=1)] = ("mpc",)
    seeds: Annotated[int, Field(ge=1)] = 3
    hours: Annotated[float, Field(gt=0)] | None = None
    points: Annotated[int, Field(ge=1)] = 10
    sampling_seed: int = 1
    factors: Mapping[str, Levels] = {}


def load_design(path: Path) -> Design:
    """Read a design file; paths in it start from its folder. Raises ConfigError with one line on what to mend."""
    try:
        design = Design.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give the path of a design file") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ConfigError(f"{path}: '{where}': {first['msg']}: mend or remove it") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    folder = path.resolve().parent
    scenarios = tuple(str(folder / name) if name.endswith(".toml") else name for name in design.scenarios)
    return design.model_copy(update={"line": (folder / design.line).resolve(), "scenarios": scenarios})


def points(design: Design) -> list[tuple[Setting, ...]]:
    """The settings to try, one tuple a point: draws of the ranges, each with all combinations of the lists."""
    lists = {key: levels for key, levels in design.factors.items() if not isinstance(levels, Range)}
    ranges = {key: levels for key, levels in design.factors.items() if isinstance(levels, Range)}
    combined = itertools.product(*([_fixed(level) for level in levels] for levels in lists.values()))
    grid = [tuple(zip(lists, levels, strict=True)) for levels in combined]
    found: list[tuple[Setting, ...]] = []
    for drawn in _draws(design, ranges):
        found += [(*drawn, *combination) for combination in grid]
    return found


def jobs(design: Design, bundles: Path) -> list[Job]:
    """Every run of the campaign; controller bundles that the settings ask for are kept in `bundles`."""
    return [
        Job(design.line, scenario, controller, seed, design.hours, settings, bundles)
        for settings in points(design)
        for scenario in design.scenarios
        for controller in design.controllers
        for seed in range(1, design.seeds + 1)
    ]


def _fixed(level: Level) -> Any:
    return tuple(level) if isinstance(level, list) else level


def _draws(design: Design, ranges: Mapping[str, Range]) -> list[tuple[Setting, ...]]:
    if not ranges:
        return [()]
    random, count = np.random.default_rng(design.sampling_seed), design.points
    columns: list[list[Any]] = []
    for room in ranges.values():
        share = (random.permutation(count) + random.random(count)) / count
        low, high = (np.log(room.low), np.log(room.high)) if room.scale == "log" else (room.low, room.high)
        drawn = low + share * (high - low)
        drawn = np.exp(drawn) if room.scale == "log" else drawn
        columns.append([float(f"{v:.6g}") for v in drawn])
    return [tuple(zip(ranges, row, strict=True)) for row in zip(*columns, strict=True)]
