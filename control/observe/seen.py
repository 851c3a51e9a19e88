"""what one cycle saw -> what both observers share: where to start, how states walk, the belief that goes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from control.bundle import ControllerBundle
from control.observe.hypotheses import Suspicion
from control.observe.mhe import Estimator
from control.observe.window_model import window_model
from control.settings import ControlSettings, ObserverSettings
from control.signals import Belief, LabResult, Quality, Target
from soft_sensors.signals import FloatArray

UNMIXED = 0.05  # our choice: of the step between two tanks, in a cycle
FILLING_TRANSPORTS = 6  # our choice: after so many, what a start brought about is past the probe for good
FULL_LINE_PCT_OF_TARGET = 10.0  # NIR off by more at the start: the line is filling or holds another product

# Our choice: while a known change is on its way the NIR counts as so much less sure. Silencing it altogether let the
# belief stand at 101 % of label claim for seven minutes while the NIR rose to 117 % (a load cell that lost its span).
DISTURBED_DOUBT = 3.0


@dataclass(frozen=True)
class Observation:
    """What one cycle saw: (value, sigma) pairs by measurement name, the setpoints worked with, the target, lab results.

    values: kg/h, % w/w, kN by the model's measurement names; a missing sensor is simply absent. nir_trusted: whether
    the NIR is evidence of a jump; nir_doubt: how many times less sure it then counts.
    """

    time_s: float
    values: Mapping[str, tuple[float, float]]
    setpoints: Mapping[str, float]
    target: Target
    lab: tuple[LabResult, ...] = ()
    nir_trusted: bool = True
    nir_doubt: float = 1.0


@dataclass(frozen=True)
class Observer:
    """The observer's fixed parts: bundle and settings, and what follows from them."""

    bundle: ControllerBundle
    settings: ControlSettings

    @cached_property
    def estimator(self) -> Estimator:
        """The moving-horizon estimator on the bundle's model; masses, flows and forces cannot be negative."""
        states, length = self.bundle.states, self.noise.horizon_steps
        predict, measure = window_model(self.bundle, length)
        signed = [name.endswith(("bias_pct", "bias_mg", "bias_kg_h")) for name in states]
        low = np.where(signed, -np.inf, 1e-6)
        return Estimator(
            predict, measure, states, self.bundle.measurements, length, low, np.full(len(states), np.inf),
            arithmetic=self.bundle.arithmetic,
        )  # fmt: skip

    @property
    def noise(self) -> ObserverSettings:
        """The noise settings."""
        return self.settings.observer

    @property
    def api_flow(self) -> str:
        """The state that is the API's flow."""
        return f"flow_{self.settings.named('api')}"


def in_operation(observation: Observation) -> bool:
    """Whether the NIR sees about what the recipe asks for: then the feeders know better than one spectrum."""
    aim_pct = observation.target.api_pct
    seen_pct, doubt_pct = observation.values.get("y_nir", (np.inf, 0.0))
    return abs(seen_pct - aim_pct) <= max(FULL_LINE_PCT_OF_TARGET / 100 * aim_pct, 3 * doubt_pct)


def rests_until_s(observer: Observer, observation: Observation) -> float:
    """Until when jumps are not looked for after a start: a filling line is one whole change on its way."""
    if in_operation(observation):
        return 0.0
    return observation.time_s + FILLING_TRANSPORTS * transport_s(observer, observation.target)


def prior(observer: Observer, observation: Observation) -> tuple[FloatArray, FloatArray]:
    """State [n] and covariance [n, n] to start from: flows and force as seen, biases unknown, the line at its target.

    Unless the NIR sees something else, or nothing yet: then the line may be full of anything, of the same thing all
    over: a doubt that all tanks share, so that one look at one end tells of the others.
    """
    bundle, noise = observer.bundle, observer.noise
    mean, sigma = np.zeros(len(bundle.states)), np.zeros(len(bundle.states))
    aim_pct = observation.target.api_pct
    start_pct, shared_pct = aim_pct, 0.0
    if not in_operation(observation):
        start_pct = observation.values.get("y_nir", (aim_pct, 0.0))[0]
        shared_pct = max(abs(start_pct - aim_pct), 0.0 if "y_nir" in observation.values else aim_pct)
    tanks = np.zeros(len(bundle.states), bool)
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
            mean[i], sigma[i], tanks[i] = start_pct, 0.02 * aim_pct, True
    cov = np.diag(sigma**2)
    cov[np.ix_(tanks, tanks)] += shared_pct**2
    return mean, cov


def process_sigma(observer: Observer, mean: FloatArray) -> FloatArray:
    """Process noise of one cycle, a standard deviation a state [n]."""
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
    return walk


def unmixed_sigma(observer: Observer, mean: FloatArray) -> FloatArray:
    """What mixing in tanks does not know of a steep change on its way: a standard deviation a state of one cycle [n].

    In proportion to the step from tank to tank, which is nothing in ordinary operation.
    """
    states, found = observer.bundle.states, np.zeros(len(mean))
    flows = {name: mean[i] for i, name in enumerate(states) if name.startswith("flow_")}
    total = sum(flows.values())
    upstream = 100 * mean[states.index("api_gain")] * flows[observer.api_flow] / total if total > 0 else 0.0
    for i, name in enumerate(states):
        if name.startswith(("blender_api_pct", "transport_api_pct", "feed_frame_api_pct")):
            found[i] = UNMIXED * abs(mean[i] - upstream)
            upstream = mean[i]
    return found


def feeder_disturbed(observer: Observer, recent: Sequence[Observation]) -> bool:
    """Whether a change that is known (a feeder's own, or one we asked for) is still on its way to the probe.

    How exactly it arrives is beyond the model: what is left over then is weak evidence of a hidden step.
    """
    api = observer.settings.named("api")
    much = observer.noise.feeder_disturbed_rel
    asked = [seen.target.api_pct * seen.target.throughput_kg_h for seen in recent]
    if max(asked) > (1 + much) * min(asked):
        return True
    flows = [(seen.values.get(f"y_flow_{api}"), seen.setpoints[api]) for seen in recent]
    return any(flow is not None and abs(flow[0] - wanted) > much * wanted for flow, wanted in flows)


def transport_s(observer: Observer, target: Target) -> float:
    """Time from feeder to probe until a change begins to show: the part of the mean residence time that is delay."""
    plant = observer.settings.plant
    held_kg = plant.blender_kg + plant.transport_kg + plant.feed_frame_kg
    return observer.noise.jump_lead * held_kg / target.throughput_kg_h * 3600


def belief(
    observer: Observer, observation: Observation, mean: FloatArray, cov: FloatArray, doubt: Suspicion | None,
    notes: tuple[str, ...],
) -> Belief:  # fmt: skip
    """The belief of a state with covariance: the average over all hypotheses, so that what is half suspected is half
    acted on."""
    bundle, variance = observer.bundle, np.maximum(np.diag(cov), 0.0)
    if doubt is not None:
        mean, variance = mean + doubt.shift, variance + doubt.variance
    u = np.array([observation.setpoints[name] for name in bundle.inputs])
    y, _ = bundle.call("measure", mean, u, bundle.targets(observation.target)[:, 0])

    def of(name: str) -> tuple[float, float]:
        i = bundle.state(name)
        return float(mean[i]), float(variance[i] ** 0.5)

    api, gain, bias = of("feed_frame_api_pct"), of("api_gain"), of("nir_bias_pct")
    finite = bool(np.all(np.isfinite(mean)) and np.all(np.isfinite(cov)))
    return Belief(
        time_s=observation.time_s,
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
