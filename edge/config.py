"""A line file -> a typed configuration; unknown keys are refused, every error names the key and the mend."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from control.press_settings import PressSettings, Setpoint
from control.settings import (
    AuthoritySettings,
    ControllerSettings,
    ControlSettings,
    ManipulatedVariable,
    ObserverSettings,
    Plant,
    Positive,
    Recipe,
    Table,
)
from control.signals import Mode
from control.track.settings import TrackSettings
from edge.acquire.protections import OPTIONAL, Handshake, has
from edge.context import ContextTable
from edge.errors import ConfigError
from edge.lab.settings import LabTable
from edge.publish.mqtt_settings import MqttTable
from edge.publish.postgres_settings import PostgresTable
from edge.publish.settings import OpcUaServerTable
from edge.record.settings import RecordTable
from soft_sensors.watch.coverage import SCALE_HIGH, SCALE_LOW


class LineTable(Table):
    """Name, pace and the ability this installation grants at most."""

    name: Annotated[str, Field(min_length=1)]
    cycle_s: Positive
    mode_ceiling: Mode
    start_mode: Mode = Mode.ADVISE
    state_dir: Path

    @model_validator(mode="after")
    def _not_above(self) -> LineTable:
        if self.start_mode is Mode.CLOSED:
            raise ValueError("start_mode may not be 'closed': a person closes the loop after every start")
        if self.start_mode.rank > self.mode_ceiling.rank:
            raise ValueError(f"start_mode '{self.start_mode}' is above mode_ceiling '{self.mode_ceiling}'")
        return self


class OpcUaTable(Table):
    """Where the PLC is; certificates and password lie in the state directory, never here.

    handshake: "full", or those of its optional tags that this PLC has; tags: product name, or the beginning of one that
    ends with a dot -> the server's name in `namespace`, or a whole NodeId ('nsu=URI;s=NAME', 'i=NUMBER').
    """

    url: Annotated[str, Field(pattern=r"^opc\.tcp://[^\s]+:\d+")]
    namespace: Annotated[str, Field(min_length=1)]
    user: Annotated[str, Field(min_length=1)]
    timeout_s: Positive = 2.0
    clock_tag: str | None = None
    handshake: Handshake = "full"
    tags: dict[str, str] = Field(default_factory=dict)
    secure_channel_timeout_s: Positive = 3600.0

    @model_validator(mode="after")
    def _known(self) -> OpcUaTable:
        unknown = sorted(set(self.handshake) - OPTIONAL.keys()) if self.handshake != "full" else []
        if unknown:
            known = ", ".join(sorted(OPTIONAL))
            raise ValueError(f"handshake: '{unknown[0]}' is no optional tag of the handshake; there are: {known}")
        if has(self.handshake, "SP_SeqEcho") and not has(self.handshake, "SP_RemoteSeq"):
            raise ValueError("handshake: SP_SeqEcho echoes SP_RemoteSeq, which is not in the list: add it")
        return self


class AxisTable(Table):
    """The axis of an analyser that does not tell one: linear from low to high, in the model's unit."""

    low: float
    high: float
    unit: Annotated[str, Field(min_length=1)]


class AnalyserTable(Table):
    """Where spectra come from: the PLC's wire (prefix of the stream's tags), a recorded file, or a drop folder.

    Of a drop folder: the files that match pattern, each one spectrum, when they stood still for settle_s.
    On the wire it is found by flat tags, or by type: "adi" (OPC 10020: device by browse name or serial number, channel
    and stream by browse name, where there is more than one) or "padim" (OPC 30081: results, no spectrum; signals: their
    browse names, all where none is named). url, user: where it is on a server other than the PLC's.
    verification: the record that `patloop sensor instrument --json` writes; it holds as long as it says itself, and for
    verification_every_h hours at most.
    """

    kind: Literal["opcua", "replay", "folder"]
    prefix: str = "Nir"
    find: Literal["tags", "adi", "padim"] = "tags"
    url: Annotated[str, Field(pattern=r"^opc\.tcp://[^\s]+:\d+")] | None = None
    user: str | None = None
    device: str | None = None
    channel: str | None = None
    stream: str | None = None
    axis: AxisTable | None = None
    signals: tuple[str, ...] = ()
    spectra: Path | None = None
    folder: Path | None = None
    pattern: Annotated[str, Field(pattern=r"^[^/\\]+$")] = "*.csv"
    settle_s: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 2.0
    max_age_s: Positive
    pace: Literal["fast", "real"] = "fast"
    verification: Path | None = None
    verification_every_h: Positive | None = None

    @model_validator(mode="after")
    def _complete(self) -> AnalyserTable:
        if self.kind == "replay" and self.spectra is None:
            raise ValueError("kind 'replay' needs 'spectra': the CSV file to play back")
        if self.kind == "folder" and self.folder is None:
            raise ValueError("kind 'folder' needs 'folder': the folder that files are dropped into")
        if self.kind == "folder" and self.settle_s >= self.max_age_s:
            raise ValueError("settle_s must be below max_age_s, or every spectrum is too old when it is picked up")
        if self.url is not None and self.find == "tags":
            raise ValueError("an analyser on a server of its own is found by type: find = 'adi' or 'padim'")
        if self.kind != "opcua" and (self.find != "tags" or self.url is not None):
            raise ValueError("'find' and 'url' are of an analyser on the wire: kind = 'opcua'")
        if self.verification is None and self.verification_every_h is not None:
            raise ValueError("verification_every_h needs 'verification': the record's path")
        return self


class SensorTable(Table):
    """Which soft sensor runs: the effective bundle of a model in a registry, or a bundle that nobody governs.

    registry_id: SHA-256 of the registry's first event, so that another registry in its place is found. A bundle
    outside a registry may advise at most. interval_factor_max: how many times the card's the interval may become when
    laboratory results miss it; 1: it is never widened.
    """

    bundle: Path | None = None
    registry: Path | None = None
    registry_id: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    model: Annotated[str, Field(min_length=1)] | None = None
    interval_factor_max: Annotated[float, Field(ge=SCALE_LOW, le=SCALE_HIGH)] = SCALE_HIGH

    @model_validator(mode="after")
    def _one_way(self) -> SensorTable:
        governed = [v is not None for v in (self.registry, self.registry_id, self.model)]
        if any(governed) and not all(governed):
            raise ValueError("a governed model needs all of 'registry', 'registry_id' and 'model'")
        if (self.bundle is not None) == all(governed):
            raise ValueError("name either 'bundle', or 'registry' with 'registry_id' and 'model'")
        return self


class FreshnessTable(Table):
    """How old what may be; how long a hold may last before the plant is given back."""

    max_age_s: Positive = 12.0
    release_after_s: Positive = 120.0


class DiversionTable(Table):
    """When material is asked to be diverted: belief +- sigmas outside the limit, in % of label claim."""

    api_limit_lc_pct: Positive
    sigmas: Positive


class LineConfig(Table):
    """A whole line file; paths in it are relative to the file."""

    line: LineTable
    opcua: OpcUaTable | None = None
    opcua_server: OpcUaServerTable | None = None
    mqtt: MqttTable | None = None
    postgres: PostgresTable | None = None
    analyser: AnalyserTable
    lab: LabTable | None = None
    context: ContextTable | None = None
    sensor: SensorTable
    freshness: FreshnessTable = FreshnessTable()
    diversion: DiversionTable | None = None
    track: TrackSettings = TrackSettings()
    record: RecordTable | None = None
    recipe: Recipe | None = None
    mv: tuple[ManipulatedVariable, ...] = ()
    plant: Plant | None = None
    observer: ObserverSettings = ObserverSettings()
    authority: AuthoritySettings = AuthoritySettings()
    controller: ControllerSettings | None = None
    press: PressSettings | None = Field(default=None, exclude_if=lambda table: table is None)

    @property
    def setpoints(self) -> tuple[Setpoint, ...]:
        """All that goes over the wire: feeders and press force, and the press's handles where it has them."""
        return self.mv if self.press is None else (*self.mv, *self.press.handles)

    @model_validator(mode="after")
    def _whole(self) -> LineConfig:
        parts = {"recipe": self.recipe, "mv": self.mv or None, "plant": self.plant, "controller": self.controller}
        missing = [name for name, part in parts.items() if part is None]
        if missing and len(missing) != len(parts):
            raise ValueError(f"a controlled line needs all of {sorted(parts)}; missing: {missing}")
        if missing and self.press is not None:
            raise ValueError("[press] is part of a controlled line: it needs [controller], too")
        if missing and self.line.mode_ceiling is not Mode.MONITOR:
            raise ValueError("without [controller] the mode_ceiling must be 'monitor'")
        if not missing and (self.opcua is None or self.diversion is None):
            raise ValueError("a controlled line needs the tables [opcua] and [diversion]")
        if self.analyser.kind == "opcua" and self.opcua is None:
            raise ValueError("analyser kind 'opcua' needs the table [opcua]")
        if self.analyser.kind == "folder" and self.line.mode_ceiling is not Mode.MONITOR:
            raise ValueError("a line watched through a drop folder is monitored only: mode_ceiling 'monitor'")
        strange = set() if self.context is None else set(self.context.lots) - {mv.name for mv in self.mv}
        if strange:
            raise ValueError(f"[context] lots: {sorted(strange)} are no setpoints of this line ([[mv]] name)")
        if self.controller is not None and self.controller.registry is not None:
            self._one_registry(self.controller)
        self.control()  # its own checks, so that a bad controller table is found here
        return self

    def _one_registry(self, chosen: ControllerSettings) -> None:
        """The record watches the head of one registry: with a second one, an old copy could bring a bundle back."""
        mine, other = (chosen.registry, chosen.registry_id), (self.sensor.registry, self.sensor.registry_id)
        if self.sensor.registry is not None and mine != other:
            raise ValueError("[controller] and [sensor] must name the same 'registry' and 'registry_id'")

    def control(self) -> ControlSettings | None:
        """The control tables as one, or None for a line that is only watched."""
        if self.recipe is None or self.plant is None or self.controller is None:
            return None
        return ControlSettings(
            cycle_s=self.line.cycle_s,
            recipe=self.recipe,
            mv=self.mv,
            plant=self.plant,
            observer=self.observer,
            authority=self.authority,
            controller=self.controller,
            press=self.press,
        )


def read_config(path: Path) -> tuple[LineConfig, str]:
    """Read a line file: the configuration with absolute paths, and the SHA-256 of the file. Raises ConfigError."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give the path of a line file") from error
    try:
        tables = tomllib.loads(raw.decode())
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    return parse_config(tables, path), hashlib.sha256(raw).hexdigest()


def parse_config(tables: dict[str, object], path: Path) -> LineConfig:
    """Check tables as those of the line file `path`, whose folder relative paths start from. Raises ConfigError."""
    try:
        config = LineConfig.model_validate(tables)
    except ValidationError as error:
        raise ConfigError(f"{path}: {_first(error)}") from error
    folder = path.resolve().parent
    changes: dict[str, object] = {}
    for name, table in config:
        if isinstance(table, BaseModel):
            paths = {key: (folder / value).resolve() for key, value in table if isinstance(value, Path)}
            changes |= {name: table.model_copy(update=paths)} if paths else {}
    return config.model_copy(update=changes)


def _first(error: ValidationError) -> str:
    found = error.errors()[0]
    where = ".".join(str(part) for part in found["loc"]) or "the file"
    if found["type"] == "extra_forbidden":
        return f"'{where}' is not a key that patloop knows; remove it or mend its spelling"
    if found["type"] == "missing":
        return f"'{where}' is missing; add it"
    return f"'{where}': {found['msg'].removeprefix('Value error, ')} (given: {str(found['input'])[:60]})"
