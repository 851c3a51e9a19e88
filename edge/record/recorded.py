"""records -> configuration and scans for reports, read leniently: older releases had other settings."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from edge.config import LineConfig
from edge.errors import ConfigError
from edge.record.canonical import from_plain
from edge.signals import Scan


def recorded_config(body: dict[str, Any], seq: int) -> LineConfig:
    """The configuration in the body of start record `seq`, without the settings that are not known any more.

    For reports; a replay needs the release that wrote the record. Raises ConfigError.
    """
    try:
        return LineConfig.model_validate(_known(LineConfig, body["config"]))
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise ConfigError(f"record {seq}: written by another release: its '{where}' cannot be used here") from error


def recorded_scan(sample: dict[str, Any]) -> Scan:
    """The scan of a recorded sample, without its spectrum. Raises ValueError when the record does not hold one."""
    later = [key for key in ("texts", "lims", "context") if key in sample]
    keys = ("time_s", "link", "epoch", "session_id", "readings", "reason", *later)
    return from_plain(Scan, {**{key: sample[key] for key in keys}, "lab": (sample["lab"] or [None])[0]})


def _known(table: type[BaseModel], told: Any) -> Any:
    if not isinstance(told, dict):
        return told
    return {name: _part(table.model_fields[name].annotation, told[name]) for name in told if name in table.model_fields}


def _part(hint: Any, told: Any) -> Any:
    tables = [h for h in (hint, *get_args(hint)) if isinstance(h, type) and issubclass(h, BaseModel)]
    if not tables:
        return told
    return [_known(tables[0], item) for item in told] if isinstance(told, list) else _known(tables[0], told)
