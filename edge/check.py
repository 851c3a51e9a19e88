"""line file -> findings: is everything there that a run needs, and does the line agree with what we think of it?"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from control.settings import ControllerSettings
from control.signals import Mode
from edge.acquire.folder import MOVED_TO
from edge.acquire.opcua import OpcUaLine
from edge.acquire.protections import missing
from edge.api.tokens import DAY_S, Tokens
from edge.config import SensorTable
from edge.errors import PatloopError
from edge.identity import require_own_names
from edge.line import Control, Line, compose
from edge.pki import analyser_credentials, credentials
from edge.record.export import utc
from edge.record.journal import Journal
from edge.record.recorder import JournalRecorder
from edge.sensing import fit_for_closed_loop, verdict_of
from edge.signals import Link, Scan
from edge.understand import reading, usable
from edge.units import disagreement
from soft_sensors.errors import SensorError
from soft_sensors.registry.log import read_registry
from soft_sensors.signals import Quality
from soft_sensors.validate import axis_fault

TOKEN_WARNING_S = 30 * DAY_S  # our choice, as for models: time enough to hand out another

# that change where it stands
STEPS = frozenset({
    "register", "register_controller", "verify", "verify_controller", "approve", "activate", "rollback", "promote",
})  # fmt: skip


@dataclass(frozen=True)
class Checked:
    """One thing looked at: fine or not, and what was found."""

    fine: bool
    what: str


def findings(line_file: Path, state: Path | None, *, offline: bool) -> Iterator[Checked]:
    """Check step by step; a wrong line file or artefact raises ConfigError, everything else is a finding."""
    require_own_names()
    line = compose(line_file)
    yield Checked(fine=True, what=f"line file {line_file}: {line.config.line.name}, hash {line.config_hash[:12]}")
    yield Checked(fine=True, what=f"soft sensor {line.sensor.card.name}: golden vectors reproduced")
    _go_on(line, (state or line.config.line.state_dir) / "journal.sqlite")
    yield _model(line)
    yield _instrument(line)
    if line.config.analyser.folder is not None:
        yield drop_folder(line.config.analyser.folder)
    if line.config.lab is not None and line.config.lab.folder is not None:
        yield drop_folder(line.config.lab.folder, "[lab]")
    yield from _tokens((state or line.config.line.state_dir) / "tokens.db")
    if line.control is not None:
        yield Checked(fine=True, what=f"controller {line.control.settings.controller.name}: golden vectors reproduced")
        yield _controller(line.control)
    if line.config.opcua is None:
        return
    try:
        folder = state or line.config.line.state_dir
        secrets = credentials(folder)
        far = analyser_credentials(folder) if line.config.analyser.url is not None else None
    except PatloopError as error:
        yield Checked(fine=False, what=str(error))
        return
    yield Checked(fine=True, what="certificates and password are there")
    for told in missing(line.config.opcua.handshake) if line.config.mv else ():
        yield Checked(fine=True, what=f"warning: this PLC's handshake is not whole: {told}")
    if offline:
        return
    remote = OpcUaLine(line.config, secrets, far)
    yield from asyncio.run(_online(line, remote))


def _go_on(line: Line, record: Path) -> None:
    """Hold registry and verification to what the line's record has seen, as the service will; the clock is the line's.
    """
    if not record.exists():
        return
    with Journal.open_reader(record) as journal:
        recorder = JournalRecorder(journal)
        line.licences.resume(recorder.last_licence()[0], 0.0)
        if line.instrument is not None:
            line.instrument.resume(recorder.last_verification())


def _model(line: Line) -> Checked:
    """Whether the model may do what the line's ceiling asks of it, today."""
    now_s = time.time()
    licence = line.licences.acquire(now_s)
    fit = fit_for_closed_loop(line, licence, now_s)
    name = line.config.sensor.model or line.sensor.card.name
    signed = _signed(line.config.sensor, licence.bundle_hash)
    told = f"model {name}, bundle {licence.bundle_hash[:12]}: {licence.state}{signed}"
    if fit.given:
        days = (licence.valid_until_s - now_s) / 86400.0
        return Checked(fine=True, what=f"{told}; expires {utc(licence.valid_until_s)}, in {days:.0f} days")
    return Checked(line.config.line.mode_ceiling is not Mode.CLOSED, f"{told}; advice at most: {fit.reason}")


def _controller(control: Control) -> Checked:
    """Whose bundle the controller decides with; one that nobody governs is a warning, not a failure."""
    digest, release, chosen = control.bundle.bundle_hash, control.release, control.settings.controller
    if release is None:
        mend = "name 'registry', 'registry_id' and 'model' in [controller]"
        return Checked(fine=True, what=f"warning: controller bundle {digest[:12]} is not governed; {mend}")
    told = f"controller {release.model}, bundle {digest[:12]}: effective{_signed(chosen, digest)}"
    days = (release.valid_until_s - time.time()) / 86400.0
    return Checked(fine=True, what=f"{told}; expires {utc(release.valid_until_s)}, in {days:.0f} days")


def _signed(table: SensorTable | ControllerSettings, bundle_hash: str) -> str:
    """Who brought the bundle to where it stands, and when; empty where no registry can tell."""
    if table.registry is None or table.registry_id is None:
        return ""
    try:
        registry = read_registry(table.registry, table.registry_id)
    except SensorError:
        return ""  # why it cannot be believed is in the licence
    of_it = [e for e in registry.events if e.body.get("bundle") == bundle_hash and e.action in STEPS]
    last = of_it[-1] if of_it else None
    return "" if last is None else f" since {last.time}, signed by {last.person} ({last.action})"


def _instrument(line: Line) -> Checked:
    """Whether the instrument's verification lets estimates be good; not asked for is a hint, not a failure."""
    if line.instrument is None:
        return Checked(fine=True, what="hint: no instrument verification is asked for ([analyser] verification)")
    now_s = time.time()
    found = line.instrument.acquire(now_s)
    verdict = verdict_of(found, now_s)
    if verdict.quality is not Quality.GOOD:
        return Checked(fine=False, what=f"instrument verification: {verdict.reason}")
    told = f"instrument {found.instrument}: verification passed, holds until {utc(found.valid_until_s)}"
    return Checked(fine=True, what=told)


def _tokens(path: Path) -> Iterator[Checked]:
    """The tokens of other systems that end soon; where nobody has made any there is nothing to say."""
    if not path.exists():
        return
    now_s = time.time()
    with closing(Tokens(path)) as tokens:
        for token in tokens.all():
            left_s = token.expires_s - now_s
            if token.holds(now_s) and left_s < TOKEN_WARNING_S:
                ends = f"ends {utc(token.expires_s)}, in {left_s / DAY_S:.0f} days"
                yield Checked(fine=True, what=f"warning: token {token.name} ({token.role}) {ends}")


def drop_folder(folder: Path, table: str = "[analyser]") -> Checked:
    """Whether files can be listed in the drop folder and moved out of it, tried with a file that no reader sees."""
    mend = "give the account of the service the right to read, write and rename there"
    try:
        next(folder.iterdir(), None)
        for place in (folder, *(folder / name for name in MOVED_TO if (folder / name).exists())):
            with tempfile.TemporaryDirectory(prefix=".patloop-check-", dir=folder) as probe:
                Path(probe, "moved").touch()
                Path(probe, "moved").rename(place / f"{Path(probe).name}.moved").unlink()
    except FileNotFoundError:
        return Checked(fine=False, what=f"drop folder {folder}: does not exist; make it, or mend {table} folder")
    except OSError as error:
        return Checked(fine=False, what=f"drop folder {error.filename or folder}: {error.strerror}; {mend}")
    return Checked(fine=True, what=f"drop folder {folder}: files can be read and moved")


async def _online(line: Line, remote: OpcUaLine) -> list[Checked]:
    try:
        await remote.settled()
        scan = await remote.scan()
        units = await remote.units()
    finally:
        await remote.close()
    if scan.link is Link.LOST:
        return [Checked(fine=False, what=f"no connection: {scan.reason}")]
    found = [Checked(fine=True, what="connected, signed and encrypted; all tags are there")]
    found += [Checked(fine=True, what=f"warning: {told.text}") for told in scan.told]
    found += _tags(line, scan, units)
    if line.config.analyser.find == "padim":
        results = [tag for tag, value in scan.readings.items() if tag.startswith("Padim.") and usable(value)]
        found.append(Checked(bool(results), f"the analyser's results: {', '.join(results) or 'none that is good'}"))
    elif scan.spectrum is not None:
        axis, unit = scan.spectrum.axis, scan.spectrum.axis_unit
        fault = axis_fault(line.sensor.card, axis, unit)
        told = f"analyser axis: {len(axis)} channels in {unit}"
        found.append(Checked(not fault, f"{told}, as the model's" if not fault else f"{told}: {fault}"))
    else:
        found.append(Checked(fine=False, what="the analyser has given no spectrum yet"))
    return found


def _tags(line: Line, scan: Scan, units: dict[str, str]) -> list[Checked]:
    found = []
    for mv in line.config.setpoints:
        told = units.get(mv.name)
        wrong = "" if told is None else disagreement(told, mv.unit)
        if wrong:
            text = f"{mv.name}: the line says {told}, the line file {mv.unit}: {wrong}"
            found.append(Checked(fine=False, what=text))
        low, high = reading(scan, f"{mv.name}.SP_LoLim"), reading(scan, f"{mv.name}.SP_HiLim")
        if usable(low) and usable(high) and (mv.low >= high.value or mv.high <= low.value):
            text = f"{mv.name}: own limits {mv.low}..{mv.high} and the PLC's {low.value}..{high.value} do not meet"
            found.append(Checked(fine=False, what=text))
        else:
            found.append(Checked(fine=True, what=f"{mv.name}: limits and unit ({told or 'not told'}) agree"))
    if "Apc.WatchdogTimeoutMs" not in scan.readings:
        return found
    watchdog = reading(scan, "Apc.WatchdogTimeoutMs")
    cycles = watchdog.value / 1000 / line.config.line.cycle_s if usable(watchdog) else 0.0
    fits = 2.0 <= cycles <= 6.0
    found.append(Checked(fits, f"PLC watchdog: {cycles:.1f} cycles (wanted: 3 to 5)"))
    return found
