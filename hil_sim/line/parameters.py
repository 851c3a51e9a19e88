"""The line's parameter file: every number with its unit and its source."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

REFERENCE_LINE = Path(__file__).with_name("cdc_ref_1.toml")
FEEDERS = ("api", "mcc", "lac", "mgst")


class ParameterError(ValueError):
    """A parameter file is wrong; the text says where and how to mend it."""


@dataclass(frozen=True)
class FeederParameters:
    """One loss-in-weight feeder and its powder; units in the names, meanings in the parameter file."""

    moisture: float
    moisture_sd: float
    bulk_density_g_ml: float
    feed_factor_max_g_rev: float
    feed_factor_min_ratio: float
    feed_factor_beta_1_kg: float
    capacity_kg: float
    refill_low: float
    refill_high: float
    refill_s: float
    settle_s: float
    densify: float
    densify_tau_s: float
    noise_rsd: float
    noise_tau_s: float
    pulsation: float
    flights: float
    load_cell_g: float
    max_rpm: float
    window_s: float
    gain: float
    integral_s: float


@dataclass(frozen=True)
class BlenderParameters:
    """Blender: dead time, then equal tanks whose outflow follows hold-up and speed."""

    holdup_kg: float
    dead_time_s: float
    tanks: float
    rpm: float
    flow_kg_h: float
    speed_exponent: float
    flow_exponent: float


@dataclass(frozen=True)
class ChuteParameters:
    """Chute and press hopper: plug flow; level in per cent of capacity."""

    transit_s: float
    level_pct: float
    level_noise_pct: float


@dataclass(frozen=True)
class FeedFrameParameters:
    """Feed frame: one mixed hold-up with paddles."""

    holdup_kg: float
    paddle_rpm: float
    density_sd: float
    density_tau_s: float
    lubrication_loss: float
    lubrication_rate: float


@dataclass(frozen=True)
class PressParameters:
    """Rotary press and the tablet's compaction law."""

    stations: float
    die_diameter_mm: float
    turret_rpm: float
    turret_max_rpm: float
    turret_tau_s: float
    fill_depth_mm: float
    fill_min_mm: float
    fill_max_mm: float
    fill_resolution_mm: float
    fill_tau_s: float
    min_thickness_mm: float
    thickness_resolution_mm: float
    thickness_tau_s: float
    die_density_g_ml: float
    true_density_g_ml: float
    speed_loss: float
    head_gain: float
    kawakita_a: float
    kawakita_inv_b_mpa: float
    critical_density: float
    elastic_recovery: float
    strength_mpa: float
    strength_k: float
    api_strength_per_pct: float
    api_hardening_per_pct: float
    moisture_softening_per_pct: float
    weight_rsd: float
    force_rsd: float
    station_rsd: float
    force_drift_per_h: float
    ejection_n_per_kn: float


@dataclass(frozen=True)
class RecipeParameters:
    """What the line is started with, and the fixed part of the formula."""

    api_pct: float
    throughput_kg_h: float
    tablet_weight_mg: float
    main_force_kn: float
    mgst_pct: float
    mcc_parts: float
    lac_parts: float


@dataclass(frozen=True)
class LineParameters:
    """All of one line; feeders in the order of FEEDERS."""

    name: str
    recipe: RecipeParameters
    feeders: Mapping[str, FeederParameters]
    blender: BlenderParameters
    chute: ChuteParameters
    feed_frame: FeedFrameParameters
    press: PressParameters


T = TypeVar("T")


def scaled(parameters: LineParameters, factors: Mapping[str, float]) -> LineParameters:
    """The parameters with some multiplied, named as 'blender.holdup_kg' or 'feeder.api.gain'.

    Raises ParameterError for a name that is none.
    """
    for path, factor in factors.items():
        *tables, name = path.split(".")
        feeder = parameters.feeders.get(tables[1]) if len(tables) == 2 and tables[0] == "feeder" else None
        part = feeder or (getattr(parameters, tables[0], None) if len(tables) == 1 else None)
        value = getattr(part, name, None)
        if not isinstance(value, float):
            raise ParameterError(f"no line parameter '{path}': use one like 'blender.holdup_kg' or 'feeder.api.gain'")
        changed: Any = replace(part, **{name: value * factor})  # type: ignore[type-var]
        if feeder is None:
            parameters = replace(parameters, **{tables[0]: changed})
        else:
            parameters = replace(parameters, feeders={**parameters.feeders, tables[1]: changed})
    return _possible(parameters)


def _possible(parameters: LineParameters) -> LineParameters:
    """The same; raises ParameterError where no such line can be."""
    blender = parameters.blender
    dead_kg = blender.dead_time_s * blender.flow_kg_h / 3600.0
    if not blender.holdup_kg > dead_kg:
        raise ParameterError(
            f"blender.holdup_kg is {blender.holdup_kg:.3g} kg, but {dead_kg:.3g} kg are on the way in its dead time: "
            "make it larger, or dead_time_s shorter"
        )
    return parameters


def load_parameters(path: Path | None = None) -> LineParameters:
    """Read a line's parameters (the reference line when path is None).

    Every entry is `{ value, unit, source }`; raises ParameterError for a missing, unknown or unsourced one.
    """
    path = path or REFERENCE_LINE
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ParameterError(f"{path}: cannot be read as TOML: {error}") from error
    feeder_table = _table(table, "feeder", path)
    return LineParameters(
        name=str(table.get("name", path.stem)),
        recipe=fill(RecipeParameters, _table(table, "recipe", path), f"{path}: [recipe]"),
        feeders={
            name: fill(FeederParameters, _table(feeder_table, name, path), f"{path}: [feeder.{name}]")
            for name in FEEDERS
        },
        blender=fill(BlenderParameters, _table(table, "blender", path), f"{path}: [blender]"),
        chute=fill(ChuteParameters, _table(table, "chute", path), f"{path}: [chute]"),
        feed_frame=fill(FeedFrameParameters, _table(table, "feed_frame", path), f"{path}: [feed_frame]"),
        press=fill(PressParameters, _table(table, "press", path), f"{path}: [press]"),
    )


def fill(kind: type[T], table: Mapping[str, Any], where: str) -> T:
    """Build a frozen record of floats from a table of `{ value, unit, source }` entries."""
    names = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    unknown = sorted(set(table) - set(names))
    if unknown:
        raise ParameterError(f"{where}: unknown parameter '{unknown[0]}': remove it (known: {', '.join(names)})")
    return kind(**{name: _number(table, name, where) for name in names})


def _number(table: Mapping[str, Any], name: str, where: str) -> float:
    entry = table.get(name)
    if entry is None:
        raise ParameterError(f"{where}: parameter '{name}' is missing: add {name} = {{ value, unit, source }}")
    if not isinstance(entry, dict) or set(entry) != {"value", "unit", "source"} or not str(entry["source"]).strip():
        raise ParameterError(f"{where}: '{name}' must be {{ value = , unit = , source = }} with a source")
    value = entry["value"]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ParameterError(f"{where}: value of '{name}' is not a number: give a number in {entry['unit']}")
    return float(value)


def _table(table: Mapping[str, Any], name: str, path: Path) -> Mapping[str, Any]:
    found = table.get(name)
    if not isinstance(found, dict):
        raise ParameterError(f"{path}: table '{name}' is missing: add it")
    return found
