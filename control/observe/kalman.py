"""OBSERVE: an extended Kalman filter on the controller bundle's model, with late laboratory values and step detection.

Feeders, NIR and press force are fused every cycle; a laboratory value enters at its *sample* time: the filter goes
back to the state it had then, corrects it, and runs forward again over what it had seen since. A slow change of the
gap between feeders and NIR is put down to the NIR (bias walks faster than the gain); a fast one to what it looks like:
delivered API when it arrives as the blender spreads it, the NIR when it is there at once (`hypotheses`). The
laboratory decides in every case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile

import numpy as np

from control.observe.filter import (
    Ahead,
    Step,
    advance,
    correct,
    free,
    inputs,
    look_ahead,
    rerun,
    shaken,
    with_step_at,
)
from control.observe.hypotheses import LOSS, Bank, Suspicion, opened, suspicion
from control.observe.seen import (
    DISTURBED_DOUBT,
    Observation,
    Observer,
    belief,
    feeder_disturbed,
    in_operation,
    prior,
    rests_until_s,
    transport_s,
)
from control.observe.told import Watch, withheld
from control.signals import Belief, LabResult

IMPOSSIBLE_PCT = 20.0  # API below nothing or beyond all by so much is no doubt any more, but nonsense
LABORATORY = ("y_lab_assay", "y_lab_weight")
JUDGED_KEPT = 20  # surprises remembered, so that a correction takes back what the result had moved
LAB_LOOKS_BACK_S = 480.0  # a laboratory surprise frees delivery and NIR from so long before its sample on


@dataclass(frozen=True)
class Memory:
    """The observer's whole state: remembered steps (newest last), the bank of jumps and what it suspects.

    quiet_until_s: until then the bank rests, for what a jump brought about is still on its way to the probe. nir_seen:
    whether the NIR has had a word yet; the first one that finds the line in operation is a fresh start. judged: the
    times of a laboratory sample that was a surprise, and of the step where delivery and NIR were freed for it. watch:
    what was seen lately, to tell what it does not tell.
    """

    steps: tuple[Step, ...]
    bank: Bank
    suspicion: Suspicion | None = None
    quiet_until_s: float = 0.0
    nir_seen: bool = False
    judged: tuple[tuple[float, float], ...] = ()
    expected: Expected | None = field(default=None, compare=False)
    watch: Watch | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Expected:
    """What a memory's steps and bank (`steps`, `of`: these very ones) say of the next cycle before it is seen.

    bank: with that moment's hypotheses; disturbed: whether a known change is on its way; ahead: the prediction, where
    there was time to make it.
    """

    steps: tuple[Step, ...]
    of: Bank
    bank: Bank
    disturbed: bool
    ahead: Ahead | None = None


def observe(observer: Observer, memory: Memory | None, observation: Observation) -> tuple[Belief, Memory]:
    """Fuse one cycle's observation into the belief; pure: the memory is handed in and handed back."""
    if memory is None or _over(observer, memory, observation):
        memory = begin(observer, observation)
    memory = replace(memory, nir_seen=memory.nir_seen or "y_nir" in observation.values)
    notes: list[str] = []
    for result in observation.lab:
        if result.corrects:
            memory, corrected = _without(observer, memory, result)
            notes.append(corrected)
        memory, note = _with_laboratory(observer, memory, result)
        notes.append(note)
    expected = _expected(observer, memory)
    if expected.disturbed:
        observation = replace(observation, nir_doubt=DISTURBED_DOUBT)
    last = memory.steps[-1]
    cycles = max(0, round((observation.time_s - last.time_s) / observer.bundle.cycle_s))
    u, p = inputs(observer, observation.setpoints, observation.target)
    ahead = expected.ahead
    if ahead is None or not ahead.holds(last, expected.bank, cycles, u, p):
        ahead = look_ahead(observer, last, expected.bank, cycles, u, p)
    step, bank = advance(observer, ahead, observation)
    horizon_s = observation.time_s - observer.noise.memory_s
    kept = memory.steps[next((i for i, s in enumerate(memory.steps) if s.time_s >= horizon_s), len(memory.steps)) :]
    memory, jump = _watch_for_jump(observer, replace(memory, steps=(*kept, step), bank=bank, expected=None))
    notes.extend(jump)
    return _told(observer, memory, tuple(notes)), memory


def prepare(observer: Observer, memory: Memory, setpoints: Mapping[str, float]) -> Memory:
    """The memory with the next cycle's work that needs no look at the line, for the setpoints expected then.

    Whether it was called or not, and with what, the next belief is the same to the last bit.
    """
    expected, last = _expected(observer, memory), memory.steps[-1]
    u, p = inputs(observer, {**last.observation.setpoints, **setpoints}, last.observation.target)
    ahead = look_ahead(observer, last, expected.bank, 1, u, p)
    return replace(memory, expected=replace(expected, ahead=ahead))


def _expected(observer: Observer, memory: Memory) -> Expected:
    """What the memory says of the next cycle by itself: made anew unless it is there for these very steps."""
    if memory.expected is not None and memory.expected.steps is memory.steps and memory.expected.of is memory.bank:
        return memory.expected
    states = observer.bundle.state("api_gain"), observer.bundle.state("nir_bias_pct")
    bank = opened(memory.bank, memory.steps[-1].time_s, states, observer.noise, observer.bundle.cycle_s)
    return Expected(memory.steps, memory.bank, bank, _disturbed(observer, memory))


def _over(observer: Observer, memory: Memory, observation: Observation) -> bool:
    """Whether to begin anew: too long a gap, no number left, or a first look that finds the line as it should be."""
    late_start = not memory.nir_seen and in_operation(observation)
    return late_start or _lost(observer, memory.steps[-1]) or _gap(memory, observation) > observer.noise.max_gap_s


def _lost(observer: Observer, step: Step) -> bool:
    """Whether it holds what no powder can be, or no number: nothing that follows would come back from there."""
    api_pct = step.mean[observer.bundle.state("feed_frame_api_pct")]
    return not (-IMPOSSIBLE_PCT < api_pct < 100 + IMPOSSIBLE_PCT and np.all(np.isfinite(step.cov)))


def _gap(memory: Memory, observation: Observation) -> float:
    return observation.time_s - memory.steps[-1].time_s


def _without(observer: Observer, memory: Memory, result: LabResult) -> tuple[Memory, str]:
    """As if the sample's earlier result had never come, as far back as the memory reaches."""
    steps, note = memory.steps, f"laboratory sample {result.name} is corrected"
    start = min(range(len(steps)), key=lambda i: abs(steps[i].time_s - result.sample_time_s))
    if start == 0:
        return memory, f"{note}: as old as the memory, what it had moved stays"
    at = steps[start]
    left = {name: value for name, value in at.observation.values.items() if name not in LABORATORY}
    told, from_ = {start: replace(at, observation=replace(at.observation, values=left))}, start
    freed_at = [freed_s for sample_s, freed_s in memory.judged if sample_s == at.time_s]
    for i in (i for i in range(1, start) if steps[i].time_s in freed_at):
        variance = (observer.noise.jump_gain**2, observer.noise.jump_nir_pct**2)
        bound = tuple(max(0.0, have - given) for have, given in zip(steps[i].freed, variance, strict=True))
        told[i], from_ = replace(steps[i], freed=(bound[0], bound[1])), min(from_, i)
    judged = tuple(pair for pair in memory.judged if pair[0] != at.time_s)
    anew = tuple(told.get(i, step) for i, step in enumerate(steps))
    return replace(memory, steps=rerun(observer, anew, from_ - 1), judged=judged), note


def _with_laboratory(observer: Observer, memory: Memory, result: LabResult) -> tuple[Memory, str]:
    steps = memory.steps
    if result.sample_time_s < steps[0].time_s - observer.bundle.cycle_s:
        return (
            memory,
            f"laboratory sample {result.name} is older than the memory: kept on record, not used",
        )
    if np.isfinite(result.assay_pct):
        memory = _let_go(observer, memory, result.sample_time_s - LAB_LOOKS_BACK_S)
    steps = with_step_at(observer, memory.steps, result.sample_time_s)
    start = min(range(len(steps)), key=lambda i: abs(steps[i].time_s - result.sample_time_s))
    at, noise = steps[start], observer.noise
    values: dict[str, tuple[float, float]] = {}
    if np.isfinite(result.assay_pct):
        values["y_lab_assay"] = (result.assay_pct, _assay_sigma_pct(observer, at, result.assay_pct))
    if np.isfinite(result.tablet_weight_mg):
        values["y_lab_weight"] = (result.tablet_weight_mg, noise.lab_weight_mg)
    # The values stay with the step, so that a later run from before it meets them again.
    joined = replace(at.observation, values={**at.observation.values, **values})
    frame = observer.bundle.state("feed_frame_api_pct")
    believed = float(at.mean[frame])
    note = f"laboratory sample {result.name}: assay {result.assay_pct:.2f} % w/w, belief then {believed:.2f}"
    surprise = 0.0
    if "y_lab_assay" in values:
        surprise = (result.assay_pct - believed) / (float(at.cov[frame, frame]) + values["y_lab_assay"][1] ** 2) ** 0.5
    if abs(surprise) > noise.lab_surprise and start > 0 and not shaken(observer, at):
        # Neither delivery nor NIR is as sure as it seemed: the laboratory is to say which of them is off.
        since_s = at.time_s - LAB_LOOKS_BACK_S
        from_ = min(range(start), key=lambda i: abs(steps[i].time_s - since_s))
        freed = free(observer, steps[from_], (noise.jump_gain**2, noise.jump_nir_pct**2))
        told = replace(at, observation=joined)
        corrected = (*steps[:from_], freed, *steps[from_ + 1 : start], told, *steps[start + 1 :])
        note += f": {abs(surprise):.1f} sigmas off, delivery and NIR are judged anew by it"
        judged = (*memory.judged, (at.time_s, steps[from_].time_s))[-JUDGED_KEPT:]
        steps = rerun(observer, corrected, from_)
        return replace(memory, steps=steps, bank=Bank.empty(len(at.mean)), judged=judged), note
    u, p = inputs(observer, at.observation.setpoints, at.observation.target)
    there = look_ahead(observer, at, Bank.empty(len(at.mean)), 0, u, p)
    mean, cov, _ = correct(observer, there, replace(at.observation, values=values))
    corrected = (*steps[:start], replace(at, mean=mean, cov=cov, observation=joined), *steps[start + 1 :])
    return replace(memory, steps=rerun(observer, corrected, start)), note


def _assay_sigma_pct(observer: Observer, at: Step, assay_pct: float) -> float:
    """Doubt of an assay, % w/w: its own, and on a steep change that is on its way what a moment earlier or later makes.

    Such a sample says where the change was, and nothing of delivery or NIR.
    """
    sigma_pct = observer.noise.lab_assay_rel * assay_pct
    if not shaken(observer, at):
        return sigma_pct
    frame = observer.bundle.state("feed_frame_api_pct")
    return float(np.hypot(sigma_pct, at.mean[frame] - at.mean[frame - 1]))


def _watch_for_jump(observer: Observer, memory: Memory) -> tuple[Memory, tuple[str, ...]]:
    """On a sure enough jump, free what jumped from its onset on and run the filter again from there."""
    noise, last = observer.noise, memory.steps[-1]
    if last.time_s < memory.quiet_until_s:
        return replace(memory, bank=Bank.empty(len(last.mean)), suspicion=None), ()
    found = suspicion(memory.bank, noise)
    memory = replace(memory, suspicion=found)
    if max(found.loss, found.nir) < noise.jump_sure:
        return memory, ()
    start = min(range(len(memory.steps)), key=lambda i: abs(memory.steps[i].time_s - found.onset_s))
    memory = _let_go(observer, memory, found.onset_s)
    variance = (noise.jump_gain**2, 0.0) if found.kind == LOSS else (0.0, noise.jump_nir_pct**2)
    freed = free(observer, memory.steps[start], variance)
    steps = rerun(observer, (*memory.steps[:start], freed, *memory.steps[start + 1 :]), start)
    sure = 100 * max(found.loss, found.nir)
    if found.kind == LOSS:
        i = observer.bundle.state("api_gain")
        change = 100 * (steps[-1].mean[i] - memory.steps[-1].mean[i])
        text = f"delivered API {change:+.1f} % at once ({sure:.0f} % sure, by how it arrives): laboratory to confirm"
    else:
        i = observer.bundle.state("nir_bias_pct")
        change = steps[-1].mean[i] - memory.steps[-1].mean[i]
        text = f"the NIR jumped by {change:+.2f} % w/w ({sure:.0f} % sure, too fast for the blend): look at the probe"
    rest_s = last.time_s + transport_s(observer, last.observation.target)
    return replace(memory, steps=steps, bank=Bank.empty(len(last.mean)), suspicion=None, quiet_until_s=rest_s), (text,)


def hold(observer: Observer, memory: Memory, names: tuple[str, ...], now_s: float) -> Memory:
    """The memory whose states of these names neither move nor are doubted more from its newest step on.

    What is not held any more is doubted as if it never had been; no estimate changes by that.
    """
    assert memory.watch is not None, "what is not told is found by watching"
    if names == memory.watch.held:
        return memory
    more = withheld(observer, memory.watch, now_s)
    indices = tuple(observer.bundle.state(name) for name in names)
    last = free(observer, replace(memory.steps[-1], held=indices), more)
    watch = replace(memory.watch, held=names, held_since_s=now_s)
    return replace(memory, steps=(*memory.steps[:-1], last), watch=watch)


def _let_go(observer: Observer, memory: Memory, since_s: float) -> Memory:
    """With nothing held any more, as if nothing had been since then: what was withheld until then is given there."""
    if memory.watch is None or not memory.watch.held:
        return memory
    start = min(range(len(memory.steps)), key=lambda i: abs(memory.steps[i].time_s - since_s))
    steps = [replace(step, held=()) for step in memory.steps]
    steps[start] = free(observer, steps[start], withheld(observer, memory.watch, steps[start].time_s))
    watch = replace(memory.watch, held=())
    return replace(memory, steps=rerun(observer, tuple(steps), start), watch=watch)


def begin(observer: Observer, observation: Observation) -> Memory:
    """The memory to start from: one step, at the prior."""
    mean, cov = prior(observer, observation)
    quiet_s = rests_until_s(observer, observation)
    return Memory((Step(observation.time_s, mean, cov, 0, observation),), Bank.empty(len(mean)), quiet_until_s=quiet_s)


def _disturbed(observer: Observer, memory: Memory) -> bool:
    now_s, look_s = memory.steps[-1].time_s, 3 * transport_s(observer, memory.steps[-1].observation.target)
    recent = takewhile(lambda step: step.time_s >= now_s - look_s, reversed(memory.steps))
    return feeder_disturbed(observer, [step.observation for step in recent])


def _told(observer: Observer, memory: Memory, notes: tuple[str, ...]) -> Belief:
    last = memory.steps[-1]
    return belief(observer, last.observation, last.mean, last.cov, memory.suspicion, notes)
