"""command -> the wire, step by step: authorise, verify, map, accept, read back; each refusal names its step. Pure.

After the idea of NAMUR NE 178, verification of requests from an untrusted domain. This is the second, independent look
at what think() wants to write, just before it goes out: it trusts neither controller nor guard. Mapping and acceptance
are the actuator's (edge.actuate.opcua); read-back is the next look at the line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from control.settings import ControlSettings
from control.signals import Envelope, Mode, Quality
from edge.actuate.handshake import Phase
from edge.signals import Acted, Link, Scan, Thought
from edge.understand import envelopes, working

SLACK = 1e-6  # of a value: a Single-precision node gives it back so
UNFOLLOWED = 2  # looks at which a setpoint has not moved at all before it counts as ignored
CLAMPED = ("", "GoodClamped", "clamped")  # codes of a setpoint that was taken, as the wire and the bench name them
SETPOINT, NUMBER, REFILL = ".SP_Remote", ".SP_RemoteSeq", ".RefillRequest"


class Step(StrEnum):
    """The steps of a write, in order."""

    AUTHORISE = "authorise"  # mode, authority, session and connection are those of the command
    VERIFY = "verify"  # finite, within limits and rates, on a fresh basis
    MAP = "map"  # each tag has a node, and the value a place in its type
    ACCEPT = "accept"  # the PLC's status code, tag by tag
    READ_BACK = "read_back"  # what the PLC then has, and works with


@dataclass(frozen=True)
class Refusal:
    """Which step refused, and what it says of each tag."""

    step: Step
    codes: Mapping[str, str]


@dataclass(frozen=True)
class Sent:
    """What is remembered of setpoints until they are seen in the PLC.

    asked: the last setpoint of each name; session_id: in which it was sent; doubtful: its fate is not known; held,
    working: what the PLC had been given and worked with until then; unfollowed: looks with nothing come of it.
    """

    asked: Mapping[str, float] = field(default_factory=dict)
    session_id: int = 0
    doubtful: bool = False
    held: Mapping[str, float] = field(default_factory=dict)
    working: Mapping[str, float] = field(default_factory=dict)
    unfollowed: int = 0


def admit(settings: ControlSettings, scan: Scan, thought: Thought) -> Refusal | None:
    """Why setpoints and request for a refill of this cycle may not go out; None when they may, or there are none."""
    asked, refills = setpoints(thought.wire), [tag for tag, _ in thought.wire if tag.endswith(REFILL)]
    if not asked and not refills:
        return None
    wrong = _unauthorised(scan, thought)
    if wrong:
        return Refusal(Step.AUTHORISE, dict.fromkeys((*asked, *refills), wrong))
    known, rooms = working(settings, scan), envelopes(settings, scan)
    codes = {n: _beyond(n, v, known, rooms, settings.cycle_s) for n, v in asked.items()}
    codes = {name: text for name, text in codes.items() if text}
    codes |= _no_refill(settings, refills)
    return Refusal(Step.VERIFY, codes) if codes else None


def without_setpoints(wire: tuple[tuple[str, float], ...]) -> tuple[tuple[str, float], ...]:
    """The rest of a refused write: heartbeat and handshake go on; nothing in it moves the plant, nor refills a feeder.
    """
    return tuple((tag, value) for tag, value in wire if not tag.endswith((SETPOINT, NUMBER, REFILL)))


def setpoints(wire: tuple[tuple[str, float], ...]) -> dict[str, float]:
    """The setpoints in a write, by the name of what they move."""
    return {tag.removesuffix(SETPOINT): value for tag, value in wire if tag.endswith(SETPOINT)}


def remember(before: Sent, scan: Scan, thought: Thought, acted: Acted) -> Sent:
    """What is to be seen in the PLC after this cycle's write; nothing any more once the PLC is not remote for us."""
    asked = setpoints(thought.wire)
    if asked and acted.outcome == "refused" and acted.step in ("", Step.ACCEPT):
        asked = {n: v for n, v in asked.items() if acted.codes.get(n + SETPOINT, "") in CLAMPED}
        return replace(before, asked={**before.asked, **asked}, session_id=scan.session_id) if asked else Sent()
    if asked and acted.outcome in ("good", "unknown"):
        held, known = _read(scan, asked, SETPOINT), _read(scan, asked, ".SP_Working")
        same = before.session_id == scan.session_id and acted.outcome == "good"
        return Sent(asked, scan.session_id, acted.outcome == "unknown", held, known, before.unfollowed if same else 0)
    if before.doubtful or (thought.handshake == Phase.REMOTE and before.session_id == scan.session_id):
        return before
    return Sent()


def read_back(sent: Sent, acted: Acted, scan: Scan) -> tuple[Acted, Sent]:
    """What this look says of the setpoints that were sent; the outcome with the verdict, and what is remembered on.

    taken, not_taken: of a write whose fate was not known; foreign: the PLC has a setpoint that we did not send: it is
    adopted, as everything starts from what the PLC works with; ignored: a setpoint has not moved for two looks.
    """
    if not sent.asked or scan.link is not Link.ONLINE:
        return acted, sent
    there = _read(scan, sent.asked, SETPOINT)
    other = {n: v for n, v in there.items() if not _same(v, sent.asked[n])}
    if sent.doubtful:
        verdict = "not_taken" if other or not there else "taken"
        return replace(acted, read_back=verdict, codes={**acted.codes, **_told(sent.asked, there)}), Sent()
    if sent.session_id != scan.session_id:
        return acted, Sent()
    clamped = {tag.removesuffix(SETPOINT) for tag, code in acted.codes.items() if code in CLAMPED}
    ignored = {n for n, v in other.items() if n in sent.held and _same(v, sent.held[n])}
    adopted = replace(sent, asked={**sent.asked, **there})
    if foreign := {n: v for n, v in other.items() if n not in clamped | ignored}:
        told = _told({n: sent.asked[n] for n in foreign}, foreign)
        return replace(acted, read_back="foreign", codes={**acted.codes, **told}), adopted
    stood = {n: f"{n}.SP_Working" for n in _unmoved(sent, scan)} | {n: n + SETPOINT for n in ignored}
    unfollowed = sent.unfollowed + 1 if stood else 0
    if unfollowed < UNFOLLOWED:
        return acted, replace(adopted, unfollowed=unfollowed)
    codes = {tag: f"has not followed, {sent.asked[n]:g} was sent" for n, tag in stood.items()}
    return replace(acted, read_back="ignored", codes={**acted.codes, **codes}), replace(adopted, unfollowed=0)


def _unauthorised(scan: Scan, thought: Thought) -> str:
    if scan.link is not Link.ONLINE or scan.session_id == 0:
        return "there is no live connection"
    if thought.mode is not Mode.CLOSED:
        return f"mode is {thought.mode.value}"
    if thought.authority or thought.handshake != Phase.REMOTE:
        return f"no authority: {thought.authority or thought.handshake}"
    rows = dict(thought.wire)
    if rows.get("Apc.SessionId", scan.session_id) != scan.session_id or rows.get("Apc.Request") != 1.0:
        return "the command is of another session, or does not ask for remote"
    return ""


def _no_refill(settings: ControlSettings, asked: list[str]) -> dict[str, str]:
    """Why a refill may not be asked for: of one feeder at a time, and only of those that the line file names."""
    table = settings.controller.refills
    known = set() if table is None else {name + REFILL for name in table.levels}
    codes = {tag: "is of no feeder whose refills are kept apart" for tag in asked if tag not in known}
    return codes or (dict.fromkeys(asked, "one refill at a time") if len(asked) > 1 else {})


def _beyond(
    name: str, value: float, known: Mapping[str, float], rooms: Mapping[str, Envelope], cycle_s: float
) -> str:
    if name not in rooms:
        return "is no setpoint of this line"
    now, room = known[name], rooms[name]
    if not math.isfinite(value) or not math.isfinite(now):
        return f"{value!r} on what the PLC works with, {now!r}: not finite"
    slack = SLACK * max(abs(value), abs(now), abs(room.low), abs(room.high))
    if not room.available and abs(value - now) > slack:
        return f"{value:g}: the PLC does not let it move"
    if abs(value - now) > room.rate_per_s * cycle_s + slack:
        return f"{value:g} is more than one cycle's way from {now:g}"
    inside = min(max(value, room.low), room.high)
    # Limits may be tightened past where the plant is: then only the way back is allowed.
    if abs(value - inside) > slack and abs(value - inside) > abs(now - min(max(now, room.low), room.high)) + slack:
        return f"{value:g} is outside {room.low:g} to {room.high:g}"
    return ""


def _read(scan: Scan, names: Mapping[str, float], tag: str) -> dict[str, float]:
    """The tag of each name, where the look has it and it is not bad."""
    found = {n: scan.readings[n + tag] for n in names if n + tag in scan.readings}
    return {n: r.value for n, r in found.items() if r.quality is not Quality.BAD}


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= SLACK * max(abs(one), abs(other), SLACK)


def _told(asked: Mapping[str, float], there: Mapping[str, float]) -> dict[str, str]:
    return {n + SETPOINT: f"is {there.get(n, math.nan):g}, {value:g} was sent" for n, value in asked.items()}


def _unmoved(sent: Sent, scan: Scan) -> tuple[str, ...]:
    """The setpoints that should have moved since they were sent and have not, not by a bit."""
    found = []
    for name, before in sent.working.items():
        now = scan.readings.get(f"{name}.SP_Working")
        moved = now is None or now.quality is Quality.BAD or now.value != before
        if not moved and not _same(before, sent.asked[name]):
            found.append(name)
    return tuple(found)
