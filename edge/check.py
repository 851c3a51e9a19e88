"""line file -> findings: is everything there that a run needs, and does the line agree with what we think of it?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from control.signals import Mode
from edge.acquire.opcua import OpcUaLine
from edge.errors import PatloopError
from edge.identity import require_own_names
from edge.line import Line, compose
from edge.pki import credentials
from edge.record.export import utc
from edge.sensing import fit_for_closed_loop
from edge.signals import Link, Scan
from edge.understand import reading, usable
from soft_sensors.validate import axis_fault


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
    yield _model(line)
    if line.control is not None:
        yield Checked(fine=True, what=f"controller {line.control.settings.controller.name}: golden vectors reproduced")
    if line.config.opcua is None:
        return
    try:
        secrets = credentials(state or line.config.line.state_dir)
    except PatloopError as error:
        yield Checked(fine=False, what=str(error))
        return
    yield Checked(fine=True, what="certificates and password are there")
    if offline:
        return
    remote = OpcUaLine(line.config, secrets)
    yield from asyncio.run(_online(line, remote))


def _model(line: Line) -> Checked:
    """Whether the model may do what the line's ceiling asks of it, today."""
    now_s = time.time()
    licence = line.licences.acquire(now_s)
    fit = fit_for_closed_loop(line, licence, now_s)
    if fit.given:
        return Checked(fine=True, what=f"{line.config.sensor.model}: effective until {utc(licence.valid_until_s)}")
    return Checked(line.config.line.mode_ceiling is not Mode.CLOSED, f"advice at most: {fit.reason}")


async def _online(line: Line, remote: OpcUaLine) -> list[Checked]:
    try:
        scan = await remote.scan()
        units = await remote.units()
    finally:
        await remote.close()
    if scan.link is Link.LOST:
        return [Checked(fine=False, what=f"no connection: {scan.reason}")]
    found = [Checked(fine=True, what="connected, signed and encrypted; all tags are there")]
    found += _tags(line, scan, units)
    if scan.spectrum is not None:
        axis, unit = scan.spectrum.axis, scan.spectrum.axis_unit
        fault = axis_fault(line.sensor.card, axis, unit)
        told = f"analyser axis: {len(axis)} channels in {unit}"
        found.append(Checked(not fault, f"{told}, as the model's" if not fault else f"{told}: {fault}"))
    else:
        found.append(Checked(fine=False, what="the analyser has given no spectrum yet"))
    return found


def _tags(line: Line, scan: Scan, units: dict[str, str]) -> list[Checked]:
    found = []
    for mv in line.config.mv:
        told = units.get(mv.name)
        if told is not None and told != mv.unit:
            found.append(Checked(fine=False, what=f"{mv.name}: the line says {told}, the line file {mv.unit}"))
        low, high = reading(scan, f"{mv.name}.SP_LoLim"), reading(scan, f"{mv.name}.SP_HiLim")
        if usable(low) and usable(high) and (mv.low >= high.value or mv.high <= low.value):
            text = f"{mv.name}: own limits {mv.low}..{mv.high} and the PLC's {low.value}..{high.value} do not meet"
            found.append(Checked(fine=False, what=text))
        else:
            found.append(Checked(fine=True, what=f"{mv.name}: limits and unit ({told or 'not told'}) agree"))
    watchdog = reading(scan, "Apc.WatchdogTimeoutMs")
    cycles = watchdog.value / 1000 / line.config.line.cycle_s if usable(watchdog) else 0.0
    fits = 2.0 <= cycles <= 6.0
    found.append(Checked(fits, f"PLC watchdog: {cycles:.1f} cycles (wanted: 3 to 5)"))
    return found
