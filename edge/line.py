"""Composition root: configuration -> the objects that think; nothing here talks to the world but to read artefacts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from control.bundle import ControllerBundle, load_controller
from control.decide import Controller, controller
from control.errors import ControlError
from control.observe import Observer
from control.settings import ControlSettings
from edge.config import LineConfig, read_config
from edge.errors import ConfigError
from soft_sensors.bundle import Bundle, load_bundle
from soft_sensors.errors import SensorError


@dataclass(frozen=True)
class Control:
    """The controlling half of a line: settings, the checked bundle, observer and controller."""

    settings: ControlSettings
    bundle: ControllerBundle
    observer: Observer
    controller: Controller


@dataclass(frozen=True)
class Line:
    """A composed line: what think() works with; control is None on a line that is only watched."""

    config: LineConfig
    config_hash: str
    sensor: Bundle
    control: Control | None


def compose(path: Path) -> Line:
    """Read the line file and every artefact it names, check them, and compose the line. Raises ConfigError."""
    config, config_hash = read_config(path)
    return compose_config(config, config_hash)


def compose_config(config: LineConfig, config_hash: str) -> Line:
    """Compose a line from a checked configuration. Raises ConfigError naming the artefact that does not fit."""
    try:
        sensor = load_bundle(config.sensor.bundle)
        settings = config.control()
        if settings is None:
            return Line(config, config_hash, sensor, None)
        bundle = load_controller(settings, settings.controller.bundle)
    except (SensorError, ControlError) as error:
        raise ConfigError(str(error)) from error
    control = Control(settings, bundle, Observer(bundle, settings), controller(settings, bundle))
    return Line(config, config_hash, sensor, control)
