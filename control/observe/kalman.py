"""OBSERVE: an extended Kalman filter on the controller bundle's model, with late laboratory values and step detection.

Feeders, NIR and press force are fused every cycle; a laboratory value enters at its *sample* time: the filter goes
back to the state it had then, corrects it, and runs forward again over what it had seen since. A slow change of the
gap between feeders and NIR is put down to the NIR (bias walks faster than the gain); a fast one to what it looks like:
delivered API when it arrives as the blender spreads it, the NIR when it is there at once (`hypotheses`). The
laboratory decides in every case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from control.bundle import ControllerBundle
from control.observe.hypotheses import LOSS, Bank, Suspicion, met, moved, opened, suspicion
from control.settings import ControlSettings, ObserverSettings
from control.signals import Belief, LabResult, Quality, Target
from soft_sensors.signals import FloatArray

FULL_LINE_PCT_OF_TARGET = 10.0  # NIR off by more at the start: the line is filling or holds another product


@dataclass(frozen=True)
class Observation:
    """What one cycle saw: (value, sigma) pairs by measurement name, the setpoints worked with, the target, lab results.

    values: kg/h, % w/w, kN by the model's measurement names; a missing sensor is simply absent.
    """

    time_s: float
    values: Mapping[str, tuple[float, float]]
    setpoints: Mapping[str, float]
    target: Target
    lab: tuple[LabResult, ...] = ()
    nir_trusted: bool = True


@dataclass(frozen=True)
class Step:
    """One remembered cycle: the estimate after it, and what made it.

    freed: variance given there to the API gain and to the NIR bias.
    """

    time_s: float
    mean: FloatArray
    cov: FloatArray
    cycles: int
    observation: Observation
    freed: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Memory:
    """The observer's whole state: remembered steps (newest last), the bank of jumps and what it suspects.

    quiet_until_s: until then the bank rests, for what a jump brought about is still on its way to the probe.
    """

    steps: tuple[Step, ...]
    bank: Bank
    suspicion: Suspicion | None = None
    quiet_until_s: float = 0.0


@dataclass(frozen=True)
class Observer:
    """The observer's fixed parts: bundle, settings and derived noise matrices."""

    bundle: ControllerBundle
    settings: ControlSettings

    @property
    def noise(self) -> ObserverSettings:
        """The noise settings."""
        return self.settings.observer

    @property
    def api_flow(self) -> str:
        """The state that is the API's flow."""
        return f"flow_{self.settings.named('api')}"


def begin(observer: Observer, observation: Observation) -> Memory:
    """A belief to start from: flows and force as seen, biases unknown, the line at its target.

    Unless the NIR sees something quite different: then the line is full of that, give or take all the difference.
    """
    bundle, noise = observer.bundle, observer.noise
    mean, sigma = np.zeros(len(bundle.states)), np.zeros(len(bundle.states))
    aim_pct = observation.target.api_pct
    start_pct, doubt_pct = observation.values.get("y_nir", (aim_pct, 0.0))
    if abs(start_pct - aim_pct) <= max(FULL_LINE_PCT_OF_TARGET / 100 * aim_pct, 3 * doubt_pct):
        start_pct = aim_pct  # a line in operation: the feeders know better than one spectrum
    for i, name in enumerate(bundle.states):
        seen = observation.values.get(f"y_{name}") or observation.values.get("y_force" if "force" in name else "")
        if name.startswith("flow_"):
            setpoint = observation.setpoints[name.removeprefix("flow_")]
            mean[i], sigma[i] = seen or (setpoint, 0.1 * setpoint)
        elif name.endswith("_force_kn"):
            mean[i], sigma[i] = seen or (observer.settings.plant.force_ref_kn, 1.0)
        elif name == "api_gain":
            mean[i], sigma[i] = 1.0, noise.gain_start
        elif name == "nir_bias_pct":
            sigma[i] = noise.nir_bias_start_pct
        elif name == "weight_bias_mg":
            sigma[i] = noise.weight_bias_start_mg
        elif name == "api_flow_bias_kg_h":
            sigma[i] = noise.api_flow_bias_start_rel * observation.setpoints[observer.settings.named("api")]
        else:
            mean[i], sigma[i] = start_pct, max(0.02 * aim_pct, abs(start_pct - aim_pct))
    first = Step(observation.time_s, mean, np.diag(sigma**2), 0, observation)
    return Memory((first,), Bank.empty(len(mean)))


def observe(observer: Observer, memory: Memory | None, observation: Observation) -> tuple[Belief, Memory]:
    """Fuse one cycle's observation into the belief; pure: the memory is handed in and handed back."""
    if memory is None or _lost(memory.steps[-1]) or _gap(memory, observation) > observer.noise.max_gap_s:
        memory = begin(observer, observation)
    notes: list[str] = []
    for result in observation.lab:
        memory, note = _with_laboratory(observer, memory, result)
        notes.append(note)
    last = memory.steps[-1]
    cycles = max(0, round((observation.time_s - last.time_s) / observer.bundle.cycle_s))
    states = observer.bundle.state("api_gain"), observer.bundle.state("nir_bias_pct")
    bank = opened(memory.bank, last.time_s, states, observer.noise, observer.bundle.cycle_s)
    step, bank = _advance(observer, last, observation, cycles, bank)
    horizon_s = observation.time_s - observer.noise.memory_s
    kept = tuple(s for s in memory.steps if s.time_s >= horizon_s)
    memory, jump = _watch_for_jump(observer, replace(memory, steps=(*kept, step), bank=bank))
    notes.extend(jump)
    return _belief(observer, memory, tuple(notes)), memory


def _lost(step: Step) -> bool:
    """Whether no number is left in it: nothing that follows could ever be one again."""
    return not (np.all(np.isfinite(step.mean)) and np.all(np.isfinite(step.cov)))


def _gap(memory: Memory, observation: Observation) -> float:
    return observation.time_s - memory.steps[-1].time_s


def _advance(
    observer: Observer, last: Step, observation: Observation, cycles: int, bank: Bank
) -> tuple[Step, Bank]:  # fmt: skip
    mean, cov = last.mean, last.cov
    u = np.array([observation.setpoints[name] for name in observer.bundle.inputs])
    p = observer.bundle.targets(observation.target)[:, 0]
    for _ in range(cycles):
        variance = _process_variance(observer, mean)
        moved_mean, A = observer.bundle.call("predict", mean, u, p)
        mean, cov = moved_mean[:, 0], A @ cov @ A.T
        cov[np.diag_indices_from(cov)] += variance
        bank = moved(bank, A)
    mean, cov, bank = _correct(observer, mean, cov, u, p, observation, bank)
    return Step(observation.time_s, mean, cov, cycles, observation), bank


def _process_variance(observer: Observer, mean: FloatArray) -> FloatArray:
    noise, per_cycle = observer.noise, (observer.bundle.cycle_s / 3600.0) ** 0.5
    walk = np.empty(len(mean))
    for i, name in enumerate(observer.bundle.states):
        if name.startswith("flow_"):
            walk[i] = noise.flow_walk_rel * mean[i]
        elif name == "api_gain":
            walk[i] = noise.gain_rw * per_cycle
        elif name == "nir_bias_pct":
            walk[i] = noise.nir_bias_rw_pct * per_cycle
        elif name == "weight_bias_mg":
            walk[i] = noise.weight_bias_rw_mg * per_cycle
        elif name == "api_flow_bias_kg_h":
            walk[i] = noise.api_flow_bias_rw_rel * per_cycle * mean[observer.bundle.state(observer.api_flow)]
        elif name.endswith("_force_kn"):
            walk[i] = 0.5 * noise.force_kn
        else:
            walk[i] = noise.mixing_rel * mean[i]
    return walk**2


def _correct(
    observer: Observer, mean: FloatArray, cov: FloatArray, u: FloatArray, p: FloatArray, seen: Observation, bank: Bank
) -> tuple[FloatArray, FloatArray, Bank]:
    """Scalar updates one measurement after the other, in the filter and in the bank beside it."""
    y, C = observer.bundle.call("measure", mean, u, p)
    prior, watched = mean, bool(len(bank.kind))
    for i, name in enumerate(observer.bundle.measurements):
        if name not in seen.values:
            continue
        value, sigma = seen.values[name]
        row = C[i]
        crossed = cov @ row
        variance = float(row @ crossed) + sigma**2
        innovation = float(value - y[i, 0] - row @ (mean - prior))
        gain = crossed / variance
        if watched:
            trusted = name == "y_nir" and seen.nir_trusted
            bank = met(bank, row, gain, variance, innovation if trusted else None)
        mean = mean + gain * innovation
        cov = cov - np.outer(crossed, gain)
    return mean, 0.5 * (cov + cov.T), bank


def _rerun(observer: Observer, steps: tuple[Step, ...], start: int) -> tuple[Step, ...]:
    """Run the filter again over the remembered observations that follow steps[start]."""
    fresh, none = list(steps[: start + 1]), Bank.empty(len(steps[0].mean))
    for old in steps[start + 1 :]:
        step, _ = _advance(observer, fresh[-1], old.observation, old.cycles, none)
        fresh.append(_free(observer, step, old.freed))
    return tuple(fresh)


def _free(observer: Observer, step: Step, variance: tuple[float, float]) -> Step:
    if not any(variance):
        return step
    cov = step.cov.copy()
    for name, more in zip(("api_gain", "nir_bias_pct"), variance, strict=True):
        i = observer.bundle.state(name)
        cov[i, i] += more
    return replace(step, cov=cov, freed=(step.freed[0] + variance[0], step.freed[1] + variance[1]))


def _with_laboratory(observer: Observer, memory: Memory, result: LabResult) -> tuple[Memory, str]:
    steps = memory.steps
    if result.sample_time_s < steps[0].time_s - observer.bundle.cycle_s:
        return (
            memory,
            f"laboratory sample {result.counter} is older than the memory: kept on record, not used",
        )
    start = min(range(len(steps)), key=lambda i: abs(steps[i].time_s - result.sample_time_s))
    at, noise = steps[start], observer.noise
    values: dict[str, tuple[float, float]] = {}
    if np.isfinite(result.assay_pct):
        values["y_lab_assay"] = (result.assay_pct, noise.lab_assay_rel * result.assay_pct)
    if np.isfinite(result.tablet_weight_mg):
        values["y_lab_weight"] = (result.tablet_weight_mg, noise.lab_weight_mg)
    # The values stay with the step, so that a later run from before it meets them again.
    joined = replace(at.observation, values={**at.observation.values, **values})
    frame = observer.bundle.state("feed_frame_api_pct")
    believed = float(at.mean[frame])
    note = f"laboratory sample {result.counter}: assay {result.assay_pct:.2f} % w/w, belief then {believed:.2f}"
    surprise = 0.0
    if "y_lab_assay" in values:
        surprise = (result.assay_pct - believed) / (float(at.cov[frame, frame]) + values["y_lab_assay"][1] ** 2) ** 0.5
    if abs(surprise) > noise.lab_surprise and start > 0:
        # Neither delivery nor NIR is as sure as it seemed: the laboratory is to say which of them is off.
        since_s = at.time_s - noise.jump_memory_s
        from_ = min(range(start), key=lambda i: abs(steps[i].time_s - since_s))
        freed = _free(observer, steps[from_], (noise.jump_gain**2, noise.jump_nir_pct**2))
        told = replace(at, observation=joined)
        corrected = (*steps[:from_], freed, *steps[from_ + 1 : start], told, *steps[start + 1 :])
        note += f": {abs(surprise):.1f} sigmas off, delivery and NIR are judged anew by it"
        return replace(memory, steps=_rerun(observer, corrected, from_), bank=Bank.empty(len(at.mean))), note
    u = np.array([at.observation.setpoints[name] for name in observer.bundle.inputs])
    p = observer.bundle.targets(at.observation.target)[:, 0]
    none = Bank.empty(len(at.mean))
    mean, cov, _ = _correct(observer, at.mean, at.cov, u, p, replace(at.observation, values=values), none)
    corrected = (*steps[:start], replace(at, mean=mean, cov=cov, observation=joined), *steps[start + 1 :])
    return replace(memory, steps=_rerun(observer, corrected, start)), note


def _watch_for_jump(observer: Observer, memory: Memory) -> tuple[Memory, tuple[str, ...]]:
    """On a sure enough jump, free what jumped from its onset on and run the filter again from there."""
    noise, last = observer.noise, memory.steps[-1]
    if last.time_s < memory.quiet_until_s or _feeder_disturbed(observer, memory):
        return replace(memory, bank=Bank.empty(len(last.mean)), suspicion=None), ()
    found = suspicion(memory.bank, noise)
    memory = replace(memory, suspicion=found)
    if max(found.loss, found.nir) < noise.jump_sure:
        return memory, ()
    start = min(range(len(memory.steps)), key=lambda i: abs(memory.steps[i].time_s - found.onset_s))
    variance = (noise.jump_gain**2, 0.0) if found.kind == LOSS else (0.0, noise.jump_nir_pct**2)
    freed = _free(observer, memory.steps[start], variance)
    steps = _rerun(observer, (*memory.steps[:start], freed, *memory.steps[start + 1 :]), start)
    sure = 100 * max(found.loss, found.nir)
    if found.kind == LOSS:
        i = observer.bundle.state("api_gain")
        change = 100 * (steps[-1].mean[i] - memory.steps[-1].mean[i])
        text = f"delivered API {change:+.1f} % at once ({sure:.0f} % sure, by how it arrives): laboratory to confirm"
    else:
        i = observer.bundle.state("nir_bias_pct")
        change = steps[-1].mean[i] - memory.steps[-1].mean[i]
        text = f"the NIR jumped by {change:+.2f} % w/w ({sure:.0f} % sure, too fast for the blend): look at the probe"
    rest_s = last.time_s + _transport_s(observer, last.observation.target)
    return replace(memory, steps=steps, bank=Bank.empty(len(last.mean)), suspicion=None, quiet_until_s=rest_s), (text,)


def _feeder_disturbed(observer: Observer, memory: Memory) -> bool:
    """Whether a change that is known (a feeder's own, or one we asked for) is still on its way to the probe.

    How exactly it arrives is beyond the model: what is left over then is not evidence of a hidden step.
    """
    api = observer.settings.named("api")
    now_s, look_s = memory.steps[-1].time_s, 3 * _transport_s(observer, memory.steps[-1].observation.target)
    recent = [s.observation for s in memory.steps if s.time_s >= now_s - look_s]
    much = observer.noise.feeder_disturbed_rel
    asked = [seen.target.api_pct * seen.target.throughput_kg_h for seen in recent]
    if max(asked) > (1 + much) * min(asked):
        return True
    flows = [(seen.values.get(f"y_flow_{api}"), seen.setpoints[api]) for seen in recent]
    return any(flow is not None and abs(flow[0] - wanted) > much * wanted for flow, wanted in flows)


def _transport_s(observer: Observer, target: Target) -> float:
    """Time from feeder to probe until a change begins to show: the part of the mean residence time that is delay."""
    plant = observer.settings.plant
    held_kg = plant.blender_kg + plant.transport_kg + plant.feed_frame_kg
    return observer.noise.jump_lead * held_kg / target.throughput_kg_h * 3600


def _belief(observer: Observer, memory: Memory, notes: tuple[str, ...]) -> Belief:
    """The average over all hypotheses: what is half suspected is half acted on."""
    bundle, last, doubt = observer.bundle, memory.steps[-1], memory.suspicion
    mean, variance = last.mean, np.maximum(np.diag(last.cov), 0.0)
    if doubt is not None:
        mean, variance = mean + doubt.shift, variance + doubt.variance
    u = np.array([last.observation.setpoints[name] for name in bundle.inputs])
    y, _ = bundle.call("measure", mean, u, bundle.targets(last.observation.target)[:, 0])

    def of(name: str) -> tuple[float, float]:
        i = bundle.state(name)
        return float(mean[i]), float(variance[i] ** 0.5)

    api, gain, bias = of("feed_frame_api_pct"), of("api_gain"), of("nir_bias_pct")
    finite = bool(np.all(np.isfinite(mean)) and np.all(np.isfinite(last.cov)))
    return Belief(
        time_s=last.time_s,
        api_pct=api[0],
        api_sigma_pct=api[1],
        api_gain=gain[0],
        api_gain_sigma=gain[1],
        nir_bias_pct=bias[0],
        nir_bias_sigma_pct=bias[1],
        tablet_weight_mg=float(y[bundle.measurements.index("y_lab_weight"), 0]),
        weight_bias_mg=of("weight_bias_mg")[0],
        quality=Quality.GOOD if finite else Quality.BAD,
        reason="" if finite else "the observer's state is not finite",
        state=tuple(float(v) for v in mean),
        notes=notes,
        loss_probability=0.0 if doubt is None else doubt.loss,
        nir_jump_probability=0.0 if doubt is None else doubt.nir,
    )
