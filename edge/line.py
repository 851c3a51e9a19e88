"""Composition root: configuration -> the objects that think; nothing here talks to the world but to read artefacts."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from control.bundle import ControllerBundle, load_controller, load_press
from control.decide import Controller, controller
from control.errors import ControlError
from control.governed import Release, load_released, released
from control.native import cache_folder, native
from control.observe import Observer
from control.observe.detectable import untold
from control.press import PressController
from control.settings import ControlSettings
from control.signals import Mode
from control.track import Tracker, tracker
from edge.acquire.licence import Governed, Ungoverned
from edge.acquire.release import Released
from edge.acquire.verification import RecordFile
from edge.config import LineConfig, read_config
from edge.errors import ConfigError
from edge.ports import Instrument, Licences
from soft_sensors.bundle import Bundle, load_bundle
from soft_sensors.errors import SensorError

UNROUNDED = 1e-9  # the step of a drive that takes any number


@dataclass(frozen=True)
class Control:
    """The controlling half of a line: settings, the checked bundle, observer, controller and material tracking.

    folder: where the bundle lies; release: what its registry says of it, None for a bundle that nobody governs; press:
    what moves the press's handles, None where the line file has none.
    """

    settings: ControlSettings
    bundle: ControllerBundle
    observer: Observer
    controller: Controller
    tracker: Tracker
    folder: Path
    release: Release | None = None
    press: Press | None = None

    @property
    def press_controller(self) -> PressController | None:
        """What moves the press's handles, None where there are none."""
        return None if self.press is None else self.press.controller


@dataclass(frozen=True)
class Press:
    """What moves the press's handles: the controller on its checked bundle, and where that lies."""

    bundle: ControllerBundle
    controller: PressController
    folder: Path

    @staticmethod
    def of(settings: ControlSettings, bundle: ControllerBundle, folder: Path) -> Press:
        """The press that the settings describe, on a checked bundle that lies in a folder."""
        table = settings.press
        assert table is not None, "asked for only where the line file has [press]"
        if settings.controller.native:
            bundle = native(bundle, cache_folder())
        depth, thickness, turret = (handle.resolution or UNROUNDED for handle in table.handles)
        return Press(bundle, PressController(bundle, (depth, thickness, turret), table.remember_s), folder)


@dataclass(frozen=True)
class Line:
    """A composed line: what think() works with; control is None on a line that is only watched.

    sensor: the soft sensor it was composed with; sensors: that and every one licensed since, by hash; licences: asked
    once a cycle, outside think; so is instrument, None where the line file asks for no verification.
    """

    config: LineConfig
    config_hash: str
    sensor: Bundle
    control: Control | None
    sensors: dict[str, Bundle]
    licences: Licences
    instrument: Instrument | None = None

    def artefacts(self) -> dict[str, tuple[str, Path]]:
        """What the record has to hold so that it can be computed again: name -> hash, folder."""
        folders = self.licences.folders()
        found = {"sensor": (self.sensor.bundle_hash, folders.pop(self.sensor.bundle_hash))}
        found |= {f"sensor {digest}": (digest, folder) for digest, folder in folders.items()}
        if self.control is not None:
            found["controller"] = (self.control.bundle.bundle_hash, self.control.folder)
            if self.control.press is not None:
                found["press"] = (self.control.press.bundle.bundle_hash, self.control.press.folder)
        return found


def compose(path: Path) -> Line:
    """Read the line file and every artefact it names, check them, and compose the line. Raises ConfigError."""
    config, config_hash = read_config(path)
    return compose_config(config, config_hash)


def compose_config(config: LineConfig, config_hash: str) -> Line:
    """Compose a line from a checked configuration. Raises ConfigError naming the artefact that does not fit."""
    line, table = _composed(config, config_hash), config.analyser
    if table.verification is None:
        return line
    return replace(line, instrument=RecordFile(table.verification, table.verification_every_h))


def _composed(config: LineConfig, config_hash: str) -> Line:
    sensors: dict[str, Bundle] = {}
    if config.sensor.bundle is None:
        governed = Governed(config.sensor, sensors)
        sensor = sensors[governed.acquire(0.0).bundle_hash]
        return _watched(Line(config, config_hash, sensor, compose_control(config), sensors, governed))
    if config.line.mode_ceiling is Mode.CLOSED:
        raise ConfigError(
            "'sensor.bundle': a model outside a registry may not run in closed loop; "
            "set mode_ceiling to 'advise', or name 'registry', 'registry_id' and 'model'"
        )
    return compose_ungoverned(config, config_hash, config.sensor.bundle)


def compose_ungoverned(config: LineConfig, config_hash: str, folder: Path) -> Line:
    """Compose a line whose soft sensor is the bundle in a folder, whatever [sensor] says. Raises ConfigError."""
    try:
        sensor = load_bundle(folder)
    except SensorError as error:
        raise ConfigError(str(error)) from error
    sensors = {sensor.bundle_hash: sensor}
    return _watched(Line(config, config_hash, sensor, compose_control(config), sensors, Ungoverned(sensor, folder)))


def _watched(line: Line) -> Line:
    """A line whose controller a registry governs asks for its licence, too."""
    if line.control is None or line.control.release is None:
        return line
    chosen = line.control.settings.controller
    return replace(line, licences=Released(line.licences, chosen, line.control.release))


def compose_control(config: LineConfig) -> Control | None:
    """The controlling half of a line, None when it is only watched. Raises ConfigError."""
    settings = config.control()
    if settings is None or config.diversion is None:
        return None
    limits = config.diversion
    try:
        bundle, folder, release = _controller_bundle(settings)
        if settings.controller.native:
            bundle = native(bundle, cache_folder())
        press = None if settings.press is None else _press(settings, settings.press.bundle)
    except ControlError as error:
        raise ConfigError(str(error)) from error
    tracking = tracker(settings, config.track, limits.api_limit_lc_pct, limits.sigmas)
    observer, decides = Observer(bundle, settings), controller(settings, bundle)
    if unknown := untold(observer):
        raise ConfigError(
            f"controller bundle: no measurement ever tells {', '.join(unknown)}: control would keep an offset; "
            "take it out of the model in control/plants, or give the model a measurement"
        )
    return Control(settings, bundle, observer, decides, tracking, folder, release, press)


def _press(settings: ControlSettings, folder: Path) -> Press:
    return Press.of(settings, load_press(settings, folder), folder)


def _controller_bundle(settings: ControlSettings) -> tuple[ControllerBundle, Path, Release | None]:
    chosen = settings.controller
    if chosen.bundle is not None:
        return load_controller(settings, chosen.bundle), chosen.bundle, None
    # By the clock of this machine: that of the line is heard later, and its licence asks again every cycle.
    release = released(chosen, time.time())
    return load_released(settings, release), release.folder, release
