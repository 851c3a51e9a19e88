"""line file -> parts of the loop: what each step is configured to do, as short lines for a drawing or a terminal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from control.errors import ControlError
from control.governed import bundle_folder
from control.settings import ControllerSettings, ControlSettings, ManipulatedVariable, Table
from control.signals import Mode
from edge.acquire.tags import APC, FEEDER, LAB, LOOP, PLAIN, REFILL, STREAM, STREAM_AXIS
from edge.config import LineConfig, SensorTable
from soft_sensors.card import Card, read_card
from soft_sensors.errors import SensorError
from soft_sensors.registry.entries import standing
from soft_sensors.registry.log import MODELS, read_registry

WRITTEN = ("SP_Remote", "SP_RemoteSeq")
HEADINGS = ("setpoint", "role", "low", "high", "unit", "rate/s", "PAT trim", "at recipe")


@dataclass(frozen=True)
class Part:
    """One step of the loop or one thing beside it: the verb it is, its title, what the drawing says, and what only the
    text says (details); missing: why a thing that is named could not be read, empty when all is there."""

    verb: str
    title: str
    lines: tuple[str, ...]
    details: tuple[str, ...] = ()
    missing: str = ""


@dataclass(frozen=True)
class Loop:
    """The loop of a line file: steps in the order of the flow, its setpoints as a table, and what stands beside it."""

    name: str
    source: str
    steps: tuple[Part, ...]
    beside: tuple[Part, ...]
    setpoints: tuple[tuple[str, ...], ...]


def parts_of(config: LineConfig, source: str) -> Loop:
    """The loop of a checked configuration; artefacts that cannot be read are told, not raised. source: the file."""
    control = config.control()
    steps = [_acquire(config), _estimate(config)]
    beside = [_modes(config), _record(config)]
    if control is not None:
        steps += [_observe(control), _decide(control), _guard(config, control), _actuate(config, control)]
        beside[1:1] = [_divert(config), _track(config)]
        if config.lab is not None:
            beside.insert(0, _laboratory(config))
    rows = () if control is None else tuple(_setpoint(mv, control) for mv in control.mv)
    return Loop(config.line.name, source, tuple(steps), tuple(beside), rows)


def _acquire(config: LineConfig) -> Part:
    analyser, lines = config.analyser, []
    titles = {"opcua": "spectra and tags over OPC UA", "replay": "recorded spectra", "folder": "a drop folder"}
    if config.opcua is not None:
        lines += [config.opcua.url, f"as user {config.opcua.user}, signed and encrypted"]
    if analyser.kind == "opcua":
        lines.append(f"analyser {analyser.prefix}.{STREAM[-1]}")
    place = analyser.spectra or analyser.folder
    lines += [f"from {place.name}"] if place is not None else []
    lines += [f"every {config.line.cycle_s:g} s; a spectrum older than {analyser.max_age_s:g} s is stale"]
    if analyser.verification is not None:
        lines.append(f"held to the verification {analyser.verification.name}")
    details = []
    if analyser.kind == "opcua":
        details.append(f"{analyser.prefix}: {', '.join((*STREAM, *STREAM_AXIS))}")
    if config.mv:
        details += [f"line: {', '.join(PLAIN)}", f"Apc: {', '.join(APC)}", f"each setpoint: {', '.join(LOOP)}",
                    f"each feeder: {', '.join(FEEDER)}"]  # fmt: skip
    return Part("acquire", titles[analyser.kind], tuple(lines), tuple(details))


def _estimate(config: LineConfig) -> Part:
    title = "soft sensor"
    try:
        folder, lines = _bundle(config.sensor)
        card = read_card((folder / "card.toml").read_text(encoding="utf-8"), str(folder / "card.toml"))
    except (SensorError, OSError) as error:
        named = config.sensor.model or (config.sensor.bundle.name if config.sensor.bundle is not None else "")
        return Part("validate, estimate", title, (f"model {named}",), missing=_short(error))
    return Part("validate, estimate", title, (*lines, *_of_card(card, config.sensor)), (card.evidence, card.software))


def _bundle(table: SensorTable) -> tuple[Path, list[str]]:
    """Where the bundle that would run lies, and what to say of how it is governed."""
    if table.bundle is not None:
        return table.bundle, [f"bundle {table.bundle.name}", "no registry: may advise at most"]
    if table.registry is None or table.registry_id is None or table.model is None:
        raise SensorError("[sensor] names no bundle and no registry")
    registry = read_registry(table.registry, table.registry_id)
    entry = standing(registry, table.model).shown
    if entry is None:
        raise SensorError(f"registry {table.registry.name} has no bundle of {table.model} that may run")
    of_model = [e.bundle for e in registry.entries.values() if e.model == table.model]
    version = of_model.index(entry.bundle) + 1
    lines = [f"model {table.model}", f"version {version} of {len(of_model)}, {entry.state.value}"]
    lines += [f"bundle {entry.bundle[:12]}", f"approved: {entry.approver or 'by nobody'}"]
    return table.registry / MODELS / entry.bundle, lines


def _of_card(card: Card, table: SensorTable) -> list[str]:
    unit = f" {card.unit}" if card.unit else ""
    lines = [
        f"{card.cqa}{unit}, 90 % within ±{card.half_width:.3g}",
        f"interval at most {table.interval_factor_max:g} times that",
        f"{card.family}, {card.pretreatment}",
        f"{card.axis.size} channels, {card.window_low:g} to {card.window_high:g} {card.axis_unit}",
        f"T2 <= {card.t2_limit:.3g}, Q <= {card.q_limit:.3g}; bad above {card.refuse_factor:g} times",
    ]
    return lines if not card.accept else [*lines, f"accepted {card.accept[0]:g} to {card.accept[1]:g}{unit}"]


def _observe(control: ControlSettings) -> Part:
    found = control.observer
    lines = ["feeder flows, NIR, force, laboratory", "to API, delivered gain, NIR bias, weight bias"]
    lines += _numbers(found, given_only=True) or ["noise and drift at their defaults"]
    return Part("observe", "fused belief", tuple(lines), tuple(_numbers(found)))


def _decide(control: ControlSettings) -> Part:
    chosen = control.controller
    tuning = getattr(chosen, chosen.name, None)
    plant = control.plant
    which = f"{chosen.model} of the registry" if chosen.bundle is None else chosen.bundle.name
    lines = [f"controller {chosen.name}", f"model {plant.name}, bundle {which}"]
    details = [*_numbers(plant)]
    if isinstance(tuning, Table):
        steps = getattr(tuning, "horizon_steps", None)
        lines += [] if steps is None else [f"looks {steps} steps of {control.cycle_s:g} s ahead"]
        lines += _numbers(tuning, given_only=True) or ["tuning at its defaults"]
        details += _numbers(tuning)
    if chosen.refills is not None:
        lines.append(f"refills kept {chosen.refills.margin_s:g} s apart")
        told = (f"{name}: {', '.join(_numbers(level))}" for name, level in chosen.refills.levels.items())
        details += [f"refill of {line}" for line in told]
    if control.press is not None:
        table = control.press
        lines.append(f"press by {table.bundle.name}: weight, {table.hardness_n:g} N, hopper level")
        details += [f"{h.name}: {h.low:g} to {h.high:g} {h.unit}, {h.rate_per_s:g} a second" for h in table.handles]
    return Part("decide", "controller", tuple(lines), tuple(details), _no_bundle(chosen))


def _no_bundle(chosen: ControllerSettings) -> str:
    """What is missing of the controller's bundle, empty when it is there."""
    try:
        folder = bundle_folder(chosen)
    except ControlError as error:
        return str(error)
    try:
        there = (folder / "card.toml").is_file()
    except OSError as error:  # a name that no file can have
        return f"no controller bundle in {folder.name[:40]}: {error.strerror}"
    return "" if there else f"no controller bundle in {folder.name}; build it"


def _guard(config: LineConfig, control: ControlSettings) -> Part:
    fresh = config.freshness
    caps = [f"{mv.trim_cap_pct:g} %" for mv in control.mv if mv.trim_cap_pct is not None]
    lines = [
        "own limits and the PLC's, the tighter", "rates a second, see table",
        f"PAT trim at most {', '.join(dict.fromkeys(caps))} of the ratio, less with less evidence",
        f"anything older than {fresh.max_age_s:g} s: hold",
        f"held for {fresh.release_after_s:g} s: back to the PLC", "writes in mode closed only",
    ]  # fmt: skip
    evidence = tuple(f"authority: {told}" for told in _numbers(control.authority))
    return Part("guard", "last word before the wire", tuple(lines), evidence)


def _actuate(config: LineConfig, control: ControlSettings) -> Part:
    lines = ["each setpoint: " + ", ".join(WRITTEN), "Apc.HeartbeatIn, Apc.Request", "and read back next cycle"]
    if config.diversion is not None:
        lines.append("Apc.DivertRequest to the gate")
    named = [f"{mv.name}.{tag}" for mv in control.setpoints for tag in WRITTEN]
    asked = () if control.controller.refills is None else control.controller.refills.levels
    if asked:
        lines.append(f"{REFILL} of {len(asked)} feeders")
        named += [f"{name}.{REFILL}" for name in asked]
    return Part("actuate", "setpoints over OPC UA", tuple(lines), tuple(named))


def _modes(config: LineConfig) -> Part:
    line = config.line
    who = {Mode.CLOSED: "a person closes the loop after every start", Mode.ADVISE: "a person acts on the advice",
           Mode.MONITOR: "nothing is ever written"}  # fmt: skip
    lines = (f"starts in {line.start_mode.value}", f"ceiling: {line.mode_ceiling.value}", who[line.mode_ceiling])
    return Part("modes", "what it may do", lines)


def _divert(config: LineConfig) -> Part:
    found = config.diversion
    if found is None:
        return Part("divert", "gate", ("no diversion",))
    limit = f"±{found.api_limit_lc_pct:g} % of label claim"
    return Part("divert", "gate", (f"tracked ± {found.sigmas:g} sigma outside", limit))


def _track(config: LineConfig) -> Part:
    found = config.track
    lines = _numbers(found, given_only=True) or ["residence and doubt at their defaults"]
    return Part("track", "material in kg fed", tuple(lines), tuple(_numbers(found)))


def _laboratory(config: LineConfig) -> Part:
    lab = config.lab
    if lab is None:
        return Part("laboratory", "none", ())
    away = "taken at the probe" if lab.delay_s == 0 else f"taken {lab.delay_s:g} s after the probe"
    ways = ([] if lab.prefix is None else [f"tags {lab.prefix}.*"]) + ([] if lab.folder is None else ["files dropped"])
    return Part("laboratory", ", ".join(ways) or "by the line's API", (", ".join(LAB[3:]), away))


def _record(config: LineConfig) -> Part:
    return Part("record", "hash-chained journal", (f"in {config.line.state_dir.name}/", "every scan, thought and move"))


def _setpoint(mv: ManipulatedVariable, control: ControlSettings) -> tuple[str, ...]:
    own = control.authority.force_cap_pct if mv.role == "force" else mv.trim_cap_pct
    cap = "-" if own is None else f"±{own:g} %"
    recipe = control.recipe
    at = {"force": f"{recipe.main_force_kn:g} kN", "lubricant": f"{100 * recipe.lubricant_fraction:g} % of all",
          "api": "the target's share",
          "filler": f"{100 * recipe.filler_split.get(mv.name, 0.0):.1f} % of the rest"}[mv.role]  # fmt: skip
    return (mv.name, mv.role, f"{mv.low:g}", f"{mv.high:g}", mv.unit, f"{mv.rate_per_s:g}", cap, at)


def _numbers(table: Table, *, given_only: bool = False) -> list[str]:
    """Name and value of a table's keys; given_only: those that the line file sets itself."""
    names = [n for n in type(table).model_fields if not given_only or n in table.model_fields_set]
    return [f"{n} = {_plain(getattr(table, n))}" for n in names]


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _short(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{Path(str(error.filename)).name}: {error.strerror}"
    return str(error)
