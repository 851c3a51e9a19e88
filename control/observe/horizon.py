"""OBSERVE: moving-horizon estimation on the controller bundle's model, one Gauss-Newton step a cycle.

What the Kalman observer does by running again, the window does by itself: a laboratory value enters at the node of its
sample, and every node is estimated anew; a gross error is weighed down by the robust loss. Jumps are suspected by the
same bank of hypotheses, beside the filter that the newest node's covariance stands for; on a sure one the window gets
room to move what jumped at its onset.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from control.observe.hypotheses import LOSS, Bank, Suspicion, met, moved, opened, suspicion
from control.observe.mhe import Seen, Smoothed, Window, advance, begin, freed
from control.observe.seen import (
    DISTURBED_DOUBT,
    Observation,
    Observer,
    belief,
    feeder_disturbed,
    in_operation,
    prior,
    process_sigma,
    rests_until_s,
    transport_s,
)
from control.observe.told import Watch, withheld
from control.signals import Belief, LabResult
from soft_sensors.signals import FloatArray

HELD_SHARE = 1e-2  # of its process noise is left to a held state: none at all would leave no number to divide by
LABORATORY = ("y_lab_assay", "y_lab_weight")


@dataclass(frozen=True)
class HorizonMemory:
    """The observer's whole state: the window, when its newest node was, what made it, and the bank of jumps.

    watch: what was seen lately, to tell what it does not tell.
    """

    window: Window
    time_s: float
    recent: tuple[Observation, ...]
    bank: Bank
    suspicion: Suspicion | None = None
    quiet_until_s: float = 0.0
    nir_seen: bool = False
    watch: Watch | None = field(default=None, compare=False)


def observe(
    observer: Observer, memory: HorizonMemory | None, observation: Observation
) -> tuple[Belief, HorizonMemory]:  # fmt: skip
    """Fuse one cycle's observation into the belief; pure: the memory is handed in and handed back."""
    bundle, noise = observer.bundle, observer.noise
    u = np.array([observation.setpoints[name] for name in bundle.inputs])
    p = bundle.targets(observation.target)[:, 0]
    late_start = memory is not None and not memory.nir_seen and in_operation(observation)
    if memory is None or late_start or not 0 < observation.time_s - memory.time_s <= noise.max_gap_s:
        mean, cov = prior(observer, observation)
        first, window = begin(observer.estimator, mean, cov, u, p, _values(observer, observation))
        told = "y_nir" in observation.values
        fresh = HorizonMemory(
            window, observation.time_s, (observation,), Bank.empty(len(mean)), None,
            rests_until_s(observer, observation), told,
        )  # fmt: skip
        return belief(observer, observation, first.mean, first.cov, None, first.notes), fresh
    cycles = max(1, round((observation.time_s - memory.time_s) / bundle.cycle_s))
    reach_s = noise.horizon_steps * bundle.cycle_s
    if any(np.isfinite(r.assay_pct) and observation.time_s - r.sample_time_s <= reach_s for r in observation.lab):
        memory = _let_go(observer, memory)
    held = tuple(bundle.state(name) for name in (memory.watch.held if memory.watch else ()))
    window, bank = _taken_back(observer, memory.window, observation, cycles), memory.bank
    states = bundle.state("api_gain"), bundle.state("nir_bias_pct")
    bank = opened(bank, memory.time_s, states, noise, bundle.cycle_s)
    found: Smoothed | None = None
    for left in range(cycles - 1, -1, -1):
        before = window.X[:, -1]
        sigma = np.maximum(process_sigma(observer, before), 1e-9)
        sigma[list(held)] *= HELD_SHARE
        bank, cov = _moved(observer, bank, before, window.cov, u, p, sigma)
        values = _values(observer, observation) if left == 0 else ()
        if left == 0:
            disturbed = feeder_disturbed(observer, memory.recent)
            shown = replace(observation, nir_doubt=DISTURBED_DOUBT) if disturbed else observation
            bank = _met(observer, bank, window, u, p, cov, shown)
        found, window = advance(observer.estimator, window, u, p, sigma, values, held)
    assert found is not None, "at least one cycle was advanced"
    notes = [*found.notes, *(_note(result, observation) for result in observation.lab)]
    look_s = 3 * transport_s(observer, observation.target)
    recent = (*(o for o in memory.recent if o.time_s >= observation.time_s - look_s), observation)
    told = memory.nir_seen or "y_nir" in observation.values
    memory = replace(memory, window=window, time_s=observation.time_s, recent=recent, bank=bank, nir_seen=told)
    memory, jump = _watch_for_jump(observer, memory)
    mean, cov = (found.mean, found.cov) if found.status == "ok" else (np.full(len(found.mean), np.nan), found.cov)
    return belief(observer, observation, mean, cov, memory.suspicion, (*notes, *jump)), memory


def hold(observer: Observer, memory: HorizonMemory, names: tuple[str, ...], now_s: float) -> HorizonMemory:
    """The memory whose states of these names are not moved from the next node on.

    What is not held any more is doubted as if it never had been; no estimate changes by that alone.
    """
    assert memory.watch is not None, "what is not told is found by watching"
    if names == memory.watch.held:
        return memory
    memory = _let_go(observer, memory)
    assert memory.watch is not None, "it is still watched"
    return replace(memory, watch=replace(memory.watch, held=names, held_since_s=now_s))


def _let_go(observer: Observer, memory: HorizonMemory) -> HorizonMemory:
    """With nothing held any more; what was withheld is given to the oldest step of the window."""
    if memory.watch is None or not memory.watch.held:
        return memory
    window, oldest = memory.window, memory.window.X.shape[1] - 2
    more = withheld(observer, memory.watch, memory.time_s)
    for name, variance in zip(("api_gain", "nir_bias_pct"), more, strict=True):
        window = freed(window, observer.bundle.state(name), variance**0.5, oldest)
    return replace(memory, window=window, watch=replace(memory.watch, held=()))


def _values(observer: Observer, seen: Observation) -> tuple[Seen, ...]:
    names, noise = observer.bundle.measurements, observer.noise
    found = [Seen(names.index(n), value, sigma) for n, (value, sigma) in seen.values.items() if n in names]
    for result in seen.lab:
        age = round((seen.time_s - result.sample_time_s) / observer.bundle.cycle_s)
        if np.isfinite(result.assay_pct):
            sigma = noise.lab_assay_rel * result.assay_pct
            found.append(Seen(names.index("y_lab_assay"), result.assay_pct, sigma, age))
        if np.isfinite(result.tablet_weight_mg):
            found.append(Seen(names.index("y_lab_weight"), result.tablet_weight_mg, noise.lab_weight_mg, age))
    return tuple(found)


def _taken_back(observer: Observer, window: Window, seen: Observation, cycles: int) -> Window:
    """The window without the laboratory values that are corrected now; cycles: steps to this observation's node."""
    places = [
        window.V.shape[1] - 1 + cycles - round((seen.time_s - result.sample_time_s) / observer.bundle.cycle_s)
        for result in seen.lab if result.corrects
    ]  # fmt: skip
    places = [place for place in places if 0 <= place < window.V.shape[1]]
    if not places:
        return window
    V = window.V.copy()
    V[np.ix_([observer.bundle.measurements.index(name) for name in LABORATORY], places)] = np.inf
    return replace(window, V=V)


def _moved(
    observer: Observer, bank: Bank, mean: FloatArray, cov: FloatArray, u: FloatArray, p: FloatArray, sigma: FloatArray
) -> tuple[Bank, FloatArray]:
    _, A = observer.bundle.call("predict", mean, u, p)
    return moved(bank, A), A @ cov @ A.T + np.diag(sigma**2)


def _met(
    observer: Observer, bank: Bank, window: Window, u: FloatArray, p: FloatArray, cov: FloatArray, seen: Observation
) -> Bank:
    """The bank past this cycle's values, by the scalar corrections of the filter that the window amounts to."""
    predicted, _ = observer.bundle.call("predict", window.X[:, -1], u, p)
    mean = predicted[:, 0]
    y, C = observer.bundle.call("measure", mean, u, p)
    forecast = mean
    for i, name in enumerate(observer.bundle.measurements):
        if name not in seen.values:
            continue
        value, sigma = seen.values[name]
        crossed = cov @ C[i]
        variance = float(C[i] @ crossed) + sigma**2
        innovation = float(value - y[i, 0] - C[i] @ (mean - forecast))
        gain = crossed / variance
        trusted = name == "y_nir" and seen.nir_trusted
        bank = met(bank, C[i], gain, variance, innovation if trusted else None, seen.nir_doubt)
        mean, cov = mean + gain * innovation, cov - np.outer(crossed, gain)
    return bank


def _watch_for_jump(observer: Observer, memory: HorizonMemory) -> tuple[HorizonMemory, tuple[str, ...]]:
    noise, now = observer.noise, memory.recent[-1]
    none = Bank.empty(len(memory.window.X))
    if now.time_s < memory.quiet_until_s:
        return replace(memory, bank=none, suspicion=None), ()
    found = suspicion(memory.bank, noise)
    memory = replace(memory, suspicion=found)
    if max(found.loss, found.nir) < noise.jump_sure:
        return memory, ()
    name, sigma, what = (
        ("api_gain", noise.jump_gain, "delivered API jumped") if found.kind == LOSS
        else ("nir_bias_pct", noise.jump_nir_pct, "the NIR jumped: look at the probe")
    )  # fmt: skip
    age = round((now.time_s - found.onset_s) / observer.bundle.cycle_s)
    roomy = freed(memory.window, observer.bundle.state(name), sigma, age)
    # Until the next cycle has solved with that room, the suspicion goes on speaking for the jump.
    quiet_s = now.time_s + transport_s(observer, now.target)
    text = f"{what} ({100 * max(found.loss, found.nir):.0f} % sure, by how it arrives): laboratory to confirm"
    return replace(memory, window=roomy, bank=none, quiet_until_s=quiet_s), (text,)


def _note(result: LabResult, seen: Observation) -> str:
    age_s = seen.time_s - result.sample_time_s
    return f"laboratory sample {result.name}: assay {result.assay_pct:.2f} % w/w, {age_s / 60:.0f} min old"


__all__ = ["HorizonMemory", "Smoothed", "observe"]
