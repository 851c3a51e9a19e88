"""THE MAP: acquire -> validate -> estimate -> observe -> decide -> guard -> record -> actuate, once a cycle.

`think` is the pure middle: the same line, loop state and sample give the identical thought, which is what replay
checks. `cycle` puts the two ends round it: it records before it acts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from control.assess import Finding, assess, assess_estimate, assess_material
from control.decide.economic import Economy, aimed, judged
from control.decide.run_down import RunDown, answered, lowered
from control.guard import Permission, Room, guard, guard_refill
from control.press import PressMemory
from control.settings import ControlSettings
from control.signals import Command, Decision, Estimate, Mode, Situation, Target
from control.track import TrackMemory, track
from edge.acquire.protections import missing, spoken
from edge.actuate import handshake
from edge.actuate.verified import Sent, Step, admit, read_back, remember, without_setpoints
from edge.alarms import update
from edge.lab.join import LabMemory, join, observed
from edge.lab.settings import LabTable
from edge.line import Line
from edge.material import material
from edge.ports import Actuator, Clock, Recorder, Source
from edge.pressing import believed, joined, pressed, told_of_press
from edge.refills import refill_wanted, told_of_refills
from edge.sensing import Sensed, fit_for_closed_loop, sense, told_of_model
from edge.signals import Acted, Alarm, Link, Request, Sample, Scan, Thought
from edge.situation import Remembered, looked_ahead, situation
from edge.understand import envelopes, feeders, freshness, target, working
from edge.watching import Watch, channels, told_of_drift

READ_BACK = {
    "taken": "a write whose fate was not known was taken",
    "not_taken": "a write whose fate was not known was not taken",
    "foreign": "the PLC has setpoints that we did not send, adopted as they are",
    "ignored": "the PLC does not follow our setpoints",
}
LATE_AFTER = 0.8  # of a cycle: a move computed later than this after the look at the line is not sent


@dataclass(frozen=True)
class Loop:
    """All that is carried from one cycle to the next."""

    mode: Mode
    handshake: handshake.Handshake = field(default_factory=handshake.Handshake)
    sensed: Sensed = field(default_factory=Sensed)
    lab: LabMemory = field(default_factory=LabMemory)
    target: Target | None = None
    economy: Economy = field(default_factory=Economy)
    run_down: RunDown = field(default_factory=RunDown)
    remembered: Remembered = field(default_factory=Remembered)
    tracking: TrackMemory | None = None
    controller: Any = None
    press: PressMemory | None = None
    alarms: tuple[Alarm, ...] = ()
    pending: tuple[Alarm, ...] = ()
    sent: Sent = field(default_factory=Sent)
    holding_since_s: float | None = None
    recorded: frozenset[str] = frozenset()

    @property
    def estimate(self) -> Estimate | None:
        """The estimate that holds now."""
        return self.sensed.estimate


def begin(line: Line, watch: Watch | None = None) -> Loop:
    """The state after a start: never closed, nothing remembered but what watch carries over from the record.

    The bundles of the start are on the record.
    """
    recorded = frozenset(line.licences.folders())
    return Loop(mode=line.config.line.start_mode, sensed=Sensed(watch=watch or Watch()), recorded=recorded)


def think(
    line: Line, loop: Loop, sample: Sample, sensing: Callable[[Line, Sensed, Sample], tuple[Sensed, bool]] = sense
) -> tuple[Thought, Loop]:
    """Everything between the look at the line and the write to it; pure.

    sensing: how estimates come about; a replay hands recorded ones on, to judge the stages after them by themselves.
    """
    loop = _answer(line, loop, sample.requests)
    taken = tuple(r.seq for r in sample.requests)
    scan, lab = join(loop.lab, sample.scan, (line.config.lab or LabTable()).same_within_s)
    sample = replace(sample, scan=scan)
    sensed, fresh = sensing(line, loop.sensed, sample)
    loop = replace(loop, sensed=sensed, lab=lab)
    if line.control is None:
        command = Command(Mode.MONITOR, {}, {}, holding=False, divert=False, reasons=())
        licensed = fit_for_closed_loop(line, sample.licence, sample.scan.time_s)
        alarms, pending = update(loop.alarms, loop.pending, _told(line, loop, sample, licensed), sample.scan.time_s)
        thought = Thought(
            loop.mode, None, loop.estimate, None, None, command, alarms, "off", "", (), taken, sensed.shadow,
            licensed.reason, sensed.factor, sensed.instrument.reason, sensed.watch.covered,
        )  # fmt: skip
        return thought, replace(loop, alarms=alarms, pending=pending)
    return _steer(line, loop, sample, taken, fresh=fresh)


def _steer(line: Line, loop: Loop, sample: Sample, taken: tuple[int, ...], *, fresh: bool) -> tuple[Thought, Loop]:
    control, scan = line.control, sample.scan
    assert control is not None, "only a controlled line is steered"
    settings = control.settings
    recipe = target(scan) or loop.target
    aim, economy = (None, loop.economy) if recipe is None else aimed(settings, recipe, loop.economy)
    aim, run_down = _run_down(settings, aim, loop.run_down, scan)
    loop = replace(loop, run_down=run_down)
    licensed = fit_for_closed_loop(line, sample.licence, scan.time_s)
    fit = freshness(settings, scan, sample.acted)
    if loop.mode is Mode.CLOSED and not licensed.given:
        fit = Permission(given=False, reason=f"model: {licensed.reason}")
    if run_down.stopped:
        fit = Permission(given=False, reason=run_down.sentence)
    belief, decision, room_given, tracked, handles = None, None, None, None, None
    command = Command(loop.mode, {}, {}, holding=True, divert=False, reasons=(f"hold: {fit.reason}",))
    release = _release(line, loop, sample)
    has = spoken("full" if line.config.opcua is None else line.config.opcua.handshake)
    shake, authority = handshake.advance(loop.handshake, loop.mode, scan.readings, scan.session_id, release, has)
    reject = Permission(given=False)
    if aim is not None and scan.link is Link.ONLINE:
        scan = replace(scan, lims=loop.lab.waiting)  # those that came while nothing could be done with them, too
        sample = replace(sample, scan=scan)
        seen, remembered = situation(line, loop.remembered, loop.sensed, sample, aim, fresh=fresh)
        handles, press = pressed(settings, control.press_controller, scan, seen, loop.press)
        belief, room_given = believed(seen.belief, handles), seen.authority
        shown = material(settings, line.config.track, scan, aim, loop.estimate, belief)
        tracked, tracking = track(control.tracker, loop.tracking, shown)
        reject = tracked.divert
        decision, memory = control.controller.decide(seen, loop.controller)
        decision = joined(decision, handles)
        command = guard(loop.mode, decision, _room(settings, seen), authority, fit, reject)
        command = guard_refill(command, refill_wanted(settings, scan, seen, remembered))
        economy = judged(settings, economy, seen, command, diverting=reject.given)
        # After a hold a controller starts anew from what the PLC works with: no bump.
        loop = replace(
            loop, lab=observed(loop.lab), remembered=remembered, tracking=tracking,
            controller=None if command.holding else memory, press=press,
        )  # fmt: skip
    shake, wire = handshake.wire(shake, loop.mode, command.writes, reject, has, command.refill)
    if loop.mode is Mode.ADVISE and not licensed.given:
        command = replace(command, reasons=(*command.reasons, f"advice only: {licensed.reason}"))
    since_s = (loop.holding_since_s or scan.time_s) if command.holding else None
    alarms, pending = loop.alarms, loop.pending
    findings = _told(line, loop, sample, licensed)
    if aim is not None or findings:
        if aim is not None:
            findings += assess(settings, aim, belief, decision, command)
        findings += told_of_press(handles)
        if aim is not None and tracked is not None:
            findings += assess_material(tracked, belief, aim)
        alarms, pending = update(alarms, pending, findings, scan.time_s)
    thought = Thought(
        loop.mode, aim, loop.estimate, belief, decision, command, alarms,
        shake.phase.value, authority.reason, wire, taken, loop.sensed.shadow, licensed.reason,
        loop.sensed.factor, loop.sensed.instrument.reason, loop.sensed.watch.covered, room_given, tracked,
        economy if settings.controller.economic is not None else None,
    )  # fmt: skip
    carried = replace(
        loop, handshake=shake, target=recipe, economy=economy, alarms=alarms, pending=pending, holding_since_s=since_s
    )
    return thought, carried


def _room(settings: ControlSettings, seen: Situation) -> Room:
    """Where the plant is and how far it may be moved from there, as the guard looks at it."""
    centre = {n: v * seen.refill_factor.get(n, 1.0) for n, v in seen.ratio.items()}
    return Room(seen.working, seen.envelopes, centre, seen.caps_pct, settings.cycle_s)


def _run_down(
    settings: ControlSettings, aim: Target | None, before: RunDown, scan: Scan
) -> tuple[Target | None, RunDown]:
    """What to aim at while the line is run down; what is not seen stands still."""
    if aim is None or not before.under_way:
        return aim, before
    if scan.link is not Link.ONLINE:
        return (aim if before.throughput_kg_h is None else replace(aim, throughput_kg_h=before.throughput_kg_h)), before
    inforce, rooms = working(settings, scan), envelopes(settings, scan)
    return lowered(settings, aim, before, inforce, rooms, feeders(settings, scan))


def _told(line: Line, loop: Loop, sample: Sample, licensed: Permission) -> tuple[Finding, ...]:
    """What people must be told of model, estimate and its drift, on any line."""
    now, unit = loop.estimate, line.sensor.card.axis_unit
    found = [*_told_of_wire(line, sample), *told_of_model(loop.mode, sample.licence, licensed, sample.scan.time_s)]
    if loop.run_down.sentence:
        ready = loop.run_down.ready
        found.append(Finding("ready_to_stop" if ready else "run_down", loop.run_down.sentence, 2 if ready else 3))
    found += assess_estimate(now, "" if now is None else channels(now, unit))
    return (*found, *told_of_drift(loop.sensed.watch, now, unit))


def _answer(line: Line, loop: Loop, requests: tuple[Request, ...]) -> Loop:
    for request in requests:
        if request.action == "mode" and request.value in set(Mode):
            wanted = Mode(request.value)
            ceiling = line.config.line.mode_ceiling
            loop = replace(loop, mode=wanted if wanted.rank <= ceiling.rank else ceiling)
        elif request.action == "ack":
            loop = replace(loop, alarms=tuple(a for a in loop.alarms if a.name != request.value))
        elif request.action == "run_down":
            loop = replace(loop, run_down=answered(loop.run_down, request.value))
    return loop


def _told_of_wire(line: Line, sample: Sample) -> Iterator[Finding]:
    """What people must be told of the line's connection, of what became of the last write, and of what is missing."""
    yield from sample.scan.told
    acted, said = sample.acted, "; ".join(f"{tag} {code}" for tag, code in sorted(sample.acted.codes.items()))
    if acted.step:
        yield Finding("write_refused", f"the write was {acted.outcome} ({acted.step}): {said}"[:300], 2, 10.0)
    if acted.read_back:
        yield Finding("write_read_back", f"{READ_BACK[acted.read_back]}: {said}"[:300], 2)
    lacking = () if line.config.opcua is None or not line.config.mv else missing(line.config.opcua.handshake)
    if line.control is not None:
        yield from told_of_refills(line.control.settings, sample.scan)
    if lacking:
        first, more = "; ".join(lacking[:2]), len(lacking) - 2
        tail = f"; and {more} more: patloop check" if more > 0 else ""
        yield Finding("unprotected", f"the PLC's handshake lacks {len(lacking)} tags: {first}{tail}", 3)


def _release(line: Line, loop: Loop, sample: Sample) -> Permission:
    """Whether the plant is to be given back to the PLC in good order, and why."""
    if sample.acted.read_back == "ignored":
        return Permission(given=True, reason="the PLC does not follow our setpoints: it is given back")
    limit_s, scan = line.config.freshness.release_after_s, sample.scan
    held_s = 0.0 if loop.holding_since_s is None else scan.time_s - loop.holding_since_s
    if held_s > limit_s:
        return Permission(given=True, reason=f"held for {held_s:.0f} s: the plant is given back to the PLC")
    return Permission(given=False)


async def cycle(
    line: Line, loop: Loop, number: int, acted: Acted, source: Source, actuator: Actuator | None,
    recorder: Recorder, clock: Clock,
) -> tuple[Thought, Loop, Acted]:  # fmt: skip
    """One turn: look, think, record, act; what became of the writes is part of the next sample."""
    scan = await source.scan()
    acted, sent = read_back(loop.sent, acted, scan)
    licence = line.licences.acquire(scan.time_s)
    for digest, folder in line.licences.folders().items():
        if digest not in loop.recorded:
            recorder.artefact(scan.time_s, "sensor", digest, folder)
            loop = replace(loop, recorded=loop.recorded | {digest})
    verification = None if line.instrument is None else line.instrument.acquire(scan.time_s)
    sample = Sample(number, scan, recorder.requests(), acted, licence, verification)
    thought, loop = think(line, loop, sample)
    recorder.cycle(sample, thought)
    if not thought.wire or actuator is None:
        return thought, prepare(line, replace(loop, sent=sent), thought), Acted("none")
    if clock.now_s() - scan.time_s > LATE_AFTER * line.config.line.cycle_s:
        outcome = Acted("late", {}, Step.VERIFY)
    else:
        outcome = await _write(line, scan, thought, actuator)
    recorder.acted(sample, outcome)
    loop = replace(loop, sent=remember(sent, scan, thought, outcome))
    return thought, prepare(line, loop, thought), outcome


async def _write(line: Line, scan: Scan, thought: Thought, actuator: Actuator) -> Acted:
    """The verified write; of a refused one the handshake still goes out, so that the PLC knows that we live."""
    assert line.control is not None, "only a controlled line has something to write"
    refusal = admit(line.control.settings, scan, thought)
    if refusal is None:
        return await actuator.write(thought.wire, scan.epoch)
    rest = await actuator.write(without_setpoints(thought.wire), scan.epoch)
    return replace(rest, outcome="refused", codes={**rest.codes, **refusal.codes}, step=refusal.step)


def prepare(line: Line, loop: Loop, thought: Thought) -> Loop:
    """The next cycle's work that needs no look at the line, done while waiting; changes no thought by a bit."""
    if line.control is None:
        return loop
    remembered = looked_ahead(line, loop.remembered, thought.command.writes)
    return replace(loop, controller=line.control.controller.prepare(loop.controller), remembered=remembered)


__all__ = ["Decision", "Loop", "begin", "cycle", "think"]
