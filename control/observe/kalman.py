"""OBSERVE: an extended Kalman filter on the controller bundle's model, with late laboratory values and step detection.

Feeders, NIR and press force are fused every cycle; a laboratory value enters at its *sample* time: the filter goes
back to the state it had then, corrects it, and runs forward again over what it had seen since. A slow change of the
gap between feeders and NIR is put down to the NIR (bias walks faster than the gain); a fast one, found by a CUSUM on
the NIR innovations, is put down to the delivered API from the moment it began. The laboratory decides in both cases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from control.bundle import ControllerBundle
from control.settings import ControlSettings, ObserverSettings
from control.signals import Belief, LabResult, Quality, Target
from soft_sensors.signals import FloatArray


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
    """One remembered cycle: the estimate after it, and what made it; freed: variance given to the API gain there."""

    time_s: float
    mean: FloatArray
    cov: FloatArray
    cycles: int
    observation: Observation
    freed: float = 0.0


@dataclass(frozen=True)
class Memory:
    """The observer's whole state: remembered steps (newest last), CUSUM sums, and since when each one grows.

    quiet_until_s: until then the CUSUM rests, for what a step brought about is still on its way to the probe.
    """

    steps: tuple[Step, ...]
    cusum: tuple[float, float] = (0.0, 0.0)
    onset_s: tuple[float, float] = (0.0, 0.0)
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


def begin(observer: Observer, observation: Observation) -> Memory:
    """A belief to start from: the line at its target with the flows and force that are seen, biases unknown."""
    bundle, noise = observer.bundle, observer.noise
    mean, sigma = np.zeros(len(bundle.states)), np.zeros(len(bundle.states))
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
        else:
            mean[i], sigma[i] = observation.target.api_pct, 0.02 * observation.target.api_pct
    return Memory((Step(observation.time_s, mean, np.diag(sigma**2), 0, observation),))


def observe(observer: Observer, memory: Memory | None, observation: Observation) -> tuple[Belief, Memory]:
    """Fuse one cycle's observation into the belief; pure: the memory is handed in and handed back."""
    if memory is None or observation.time_s - memory.steps[-1].time_s > observer.noise.max_gap_s:
        memory = begin(observer, observation)
    notes: list[str] = []
    for result in observation.lab:
        memory, note = _with_laboratory(observer, memory, result)
        notes.append(note)
    last = memory.steps[-1]
    cycles = max(0, round((observation.time_s - last.time_s) / observer.bundle.cycle_s))
    step, innovation = _advance(observer, last, observation, cycles)
    horizon_s = observation.time_s - observer.noise.memory_s
    kept = tuple(s for s in memory.steps if s.time_s >= horizon_s)
    memory = replace(memory, steps=(*kept, step))
    if innovation is not None:
        memory, jump = _watch_for_jump(observer, memory, innovation)
        notes.extend(jump)
    return _belief(observer, memory, tuple(notes)), memory


def _advance(observer: Observer, last: Step, observation: Observation, cycles: int) -> tuple[Step, float | None]:
    mean, cov = last.mean, last.cov
    u = np.array([observation.setpoints[name] for name in observer.bundle.inputs])
    p = observer.bundle.targets(observation.target)[:, 0]
    for _ in range(cycles):
        mean, cov = _predict(observer, mean, cov, u, p)
    mean, cov, innovation = _correct(observer, mean, cov, u, p, observation)
    return Step(observation.time_s, mean, cov, cycles, observation), innovation


def _predict(
    observer: Observer, mean: FloatArray, cov: FloatArray, u: FloatArray, p: FloatArray
) -> tuple[FloatArray, FloatArray]:
    moved, A = observer.bundle.call("predict", mean, u, p)
    return moved[:, 0], A @ cov @ A.T + np.diag(_process_variance(observer, mean))


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
        elif name.endswith("_force_kn"):
            walk[i] = 0.5 * noise.force_kn
        else:
            walk[i] = noise.mixing_rel * mean[i]
    return walk**2


def _correct(
    observer: Observer, mean: FloatArray, cov: FloatArray, u: FloatArray, p: FloatArray, seen: Observation
) -> tuple[FloatArray, FloatArray, float | None]:
    """Scalar updates one measurement after the other; returns the NIR innovation in sigmas when NIR is trusted."""
    y, C = observer.bundle.call("measure", mean, u, p)
    prior, nir_innovation = mean, None
    for i, name in enumerate(observer.bundle.measurements):
        if name not in seen.values:
            continue
        value, sigma = seen.values[name]
        row = C[i]
        expected = y[i, 0] + row @ (mean - prior)
        gain_row = cov @ row
        variance = row @ gain_row + sigma**2
        innovation = value - expected
        if name == "y_nir" and seen.nir_trusted:
            nir_innovation = float(innovation / variance**0.5)
        mean = mean + gain_row * (innovation / variance)
        cov = cov - np.outer(gain_row, gain_row) / variance
    return mean, 0.5 * (cov + cov.T), nir_innovation


def _rerun(observer: Observer, steps: tuple[Step, ...], start: int) -> tuple[Step, ...]:
    """Run the filter again over the remembered observations that follow steps[start]."""
    fresh = list(steps[: start + 1])
    for old in steps[start + 1 :]:
        step = _advance(observer, fresh[-1], old.observation, old.cycles)[0]
        fresh.append(_free(observer, step, old.freed))
    return tuple(fresh)


def _free(observer: Observer, step: Step, variance: float) -> Step:
    if variance == 0.0:
        return step
    gain, cov = observer.bundle.state("api_gain"), step.cov.copy()
    cov[gain, gain] += variance
    return replace(step, cov=cov, freed=step.freed + variance)


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
    u = np.array([at.observation.setpoints[name] for name in observer.bundle.inputs])
    p = observer.bundle.targets(at.observation.target)[:, 0]
    believed = float(at.mean[observer.bundle.state("feed_frame_api_pct")])
    mean, cov, _ = _correct(observer, at.mean, at.cov, u, p, replace(at.observation, values=values))
    # The values stay with the step, so that a later run from before it meets them again.
    joined = replace(at.observation, values={**at.observation.values, **values})
    corrected = (*steps[:start], replace(at, mean=mean, cov=cov, observation=joined), *steps[start + 1 :])
    note = f"laboratory sample {result.counter}: assay {result.assay_pct:.2f} % w/w, belief then {believed:.2f}"
    return replace(memory, steps=_rerun(observer, corrected, start)), note


def _watch_for_jump(observer: Observer, memory: Memory, innovation: float) -> tuple[Memory, tuple[str, ...]]:
    """Two-sided CUSUM (Page 1954) on the NIR innovations; on alarm the gain is freed from the onset on."""
    noise, last = observer.noise, memory.steps[-1]
    if last.time_s < memory.quiet_until_s or _feeder_disturbed(observer, memory):
        return replace(memory, cusum=(0.0, 0.0)), ()
    sums, onsets = list(memory.cusum), list(memory.onset_s)
    for side, signed in enumerate((innovation, -innovation)):
        if sums[side] == 0.0:
            onsets[side] = last.time_s
        sums[side] = max(0.0, sums[side] + float(np.clip(signed, -3, 3)) - noise.jump_slack)
    memory = replace(memory, cusum=(sums[0], sums[1]), onset_s=(onsets[0], onsets[1]))
    side = 0 if sums[0] > sums[1] else 1
    if sums[side] < noise.jump_threshold:
        return memory, ()
    # What the NIR sees begin now was delivered one transport earlier.
    began_s = memory.onset_s[side] - _transport_s(observer, last.observation.target)
    start = min(range(len(memory.steps)), key=lambda i: abs(memory.steps[i].time_s - began_s))
    freed = _free(observer, memory.steps[start], noise.jump_gain**2)
    steps = _rerun(observer, (*memory.steps[:start], freed, *memory.steps[start + 1 :]), start)
    gain = observer.bundle.state("api_gain")
    change = 100 * (steps[-1].mean[gain] - memory.steps[-1].mean[gain])
    text = f"fast change seen by NIR: delivered API {change:+.1f} %, laboratory to confirm"
    rest_s = last.time_s + 2 * _transport_s(observer, last.observation.target)
    return replace(memory, steps=steps, cusum=(0.0, 0.0), quiet_until_s=rest_s), (text,)


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
    bundle, last = observer.bundle, memory.steps[-1]
    u = np.array([last.observation.setpoints[name] for name in bundle.inputs])
    y, _ = bundle.call("measure", last.mean, u, bundle.targets(last.observation.target)[:, 0])

    def of(name: str) -> tuple[float, float]:
        i = bundle.state(name)
        return float(last.mean[i]), float(max(last.cov[i, i], 0.0) ** 0.5)

    api, gain, bias = of("feed_frame_api_pct"), of("api_gain"), of("nir_bias_pct")
    finite = bool(np.all(np.isfinite(last.mean)) and np.all(np.isfinite(last.cov)))
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
        state=tuple(float(v) for v in last.mean),
        notes=notes,
    )
