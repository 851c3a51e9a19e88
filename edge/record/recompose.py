"""start record -> the line as it was composed then, as far as this version can, with a remark on all that it cannot."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from control.bundle import settings_hash
from control.decide import controller
from control.errors import ControlError
from control.governed import load_any
from control.native import cache_folder, native
from control.observe import Observer
from control.track import tracker
from edge.acquire.licence import Ungoverned
from edge.config import LineConfig, read_config
from edge.errors import ConfigError
from edge.line import Control, Line, Press, compose_control
from edge.record.journal import Journal, Row
from edge.record.recorded import changed_settings, newer_settings, recorded_config, unknown_settings
from edge.record.recorder import unpack_folder
from soft_sensors.bundle import Bundle, load_bundle
from soft_sensors.earlier import load_earlier
from soft_sensors.errors import BundleError, SensorError

CONTROL_TABLES = ("recipe", "mv", "plant", "observer", "authority", "controller", "press", "diversion", "track")
COMPUTING = ("numpy", "casadi", "daqp", "onnxruntime")  # whose version may change a result


@dataclass(frozen=True)
class Remarks:
    """What a replay could not take as it was recorded, each in one line.

    refused: recorded things that this version cannot use; substitutes: what was used in their place; unknown: recorded
    settings it does not know; newer: settings the record does not tell, with the value used; changed: settings that a
    substitute brought with it, and packages of other versions; inputs: what the samples of that release did not
    record; controlled: whether anything after the estimate could be computed.
    """

    refused: tuple[str, ...] = ()
    substitutes: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    newer: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    controlled: bool = True

    def joined(self, other: Remarks) -> Remarks:
        """Both, each line once; controlled only if both are."""
        names = ("refused", "substitutes", "unknown", "newer", "changed", "inputs")
        lines = {name: tuple(dict.fromkeys((*getattr(self, name), *getattr(other, name)))) for name in names}
        return Remarks(**lines, controlled=self.controlled and other.controlled)


def recompose(journal: Journal, start: Row, scratch: Path, instead: Path | None) -> tuple[Line, Remarks]:
    """The line as it was composed at a start; the bundles come from the journal, the licences from its samples.

    instead: a line file whose control tables and controller bundle are used in place of the recorded ones, or the
    folder of a controller bundle. Raises ConfigError when the record does not hold what is needed.
    """
    body = start.content()
    artefacts = {r.content()["hash"]: r for r in journal.rows(kind="artefact") if r.seq < start.seq}
    for name in ("sensor", "controller", "press"):
        digest = body.get(f"{name}_hash")
        if digest is not None and digest not in artefacts:
            raise ConfigError(f"record {start.seq}: the journal does not hold the {name} bundle {digest[:12]}")
    config = recorded_config(body, start.seq)
    remarks = Remarks(unknown=unknown_settings(body), newer=newer_settings(body, config), changed=_packages(body))
    folder = scratch / "sensor"
    unpack_folder(artefacts[body["sensor_hash"]].blob or b"", folder)
    sensor, note = load_recorded(folder, start.seq)
    remarks = replace(remarks, refused=(*remarks.refused, *note))
    digest = body.get("controller_hash")
    control: Control | None = None
    if digest is not None and config.controller is not None:
        held = scratch / "controller"
        unpack_folder(artefacts[digest].blob or b"", held)
        if config.press is not None:
            lies = scratch / "press"
            unpack_folder(artefacts[body["press_hash"]].blob or b"", lies)
            config = config.model_copy(update={"press": config.press.model_copy(update={"bundle": lies})})
        control, config, found = _controlled(config, digest, held, instead)
        remarks = remarks.joined(found)
    if control is None:
        watched = {name: LineConfig.model_fields[name].get_default() for name in CONTROL_TABLES}
        config = config.model_copy(update=watched)
    sensors = {sensor.bundle_hash: sensor}
    line = Line(config, body["config_hash"], sensor, control, sensors, Ungoverned(sensor, folder))
    for row in artefacts.values():
        add_sensor(line, row, scratch / str(row.seq))
    return line, remarks


def add_sensor(line: Line, row: Row, scratch: Path) -> None:
    """A soft sensor of the record among those that the licences may name. Raises ConfigError."""
    told = row.content()
    if not told["name"].startswith("sensor") or told["hash"] in line.sensors:
        return
    unpack_folder(row.blob or b"", scratch)
    line.sensors[told["hash"]] = load_recorded(scratch, row.seq)[0]


def load_recorded(folder: Path, seq: int) -> tuple[Bundle, tuple[str, ...]]:
    """A soft sensor of the record, of this or an earlier format, and a line on the latter. Raises ConfigError."""
    try:
        # Refused by today's format it may be of an earlier one; if it is not, the second error says what is wrong.
        with suppress(BundleError):
            return load_bundle(folder), ()
        bundle = load_earlier(folder)
    except SensorError as error:
        raise ConfigError(f"record {seq}: {error}") from error
    text = (
        f"soft-sensor bundle {bundle.bundle_hash[:12]} is of an earlier format that the service refuses: its graph was "
        "run for this replay; distance, contributions and fingerprint are not known of it"
    )
    return bundle, (text,)


def _controlled(
    config: LineConfig, digest: str, folder: Path, instead: Path | None
) -> tuple[Control | None, LineConfig, Remarks]:  # fmt: skip
    """The controlling half: with the recorded bundle if it can be, else with the substitute, else none."""
    if instead is not None:
        control, used, text = _substitute(config, instead)
        refused = () if (why := _refusal(folder)) is None else (_named(digest, why),)
        changed = tuple(t for t in changed_settings(config, used) if not t.startswith("controller.bundle:"))
        return control, used, Remarks(refused=refused, substitutes=(text,), changed=changed)
    if (why := _refusal(folder)) is not None:
        return None, config, Remarks(refused=(_named(digest, why),), controlled=False)
    return _compose(config, folder), config, Remarks()


def _compose(config: LineConfig, folder: Path) -> Control:
    """As edge.line does, but with a bundle that the record shows in use with these settings.

    The hash of the settings is not held against the bundle's: a setting that came later would refuse every old record.
    """
    assert config.controller is not None, "only a controlled line has a bundle"
    config = config.model_copy(update={"controller": config.controller.with_bundle(folder)})
    settings, limits = config.control(), config.diversion
    assert settings is not None, "a controlled line has all control tables: LineConfig checks it"
    assert limits is not None, "a controlled line has [diversion]: LineConfig checks it"
    try:
        bundle = load_any(folder)
        if settings.controller.native:
            bundle = native(bundle, cache_folder())
        lies = None if settings.press is None else settings.press.bundle
        press = None if lies is None else Press.of(settings, load_any(lies), lies)
    except (ControlError, SensorError) as error:
        raise ConfigError(str(error)) from error
    tracking = tracker(settings, config.track, limits.api_limit_lc_pct, limits.sigmas)
    decides = controller(settings, bundle)
    return Control(settings, bundle, Observer(bundle, settings), decides, tracking, folder, press=press)


def _substitute(config: LineConfig, instead: Path) -> tuple[Control, LineConfig, str]:
    if instead.is_dir():
        return _other_bundle(config, instead)
    given, _ = read_config(instead)
    control = compose_control(given)
    if control is None:
        raise ConfigError(f"--controller {instead}: this line file has no [controller]; give one that has")
    if given.line.name != config.line.name:
        raise ConfigError(
            f"--controller {instead}: is of line {given.line.name!r}, the record of {config.line.name!r}; "
            "give a line file of the same line"
        )
    used = config.model_copy(update={name: getattr(given, name) for name in CONTROL_TABLES})
    text = f"controller bundle {control.bundle.bundle_hash[:12]} with the control settings of {instead.name}"
    return control, used, text


def _other_bundle(config: LineConfig, folder: Path) -> tuple[Control, LineConfig, str]:
    settings = config.control()
    assert settings is not None, "only a controlled line takes a controller bundle"
    try:
        load_any(folder)
    except SensorError as error:
        raise ConfigError(f"--controller {folder}: {error}") from error
    card = tomllib.loads((folder / "card.toml").read_text(encoding="utf-8"))
    if card["settings_hash"] != settings_hash(settings):
        raise ConfigError(
            f"--controller {folder}: built for other settings than the recorded ones; give the line file it belongs to"
        )
    control = _compose(config, folder)
    return control, config, f"controller bundle {control.bundle.bundle_hash[:12]} with the recorded settings"


def _packages(body: dict[str, Any]) -> tuple[str, ...]:
    """Packages that compute and are not of the recorded version."""
    then = {name: told for name, told in (body.get("versions") or {}).items() if name in COMPUTING}
    return tuple(f"package {name}: {told} -> {now}" for name, told in then.items() if (now := version(name)) != told)


def _refusal(folder: Path) -> str | None:
    """Why this version cannot use the recorded controller bundle; None when it can."""
    try:
        load_any(folder)
    except SensorError as error:
        return str(error).replace(f"controller bundle {folder}: ", "").replace(f"{folder}: ", "")
    return None


def _named(digest: str, why: str) -> str:
    return f"controller bundle {digest[:12]} is refused by this version: {why}"


__all__ = ["Remarks", "add_sensor", "load_recorded", "recompose"]
