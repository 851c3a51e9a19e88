"""GUARD: the last word before the wire; knows limits, rates, freshness, authority, mode; not which controller spoke."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from control.signals import Command, Decision, Envelope, Mode, Refill


@dataclass(frozen=True)
class Permission:
    """One of the conditions for moving the plant (authority from the PLC, freshness of the data), and why not."""

    given: bool
    reason: str = ""


@dataclass(frozen=True)
class Room:
    """Where the plant is and how far it may be moved now.

    working: setpoints in force, read back; envelopes: limits and rates; centre: plain ratio setpoints in wire units;
    trim_cap_pct: how far PAT may trim a setpoint away from its centre (absent: no cap of that kind).
    """

    working: Mapping[str, float]
    envelopes: Mapping[str, Envelope]
    centre: Mapping[str, float]
    trim_cap_pct: Mapping[str, float]
    cycle_s: float


def guard(
    mode: Mode,
    decision: Decision,
    room: Room,
    authority: Permission,
    freshness: Permission,
    divert: Permission,
) -> Command:
    """The command for a decision: clamped, rate-limited, capped, or a hold with the reasons; writes only when closed.

    Holding means no write: the PLC keeps the setpoints it works with. The recommendation is the same in every mode.
    """
    refusals = _refusals(decision, room, freshness)
    if refusals:
        return _command(mode, dict(room.working), {}, True, divert, refusals)
    recommended: dict[str, float] = {}
    notes: list[str] = []
    for name, now in room.working.items():
        value, limited = _within(name, decision.setpoints[name], now, room)
        recommended[name] = value
        notes.extend(limited)
    writes = dict(recommended) if mode is Mode.CLOSED and authority.given else {}
    if mode is Mode.CLOSED and not authority.given:
        notes.append(f"no authority: {authority.reason}")
    return _command(mode, recommended, writes, False, divert, tuple(notes))


def guard_refill(command: Command, wanted: Refill | None) -> Command:
    """The command with a refill that is wanted: asked for where it writes, recommended in advise, else left out.

    Where the command holds, shows nothing (monitor) or lacks the authority to write, no refill is asked for either.
    """
    if wanted is None or command.holding:
        return command
    if command.writes:
        told = f"refill of {wanted.feeder} brought forward: {wanted.reason}"
    elif command.mode is Mode.ADVISE:
        told = f"refill {wanted.feeder} now: {wanted.reason.replace('would have met', 'will meet')}"
    else:
        return command
    return replace(command, reasons=(*command.reasons, told), refill=wanted.feeder)


def _refusals(decision: Decision, room: Room, freshness: Permission) -> tuple[str, ...]:
    refusals = []
    if not freshness.given:
        refusals.append(f"hold: {freshness.reason}")
    if decision.status != "ok":
        refusals.append(f"hold: controller: {decision.status}")
    for name, now in room.working.items():
        if name not in decision.setpoints or not math.isfinite(decision.setpoints[name]):
            refusals.append(f"hold: {name} has no finite setpoint")
        if not math.isfinite(now):
            refusals.append(f"hold: the working setpoint of {name} is not known")
    return tuple(refusals)


def _within(name: str, wanted: float, now: float, room: Room) -> tuple[float, list[str]]:
    envelope = room.envelopes[name]
    if not envelope.available:
        return now, [f"{name} is not available to us"]
    value, notes = _limited(name, wanted, now, room)
    if envelope.resolution == 0.0:
        return value, notes
    # A move that the drive cannot make is not asked for: where the optimum stands still, nothing goes to and fro.
    if abs(value - now) < envelope.resolution / 2:
        return now, notes
    nearest = round(value / envelope.resolution) * envelope.resolution
    for step in (nearest, nearest - math.copysign(envelope.resolution, value - now)):
        if math.isclose(_limited(name, step, now, room)[0], step, rel_tol=1e-12) and (step - now) * (value - now) > 0:
            return step, notes
    # From outside its limits a setpoint comes back as far as it may, whatever the drive makes of it.
    return now if abs(value - now) < envelope.resolution else value, notes


def _limited(name: str, wanted: float, now: float, room: Room) -> tuple[float, list[str]]:
    envelope, notes, value = room.envelopes[name], [], wanted
    cap = room.trim_cap_pct.get(name)
    if cap is not None:
        middle, reach = room.centre[name], abs(room.centre[name]) * cap / 100
        value, hit = _clamp(value, middle - reach, middle + reach)
        if hit:
            notes.append(f"{name} at its trim cap of {cap:g} %")
    value, hit = _clamp(value, envelope.low, envelope.high)
    if hit:
        notes.append(f"{name} at its limit {value:g}")
    step = envelope.rate_per_s * room.cycle_s
    value, hit = _clamp(value, now - step, now + step)
    if hit:
        notes.append(f"{name} limited to {step:g} a cycle")
    return value, notes


def _clamp(value: float, low: float, high: float) -> tuple[float, bool]:
    slack = 1e-9 * max(abs(low), abs(high), 1.0)
    return min(max(value, low), high), value < low - slack or value > high + slack


def _command(
    mode: Mode,
    recommended: dict[str, float],
    writes: dict[str, float],
    holding: bool,
    divert: Permission,
    reasons: tuple[str, ...],
) -> Command:
    shown = {} if mode is Mode.MONITOR else recommended
    if divert.given:
        reasons = (*reasons, f"divert: {divert.reason}")
    return Command(mode, shown, writes, holding, divert.given and mode is Mode.CLOSED, reasons)
