"""A line file with some of its settings changed -> a composed line; bundles that it needs are built once and kept."""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

from control.bundle import settings_hash
from control.errors import ControlError
from control.governed import bundle_folder
from edge.config import LineConfig, parse_config, read_config
from edge.errors import ConfigError
from edge.line import Line, compose_config

Setting = tuple[str, Any]
"""A dotted key of the line file ('controller.mpc.move_rel', 'mv.FeederApi.trim_cap_pct') and its value."""


def variant(line_file: Path, controller: str, settings: tuple[Setting, ...]) -> tuple[LineConfig, str]:
    """The configuration with another controller and some settings, and its hash. Raises ConfigError."""
    config, digest = read_config(line_file)
    if config.controller is None:
        raise ConfigError(f"{line_file}: has no [controller]; a bench needs a controlled line")
    if settings:
        tables = tomllib.loads(line_file.read_text(encoding="utf-8"))
        for key, value in settings:
            _set(tables, key.split("."), value, line_file)
        config = parse_config(tables, line_file)
        digest = hashlib.sha256((digest + json.dumps(settings, sort_keys=True)).encode()).hexdigest()
    assert config.controller is not None, "a setting takes no table away"
    chosen = config.controller.model_validate({**dict(config.controller), "name": controller})
    return config.model_copy(update={"controller": chosen}), digest


def compose_variant(made: tuple[LineConfig, str], bundles: Path | None = None) -> Line:
    """Compose it; with a folder for bundles, on one built there for its settings if the line's own does not fit."""
    config, digest = made
    if bundles is not None and config.controller is not None:
        chosen = config.controller.with_bundle(bundle_for(config, bundles))
        config = config.model_copy(update={"controller": chosen})
    return compose_config(config, digest)


def bundle_for(config: LineConfig, bundles: Path) -> Path:
    """The line's own controller bundle if it was built for these settings, else one in `bundles`, built when needed."""
    settings = config.control()
    if settings is None:
        raise ConfigError("a bench needs a controlled line")
    try:
        made_for, own = settings_hash(settings), bundle_folder(settings.controller)
    except ControlError as error:
        raise ConfigError(str(error)) from error
    if _made_for(own) == made_for:
        return own
    built = bundles / made_for[:16]
    if _made_for(built) != made_for:
        from control.build import build_bundle

        build_bundle(settings, built)
    return built


def _made_for(bundle: Path) -> str:
    card = bundle / "card.toml"
    return str(tomllib.loads(card.read_text(encoding="utf-8")).get("settings_hash")) if card.is_file() else ""


def _set(tables: dict[str, Any], path: list[str], value: Any, line_file: Path) -> None:
    """Set one key; an array of tables is entered by the name of its entry."""
    at: Any = tables
    for i, part in enumerate(path[:-1]):
        if isinstance(at, list):
            at = next((entry for entry in at if entry.get("name") == part), None)
        else:
            at = at.setdefault(part, {})
        if not isinstance(at, dict | list):
            raise ConfigError(f"{line_file}: setting '{'.'.join(path)}': '{'.'.join(path[: i + 1])}' is no table")
    if not isinstance(at, dict):
        raise ConfigError(f"{line_file}: setting '{'.'.join(path)}' names a list: name one of its entries")
    at[path[-1]] = value
