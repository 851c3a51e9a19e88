"""The commands of the box: run, check, request, certs."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import logging
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from control.signals import Mode
from edge.errors import ConfigError, PatloopError, RecorderError
from edge.memory import unswept

if TYPE_CHECKING:
    from edge.acquire.opcua import OpcUaLine
    from edge.config import LineConfig
    from edge.line import Line
    from edge.ports import Clock, Source
    from edge.record.journal import Journal
    from edge.record.recorder import JournalRecorder
    from edge.record.upkeep import Upkeep

LINE = click.argument("line_file", metavar="LINE.toml", type=click.Path(dir_okay=False, path_type=Path))
STATE = click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    help="state folder (default: the file's state_dir)",
)


log = logging.getLogger("patloop.service")


class WrongInputError(click.ClickException):
    """Input or configuration is wrong: one line, exit code 2."""

    exit_code = 2


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Errors we raise on purpose become one line and exit code 2."""
    try:
        yield
    except PatloopError as error:
        raise WrongInputError(str(error)) from error


@click.command()
@LINE
@STATE
def run(line_file: Path, state: Path | None) -> None:
    """Run the service for one line until it is stopped (systemd's ExecStart).

    \b
    Example:
      patloop run deploy/lines/cdc_ref_1.toml
    """
    with unswept():
        from edge.logs import configure

    configure()
    with told():
        asyncio.run(_run(line_file, state))


async def _run(line_file: Path, state: Path | None) -> None:
    with unswept():
        from edge.acquire.folder import FolderSource, newest_counter
        from edge.acquire.replay import WallClock
        from edge.acquire.told import WithRecord
        from edge.actuate.opcua import OpcUaActuator
        from edge.identity import require_own_names
        from edge.line import compose
        from edge.logs import Teller
        from edge.notify import Notifier
        from edge.ports import Actuator
        from edge.record.journal import Journal
        from edge.record.upkeep import WithUpkeep
        from edge.service import LineClock, serve, start_body

        require_own_names()
        line = compose(line_file)
    config = line.config
    folder = state or config.line.state_dir
    remote: OpcUaLine | None = None
    actuator: Actuator | None = None
    source: Source
    clock: Clock
    if config.analyser.kind != "opcua":
        source, clock = _watched(line, folder)
    else:
        remote = _remote(config, folder)
        source, clock = remote, LineClock(remote) if config.opcua and config.opcua.clock_tag else WallClock()
        if config.line.mode_ceiling is not Mode.MONITOR:
            actuator = OpcUaActuator(remote)
        log.info("%s: %s, at most %s", config.line.name, config.line.start_mode, config.line.mode_ceiling)
    stop = _stopping()
    with Journal.open(folder / "journal.sqlite", config.line.name) as journal:
        recorder, upkeep = _recording(journal, config, folder)
        if isinstance(source, FolderSource):
            source.resume(lambda: newest_counter(journal))
        recorder.start(clock.now_s(), start_body(line), line.artefacts())
        try:
            seen = WithRecord(source, journal, config)
            teller = Teller(config.line.cycle_s)
            await serve(
                line, WithUpkeep(seen, upkeep), actuator, recorder, clock, notifier=Notifier.from_environment(),
                stop=stop, on_cycle=lambda thought: teller.cycle(seen.newest, thought, seen.since_look_s()),
            )  # fmt: skip
        finally:
            if remote is not None:
                await remote.close()
        with contextlib.suppress(RecorderError):  # a full disk: the gap at the end says as much
            if isinstance(source, FolderSource):
                source.close()
            recorder.stop(clock.now_s(), "stopped" if stop.is_set() else "the recorded file ended")
    log.info("%s: stopped in good order", config.line.name)


def _remote(config: LineConfig, folder: Path) -> OpcUaLine:
    """The line's PLC (and analyser) over OPC UA; its password does not come out in any log."""
    from edge.acquire.opcua import OpcUaLine
    from edge.logs import hide
    from edge.pki import analyser_credentials, credentials

    own = credentials(folder)
    far = analyser_credentials(folder) if config.analyser.url is not None else None
    for account in (own, far):
        if account is not None:
            hide(account.password)
    return OpcUaLine(config, own, far)


def _stopping() -> asyncio.Event:
    """Set when the service is asked to end."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _recording(journal: Journal, config: LineConfig, folder: Path) -> tuple[JournalRecorder, Upkeep]:
    """The recorder of a line's service, and what keeps its journal within bounds."""
    from edge.record.checkpoint import signer
    from edge.record.recorder import JournalRecorder
    from edge.record.retention import Retention
    from edge.record.upkeep import Upkeep

    kept = None if config.record is None else Retention(journal, config.record, config.line.name)
    upkeep = Upkeep(journal, kept)
    return JournalRecorder(journal, signer(folder / "pki"), upkeep=upkeep), upkeep


def _watched(line: Line, folder: Path) -> tuple[Source, Clock]:
    """Source and clock of a line that is only watched: a recorded file played back, or a drop folder."""
    from edge.acquire.folder import FolderSource
    from edge.acquire.replay import ReplaySource, StepClock, WallClock

    config, unit = line.config, line.sensor.card.axis_unit
    if config.analyser.kind == "folder":
        clock = WallClock()
        log.info("%s: watching %s, monitor only", config.line.name, config.analyser.folder)
        return FolderSource(config, clock, unit, folder / "picked.log"), clock
    pace = StepClock(time.time()) if config.analyser.pace == "fast" else WallClock()
    played = ReplaySource(config, pace, unit)
    log.info("%s: playing %d recorded spectra, monitor only", config.line.name, played.total)
    return played, pace


@click.command()
@LINE
@STATE
@click.option("--offline", is_flag=True, help="do not connect: only what can be checked on this machine")
def check(line_file: Path, state: Path | None, offline: bool) -> None:
    """Is this line ready? Configuration, artefacts, certificates, tags, units and the model's axis.

    \b
    Example:
      patloop check deploy/lines/cdc_ref_1.toml --offline
    """
    from edge.check import findings

    with told():
        wrong = 0
        for verdict in findings(line_file, state, offline=offline):
            wrong += not verdict.fine
            click.echo(f"{'ok  ' if verdict.fine else 'NO  '}{verdict.what}")
    click.echo("ready" if not wrong else f"not ready: {wrong} to mend")
    if wrong:
        raise click.exceptions.Exit(1)


@click.command()
@LINE
@click.argument("action", type=click.Choice(["mode", "accept", "decline", "ack", "run_down"]))
@click.argument("value", default="")
@click.option("--reason", default="", help="why, for the record")
@STATE
def request(line_file: Path, action: str, value: str, reason: str, state: Path | None) -> None:
    """Put a request on the line's journal; the service picks it up in its next cycle.

    \b
    Example:
      patloop request deploy/lines/cdc_ref_1.toml mode closed --reason "line settled"
    """
    from control.decide.run_down import WISHES
    from edge.config import read_config
    from edge.record.canonical import encode
    from edge.record.journal import Journal

    if action == "mode" and value not in set(Mode):
        raise click.UsageError(f"mode must be one of {', '.join(Mode)}")
    if action == "run_down" and value not in WISHES:
        raise click.UsageError(f"run_down must be one of {', '.join(WISHES)}")
    with told():
        config, _ = read_config(line_file)
        path = (state or config.line.state_dir) / "journal.sqlite"
        if not path.exists():
            raise ConfigError(f"there is no journal {path}: has the service run?")
        body = {"action": action, "value": value, "user": f"local:{getpass.getuser()}", "reason": reason}
        with Journal.open(path, config.line.name) as journal:
            row = journal.append("request", time.time(), encode({**body, "cycle_seq": None}))
    click.echo(f"record {row.seq}: {action} {value}")


@click.command()
@LINE
@STATE
def certs(line_file: Path, state: Path | None) -> None:
    """Make this box's key and certificate (once) and print its fingerprint.

    \b
    Example:
      patloop certs deploy/lines/cdc_ref_1.toml
    """
    import hashlib

    from edge.config import read_config
    from edge.pki import make_certificate

    with told():
        config, _ = read_config(line_file)
        certificate = make_certificate((state or config.line.state_dir) / "pki")
    digest = hashlib.sha256(certificate.read_bytes()).hexdigest()
    click.echo(f"{os.fspath(certificate)}\nSHA-256 {digest}\nPut it into the PLC's trust list.")
