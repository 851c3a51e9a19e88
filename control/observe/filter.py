"""One cycle of the extended Kalman filter: the step ahead by the model, then what was seen, one value at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from control.observe.hypotheses import Bank, met, moved
from control.observe.seen import Observation, Observer, process_sigma, transport_s, unmixed_sigma
from control.signals import Target
from soft_sensors.signals import FloatArray

FLOW = "y_flow_"
JUMP_PASSES_TRANSPORTS = 6.0  # until what a jump of a flow brought about has left the line
FLOW_JUMP_SIGMAS = 6.0  # beyond what noise and walk of a flow ever do: a bridge, or a feeder that starts or stops
DRIVE = "api_flow_bias_kg_h"
OFF_LONGEST_S = 300.0  # a drive that is off for longer is learnt after all: no bridge lasts so long


@dataclass(frozen=True)
class Step:
    """One remembered cycle: the estimate after it, and what made it.

    freed: variance given there to the API gain and to the NIR bias; held: positions of states that from there on to
    the next step neither move nor are doubted more; off_s: since when the API's feeder has been far off its setpoint;
    jumped_s: when a feeder's flow last jumped.
    """

    time_s: float
    mean: FloatArray
    cov: FloatArray
    cycles: int
    observation: Observation
    freed: tuple[float, float] = (0.0, 0.0)
    held: tuple[int, ...] = ()
    off_s: float = 0.0
    jumped_s: float = -np.inf


@dataclass(frozen=True)
class Ahead:
    """The prediction that follows a step: mean and cov then, what is measured there (y, C), the bank beside it.

    last, bank, cycles, u, p: what it was made of; it holds for these and no others.
    """

    last: Step
    bank: Bank
    cycles: int
    u: FloatArray
    p: FloatArray
    mean: FloatArray
    cov: FloatArray
    y: FloatArray
    C: FloatArray
    moved: Bank

    def holds(self, last: Step, bank: Bank, cycles: int, u: FloatArray, p: FloatArray) -> bool:
        """Whether it is the prediction that these would give, to the last bit."""
        same = self.last is last and self.bank is bank and self.cycles == cycles
        return same and np.array_equal(self.u, u) and np.array_equal(self.p, p)


def inputs(observer: Observer, setpoints: Mapping[str, float], target: Target) -> tuple[FloatArray, FloatArray]:
    """The model's inputs and parameters of a cycle."""
    u = np.array([setpoints[name] for name in observer.bundle.inputs])
    return u, observer.bundle.targets(target)[:, 0]


def shaken(observer: Observer, step: Step) -> bool:
    """Whether what a jump of a flow brought about is still on its way through the line."""
    way_s = JUMP_PASSES_TRANSPORTS * transport_s(observer, step.observation.target)
    return step.time_s - step.jumped_s < way_s


def with_step_at(observer: Observer, steps: tuple[Step, ...], time_s: float) -> tuple[Step, ...]:
    """The steps, with one of its own for a sample that was taken while nobody looked.

    Without it the sample would stand for the line as it was before the gap, or after: on a change that is a big one
    that nobody saw, and is none. A later run from before it comes to what it came to, for nothing is seen there.
    """
    after = next((i for i, step in enumerate(steps) if step.time_s >= time_s), 0)
    if after == 0 or steps[after].cycles < 2:
        return steps
    before, late, cycle_s = steps[after - 1], steps[after], observer.bundle.cycle_s
    cycles = round((time_s - before.time_s) / cycle_s)
    if not 0 < cycles < late.cycles:
        return steps
    unseen = replace(late.observation, time_s=before.time_s + cycles * cycle_s, values={}, lab=())
    u, p = inputs(observer, unseen.setpoints, unseen.target)
    there, _ = advance(observer, look_ahead(observer, before, Bank.empty(len(before.mean)), cycles, u, p), unseen)
    return (*steps[:after], there, replace(late, cycles=late.cycles - cycles), *steps[after + 1 :])


def look_ahead(observer: Observer, last: Step, bank: Bank, cycles: int, u: FloatArray, p: FloatArray) -> Ahead:
    """The filter so many cycles after `last`, before anything is seen; the bank goes with it."""
    mean, cov, then = last.mean, last.cov, bank
    for _ in range(cycles):
        variance = process_sigma(observer, mean) ** 2
        if shaken(observer, last):
            variance = variance + unmixed_sigma(observer, mean) ** 2
        variance[list(last.held)] = 0.0
        moved_mean, A = observer.bundle.call("predict", mean, u, p)
        mean, cov = moved_mean[:, 0], A @ cov @ A.T
        cov[np.diag_indices_from(cov)] += variance
        then = moved(then, A)
    y, C = observer.bundle.call("measure", mean, u, p)
    return Ahead(last, bank, cycles, u, p, mean, cov, y, C, then)


def advance(observer: Observer, ahead: Ahead, observation: Observation) -> tuple[Step, Bank]:
    """The step that a prediction and what was then seen make."""
    last, off_s = ahead.last, _off_s(observer, ahead, observation)
    jumped = _jumped(observer, ahead, observation)
    if jumped:
        cov = ahead.cov.copy()
        for flow, variance in jumped:
            cov[flow, flow] += variance
        ahead = replace(ahead, cov=cov)
    mean, cov, bank = correct(observer, ahead, observation, untaught=0.0 < off_s <= OFF_LONGEST_S)
    jumped_s = observation.time_s if jumped else last.jumped_s
    return Step(observation.time_s, mean, cov, ahead.cycles, observation, (0.0, 0.0), last.held, off_s, jumped_s), bank


def _jumped(observer: Observer, ahead: Ahead, seen: Observation) -> list[tuple[int, float]]:
    """Flows that are where neither noise nor walk can have brought them: position of the state, variance of the jump.

    Such a flow went there by itself, and just now: nothing that is further down the line says so, nor gain or bias.
    """
    found = []
    for i, name in enumerate(observer.bundle.measurements):
        if name in seen.values and name.startswith(FLOW):
            value, sigma = seen.values[name]
            innovation, row = float(value - ahead.y[i, 0]), ahead.C[i]
            if innovation**2 > FLOW_JUMP_SIGMAS**2 * (float(row @ ahead.cov @ row) + sigma**2):
                found.append((observer.bundle.state(name.removeprefix("y_")), innovation**2))
    return found


def _off_s(observer: Observer, ahead: Ahead, seen: Observation) -> float:
    """How long the API's flow has been further from its setpoint than a drive's own bias ever is; 0: it is not."""
    api = observer.settings.named("api")
    flow, wanted = seen.values.get(f"y_flow_{api}"), seen.setpoints[api]
    if flow is None or abs(flow[0] - wanted) <= observer.noise.feeder_disturbed_rel * wanted:
        return 0.0
    return ahead.last.off_s + ahead.cycles * observer.bundle.cycle_s


def correct(
    observer: Observer, ahead: Ahead, seen: Observation, *, untaught: bool = False
) -> tuple[FloatArray, FloatArray, Bank]:
    """Scalar updates one measurement after the other, in the filter and in the bank beside it.

    A held state is only reckoned with (Schmidt's consider filter): it keeps its mean and its own covariance. So is the
    drive's own bias where this cycle teaches nothing of it (untaught): a powder bridge is none.
    """
    mean, cov, y, C, bank = ahead.mean, ahead.cov, ahead.y, ahead.C, ahead.moved
    prior, watched = mean, bool(len(bank.kind))
    held = list(ahead.last.held)
    if untaught and DRIVE in observer.bundle.states and (drive := observer.bundle.state(DRIVE)) not in held:
        held.append(drive)
    kept = cov[np.ix_(held, held)] if held else None
    for i, name in enumerate(observer.bundle.measurements):
        if name not in seen.values:
            continue
        value, sigma = seen.values[name]
        row = C[i]
        crossed = cov @ row
        variance = float(row @ crossed) + sigma**2
        innovation = float(value - y[i, 0] - row @ (mean - prior))
        gain = crossed / variance
        whole = gain
        if kept is not None:
            gain = gain.copy()
            gain[held] = 0.0
        if watched:
            trusted = name == "y_nir" and seen.nir_trusted
            bank = met(bank, row, gain, variance, innovation if trusted else None, seen.nir_doubt)
        mean = mean + gain * innovation
        cov = cov - np.multiply.outer(crossed, whole)
        if kept is not None:
            cov[np.ix_(held, held)] = kept
    return mean, 0.5 * (cov + cov.T), bank


def rerun(observer: Observer, steps: tuple[Step, ...], start: int) -> tuple[Step, ...]:
    """Run the filter again over the remembered observations that follow steps[start]."""
    fresh, none = list(steps[: start + 1]), Bank.empty(len(steps[0].mean))
    for old in steps[start + 1 :]:
        u, p = inputs(observer, old.observation.setpoints, old.observation.target)
        step, _ = advance(observer, look_ahead(observer, fresh[-1], none, old.cycles, u, p), old.observation)
        fresh.append(free(observer, replace(step, held=old.held), old.freed))
    return tuple(fresh)


def free(observer: Observer, step: Step, variance: tuple[float, float]) -> Step:
    if not any(variance):
        return step
    cov = step.cov.copy()
    for name, more in zip(("api_gain", "nir_bias_pct"), variance, strict=True):
        i = observer.bundle.state(name)
        cov[i, i] += more
    return replace(step, cov=cov, freed=(step.freed[0] + variance[0], step.freed[1] + variance[1]))
