"""records -> configuration and scans for reports, read leniently: older releases had other settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from edge.config import LineConfig
from edge.errors import ConfigError
from edge.record.canonical import from_plain
from edge.signals import Scan


def recorded_config(body: dict[str, Any], seq: int) -> LineConfig:
    """The configuration in the body of start record `seq`, without the settings that are not known any more.

    For reports, and for a replay that names what it left out (see unknown_settings). Raises ConfigError.
    """
    if not isinstance(body.get("config"), dict):
        raise ConfigError(f"record {seq}: this start does not tell its configuration; it was not written by patloop")
    try:
        return LineConfig.model_validate(_known(LineConfig, body["config"]))
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise ConfigError(f"record {seq}: written by another release: its '{where}' cannot be used here") from error


def unknown_settings(body: dict[str, Any]) -> tuple[str, ...]:
    """Settings in the body of a start record that this version does not know, as "table.key = value"."""
    return tuple(_unknown(LineConfig, body["config"], ""))


def newer_settings(body: dict[str, Any], config: LineConfig) -> tuple[str, ...]:
    """Settings that this version has and the start record does not tell, as "table.key = value in use now"."""
    return tuple(_newer(body["config"], config.model_dump(mode="json"), ""))


def told_setpoints(config: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """Name, unit and limits of every setpoint in a recorded configuration: feeders, force, and the press's handles."""
    press = config.get("press")
    handles = [press.get(key) for key in ("fill_depth", "thickness", "turret")] if isinstance(press, dict) else []
    return tuple(mv for mv in (*(config.get("mv") or ()), *handles) if isinstance(mv, dict))


def changed_settings(before: LineConfig, after: LineConfig) -> tuple[str, ...]:
    """Settings that differ between two configurations, as "table.key: before -> after"."""
    return tuple(_changed(before.model_dump(mode="json"), after.model_dump(mode="json"), ""))


def recorded_scan(sample: dict[str, Any]) -> Scan:
    """The scan of a recorded sample, without its spectrum. Raises ValueError when the record does not hold one."""
    keys = ("time_s", "link", "epoch", "session_id", "readings", "reason")
    return from_plain(Scan, {**{key: sample[key] for key in keys}, "lab": (sample["lab"] or [None])[0]})


def _known(table: type[BaseModel], told: Any) -> Any:
    if not isinstance(told, dict):
        return told
    return {name: _part(table.model_fields[name].annotation, told[name]) for name in told if name in table.model_fields}


def _part(hint: Any, told: Any) -> Any:
    table = _table(hint)
    if table is None:
        return told
    if isinstance(told, dict) and get_origin(hint) is dict:
        return {name: _known(table, item) for name, item in told.items()}
    return [_known(table, item) for item in told] if isinstance(told, list) else _known(table, told)


def _table(hint: Any) -> type[BaseModel] | None:
    tables = [h for h in (hint, *get_args(hint)) if isinstance(h, type) and issubclass(h, BaseModel)]
    return tables[0] if tables else None


def _unknown(table: type[BaseModel], told: Any, where: str) -> Iterator[str]:
    if not isinstance(told, dict):
        return
    for name, value in told.items():
        if name not in table.model_fields:
            yield f"{where}{name} = {value}"
        elif (inner := _table(table.model_fields[name].annotation)) is not None:
            items = [(f"[{i}]", item) for i, item in enumerate(value)] if isinstance(value, list) else [("", value)]
            if isinstance(value, dict) and get_origin(table.model_fields[name].annotation) is dict:
                items = [(f".{key}", item) for key, item in value.items()]
            for place, item in items:
                yield from _unknown(inner, item, f"{where}{name}{place}.")


def _newer(told: Any, used: Any, where: str) -> Iterator[str]:
    if isinstance(told, dict) and isinstance(used, dict):
        for name, value in used.items():
            if name in told:
                yield from _newer(told[name], value, f"{where}{name}.")
            elif value is not None:
                yield f"{where}{name} = {f'{len(value)} settings' if isinstance(value, dict) and value else value}"
    elif isinstance(told, list) and isinstance(used, list):
        for i, (old, new) in enumerate(zip(told, used, strict=False)):
            yield from _newer(old, new, f"{where.rstrip('.')}[{i}].")


def _changed(before: Any, after: Any, where: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted({*before, *after}):
            yield from _changed(before.get(name), after.get(name), f"{where}.{name}" if where else name)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for i, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _changed(old, new, f"{where}[{i}]")
    elif before != after:
        yield f"{where}: {before} -> {after}"
